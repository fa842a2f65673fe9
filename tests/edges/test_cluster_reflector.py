"""A reflector comes back from everything that can happen to a watch, and never in a hurry."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.edges.cluster_script import Request, Script, eventually, obj, page, scripted, status, steps
from webhook.cluster.client import METADATA_ONLY
from webhook.cluster.reflector import Reflector
from webhook.cluster.watching import DEFAULT_PACING, Pacing, RestartCause
from webhook.cluster.wire import OBJECT_BYTES, Content

QUICK = Pacing(
    stream_min=1.0, stream_max=1.0, slack=0.2, header_timeout=0.5, list_timeout=1.0, backoff_base=0.02, backoff_cap=0.1
)


class Names:
    """A sink of names and their resourceVersions."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.fail_once = False

    def replace(self, items: Sequence[tuple[str, str]], version: str) -> None:
        self.items = dict(items)

    def apply(self, item: tuple[str, str], version: str, *, deleted: bool) -> None:
        if self.fail_once:
            self.fail_once = False
            raise RuntimeError("a listener's fault")
        if deleted:
            self.items.pop(item[0], None)
        else:
            self.items[item[0]] = item[1]


def name_and_version(content: Content, whole: bool) -> tuple[str, str]:
    obj = json.loads(bytes(content))
    return obj["metadata"]["name"], obj["metadata"]["resourceVersion"]


@contextmanager
def running(script: Script, sink: Names, pacing: Pacing = QUICK, **more: Any) -> Iterator[Reflector[tuple[str, str]]]:
    reflector = Reflector(script.client(), "namespaces", name_and_version, sink, pacing=pacing, **more)
    reflector.start()
    try:
        yield reflector
    finally:
        script.stopping.set()
        reflector.stop()


class Server:
    """An API server of one list and one stream; a test replaces either."""

    def __init__(self) -> None:
        self.list: Callable[[Request], None] = lambda request: request.json(page(obj("a", 1), version=1))
        self.watch: Callable[[Request], None] = self.hold
        self.stopping: threading.Event | None = None

    def __call__(self, request: Request) -> None:
        (self.watch if request.is_watch else self.list)(request)

    def hold(self, request: Request) -> None:
        """Accept a watch and end it when asked for, without a word."""
        request.begin()
        assert self.stopping
        self.stopping.wait(float(request.query["timeoutSeconds"]))
        request.end()

    def sending(self, *events: tuple[str, dict[str, Any]]) -> Callable[[Request], None]:
        def watch(request: Request) -> None:
            request.begin()
            for kind, what in events:
                request.event(kind, what)
            assert self.stopping
            self.stopping.wait(float(request.query["timeoutSeconds"]))
            request.end()

        return watch


@pytest.fixture
def server() -> Iterator[tuple[Server, Script]]:
    behaviour = Server()
    with scripted(behaviour) as script:
        behaviour.stopping = script.stopping
        yield behaviour, script


def once(first: Callable[[Request], None], then: Callable[[Request], None]) -> Callable[[Request], None]:
    todo = [first]

    def answer(request: Request) -> None:
        (todo.pop() if todo else then)(request)

    return answer


def test_lists_in_pages_and_watches_from_the_lists_version(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def pages(request: Request) -> None:
        if "continue" not in request.query:
            request.json(page(obj("a", 1), version=7, token="TOKEN"))
        else:
            request.json(page(obj("b", 2), version=7))

    behaviour.list = pages
    sink = Names()
    with running(script, sink, field_selector="metadata.name=x") as reflector:
        eventually(script.watches)
        assert reflector.synced
        assert sink.items == {"a": "1", "b": "2"}
        first, second = script.lists()
        assert (first.query["limit"], second.query["continue"]) == ("500", "TOKEN")
        watch = script.watches()[0].query
        assert watch["resourceVersion"] == "7"
        assert watch["allowWatchBookmarks"] == "true"
        assert {request.query["fieldSelector"] for request in script.requests} == {"metadata.name=x"}


def test_applies_events_in_order(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.watch = behaviour.sending(
        ("ADDED", obj("b", 2)), ("MODIFIED", obj("b", 3)), ("DELETED", obj("a", 4)), ("ADDED", obj("c", 5))
    )
    sink = Names()
    with running(script, sink):
        eventually(lambda: sink.items == {"b": "3", "c": "5"})


def test_an_event_split_over_chunks_is_one_event(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def watch(request: Request) -> None:
        request.begin()
        request.chunk(b'{"type":"ADDED","object":{"metadata":{"name":"\xc3')
        time.sleep(0.05)
        request.chunk(b'\xa9","resourceVersion":"2"}}}\n{"type":"ADDED","object"')
        request.chunk(b':{"metadata":{"name":"c","resourceVersion":"3"}}}\n')
        script.stopping.wait(5)

    behaviour.watch = watch
    sink = Names()
    with running(script, sink):
        eventually(lambda: sink.items == {"a": "1", "é": "2", "c": "3"})


def test_after_the_stream_ends_it_watches_on_from_the_last_event_without_a_list(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def ended(request: Request) -> None:
        request.begin()
        request.event("MODIFIED", obj("a", 5))
        request.event("BOOKMARK", obj("", 9))
        request.end()

    behaviour.watch = once(ended, behaviour.hold)
    with running(script, Names()) as reflector:
        eventually(lambda: len(script.watches()) == 2)
        assert script.watches()[1].query["resourceVersion"] == "9"
        assert len(script.lists()) == 1
        assert reflector.health().restarts["ended"] == 1


@pytest.mark.parametrize("as_event", [True, False])
def test_410_lists_again_and_notices_what_was_deleted_meanwhile(server: tuple[Server, Script], as_event: bool) -> None:
    behaviour, script = server
    gone = status(410, "Expired")

    def expired(request: Request) -> None:
        behaviour.list = lambda again: again.json(page(obj("b", 8), version=8))
        if as_event:
            request.begin()
            request.event("ERROR", gone)
            script.stopping.wait(5)
        else:
            request.json(gone, 410)

    behaviour.watch = once(expired, behaviour.hold)
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: sink.items == {"b": "8"})
        eventually(lambda: len(script.watches()) == 2)
        assert script.watches()[1].query["resourceVersion"] == "8"
        assert reflector.health().restarts["expired"] == 1


def test_a_continue_token_that_expired_begins_the_list_again(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    attempts = []

    def pages(request: Request) -> None:
        if "continue" not in request.query:
            attempts.append(1)
            request.json(page(obj("a", 1), version=len(attempts), token="T"))
        elif len(attempts) == 1:
            request.json(status(410, "Expired"), 410)
        else:
            request.json(page(obj("b", 1), version=2))

    behaviour.list = pages
    sink = Names()
    with running(script, sink):
        eventually(lambda: sink.items == {"a": "1", "b": "1"})


def test_what_was_listed_before_the_list_expired_counts_for_nothing(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    begun = []

    def pages(request: Request) -> None:
        if "continue" not in request.query:
            begun.append(1)
            request.json(page(obj("gone" if len(begun) == 1 else "a", 1), version=len(begun), token="T"))
        elif len(begun) == 1:
            request.json(status(410, "Expired"), 410)
        else:
            request.json(page(obj("b", 1), version=2))

    behaviour.list = pages
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: sink.items == {"a": "1", "b": "1"})
        assert reflector.health().restarts["expired"] == 0


@pytest.mark.parametrize(
    ("code", "cause"),
    [(401, "unauthorized"), (403, "forbidden"), (429, "unavailable"), (500, "unavailable"), (503, "unavailable")],
)
@pytest.mark.parametrize("phase", ["list", "watch"])
def test_a_refusal_is_tried_again_and_then_all_is_well(
    server: tuple[Server, Script], code: int, cause: str, phase: str
) -> None:
    behaviour, script = server

    def refuse(request: Request) -> None:
        request.json(status(code), code)

    setattr(behaviour, phase, refuse)
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: reflector.health().restarts[cause] >= 3)
        health = reflector.health()
        assert str(code) in health.error
        assert health.synced is (phase == "watch")
        behaviour.list = lambda request: request.json(page(obj("z", 3), version=3))
        behaviour.watch = behaviour.sending(("ADDED", obj("z", 3)))
        eventually(lambda: "z" in sink.items)
        eventually(lambda: reflector.health().error == "")


def test_a_reset_stream_is_picked_up_where_it_was(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def reset(request: Request) -> None:
        request.begin()
        request.event("ADDED", obj("b", 2))
        request.reset()

    behaviour.watch = once(reset, behaviour.sending(("ADDED", obj("c", 3))))
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: "c" in sink.items)
        assert script.watches()[1].query["resourceVersion"] == "2"
        assert reflector.health().restarts["unavailable"] == 1


@pytest.mark.slow
def test_a_silent_stream_is_given_up_when_it_should_have_ended(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def half_open(request: Request) -> None:
        request.begin()
        request.event("ADDED", obj("b", 2))
        request.hang(script.stopping)

    behaviour.watch = once(half_open, behaviour.sending(("ADDED", obj("c", 3))))
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: "b" in sink.items)
        began = time.monotonic()
        eventually(lambda: "c" in sink.items)
        assert 0.9 <= time.monotonic() - began <= 2.0  # stream_max + slack = 1.2, then a pause
        assert reflector.health().restarts["silent"] == 1


@pytest.mark.slow
def test_a_stream_that_drips_beyond_its_time_is_given_up_too(server: tuple[Server, Script]) -> None:
    behaviour, script = server

    def drip(request: Request) -> None:
        request.begin()
        while not script.stopping.wait(0.1):
            request.event("BOOKMARK", obj("", 2))

    behaviour.watch = drip
    with running(script, Names()) as reflector:
        eventually(lambda: reflector.health().restarts["silent"] == 1)


def test_headers_that_never_come_are_given_up(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.watch = once(lambda request: request.hang(script.stopping), behaviour.sending(("ADDED", obj("b", 2))))
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: "b" in sink.items)
        assert reflector.health().restarts["silent"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b"\xff{\n",
        b"[]\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"WHAT","object":{"metadata":{"name":"b","resourceVersion":"2"}}}\n',
        b'{"type":"ADDED","object":{"metadata":{}}}\n',
    ],
    ids=["no-json", "no-object", "no-object-field", "unknown-type", "no-version"],
)
def test_an_undecodable_line_is_counted_and_everything_listed_again(server: tuple[Server, Script], line: bytes) -> None:
    behaviour, script = server

    def garbage(request: Request) -> None:
        behaviour.list = lambda again: again.json(page(obj("b", 8), version=8))
        request.begin()
        request.chunk(line)
        script.stopping.wait(5)

    behaviour.watch = once(garbage, behaviour.hold)
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: sink.items == {"b": "8"})
        assert reflector.health().restarts["undecodable"] == 1


def test_an_undecodable_list_is_counted_and_tried_again(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.list = once(
        lambda request: request.json({"items": [{}], "metadata": {"resourceVersion": "1"}}), behaviour.list
    )
    sink = Names()
    with running(script, sink) as reflector:
        eventually(lambda: sink.items == {"a": "1"})
        assert reflector.health().restarts["undecodable"] == 1


def test_a_fault_of_the_sink_does_not_end_the_watch(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.watch = once(behaviour.sending(("ADDED", obj("b", 2))), behaviour.hold)
    sink = Names()
    sink.fail_once = True
    with running(script, sink) as reflector:
        eventually(lambda: len(script.lists()) == 2)
        assert reflector.health().restarts["internal"] == 1


def test_an_error_event_that_is_no_410_is_no_reason_to_list_again(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.watch = once(behaviour.sending(("ERROR", status(500, "InternalError"))), behaviour.hold)
    with running(script, Names()) as reflector:
        eventually(lambda: len(script.watches()) == 2)
        assert len(script.lists()) == 1
        assert reflector.health().restarts["unavailable"] == 1


def test_a_server_that_comes_back_on_its_port_is_found_again() -> None:
    behaviour = Server()
    sink = Names()
    with scripted(behaviour) as script:
        behaviour.stopping = script.stopping
        with running(script, sink) as reflector:
            eventually(script.watches)
            script.stop()
            eventually(lambda: reflector.health().restarts["unavailable"] >= 2)
            assert reflector.health().error
            with scripted(behaviour, port=int(script.url.rpartition(":")[2])) as again:
                behaviour.stopping = again.stopping
                eventually(again.watches)
                eventually(lambda: reflector.health().error == "")
                assert again.lists() == []
                again.stopping.set()


REFUSE = {
    "watch refused": ("watch", lambda request: request.json(status(500), 500)),
    "watch forbidden": ("watch", lambda request: request.json(status(403), 403)),
    "watch unauthorized": ("watch", lambda request: request.json(status(401), 401)),
    "list refused": ("list", lambda request: request.json(status(500), 500)),
    "history always gone": ("watch", lambda request: request.json(status(410), 410)),
    "stream ends at once": ("watch", steps(Request.begin, Request.end)),
    "stream reset at once": ("watch", steps(Request.begin, Request.reset)),
    "garbage": ("watch", steps(Request.begin, lambda request: request.chunk(b"{\n"), Request.reset)),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", REFUSE)
def test_no_fault_makes_a_busy_loop(server: tuple[Server, Script], fault: str) -> None:
    """At the real pace, 1.2 s of any fault are a handful of requests: pauses of 0.1, 0.2, 0.4 … s on average."""
    behaviour, script = server
    phase, answer = REFUSE[fault]
    setattr(behaviour, phase, answer)
    with running(script, Names(), DEFAULT_PACING, uniform=random.Random(5).uniform):
        time.sleep(1.2)
        assert len(script.requests) <= 16
        eventually(lambda: len(script.requests) >= 2, within=30)


def paced(server: tuple[Server, Script], pacing: Pacing, **more: Any) -> tuple[Reflector[tuple[str, str]], list[float]]:
    """Make a reflector that notes its pauses instead of taking them; it stops after 12."""
    pauses: list[float] = []
    holder: list[Reflector[tuple[str, str]]] = []

    def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            holder[0].cut()

    client = server[1].client()
    reflector = Reflector(client, "namespaces", name_and_version, Names(), pacing=pacing, sleep=note, **more)
    holder.append(reflector)
    return reflector, pauses


def test_the_bound_of_the_pause_doubles_up_to_the_cap(server: tuple[Server, Script]) -> None:
    server[0].list = lambda request: request.json(status(500), 500)
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: high)
    reflector.run()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10, 10, 10, 10]


def test_the_pause_is_random_from_zero_to_its_bound(server: tuple[Server, Script]) -> None:
    server[0].list = lambda request: request.json(status(500), 500)
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: low)
    reflector.run()
    assert pauses == [0.0] * 12


def test_a_server_that_is_away_for_hours_does_not_break_the_arithmetic(server: tuple[Server, Script]) -> None:
    """`2.0 ** 1024` is no float any more: that many pauses of 10 s are three hours."""
    server[0].list = lambda request: request.json(status(500), 500)
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: high)
    reflector._row = 5000
    reflector.run()
    assert set(pauses) == {10}


@pytest.mark.slow
def test_a_slow_list_is_no_healthy_stream(server: tuple[Server, Script]) -> None:
    """Lists are what costs the server most; a row of them has to slow down."""
    behaviour = server[0]
    now = [100.0]

    def slow(_: Request) -> None:
        now[0] += DEFAULT_PACING.healthy

    behaviour.list = steps(slow, behaviour.list)
    behaviour.watch = lambda request: request.json(status(410), 410)
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: high, clock=lambda: now[0])
    reflector.run()
    assert pauses[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]


@pytest.mark.parametrize(("header", "pause"), [("7", 7.0), ("600", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)])
def test_retry_after_is_heeded_within_reason(server: tuple[Server, Script], header: str, pause: float) -> None:
    server[0].list = lambda request: request.json(status(429), 429, Retry_After=header)
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: 0)
    reflector.run()
    assert set(pauses) == {pause}


def test_a_stream_that_lasted_ends_the_row_of_pauses(server: tuple[Server, Script]) -> None:
    behaviour = server[0]
    now = [100.0]

    def last(_: Request) -> None:
        now[0] += DEFAULT_PACING.healthy

    ends: list[Callable[[Request], None]] = [
        lambda request: request.json(status(500), 500),
        lambda request: request.json(status(500), 500),
        steps(Request.begin, last, Request.end),  # lasts: no pause at all
    ] * 10

    def watch(request: Request) -> None:
        ends.pop(0)(request)

    behaviour.watch = watch
    reflector, pauses = paced(server, DEFAULT_PACING, uniform=lambda low, high: high, clock=lambda: now[0])
    reflector.run()
    assert pauses == [0.2, 0.4] * 6


def test_streams_are_asked_to_last_a_random_time_between_30_and_40_s(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    behaviour.watch = steps(Request.begin, Request.end)
    reflector, _ = paced(server, DEFAULT_PACING, uniform=random.Random(1).uniform)
    reflector.run()
    asked = [int(request.query["timeoutSeconds"]) for request in script.watches()]
    assert len(set(asked)) > 3
    assert all(30 <= seconds <= 40 for seconds in asked)


def test_the_age_counts_from_the_last_event_or_bookmark(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    now = [100.0]
    bookmark = threading.Event()

    def watch(request: Request) -> None:
        request.begin()
        bookmark.wait(5)
        request.event("BOOKMARK", obj("", 3))
        script.stopping.wait(5)

    behaviour.watch = watch
    with running(script, Names(), clock=lambda: now[0]) as reflector:
        eventually(script.watches)
        now[0] = 130.0
        assert reflector.health().last_event_age_s == 30.0
        bookmark.set()
        eventually(lambda: reflector.health().last_event_age_s == 0.0)


def test_stop_cuts_an_open_stream_at_once(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    sink = Names()
    behaviour.watch = behaviour.sending(("ADDED", obj("b", 2)))
    with running(script, sink, DEFAULT_PACING) as reflector:
        eventually(lambda: "b" in sink.items)
        reflector.stop(timeout=30)
        assert not any(thread.name == "watch-namespaces" for thread in threading.enumerate())


def test_stop_during_a_pause_returns_at_once(server: tuple[Server, Script]) -> None:
    server[0].list = lambda request: request.json(status(500), 500)
    with running(server[1], Names(), DEFAULT_PACING, uniform=lambda low, high: 60.0) as reflector:
        eventually(lambda: reflector.health().restarts["unavailable"] == 1)
        reflector.stop(timeout=30)
        assert not any(thread.name == "watch-namespaces" for thread in threading.enumerate())


def test_stop_while_a_watch_is_being_opened_cuts_it_as_soon_as_it_is(server: tuple[Server, Script]) -> None:
    client = server[1].client()
    reflector = Reflector(client, "namespaces", name_and_version, Names())
    client.on_request(lambda verb, resource, code: reflector.cut() if verb == "watch" else None)
    began = time.monotonic()
    reflector.run()
    assert time.monotonic() - began < DEFAULT_PACING.stream_min  # it would last that long


def test_a_stream_that_lasted_and_ended_was_a_sign_of_life_even_without_a_word(server: tuple[Server, Script]) -> None:
    """A quiet resource on a server that sends no bookmarks is no reason for an alarm."""
    behaviour, script = server
    now = [100.0]

    def last(_: Request) -> None:
        now[0] += DEFAULT_PACING.healthy

    behaviour.watch = once(steps(Request.begin, last, Request.end), behaviour.hold)
    with running(script, Names(), DEFAULT_PACING, clock=lambda: now[0]) as reflector:
        eventually(lambda: len(script.watches()) == 2)
        assert now[0] > 100
        eventually(lambda: reflector.health().last_event_age_s == 0)


def test_every_cause_is_in_the_health_from_the_beginning(server: tuple[Server, Script]) -> None:
    reflector = Reflector(server[1].client(), "namespaces", name_and_version, Names())
    health = reflector.health()
    assert health.restarts == {cause.value: 0 for cause in RestartCause}
    assert (health.resource, health.synced, health.error) == ("namespaces", False, "")


def test_a_line_that_is_too_large_is_listed_again_and_known_by_its_metadata(server: tuple[Server, Script]) -> None:
    behaviour, script = server
    small = obj("b", 2)
    large = small | {"data": "x" * OBJECT_BYTES}
    answers = {True: json.dumps(page(large, version=2)).encode(), False: json.dumps(page(small, version=2)).encode()}
    wholes: list[bool] = []

    def pages(request: Request) -> None:
        if script.watches():
            request.raw(answers[request.headers["Accept"] != METADATA_ONLY])
        else:
            request.json(page(obj("a", 1), version=1))

    behaviour.list = pages
    behaviour.watch = once(behaviour.sending(("ADDED", large)), behaviour.hold)

    def decode(content: Content, whole: bool) -> tuple[str, str]:
        wholes.append(whole)
        return name_and_version(content, whole)

    sink = Names()
    patient = replace(QUICK, stream_min=20, stream_max=20, list_timeout=20)
    reflector = Reflector(script.client(), "serviceaccounts", decode, sink, pacing=patient)
    reflector.start()
    try:
        eventually(lambda: sink.items == {"b": "2"}, within=20)
        eventually(lambda: len(script.watches()) == 2, within=20)
        assert reflector.health().restarts["too_large"] == 1
        assert wholes == [True, False]
        assert script.watches()[1].query["resourceVersion"] == "2"
    finally:
        script.stopping.set()
        reflector.stop()
