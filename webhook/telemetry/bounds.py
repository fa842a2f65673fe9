"""Length bounds of log lines, texts and batches."""

from collections.abc import Mapping
from typing import Any, Final

from webhook.telemetry.redaction import redact_text

MOST_TEXT: Final = 4096
"""Characters of one text: a traceback of some thirty frames."""

MOST_LINE: Final = 16 * 1024
"""Bytes of one line: what container runtimes (CRI) keep together."""

_MOST_ENTRIES: Final = 64
_MOST_DEPTH: Final = 8


def bounded(event: Any) -> Any:
    """Cut the texts and collections of an event, at any depth; the event itself is changed."""
    for name, value in event.items():
        if isinstance(value, str):
            if len(value) > MOST_TEXT:
                event[name] = cut(value)
        elif not isinstance(value, (int, float)):
            event[name] = _bounded(value, _MOST_DEPTH)
    return event


def cut(text: str, most: int = MOST_TEXT) -> str:
    """Cut a text: its beginning and its end say most, as in a traceback. A credential in it is taken out before."""
    if len(text) <= most:
        return text
    text = redact_text(text)
    return (
        f"{text[: most // 2]}… [{len(text) - most} characters cut] …{text[-(most // 2) :]}"
        if len(text) > most
        else text
    )


def printable(text: str) -> str:
    """Write control characters, and whatever else cannot be printed, as Python's escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _bounded(value: Any, depth: int) -> Any:
    match value:
        case str():
            return cut(value)
        case Mapping() | list() | tuple() | set() | frozenset() if depth == 0:
            return f"{len(value)} entries"
        case Mapping():
            return {
                cut(str(key), MOST_TEXT // 16): _bounded(entry, depth - 1)
                for key, entry in list(value.items())[:_MOST_ENTRIES]
            }
        case list() | tuple() | set() | frozenset():
            return [_bounded(entry, depth - 1) for entry in list(value)[:_MOST_ENTRIES]]
        case _:
            return value
