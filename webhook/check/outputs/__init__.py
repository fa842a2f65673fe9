"""Report formats: text, JSON, SARIF, JUnit XML and GitHub annotations."""

from collections.abc import Callable, Mapping
from typing import Final

from webhook.check.outputs import github, junit, plain_json, sarif, text
from webhook.check.report import Report

FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {
    "text": text.render,
    "json": plain_json.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "github": github.render,
}
"""By the name of the format."""
