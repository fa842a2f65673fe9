"""Reads request bodies in `application/vnd.kubernetes.protobuf`, which kubectl's typed commands send.

Answers are JSON: clients accept it beside protobuf. `wire_fields.txt` has the field numbers.
"""

import base64
import datetime as dt
import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

from standin.errors import bad_request
from standin.interfaces import Json

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_PACKAGES = {
    "v1": "core.v1",
    "batch/v1": "batch.v1",
    "apps/v1": "apps.v1",
    "rbac.authorization.k8s.io/v1": "rbac.v1",
    "authorization.k8s.io/v1": "authorization.v1",
    "authentication.k8s.io/v1": "authentication.v1",
    "policy/v1": "policy.v1",
    "networking.k8s.io/v1": "networking.v1",
    "scheduling.k8s.io/v1": "scheduling.v1",
    "coordination.k8s.io/v1": "coordination.v1",
}
# Structs that Go embeds: their fields stand in the parent's JSON.
_EMBEDDED = frozenset({"volumeSource", "ephemeralContainerCommon", "localObjectReference", "handler"})
# Fields that are no pointers in Go: their zero value was not given. It is on the wire all the same.
_NO_POINTER = frozenset(
    {"stdin", "stdinOnce", "tty", "hostNetwork", "hostPID", "hostIPC", "readOnly", "hostPort", "generation", "paused",
     "minReadySeconds", "publishNotReadyAddresses", "nodePort", "count", "globalDefault", "healthCheckNodePort"}
)  # fmt: skip


class _Field(NamedTuple):
    name: str
    shape: str
    type: str


@functools.cache
def _messages() -> dict[str, dict[int, _Field]]:
    text = (resources.files("standin") / "wire_fields.txt").read_text()
    found: dict[str, dict[int, _Field]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        message, *words = line.split(" ")
        fields = {}
        for word in words:
            number, _, rest = word.partition("=")
            name, _, kind = rest.partition(":")
            fields[int(number)] = _Field(name.rstrip("[]{}"), name[-2:] if name[-1] in "]}" else "", kind)
        found[message] = fields
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value: Any
                value, at = _varint(data, at)
                # Negative integers are sign-extended to 64 bits.
                yield key >> 3, value - (1 << 64) if value >> 63 else value
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise ValueError(size)
                yield key >> 3, data[at : at + size]
                at += size
            case other:
                raise ValueError(other)


def decode(body: bytes) -> Json:
    """Return the object of a protobuf body, as JSON would have it.

    Raises:
        ApiError: 400 if it is none, or of a kind that is not in the table.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        meta = {number: value.decode() for number, value in _fields(envelope[1])}
        api_version, kind = meta[1], meta[2]
        package = _PACKAGES.get(api_version, "")
        message = "DeleteOptions" if kind == "DeleteOptions" else f"{package}.{kind}"
        if message not in _messages():
            raise bad_request(f"the stand-in reads no protobuf of kind {kind} in {api_version}")
        return {"kind": kind, "apiVersion": api_version, **_message(envelope.get(2, b""), message)}
    except (ValueError, IndexError, KeyError) as fault:
        raise bad_request("the protobuf body is malformed") from fault


def _message(data: bytes, message: str) -> Json:
    known = _messages()[message]
    result: Json = {}
    for number, raw in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        if field.shape == "{}":
            entry = dict(_fields(raw))
            result.setdefault(field.name, {})[entry.get(1, b"").decode()] = _value(entry.get(2, b""), field.type)
            continue
        value = _value(raw, field.type)
        if field.shape == "[]":
            result.setdefault(field.name, []).append(value)
        elif field.name in _EMBEDDED:
            result |= value
        elif _given(field.name, value):
            result[field.name] = value
    return result


def _given(name: str, value: Any) -> bool:
    """Tell whether JSON would show a field: empty strings and times never, other zeros only of pointers."""
    if isinstance(value, dict):
        return True
    return value not in {"", None} and (bool(value) or name not in _NO_POINTER)


def _value(raw: Any, kind: str) -> Any:
    match kind:
        case "s":
            return raw.decode()
        case "i":
            return raw
        case "b":
            return bool(raw)
        case "y":
            return base64.b64encode(raw).decode()
        case "Quantity":
            return dict(_fields(raw)).get(1, b"").decode()
        case "IntOrString":
            parts = dict(_fields(raw))
            return parts.get(3, b"").decode() if parts.get(1) else parts.get(2, 0)
        case "Time" | "MicroTime":
            parts = dict(_fields(raw))
            if not parts.get(1):
                return None
            at = dt.datetime.fromtimestamp(parts[1], dt.UTC)
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "authorization.v1.ExtraValue" | "authentication.v1.ExtraValue":
            return [item.decode() for _, item in _fields(raw)]
        case _:
            return _message(raw, kind)
