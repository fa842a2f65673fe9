"""Go's side of some messages: what `encoding/json` says of bad JSON, and internal types as it prints them."""

import difflib
from typing import Any

import orjson

from standin.gotypes import render
from standin.interfaces import Json

_SPACE = b" \t\r\n"


def json_error(raw: bytes) -> str | None:
    """Return Go's error for bytes that are no JSON value, None if they are."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        text = raw.strip(_SPACE)
        if not text or _ends_early(text):
            return "unexpected end of JSON input"
        position = min(fault.pos, len(text) - 1)
        char = text.decode(errors="replace")[position]
        return f"invalid character {_quote(char)} looking for beginning of value"
    return None


def _quote(char: str) -> str:
    return "'\\''" if char == "'" else f"'{char}'"


def _ends_early(text: bytes) -> bool:
    """Tell whether a longer text could be JSON: only then is the end what is wrong."""
    depth: list[int] = []
    in_string = escaped = False
    for byte in text:
        if in_string:
            if escaped:
                escaped = False
            elif byte == ord("\\"):
                escaped = True
            elif byte == ord('"'):
                in_string = False
        elif byte == ord('"'):
            in_string = True
        elif byte in b"{[":
            depth.append(byte)
        elif byte in b"}]":
            if not depth:
                return False
            depth.pop()
    return in_string or (bool(depth) and text[-1:] in b'{[,:"}]' + b"0123456789")


def pod_template(template: Json) -> str:
    """Return a PodTemplateSpec as field errors print it."""
    metadata = template.get("metadata") or {}
    shown: dict[str, Any] = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    shown = {key: dict(sorted(value.items())) for key, value in shown.items()}
    shown["Spec"] = render("PodSpec", template.get("spec") or {})
    return orjson.dumps(shown).decode()


def pod_spec_diff(old: Json, new: Json) -> str:
    """Return the unified diff of two pod specs, as `diff.Diff` of apimachinery makes it."""
    before, after = (_indented(render("PodSpec", spec)).splitlines(keepends=True) for spec in (old, new))
    found = list(difflib.unified_diff(before, after, n=3))
    return "".join(found[2:])


def _indented(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    # Go indents by one space here, orjson by two.
    return (
        "".join(
            " " * ((len(line) - len(line.lstrip(" "))) // 2) + line.lstrip(" ")
            for line in text.splitlines(keepends=True)
        )
        + "\n"
    )
