"""A user's own text and places in a user's object, as a message can carry them."""

import re
from collections.abc import Iterable
from typing import Final

_SHOWN: Final = 256
"""Longest excerpt of a user's own text in a message; a reference has 255 characters at most (distribution grammar)."""

_FIELD: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


def shown(text: str) -> str:
    """Cut a user's own text to what a message can carry, without control characters."""
    text = printable(text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def printable(text: str) -> str:
    """Replace control characters and line breaks, which a terminal or a CI system would take for more than text."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def named(text: str) -> str:
    """Give a user's own name for something as `shown` does, or say that it has none."""
    return shown(text) or "(unnamed)"


def dotted(tokens: Iterable[str | int]) -> str:
    """Write a place in an object as the API server does: `spec.groups[0].template`, `spec.by["a.b"].template`."""
    text = ""
    for token in tokens:
        if isinstance(token, int):
            text += f"[{token}]"
        elif _FIELD.fullmatch(token):
            text += f".{token}" if text else token
        else:
            text += f'["{shown(token)}"]'
    return text


def pointer(tokens: Iterable[str | int]) -> str:
    """Write a place in an object as a JSON pointer, each token cut to what a message can carry."""
    return "".join(f"/{escaped(shown(str(token)))}" for token in tokens)


def escaped(token: str) -> str:
    """Escape a token of a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")
