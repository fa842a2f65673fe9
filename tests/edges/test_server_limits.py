"""What a server takes on at the same time: the numbers fit each other, and memory is never less than was thought."""

import json
import tracemalloc
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import helm
from webhook.config.values import size
from webhook.server.limits import (
    BASE_BYTES,
    CONNECTION_BYTES,
    CONNECTIONS,
    FREE_BYTES,
    MIB,
    SPARE_THREADS,
    THREAD_BYTES,
    Gate,
    Limits,
    TooLittleMemory,
    derive,
    document_bytes,
)

LIMITS = derive(memory_bytes=256 * MIB, threads=16, body_bytes=8 * MIB)


def test_all_that_may_be_held_at_once_is_the_memory_limit() -> None:
    fixed = BASE_BYTES + CONNECTIONS * CONNECTION_BYTES + (16 + SPARE_THREADS) * THREAD_BYTES
    assert fixed + LIMITS.buffered_bytes + LIMITS.document_bytes == 256 * MIB
    assert LIMITS.namespace_threads == 4


def test_the_least_memory_that_is_named_is_enough_and_one_byte_less_is_not() -> None:
    with pytest.raises(TooLittleMemory) as refused:
        derive(memory_bytes=64 * MIB, threads=16, body_bytes=8 * MIB)
    needed = refused.value.needed
    derive(memory_bytes=needed, threads=16, body_bytes=8 * MIB)
    with pytest.raises(TooLittleMemory):
        derive(memory_bytes=needed - 1, threads=16, body_bytes=8 * MIB)


def test_the_charts_memory_limit_is_enough_for_its_threads() -> None:
    server = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))["server"]
    derive(memory_bytes=size(server["resources"]["limits"]["memory"]), threads=server["threads"], body_bytes=8 * MIB)


WORST: dict[str, Any] = {
    "objects": [{}] * 100_000,
    "lists": [[]] * 100_000,
    "one field": [{"": 0}] * 50_000,
    "many fields": {str(number): number for number in range(50_000)},
    "texts": ["ab"] * 100_000,
    "numbers": [99999] * 100_000,
    "large numbers": [[10**18] * 10] * 10_000,
    "numbers by themselves": [[-(2**60)]] * 50_000,
    "fractions": [0.5] * 100_000,
    "wide": "x" * 500_000 + "\N{SPOUTING WHALE}",
    "pairs": [{"name": "x", "value": "y"}] * 30_000,
}


def values(document: Any) -> int:
    """Count values and keys."""
    match document:
        case dict():
            return 1 + sum(1 + values(each) for each in document.values())
        case list():
            return 1 + sum(map(values, document))
        case _:
            return 1


def parsed(body: bytes) -> int:
    """Say what parsing takes while it goes on: the objects, the text that orjson copies, and its 16 bytes for each value.

    It asks for twelve times the text before it knows how many values there are. What it does not write to is no memory of
    the process, so that is not counted, though `tracemalloc` would.
    """
    tracemalloc.start()
    try:
        document = orjson.loads(body)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return held + len(body) + 16 * values(document)


@pytest.mark.parametrize("shape", WORST)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_document_never_takes_more_than_was_thought(shape: str, ascii_only: bool) -> None:
    body = json.dumps(WORST[shape], ensure_ascii=ascii_only, separators=(",", ":")).encode()
    assert parsed(body) <= document_bytes(body)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=8),
        max_leaves=20,
    )
)
def test_nor_does_a_document_that_nobody_thought_of(piece: Any) -> None:
    body = orjson.dumps([piece] * 500)
    assert parsed(body) <= document_bytes(body)


def gate() -> Gate:
    return Gate(Limits(threads=4, namespace_threads=2, body_bytes=MIB, buffered_bytes=MIB, document_bytes=MIB))


def test_threads_are_for_all_and_a_share_of_them_for_one_namespace() -> None:
    it = gate()
    assert [it.enter("a"), it.enter("a"), it.enter("a")] == [True, True, False]
    assert [it.enter("b"), it.enter("c"), it.enter("d")] == [True, True, False]
    it.leave("a")
    assert [it.enter("a"), it.enter("a")] == [True, False]
    for name in ("a", "a", "b", "c"):
        it.leave(name)
    assert [it.enter("d"), it.enter("d"), it.enter("d")] == [True, True, False]


def test_large_documents_share_a_budget_and_small_ones_need_none() -> None:
    it = gate()
    assert it.cost(b"x" * FREE_BYTES) == 0
    assert it.cost(b"x" * (FREE_BYTES + 1)) > 0
    assert [it.take(MIB - 1), it.take(0), it.take(2)] == [True, True, False]
    it.give_back(MIB - 1)
    assert it.take(2)
    assert [it.fits(MIB), it.fits(MIB + 1)] == [True, False]
