"""docs/reference.md says what the code says (`python -m tests.docs.reference` writes its tables again)."""

import re
from pathlib import Path

import pytest

from tests.docs import reference
from tests.docs.commands import ROOT
from webhook.core import names
from webhook.core.vocabulary import Reason
from webhook.ports import EventReason

PAGE = reference.PAGE.read_text(encoding="utf-8")


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_the_page_has_not_drifted_from_the_code() -> None:
    assert reference.written() == PAGE


@pytest.mark.parametrize("command", reference.commands())
def test_every_flag_of_every_command_is_there(command: str) -> None:
    section = PAGE.partition(f"### `ghcr-pull-secrets {command}`")[2].partition("\n##")[0]
    wanted = {flag for option in reference.options(command) for flag in (*option.opts, *option.secondary_opts)}

    assert set(re.findall(r"`(--?[A-Za-z-]+)`", section)) == wanted


def test_every_metric_that_the_code_declares_is_there_and_no_other() -> None:
    declared = {
        name
        for path in sources("webhook", "certs")
        for name in re.findall(r'"(ghcr_pull_secrets_[a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    told = re.findall(r"^\| `(ghcr_pull_secrets_[a-z_]+)`", PAGE, re.MULTILINE)

    assert {name.removesuffix("_total") for name in told} == declared
    assert len(told) == len(declared)


def test_every_reason_and_every_event_has_its_row_once() -> None:
    rows = re.findall(r"^\| `([A-Za-z_]+)` \|", PAGE, re.MULTILINE)

    assert [row for row in rows if row in set(Reason)] == list(Reason)
    assert [row for row in rows if row in set(EventReason)] == list(EventReason)


def test_every_label_and_annotation_the_code_knows_is_there_and_no_other() -> None:
    constants = [value for name, value in vars(names).items() if name.isupper()]
    known = {value for value in constants if isinstance(value, str) and "/" in value} - set(names.PULL_SECRET_KEYS)
    known |= set(names.ARGOCD_ANNOTATIONS)

    assert set(reference.KEYS) == known


def test_no_label_of_ours_is_used_anywhere_that_is_not_in_the_page() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sources("webhook", "certs")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "charts").rglob("*") if path.is_file()]
    used = set(re.findall(r"(?<![\w.])ghcr-pull-secrets\.io/[a-z-]+", "\n".join(texts)))

    assert used <= set(reference.KEYS)
