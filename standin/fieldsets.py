"""Sets of field paths in the `FieldsV1` form of `metadata.managedFields`.

A set is a tree of dicts. Keys: `f:NAME` a field, `k:{"name":"x"}` an item of a map list, `v:VALUE` an item of a set,
`.` the path itself. An empty dict is a leaf: the path is a member. Trees are never changed in place.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from standin.interfaces import Json
from standin.schema import KEY_DEFAULTS, Node

_SELF = "."
# Fields that nobody manages (`managedfields.NewDefaultFieldManager`'s stripMeta).
_NEVER = ("apiVersion", "kind")
_NEVER_META = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
)


def strip_unmanaged(obj: Json) -> Json:
    """Return the part of an object whose fields can have managers."""
    stripped = {key: value for key, value in obj.items() if key not in _NEVER}
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _NEVER_META}
    if metadata:
        stripped["metadata"] = metadata
    else:
        stripped.pop("metadata", None)
    return stripped


def item_key(item: Any, node: Node) -> str | None:
    """Return the path element of a list item, None if the list is atomic (or the item fits no key)."""
    if node.list_type == "set" and not isinstance(item, (dict, list)):
        return "v:" + orjson.dumps(item).decode()
    keys = node.list_keys
    if node.list_type != "map" or not keys or not isinstance(item, dict):
        return None
    values = {key: item.get(key, KEY_DEFAULTS.get(key)) for key in sorted(keys)}
    return "k:" + orjson.dumps({key: value for key, value in values.items() if value is not None}).decode()


def keyed(items: list[Any], node: Node) -> dict[str, Any] | None:
    """Return list items by path element, None where the list is one value."""
    found = {}
    for item in items:
        key = item_key(item, node)
        if key is None or key in found:
            return None
        found[key] = item
    return found if items else None


def of_value(value: Any, node: Node) -> Json:
    """Return the set of leaves of a value, with list items as members of their own."""
    if isinstance(value, dict) and value and not node.atomic_map:
        return {f"f:{name}": of_value(child, node.field(name)) for name, child in value.items()}
    if isinstance(value, list) and (items := keyed(value, node)) is not None:
        tree: Json = {}
        for key, item in items.items():
            below = of_value(item, node.item())
            tree[key] = {_SELF: {}, **below} if below else {}
        return tree
    return {}


def changed(old: Any, new: Any, node: Node) -> Json | None:
    """Return the set of what `new` adds or changes, None if nothing. `old` is None where it has nothing."""
    if old == new:
        return None
    if isinstance(new, dict) and not node.atomic_map and (new or isinstance(old, dict)):
        before = old if isinstance(old, dict) else {}
        tree: Json = {} if isinstance(old, dict) or node.is_struct else {_SELF: {}}
        for name, child in new.items():
            below = (
                changed(before.get(name), child, node.field(name))
                if name in before
                else _added(child, node.field(name))
            )
            if below is not None:
                tree[f"f:{name}"] = below
        return tree or None
    if isinstance(new, list):
        after, earlier = keyed(new, node), keyed(old, node) if isinstance(old, list) else {}
        if after is not None and earlier is not None:
            tree = {}
            for key, item in after.items():
                below = changed(earlier[key], item, node.item()) if key in earlier else _added_item(item, node.item())
                if below is not None:
                    tree[key] = below
            return tree or None
        if not new and earlier:
            return None
    return {}


def _added(value: Any, node: Node) -> Json:
    return changed(None, value, node) or {}


def _added_item(value: Any, node: Node) -> Json:
    below = _added(value, node)
    return {_SELF: {}, **below} if below else {}


def existing(tree: Json, value: Any, node: Node) -> Json | None:
    """Return the part of a set that exists in a value, None if nothing does."""
    if not tree:
        return tree
    kept: Json = {}
    items: dict[str, Any] | None = None
    for key, below in tree.items():
        if key == _SELF:
            kept[key] = below
        elif key.startswith("f:"):
            if isinstance(value, dict) and key[2:] in value:
                found = existing(below, value[key[2:]], node.field(key[2:]))
                if found is not None:
                    kept[key] = found
        elif isinstance(value, list):
            if items is None:
                items = keyed(value, node) or {}
            if key in items:
                found = existing(below, items[key], node.item())
                if found is not None:
                    kept[key] = found
    return kept or None


def union(first: Json, second: Json) -> Json:
    """Return what is in either."""
    if not first or not second:
        rest = first or second
        return {_SELF: {}, **rest} if rest else {}
    return {
        key: union(first[key], second[key])
        if key in first and key in second
        else (first.get(key, second.get(key)) or {})
        for key in sorted({*first, *second})
    }


def difference(first: Json, second: Json) -> Json | None:
    """Return what is in `first` and not in `second`, None if nothing."""
    if not first:
        return None if not second or _SELF in second else first
    if not second:
        second = {_SELF: {}}
    kept: Json = {}
    for key, below in first.items():
        if key not in second:
            kept[key] = below
        elif key != _SELF and (rest := difference(below, second[key])) is not None:
            kept[key] = rest
    return kept or None


def intersection(first: Json, second: Json) -> Json | None:
    """Return what is in both, None if nothing."""
    if not first or not second:
        whole = first or second
        return {} if not whole or _SELF in whole else None
    kept = {}
    for key, below in first.items():
        if key in second and (both := intersection(below, second[key])) is not None:
            kept[key] = both
    return kept or None


def paths(tree: Json, prefix: str = "") -> Iterator[str]:
    """Yield the members as messages name them: `.spec.containers[name="a"].image`."""
    if not tree or _SELF in tree:
        yield prefix
    for key, below in tree.items():
        if key.startswith("f:"):
            yield from paths(below, f"{prefix}.{key[2:]}")
        elif key.startswith("k:"):
            values = orjson.loads(key[2:])
            inner = ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in values.items())
            yield from paths(below, f"{prefix}[{inner}]")
        elif key.startswith("v:"):
            yield from paths(below, f"{prefix}[={key[2:]}]")


def without(value: Any, tree: Json, node: Node) -> Any:
    """Return a value less the members of a set; containers that this empties are kept only if not members."""
    if isinstance(value, dict):
        result = dict(value)
        for key, below in tree.items():
            name = key[2:]
            if not key.startswith("f:") or name not in result:
                continue
            if not below:
                del result[name]
            else:
                result[name] = without(result[name], below, node.field(name))
                if result[name] in ({}, []) and value[name] not in ({}, []):
                    del result[name]
        return result
    if isinstance(value, list):
        kept = []
        for item in value:
            below = tree.get(item_key(item, node) or "")
            if below is None:
                kept.append(item)
            elif below and _SELF not in below:
                kept.append(without(item, below, node.item()))
        return kept
    return value
