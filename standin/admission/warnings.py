"""The `Warning` headers of one answer, as the API server cuts and encodes them.

Limits: 4096 characters for all warnings of an answer; past them, each is cut to 256 characters (recorded).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

TOTAL_CHARACTERS = 4 * 1024
ITEM_CHARACTERS = 256


def headers(texts: Iterable[str]) -> list[str]:
    """Return one header value for each distinct warning that may be sent, in order.

    A text with a control character is dropped, as the API server does. Values hold UTF-8 bytes as Latin-1
    characters, which is how HTTP headers are written.
    """
    distinct = [text for text in dict.fromkeys(texts) if text]
    if sum(len(text) for text in distinct if not _has_control(text)) > TOTAL_CHARACTERS:
        cut: list[str] = []
        written = 0
        for text in distinct:
            if written >= TOTAL_CHARACTERS:
                break
            cut.append(text[:ITEM_CHARACTERS])
            written += len(cut[-1])
        distinct = cut
    return [_header(text) for text in distinct if not _has_control(text)]


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def _header(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'.encode().decode("latin-1")
