"""JSON Patch as the API server applies it, quirks and texts included."""

from __future__ import annotations

from typing import Any

import pytest

from standin.admission.json_patch import PatchError, apply

DOCUMENT: dict[str, Any] = {"spec": {"list": ["a", "b"], "x": 1, "a/b": {"c~d": True}}}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/spec/list/-", "value": "c"}], ["a", "b", "c"]),
        ([{"op": "add", "path": "/spec/list/0", "value": "c"}], ["c", "a", "b"]),
        ([{"op": "add", "path": "/spec/list/2", "value": "c"}], ["a", "b", "c"]),
        ([{"op": "add", "path": "/spec/list/-1", "value": "c"}], ["a", "b", "c"]),
        ([{"op": "replace", "path": "/spec/list/-1", "value": "c"}], ["a", "c"]),
        ([{"op": "remove", "path": "/spec/list/0"}], ["b"]),
        ([{"op": "move", "from": "/spec/list/0", "path": "/spec/list/-"}], ["b", "a"]),
        ([{"op": "copy", "from": "/spec/list/0", "path": "/spec/list/-"}], ["a", "b", "a"]),
        ([{"op": "test", "path": "/spec/list/0", "value": "a"}, {"op": "remove", "path": "/spec/list/0"}], ["b"]),
        ([{"op": "replace", "path": "/spec/list", "value": []}], []),
        ([{"op": "replace", "path": "", "value": {"spec": {"list": 5}}}], 5),
    ],
)
def test_an_operation_changes_a_copy_of_the_document(operations: list[dict[str, Any]], expected: Any) -> None:
    assert apply(DOCUMENT, operations)["spec"]["list"] == expected
    assert DOCUMENT["spec"]["list"] == ["a", "b"]


def test_escaped_tokens_are_decoded() -> None:
    assert apply(DOCUMENT, [{"op": "replace", "path": "/spec/a~1b/c~0d", "value": 2}])["spec"]["a/b"] == {"c~d": 2}


def test_replace_of_an_absent_member_adds_it_as_the_api_server_does() -> None:
    assert apply(DOCUMENT, [{"op": "replace", "path": "/spec/new", "value": 2}])["spec"]["new"] == 2


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (
            {"op": "replace", "path": "/spec/nope/x", "value": 1},
            "replace operation does not apply: doc is missing path: /spec/nope/x: missing value",
        ),
        (
            {"op": "add", "path": "/spec/nope/-", "value": 1},
            'add operation does not apply: doc is missing path: "/spec/nope/-": missing value',
        ),
        (
            {"op": "add", "path": "/spec/x/y", "value": 1},
            'add operation does not apply: doc is missing path: "/spec/x/y": missing value',
        ),
        (
            {"op": "remove", "path": "/spec/nope"},
            "error in remove for path: '/spec/nope': Unable to remove nonexistent key: nope: missing value",
        ),
        (
            {"op": "remove", "path": "/spec/list/7"},
            "error in remove for path: '/spec/list/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        (
            {"op": "replace", "path": "/spec/list/7", "value": 1},
            "replace operation does not apply: doc is missing key: /spec/list/7: missing value",
        ),
        ({"op": "test", "path": "/spec/x", "value": True}, "testing value /spec/x failed: test failed"),
        ({"op": "test", "path": "", "value": {}}, "testing value  failed: test failed"),
        ({"op": "bogus", "path": "/spec"}, "Unexpected kind: bogus"),
        ({"op": "add", "value": 1}, "add operation failed to decode path: missing value"),
        (
            {"op": "move", "path": "/spec/y"},
            "move operation failed to decode from: operation, missing from field: missing value",
        ),
        (
            {"op": "copy", "from": "/spec/x", "path": "/nope/y"},
            "copy operation does not apply: doc is missing destination path: /nope/y: missing value",
        ),
    ],
)
def test_an_operation_that_does_not_apply_is_worded_as_by_the_api_server(operation: dict[str, Any], text: str) -> None:
    with pytest.raises(PatchError) as caught:
        apply(DOCUMENT, [operation])
    assert str(caught.value) == text
