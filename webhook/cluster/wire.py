"""Lazy, bounded reading of API server JSON.

A tenant decides how large an object is: a ServiceAccount, a Secret or a Pod of a megabyte is legal, and plain Python
objects of one take twenty times that. So a type names the fields we look at, all others are passed over without being
built, and of a list that a tenant fills the first entries are read.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

OBJECT_BYTES: Final = 12 << 20
"""Largest body, or line of a watch, that is read.

etcd takes 1.5 MiB from an API server with default flags, and JSON is six times that at most: Go writes `<` as
`\\u003c`.
"""

PAGE_BYTES: Final = 4 << 20
"""Largest page of a list with more than one object in it."""

ENTRY_BYTES: Final = 512
"""Room for one entry of a list of names: a name has 253 characters, and there is little beside it."""

Content = bytes | bytearray | memoryview | msgspec.Raw

_SEPARATOR: Final = re.compile(r"[ \t\r\n,]*")
_ENTRIES: Final = json.JSONDecoder()


def read(content: Content, kind: type[T]) -> T:
    """Read JSON as a type of `msgspec`.

    Raises:
        ValueError: It has not the shape of one. Nothing of the content is in the text.
    """
    try:
        return _decoder(kind).decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"not the JSON of {kind.__name__.lstrip('_')}") from None


def entries(array: msgspec.Raw, at_most: int) -> tuple[list[Any], bool]:
    """Read the first entries of a JSON array of small objects, and return whether there is more in it.

    What lies beyond `at_most` entries of `ENTRY_BYTES` each is not looked at.
    """
    found: list[Any] = []
    view = memoryview(array)
    text = bytes(view[: at_most * ENTRY_BYTES]).decode("utf-8", "ignore")
    try:
        for value in _each(text):
            if len(found) == at_most:
                return found, True
            found.append(value)
    except (ValueError, IndexError, RecursionError):
        # The last entry was cut off; what was whole is JSON, or it would not have been taken for an array.
        return found, True
    return found, False


def _each(text: str) -> Iterator[Any]:
    if text == "null":
        return
    place = 1
    while True:
        place = _SEPARATOR.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing too
        if text[place] == "]":
            return
        value, place = _ENTRIES.raw_decode(text, place)
        yield value


_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    # Making one costs more than most readings. The types are ours, so there are few.
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder
