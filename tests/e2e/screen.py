"""Where the demo is played: a terminal, and beside it the picture in docs/."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Final

from rich.console import Console, RenderableType

PIPED_WIDTH: Final = 100
"""Columns where nobody knows how wide it is; of the picture as well."""

WIDEST: Final = 120
"""A table any wider is read with a ruler."""

_FONT_FACE: Final = re.compile(r"\n\s*@font-face \{[^}]*\}")


def terminal() -> Console:
    """Give standard output, as wide as its terminal and no wider than `WIDEST`."""
    console = Console()
    return Console(width=min(console.width, WIDEST) if console.is_terminal else PIPED_WIDTH)


class Screen:
    """Prints to a console, and, of what looks the same each time, also into a picture."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._film = Console(
            width=PIPED_WIDTH,
            record=True,
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            no_color=False,
        )
        self.filming = False

    def rule(self, title: str) -> None:
        """Begin an act."""
        self._each(lambda console: console.rule(f"[bold]{title}", align="left"))

    def print(self, what: RenderableType = "") -> None:
        """Print."""
        self._each(lambda console: console.print(what, highlight=False))

    def _each(self, draw: Callable[[Console], None]) -> None:
        draw(self._console)
        if self.filming:
            draw(self._film)

    def picture(self) -> str:
        """Give what was printed while `filming` as an SVG that needs nothing from elsewhere."""
        drawn = self._film.export_svg(title="make demo", unique_id="demo", clear=False)
        drawn = _FONT_FACE.sub("", drawn).replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
        return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)
