"""JSON parsed like Go's `encoding/json` (version 1).

The kubelet decodes pull secrets with it, and what it accepts decides whether a Pod can pull. It differs from the
standard library of Python in what counts here: members that occur twice are all seen, in order; bytes that are not
UTF-8 and lone surrogates become U+FFFD; ``NaN`` is refused; nesting is limited by a number and not by the stack.
"""

import json
import re
from itertools import accumulate
from typing import Any, Final

MAX_DEPTH: Final = 10_000
"""Nesting that Go still accepts (``maxNestingDepth`` in encoding/json)."""

# The C scanner of the standard library recurses. So deep it may go without coming near the interpreter's limit.
_SAFE_DEPTH: Final = 200

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(
    r"""[ \t\n\r]*+(?:
        (?P<punctuation>[\[\]{}:,])
      | (?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*")
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
      | (?P<literal>true|false|null)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"', re.DOTALL)
_NOT_BRACKET: Final = re.compile(r"[^\[\]{}]+")
_STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_LITERALS: Final = {"true": True, "false": False, "null": None}


class NotJSON(ValueError):
    """The bytes are not one JSON document. Carries nothing of them."""


class Members(list[tuple[str, Any]]):
    """A JSON object: its members in document order, repeated names kept."""


def decode(data: bytes) -> Any:
    """Decode one JSON document.

    Objects become `Members`, arrays lists, strings `str` (inside objects, free of surrogates), numbers the `int` 0:
    no reader of a pull secret wants their value, and converting a long one is costly.

    Args:
        data: The document, UTF-8; each byte that is not becomes U+FFFD.

    Raises:
        NotJSON: Syntax error, text after the document, or nesting beyond `MAX_DEPTH`.
    """
    text = replace_invalid(data)
    if text.count("[") + text.count("{") > _SAFE_DEPTH and (depth := _depth(text)) > _SAFE_DEPTH:
        if depth > MAX_DEPTH:
            raise NotJSON
        return _decode_deep(text)
    try:
        return _DECODER.decode(text)
    except ValueError:
        raise NotJSON from None  # the cause quotes the document


def kind(value: Any) -> str:
    """Name the JSON type of a decoded value, for messages that must not show the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case Members():
            return "object"
        case list():
            return "array"
        case _:
            return "number"


def fold(name: str) -> str:
    """Fold a member's name as Go does to find the struct field it means.

    Go compares under Unicode simple folding: apart from case, ``ſ`` is ``s`` and the Kelvin sign is ``k``
    (`str.casefold` would be wrong: it also makes ``ß`` into ``ss``).
    """
    return name.lower().replace("ſ", "s")


def replace_invalid(data: bytes) -> str:
    """Decode UTF-8 with one U+FFFD for every byte that does not belong, as Go does.

    ``errors="replace"`` would give one for a whole truncated sequence.
    """
    return _SURROGATE.sub("\ufffd", data.decode("utf-8", "surrogateescape"))


def _scrub(value: Any) -> Any:
    if type(value) is str and not value.isascii():
        return _SURROGATE.sub("\ufffd", value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> Members:
    return Members((_scrub(name), _scrub(value)) for name, value in pairs)


def _zero(_digits: str) -> int:
    return 0


def _refuse(_constant: str) -> None:
    raise NotJSON


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_zero, parse_float=_zero, parse_constant=_refuse
)


def _depth(text: str) -> int:
    """Return how deep a decoder can get in a text: exact up to the first syntax error, behind which none gets."""
    brackets = _NOT_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _decode_deep(text: str) -> Any:
    """Decode without recursion: same result as `_DECODER`, slower.

    Go, and so the kubelet, reads 10,000 levels. The standard library's decoder ends with a `RecursionError` at 1,000 on
    Python 3.11, and between 5,000 and 9,999 on 3.13.
    """
    root: list[Any] = []
    stack: list[list[Any]] = [root]  # open containers, innermost last; the root holds the document
    names: list[str] = []  # of the open objects' members being read
    wanted = "value"  # value | value or end | name | name or end | colon | comma
    position = 0
    while True:
        token = _TOKEN.match(text, position)
        if token is None:
            raise NotJSON
        position = token.end()
        sort, symbol = token.lastgroup, token[token.lastgroup or 0]
        if sort == "end":
            if wanted == "comma" and len(stack) == 1:
                return root[0]
            raise NotJSON
        if sort == "punctuation" and symbol not in "[{":
            wanted = _punctuate(symbol, wanted, stack)
        elif wanted.startswith("name") and sort == "string":
            names.append(json.loads(symbol))
            wanted = "colon"
        elif wanted.startswith("value"):
            value, wanted = _value(sort, symbol)
            _append(stack[-1], value, names)
            if isinstance(value, list):
                stack.append(value)
        else:
            raise NotJSON


def _value(sort: str | None, symbol: str) -> tuple[Any, str]:
    """Begin or read one value, and say what may follow."""
    match sort:
        case "punctuation":
            return (Members(), "name or end") if symbol == "{" else ([], "value or end")
        case "string":
            return json.loads(symbol), "comma"
        case "literal":
            return _LITERALS[symbol], "comma"
        case _:
            return 0, "comma"


def _append(container: list[Any], value: Any, names: list[str]) -> None:
    if isinstance(container, Members):
        container.append((_scrub(names.pop()), _scrub(value)))
    else:
        container.append(value)


def _punctuate(symbol: str, wanted: str, stack: list[list[Any]]) -> str:
    """Take a comma, colon or closing bracket, and say what must follow."""
    in_object = isinstance(stack[-1], Members)
    if symbol == ":" and wanted == "colon":
        return "value"
    if symbol == "," and wanted == "comma" and len(stack) > 1:
        return "name" if in_object else "value"
    closes = symbol == ("}" if in_object else "]") and len(stack) > 1
    if closes and (wanted == "comma" or wanted.endswith("or end")):
        stack.pop()
        return "comma"
    raise NotJSON
