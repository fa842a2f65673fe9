"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and strategic merge patch of Kubernetes.

None of them changes its arguments; results may share parts with them.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import jsonpatch
import jsonpointer

from standin.errors import ApiError, bad_request
from standin.interfaces import Json
from standin.schema import Node

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

T = TypeVar("T")


def apply(patch_type: str, document: Json, patch: Any, schema: Node) -> Json:
    """Return the patched document. Raises ApiError."""
    if patch_type == JSON_PATCH:
        return json_patch(document, patch)
    if not isinstance(patch, dict):
        raise bad_request("the patch must be an object")
    if patch_type == STRATEGIC_PATCH:
        return strategic_merge(document, patch, schema)
    merged: Json = merge_patch(document, patch)
    return merged


def json_patch(document: Json, operations: Any) -> Json:
    """Apply RFC 6902 operations; what does not apply is the 422 the API server answers for any such fault."""
    try:
        patched = jsonpatch.JsonPatch(operations).apply(document)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as fault:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}) from fault
    if not isinstance(patched, dict):
        raise bad_request("the patched document is no object")
    return patched


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(document: Json, patch: Json, schema: Node) -> Json:
    """Apply a strategic merge patch: lists with a merge key are merged item by item, directives are obeyed."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(document)
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$"):
            if key.startswith(_DELETE):
                name = key.removeprefix(_DELETE)
                merged[name] = [item for item in merged.get(name) or [] if item not in value]
            continue
        node = schema.field(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and "replace" not in node.strategies:
            current = merged.get(key)
            merged[key] = strategic_merge(current if isinstance(current, dict) else {}, value, node)
        elif isinstance(value, list) and "merge" in node.strategies:
            merged[key] = _merge_lists(merged.get(key) or [], value, node, patch.get(_ORDER + key))
        else:
            merged[key] = value
    for key, order in patch.items():
        if key.startswith(_ORDER) and (name := key.removeprefix(_ORDER)) in merged and name not in patch:
            merged[name] = _reorder(merged[name], order, schema.field(name))
    return merged


def _identity(node: Node) -> Callable[[Any], Hashable]:
    key = node.merge_key
    if key:
        return lambda item: item.get(key) if isinstance(item, dict) else None
    return lambda item: item if isinstance(item, Hashable) else repr(item)


def _merge_lists(current: list[Any], patch: list[Any], node: Node, order: list[Any] | None) -> list[Any]:
    identity = _identity(node)
    items = {identity(item): item for item in current}
    if any(isinstance(item, dict) and item.get("$patch") == "replace" and len(item) == 1 for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    for item in patch:
        found = identity(item)
        if not node.merge_key:
            items[found] = item
        elif item.get("$patch") == "delete":
            items.pop(found, None)
        else:
            items[found] = strategic_merge(items.get(found) or {}, item, node.item())
    merged = list(items.values())
    return merged if order is None else _reorder(merged, order, node, [identity(item) for item in current])


def _reorder(merged: list[Any], order: list[Any], node: Node, live: Sequence[Hashable] | None = None) -> list[Any]:
    identity = _identity(node)
    items = {identity(item): item for item in merged}
    before = list(items) if live is None else list(live)
    wanted = [found for item in order if (found := identity(item)) in items]
    return [items[found] for found in interleave(wanted, [found for found in items if found not in wanted], before)]


def interleave(wanted: Sequence[T], others: Sequence[T], live: Sequence[T]) -> list[T]:
    """Merge two sequences without changing either's order: an item of `others` stays before those it was before in `live`.

    The rule of strategic merge's `mergeSortedSlice`; server-side apply uses it too.
    """
    position = {item: index for index, item in enumerate(live)}
    result: list[T] = []
    rest = list(others)
    for item in wanted:
        while rest and item in position and rest[0] in position and position[rest[0]] < position[item]:
            result.append(rest.pop(0))
        result.append(item)
    return result + rest
