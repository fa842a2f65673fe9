"""How much of an answer is read, and how many large ones at once."""

import threading
from collections.abc import Iterator

import pytest

from tests.edges.cluster_script import Request, Script, eventually, scripted, status, steps
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.cluster.responses import LARGE_BODIES, SMALL_BYTES
from webhook.cluster.wire import OBJECT_BYTES
from webhook.ports import Deadline, DeadlineExceeded, Forbidden, TooLarge

TARGET = Target(verb=Verb.GET, resource="secrets", namespace="a", name="b")


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(lambda request: request.raw(b"x" * int(request.query["size"]))) as script:
        yield script


def read(client: Client, size: int, *, seconds: float = 10, max_bytes: int = OBJECT_BYTES) -> int:
    return client.read(TARGET, Deadline.after(seconds), len, query={"size": str(size)}, max_bytes=max_bytes)


def test_a_body_is_read_up_to_the_bound_and_not_beyond(script: Script) -> None:
    client = script.client()
    assert read(client, 1000, max_bytes=1000) == 1000
    with pytest.raises(TooLarge) as error:
        read(client, 1001, max_bytes=1000)
    assert str(error.value) == "get secrets a/b: the answer is larger than what is read of one"
    assert read(client, 1000) == 1000, "the connection that was dropped is no longer used"


def test_two_large_bodies_are_in_memory_at_once_and_any_number_of_small_ones(script: Script) -> None:
    client, holding, release = script.client(), threading.Semaphore(0), threading.Event()

    def hold(content: bytearray) -> None:
        holding.release()
        release.wait(10)

    query = {"size": str(SMALL_BYTES + 1)}
    threads = [
        threading.Thread(target=client.read, args=(TARGET, Deadline.after(10), hold), kwargs={"query": query})
        for _ in range(LARGE_BODIES)
    ]
    for thread in threads:
        thread.start()
        assert holding.acquire(timeout=5)
    assert read(client, SMALL_BYTES) == SMALL_BYTES
    with pytest.raises(DeadlineExceeded):
        read(client, SMALL_BYTES + 1, seconds=0.2)
    release.set()
    for thread in threads:
        thread.join(5)
    assert read(client, SMALL_BYTES + 1) == SMALL_BYTES + 1


def test_a_large_body_that_cannot_be_decoded_gives_its_place_back(script: Script) -> None:
    client = script.client()
    for _ in range(LARGE_BODIES + 1):
        with pytest.raises(ZeroDivisionError):
            client.read(TARGET, Deadline.after(5), lambda _: 1 // 0, query={"size": str(SMALL_BYTES + 1)})
    assert read(client, SMALL_BYTES + 1) == SMALL_BYTES + 1


def test_a_refusal_without_end_is_a_refusal_all_the_same() -> None:
    ended = threading.Event()

    def pour(request: Request) -> None:
        request.begin(403)
        try:
            for _ in range(1000):
                request.chunk(b'{"reason":' + b" " * (1 << 16))
        finally:
            ended.set()

    with scripted(pour) as script:
        with pytest.raises(Forbidden):
            read(script.client(), 0)
        assert ended.wait(30)


def test_a_line_without_end_is_no_line() -> None:
    gone = threading.Event()

    def pour(request: Request) -> None:
        try:
            steps(Request.begin, *[lambda request: request.chunk(b"x" * (1 << 20))] * 64)(request)
        finally:
            gone.set()

    with scripted(pour) as script:
        stream = script.client().stream(TARGET, query={}, header_timeout=5, lasts=20)
        with pytest.raises(TooLarge):
            list(stream)
        stream.close()
        eventually(gone.is_set)


def test_a_status_is_read_as_it_was() -> None:
    with scripted(lambda request: request.json(status(403), 403)) as script, pytest.raises(Forbidden):
        read(script.client(), 0)
