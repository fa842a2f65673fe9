"""RFC 6902 as the API server applies it to a webhook's patch.

The API server does not follow the RFC to the letter: ``replace`` of a member that an object lacks adds it, and
negative array indices count from the end. A webhook's author meets these rules and these error texts, so they are
kept here. Differences to the RFC are those of the patch library that kube-apiserver 1.36 links (json-patch v4).
"""

from __future__ import annotations

import copy
from typing import Any


class PatchError(Exception):
    """A patch that does not apply; `text` is the API server's own wording."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def apply(document: dict[str, Any], operations: list[dict[str, Any]]) -> Any:
    """Return a patched copy of `document`.

    Raises:
        PatchError: At the first operation that does not apply. `document` itself is never changed.
    """
    root: Any = copy.deepcopy(document)
    for operation in operations:
        root = _apply_one(root, operation)
    return root


def _apply_one(root: Any, operation: dict[str, Any]) -> Any:
    op = operation.get("op")
    path = operation.get("path")
    if op not in {"add", "remove", "replace", "move", "copy", "test"}:
        raise PatchError(f"Unexpected kind: {op if isinstance(op, str) else 'unknown'}")
    if not isinstance(path, str):
        detail = "missing value" if op in {"add", "remove"} else "operation missing path field: missing value"
        raise PatchError(f"{op} operation failed to decode path: {detail}")
    match op:
        case "add":
            container, key = _find(root, path, f'add operation does not apply: doc is missing path: "{path}"')
            _add(container, key, copy.deepcopy(operation.get("value")), f"error in add for path: '{path}'")
        case "remove":
            container, key = _find(root, path, f'remove operation does not apply: doc is missing path: "{path}"')
            _remove(container, key, f"error in remove for path: '{path}'")
        case "replace":
            return _replace(root, path, copy.deepcopy(operation.get("value")))
        case "test":
            _test(root, path, operation.get("value"))
        case _:
            _transfer(root, op, path, operation.get("from"))
    return root


def _replace(root: Any, path: str, value: Any) -> Any:
    if path == "":
        return value
    container, key = _find(root, path, f"replace operation does not apply: doc is missing path: {path}")
    if isinstance(container, dict):
        container[key] = value
        return root
    try:
        container[_index(key, len(container))] = value
    except PatchError as error:
        raise PatchError(f"replace operation does not apply: doc is missing key: {path}: missing value") from error
    return root


def _test(root: Any, path: str, expected: Any) -> None:
    if path == "":
        actual = root
    else:
        container, key = _find(root, path, f"test operation does not apply: is missing path: {path}")
        actual = _get(container, key, f"error in test for path: '{path}'")
    if actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
        raise PatchError(f"testing value {path} failed: test failed")


def _transfer(root: Any, op: str, path: str, source: Any) -> None:
    if not isinstance(source, str):
        raise PatchError(f"{op} operation failed to decode from: operation, missing from field: missing value")
    container, key = _find(root, source, f"{op} operation does not apply: doc is missing from path: {source}")
    context = f"error in move for path: '{key}'" if op == "move" else f"error in copy for from: '{source}'"
    value = copy.deepcopy(_get(container, key, context))
    if op == "move":
        _remove(container, key, context)
    container, key = _find(root, path, f"{op} operation does not apply: doc is missing destination path: {path}")
    _add(
        container,
        key,
        value,
        f"error in move for path: '{path}'" if op == "move" else "error while adding value during copy",
    )


def _find(root: Any, path: str, missing: str) -> tuple[Any, str]:
    """Walk to the container of the last token; a missing or scalar step on the way is `missing`."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]
    if not tokens:
        raise PatchError(f"{missing}: missing value")
    node = root
    for token in tokens[:-1]:
        try:
            node = _get(node, token, missing)
        except PatchError as error:
            raise PatchError(f"{missing}: missing value") from error
        if not isinstance(node, dict | list):
            raise PatchError(f"{missing}: missing value")
    return node, tokens[-1]


def _get(container: Any, key: str, context: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    try:
        return container[_index(key, len(container))]
    except PatchError as error:
        raise PatchError(f"{context}: {error.text}") from error


def _add(container: Any, key: str, value: Any, context: str) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        try:
            # One past the end is a place to add to, hence the length plus one.
            container.insert(_index(key, len(container) + 1), value)
        except PatchError as error:
            raise PatchError(f"{context}: {error.text}") from error


def _remove(container: Any, key: str, context: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise PatchError(f"{context}: Unable to remove nonexistent key: {key}: missing value")
        del container[key]
        return
    try:
        del container[_index(key, len(container))]
    except PatchError as error:
        raise PatchError(f"{context}: {error.text}") from error


def _index(key: str, length: int) -> int:
    try:
        index = int(key)
    except ValueError:
        raise PatchError(f'strconv.Atoi: parsing "{key}": invalid syntax') from None
    if not -length <= index < length:
        raise PatchError(f"Unable to access invalid index: {index}: invalid index referenced")
    return index if index >= 0 else index + length
