"""The names of other injectors' mutating configurations, as docs/injectors.md lists them."""

import re
from collections.abc import Iterator

from tests.docs import commands


def configurations() -> Iterator[str]:
    """Yield each name of the page's table; a release has the name that the project's own instructions give it."""
    _, _, table = (commands.DOCS / "injectors.md").read_text(encoding="utf-8").partition("## Known injectors")
    for line in table.splitlines():
        if line.startswith("| ") and line.count("|") == 3:
            yield from re.findall(r"`([^`]+)`", line.split("|")[2])
