"""`make demo`: the story of README.md on the stand-in, told as a person would want to see it.

`python -m tests.e2e.demo FILE` also writes the picture that README.md shows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from tests.e2e.acts import WAITING, Act, Acts, before_the_installation
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import ControlPlane, control_plane
from tests.e2e.screen import Screen, terminal


def play(plane: ControlPlane, screen: Screen) -> bool:
    """Play every act on a control plane that has been started; returns whether all went as told."""
    installation = Installation(plane)
    try:
        before_the_installation(installation)
        installation.install()
        return perform(Acts(installation, screen).all(), screen)
    finally:
        installation.uninstall()


def perform(acts: Iterable[Act], screen: Screen) -> bool:
    """Play acts, each whatever became of the one before; returns whether all went as told."""
    table = Table("What", "Seen", "", title="As told?", title_justify="left", box=box.SIMPLE_HEAD)
    told = True
    for number, (title, act, pictured) in enumerate(acts, 1):
        screen.filming = pictured
        screen.rule(f"{number}. {title}")
        try:
            table.add_row(title, act(), "[green]yes")
        except Exception as error:
            screen.print(f"[red]{type(error).__name__}: {escape(str(error))}")
            table.add_row(title, type(error).__name__, "[red]NO")
            told = False
    screen.filming = False
    screen.print()
    screen.print(table)
    return told


def main(picture: Path | None = None) -> int:
    """Play the story; the exit code says whether it went as told."""
    screen = Screen(terminal())
    begun = time.monotonic()
    plane = control_plane(elsewhere=[WAITING])
    try:
        plane.start()
        told = play(plane, screen)
    finally:
        plane.close()
    screen.print(
        f"{'As told' if told else 'NOT as told'}, on the {plane.name} API server, in {time.monotonic() - begun:.0f} s."
    )
    if picture is not None:
        picture.write_text(screen.picture(), encoding="utf-8")
    return 0 if told else 1


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
