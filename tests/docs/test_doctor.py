"""docs/doctor.md names every station and every code, and no others."""

import re

from tests.docs.commands import DOCS
from tests.doctor.builders import evidence
from webhook.doctor import chain_credential, run
from webhook.doctor.model import Code

PAGE = (DOCS / "doctor.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [
        name for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]


def test_every_code_has_its_row_once() -> None:
    assert sorted(rows("Codes")) == sorted(Code)


def test_every_station_has_its_row_once() -> None:
    assert sorted(rows("Stations")) == sorted(each.name for each in run.judge(evidence(), chain_credential.NOT_ASKED))
