"""Report as SARIF 2.1.0 for GitHub code scanning."""

import hashlib
import importlib.metadata
from typing import Any, Final
from urllib.parse import quote

from webhook.check.evidence import Place
from webhook.check.findings import INVALID_SETTING, Finding, Level, Report
from webhook.check.outputs.plain_json import printable
from webhook.core.vocabulary import REFUSING

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME: Final = "https://github.com/sesacthon/ghcr-pull-secrets"

_RULES: Final[dict[str, str]] = {
    **{reason: f"Pull secret: {reason.replace('_', ' ')}" for reason in sorted(REFUSING)},
    INVALID_SETTING: "A label or annotation of ghcr-pull-secrets has a value that means nothing",
}


def render(report: Report) -> str:
    """Write one run with a result for each finding, and a notification for what could not be read."""
    rules = list(_RULES)
    notifications = [
        {
            "level": "error" if trouble.fatal else "warning",
            "message": {"text": trouble.problem},
            "locations": [_location(Place(file=trouble.file, line=trouble.line))],
        }
        for trouble in report.troubles
    ]
    run = {
        "tool": {
            "driver": {
                "name": "ghcr-pull-secrets",
                "informationUri": _HOME,
                "version": importlib.metadata.version("ghcr-pull-secrets"),
                "rules": [
                    {
                        "id": name,
                        "shortDescription": {"text": text},
                        "helpUri": f"{_HOME}/blob/main/docs/check.md",
                    }
                    for name, text in _RULES.items()
                ],
            }
        },
        "invocations": [{"executionSuccessful": not report.unread, "toolExecutionNotifications": notifications}],
        "results": [_result(finding, rules) for finding in report.findings],
    }
    return printable({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _result(finding: Finding, rules: list[str]) -> dict[str, Any]:
    images = "".join(f" It pulls {pull.image}." for pull in finding.pulls[:1])
    fix = f" To fix it, {finding.remedy}." if finding.remedy else ""
    # What stays the same when lines move: code scanning tells old findings from new ones by it.
    identity = "\n".join((finding.reason, finding.place.file, finding.subject, *(each.image for each in finding.pulls)))
    return {
        "ruleId": finding.reason,
        "ruleIndex": rules.index(finding.reason),
        "level": "error" if finding.level is Level.ERROR else "warning",
        "message": {"text": f"{finding.subject}: {finding.cause}.{images}{fix}"},
        "locations": [_location(Place(file=finding.place.file, line=finding.line))],
        "relatedLocations": [
            {"id": number, "message": {"text": related.text}, **_location(related.place)}
            for number, related in enumerate(finding.related)
        ],
        "partialFingerprints": {"ghcrPullSecrets/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()},
    }


def _location(place: Place) -> dict[str, Any]:
    uri = quote(place.file.encode("utf-8", "surrogateescape"))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": place.line}}}
