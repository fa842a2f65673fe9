"""The blocks of values in docs/platforms.md, by the heading they stand under."""

import re
from typing import Any, Final

import yaml

from tests import helm

PAGE: Final = helm.CHART.parents[1] / "docs" / "platforms.md"


def values() -> dict[str, dict[str, Any]]:
    """Read the page.

    Raises:
        LookupError: A heading has no block of values, or more than one.
    """
    found = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if len(blocks) != 1:
            raise LookupError(f"{heading}: {len(blocks)} blocks of values")
        found[heading] = yaml.safe_load(blocks[0])
    return found
