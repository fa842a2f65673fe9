"""`make demo`: it goes as told, fits its terminal, and looks like the picture in the README."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import pytest
from rich.console import Console

from tests.docs.commands import DOCS
from tests.e2e import demo
from tests.e2e.acts import NAMES, WAITING
from tests.e2e.machinery.planes import control_plane
from tests.e2e.screen import PIPED_WIDTH, WIDEST, Screen, terminal
from tests.objects import CANARY_PREFIX

# One worker plays it, once.
pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]

_ACT = re.compile(r"\n(?=(?:\x1b\[[\d;]*m)*\d+(?:\x1b\[[\d;]*m)*\. )")
_RED, _GREEN = "\x1b[31m", "\x1b[32m"


@dataclass(frozen=True)
class Played:
    told: bool
    acts: list[str]
    picture: str


@pytest.fixture(scope="module")
def played() -> Played:
    """The demo, on a terminal with colours."""
    console = Console(
        file=io.StringIO(), width=PIPED_WIDTH, force_terminal=True, color_system="standard", no_color=False
    )
    screen = Screen(console)
    plane = control_plane(elsewhere=[WAITING])
    try:
        plane.start()
        told = demo.play(plane, screen)
    finally:
        plane.close()
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert CANARY_PREFIX not in printed
    return Played(told, _ACT.split(f"\n{printed}")[1:], screen.picture())


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_every_act_goes_as_announced_and_shows_something(played: Played) -> None:
    assert played.told, plain(played.acts[-1])
    assert [int(plain(act).partition(".")[0]) for act in played.acts] == list(range(1, 13))
    assert [act for act in played.acts if len(plain(act).strip().splitlines()) < 3] == []


def test_the_first_act_has_a_red_dash_for_each_namespace_and_the_second_fills_them(played: Played) -> None:
    before, after = played.acts[:2]

    assert before.count(f"{_RED}–") == len(NAMES) == 7
    assert "–" not in plain(after).partition("\n")[2]
    assert plain(after).count("by ghcr-pull-secrets") == after.count(f"{_GREEN}by ") == 7


def test_refusals_are_red(played: Played) -> None:
    for act in (played.acts[3], played.acts[4]):
        (line,) = [line for line in act.splitlines() if "Error from server" in line]
        assert f"{_RED}Error from server (Forbidden)" in line


def test_a_pod_that_waits_becomes_one_that_runs(played: Played) -> None:
    waiting, running = played.acts[7].split("kubectl get pods")[1:]

    assert "ImagePullBackOff" in plain(waiting)
    assert "Running" in plain(running)
    assert _RED in waiting
    assert _GREEN in running


def test_check_and_doctor_say_what_fixes_it(played: Played) -> None:
    check, doctor = map(plain, played.acts[10:])

    assert "fix: add" in check
    assert "Remedies" in doctor
    assert "credential_no_access" in doctor.partition("Remedies")[2]


def test_no_line_is_wider_than_the_terminal(played: Played) -> None:
    assert max(len(line) for act in played.acts for line in plain(act).splitlines()) <= PIPED_WIDTH


def test_the_picture_in_docs_is_of_this_run(played: Played) -> None:
    committed = (DOCS / "demo.svg").read_text(encoding="utf-8")

    assert played.picture == committed, "python -m tests.e2e.demo docs/demo.svg draws it again"
    # What a page shows comes with the page.
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg|www\.textualize\.io)", committed)


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("120", 120), ("250", WIDEST)])
def test_it_is_as_wide_as_its_terminal_and_not_wider_than_can_be_read(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)

    assert terminal().width == width


def test_where_it_is_piped_nobody_knows_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "37")

    assert terminal().width == PIPED_WIDTH


def test_an_act_that_goes_otherwise_is_said_and_the_rest_is_played() -> None:
    def fails() -> str:
        raise AssertionError("not so: [red]it[/]")

    console = Console(file=io.StringIO(), width=PIPED_WIDTH)

    told = demo.perform(
        [("good", lambda: "well", False), ("bad", fails, False), ("last", lambda: "seen", False)], Screen(console)
    )

    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert not told
    assert "AssertionError: not so: [red]it[/]" in printed
    assert re.search(r"bad +AssertionError +NO", printed)
    assert re.search(r"last +seen +yes", printed)
