"""What becomes of an object when the API server reads it into its types and writes it out again.

Unknown fields are dropped (or refused), fields of a wrong type refused, empty lists and maps left out.
"""

import base64
import binascii
import copy
from typing import Any

from standin.errors import ApiError, bad_request
from standin.interfaces import Json, ResourceInfo
from standin.schema import Node

_GO_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_ZERO_VALUES: dict[str, Any] = {"object": {}, "string": "", "boolean": False, "integer": 0, "number": 0}
# Structs and lists that are written even when empty, though no schema requires them.
_KEPT_EMPTY = frozenset({"rules", "emptyDir"})


def cannot_be_handled(resource: ResourceInfo, why: str) -> ApiError:
    """400: a body that does not fit its kind."""
    kind = resource.kind
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}')


def normalise(obj: Json, node: Node, resource: ResourceInfo) -> tuple[Json, list[str]]:
    """Return the object as its types hold it, and the paths of unknown fields that were dropped.

    Raises:
        ApiError: 400 for a field of a wrong type.
    """
    unknown: list[str] = []
    result: Json = _Walker(resource, unknown).walk(obj, node, "")
    return result, unknown


class _Walker:
    def __init__(self, resource: ResourceInfo, unknown: list[str]) -> None:
        self._resource = resource
        self._unknown = unknown

    def walk(self, value: Any, node: Node, path: str) -> Any:
        if isinstance(value, dict):
            return self._object(value, node, path)
        if isinstance(value, list):
            item = node.item()
            return [_zero_value(item) if child is None else self._checked(child, item, path) for child in value]
        return value

    def _object(self, value: Json, node: Node, path: str) -> Json:
        known = node.fields
        kept: Json = {}
        for name, child in value.items():
            where = f"{path}.{name}" if path else name
            if known is not None and name not in known:
                self._unknown.append(where)
                continue
            if child is None:
                continue
            below = node.field(name)
            child_value = self._checked(child, below, where)
            if child_value in ([], {}) and name not in node.required and name not in _KEPT_EMPTY:
                empty_map = isinstance(child_value, dict) and not below.is_struct and node.is_struct and below.is_map
                if isinstance(child_value, list) or empty_map:
                    continue
            kept[name] = child_value
        return kept

    def _checked(self, value: Any, node: Node, path: str) -> Any:
        types = node.types
        if types and value is not None:
            fits = any(isinstance(value, _JSON_TYPES[name]) for name in types if name in _JSON_TYPES)
            if not fits or (isinstance(value, bool) and "boolean" not in types):
                got, wanted = _GO_NAMES[type(value)], next((name for name in types if name != "null"), "null")
                raise cannot_be_handled(
                    self._resource,
                    f"json: cannot unmarshal {got} into Go struct field {self._resource.kind}.{path} of type {wanted}",
                )
        return self.walk(value, node, path)


def _zero_value(node: Node) -> Any:
    """What encoding/json leaves in a slice for a null: the zero value of its element."""
    kind = next((name for name in node.types if name in _ZERO_VALUES), None)
    return None if kind is None else copy.copy(_ZERO_VALUES[kind])


def secret_data(obj: Json, resource: ResourceInfo) -> Json:
    """Return a Secret with `stringData` moved into `data`.

    Raises:
        ApiError: 400 if `data` is not base64.
    """
    data = obj.get("data")
    for value in (data or {}).values():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as fault:
            raise cannot_be_handled(resource, f"illegal base64 data at input byte {_first_illegal(value)}") from fault
    strings = obj.get("stringData")
    if strings is None:
        return obj
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in strings.items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return {**rest, "data": {**(data or {}), **encoded}} if encoded else rest


_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _first_illegal(value: str) -> int:
    raw = value.encode()
    for index, byte in enumerate(raw):
        if byte not in _ALPHABET and not (byte == ord("=") and index >= len(raw) - 2):
            return index
    return max(len(raw) // 4 * 4, 0)
