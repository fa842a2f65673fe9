"""Events on the stand-in API server, and how they are kept from being too many."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from standin import ApiServer, Match
from tests.edges.accounts import account
from tests.edges.cluster_script import Request, Script, eventually, scripted, status
from tests.services.controller_contracts import SECRET_A, EventsContract, EventsWorld, Recorded
from tests.services.controller_fakes import ManualClock
from webhook.cluster import Client, connect
from webhook.cluster.events import COMPONENT, ClusterEvents
from webhook.core.vocabulary import EventOutcome
from webhook.ports import EventReason, ObjectRef

RULES = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]
NOON = dt.datetime(2026, 5, 4, 12, 0, 0, 999_999, tzinfo=dt.UTC)


class Time:
    """A time of day that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now


class Counted(ClusterEvents):
    """Knows how often it was asked to emit."""

    emitted = 0

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        self.emitted += 1
        super().emit(reason, about, text, warning=warning)


class Stage:
    """The adapter under test and what it reported."""

    def __init__(self, client: Client) -> None:
        self.utc = Time()
        self.clock = ManualClock()
        self.outcomes: Counter[EventOutcome] = Counter()
        self.events = Counted(
            client,
            instance="controller-0",
            count=lambda outcome: self.outcomes.update([outcome]),
            utc=self.utc,
            clock=self.clock,
            pause_s=0,
            backoff_s=0.001,
        )

    def settle(self) -> None:
        """Wait until all that was emitted is dealt with."""
        eventually(lambda: self.outcomes.total() == self.events.emitted)

    def emit(self, text: str = "updated", about: ObjectRef = SECRET_A, **options: bool) -> None:
        self.events.emit(EventReason.COPY_UPDATED, about, text, **options)


class StandIn(Stage):
    """An `EventsWorld` on the stand-in."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.cluster = connect(api.kubeconfig_file(account(api, "controller", RULES)))
        super().__init__(self.cluster.client)
        self.events.start()

    def found(self, namespace: str | None = None) -> list[dict[str, Any]]:
        self.settle()
        return self.api.admin.list("events", namespace)

    def recorded(self) -> list[Recorded]:
        return [
            Recorded(
                reason=event["reason"],
                kind=event["involvedObject"]["kind"],
                namespace=event["involvedObject"].get("namespace", ""),
                name=event["involvedObject"]["name"],
                text=event["message"],
                warning=event["type"] == "Warning",
                count=event["count"],
            )
            for event in self.found()
        ]


@pytest.fixture
def world() -> Iterator[StandIn]:
    with ApiServer() as api:
        for name in ("ghcr", "a", "b"):
            api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        made = StandIn(api)
        yield made
        made.events.stop()
        made.cluster.close()


@pytest.fixture
def events_world(world: StandIn) -> EventsWorld:
    return world


class TestClusterEvents(EventsContract):
    pass


# --- what is written


def test_an_event_says_who_when_and_what(world: StandIn) -> None:
    world.emit()
    [found] = world.found("a")
    assert found["involvedObject"] == {
        "kind": "Secret",
        "apiVersion": "v1",
        "name": "ghcr-secret",
        "namespace": "a",
        "uid": "7c1c",
    }
    assert (found["source"]["component"], found["reportingComponent"]) == (COMPONENT, COMPONENT)
    assert found["reportingInstance"] == "controller-0"
    assert (found["firstTimestamp"], found["lastTimestamp"]) == ("2026-05-04T12:00:00Z", "2026-05-04T12:00:00Z")
    assert (found["type"], found["reason"], found["message"], found["count"]) == (
        "Normal",
        "CopyUpdated",
        "updated",
        1,
    )
    assert found["metadata"]["name"].startswith("ghcr-secret.")


def test_an_event_about_a_namespace_lies_in_the_namespace_default(world: StandIn) -> None:
    world.emit(about=ObjectRef(kind="Namespace", name="a"))
    [found] = world.found("default")
    assert "namespace" not in found["involvedObject"]


def test_a_repeated_event_is_patched_with_its_count_and_its_last_time(world: StandIn) -> None:
    world.emit()
    world.found()
    world.utc.now += dt.timedelta(minutes=5)
    world.emit()
    world.emit()
    [found] = world.found("a")
    assert (found["count"], found["firstTimestamp"], found["lastTimestamp"]) == (
        3,
        "2026-05-04T12:00:00Z",
        "2026-05-04T12:05:00Z",
    )
    assert world.outcomes == {EventOutcome.WRITTEN: 3}


def test_an_event_that_expired_is_recreated(world: StandIn) -> None:
    world.emit()
    [first] = world.found("a")
    world.api.admin.delete("events", "a", first["metadata"]["name"])
    world.emit()
    [second] = world.found("a")
    assert (second["count"], second["metadata"]["name"] != first["metadata"]["name"]) == (1, True)


def test_names_are_unique_and_valid_however_long_the_objects_is(world: StandIn) -> None:
    long = ObjectRef(kind="Namespace", name="x" * 229 + "-" + "y" * 20)
    for text in ("one", "two"):
        world.emit(text, about=long)
    names = {event["metadata"]["name"] for event in world.found("default")}
    assert len(names) == 2
    assert all(len(name) <= 253 and "-." not in name for name in names)


def test_a_text_of_any_length_is_cut(world: StandIn) -> None:
    world.emit("x" * 5000)
    assert len(world.found("a")[0]["message"]) == 1024


# --- what is dropped, and counted


def test_an_event_in_a_terminating_namespace_is_dropped(world: StandIn) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "anchor", "finalizers": ["example.com/stay"]}}
    world.api.admin.create("configmaps", "a", body)
    world.api.admin.delete("namespaces", "", "a")
    world.emit()
    world.emit(about=replace(SECRET_A, namespace="b"))
    assert len(world.found("b")) == 1
    assert world.outcomes == {EventOutcome.REFUSED: 1, EventOutcome.WRITTEN: 1}


def test_an_event_in_a_namespace_that_is_gone_is_dropped(world: StandIn) -> None:
    world.emit(about=replace(SECRET_A, namespace="gone"))
    assert world.found() == []
    assert world.outcomes == {EventOutcome.REFUSED: 1}


def test_without_permission_events_are_dropped() -> None:
    with ApiServer(controllers=None) as api:
        api.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("ghcr", "a")])
        stage = Stage(connect(api.kubeconfig_file(account(api, "nobody", []))).client)
        stage.events.start()
        stage.emit()
        stage.settle()
        assert stage.outcomes == {EventOutcome.REFUSED: 1}
        stage.events.stop()


def test_a_failing_api_server_is_asked_again(world: StandIn) -> None:
    world.api.faults.add(match=Match(resource="events"), status=503, times=3)
    world.emit()
    assert len(world.found("a")) == 1
    assert world.outcomes == {EventOutcome.WRITTEN: 1}


def answering(code: int) -> Callable[[Request], None]:
    return lambda request: request.json(status(code), code)


@pytest.fixture
def failing() -> Iterator[Script]:
    with scripted(answering(503)) as script:
        yield script


def test_an_api_server_that_keeps_failing_is_given_up_after_some_tries(failing: Script) -> None:
    stage = Stage(failing.client())
    stage.events._backoff_s = 1e-6
    stage.events.start()
    stage.emit()
    stage.settle()
    assert (stage.outcomes, len(failing.requests)) == ({EventOutcome.UNAVAILABLE: 1}, 12)
    stage.events.stop()


def test_an_object_has_so_many_events_at_once_and_then_one_in_five_minutes(world: StandIn) -> None:
    for index in range(30):
        world.emit(f"text {index}")
    assert len(world.found("a")) == 25
    assert world.outcomes == {EventOutcome.WRITTEN: 25, EventOutcome.RATE_LIMITED: 5}
    world.clock.advance(299)
    world.emit("too early")
    assert len(world.found("a")) == 25
    world.clock.advance(1)
    world.emit("in time")
    world.emit("too many")
    assert len(world.found("a")) == 26


def test_one_objects_events_do_not_use_up_anothers(world: StandIn) -> None:
    for index in range(30):
        world.emit(f"text {index}")
    world.emit(about=replace(SECRET_A, namespace="b"))
    assert len(world.found("b")) == 1


def test_an_object_that_is_recreated_in_a_loop_gets_no_new_bucket_each_time(world: StandIn) -> None:
    for index in range(30):
        world.emit(about=replace(SECRET_A, uid=str(index)))
    assert len(world.found("a")) == 25
    assert world.outcomes == {EventOutcome.WRITTEN: 25, EventOutcome.RATE_LIMITED: 5}
    for other in (replace(SECRET_A, kind="Namespace"), replace(SECRET_A, name="other")):
        world.emit(about=other)
    assert len(world.found("a")) == 27


URGENT = [
    EventReason.CENTRAL_SECRET_UNUSABLE,
    EventReason.CENTRAL_SECRET_MISSING,
    EventReason.CENTRAL_SECRET_USABLE,
    EventReason.CENTRAL_SECRET_DOUBTFUL,
    EventReason.CREDENTIAL_REJECTED,
    EventReason.CREDENTIAL_INSUFFICIENT,
    EventReason.CREDENTIAL_CANNOT_READ,
    EventReason.CREDENTIAL_EXPIRING,
]


@pytest.mark.slow
def test_what_concerns_the_whole_cluster_is_written_first_and_finds_a_place_in_a_full_queue(
    failing: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.cluster.events._QUEUED", 20)
    failing.answer = lambda request: request.json({})
    stage = Stage(failing.client())
    for index in range(30):
        stage.emit(about=replace(SECRET_A, name=f"copy-{index}"))
    for reason in URGENT:
        stage.events.emit(reason, replace(SECRET_A, namespace="ghcr"), "look")
    stage.events.start()
    stage.settle()
    stage.events.stop()
    written = [json.loads(request.body)["reason"] for request in failing.requests]
    assert written[: len(URGENT)] == URGENT
    assert set(written[len(URGENT) :]) == {"CopyUpdated"}
    assert stage.outcomes == {EventOutcome.QUEUE_FULL: 10, EventOutcome.WRITTEN: 20 + len(URGENT)}


def test_all_that_is_said_of_the_central_secret_and_of_the_credential_is_urgent() -> None:
    assert {reason for reason in EventReason if reason.startswith(("Central", "Credential"))} == set(URGENT)


def test_a_full_queue_drops_and_never_waits(failing: Script) -> None:
    stage = Stage(failing.client())  # not started: nothing is taken from the queue
    for index in range(1500):
        stage.emit(f"text {index}")
    assert stage.outcomes == {EventOutcome.QUEUE_FULL: 500}


def test_what_repeats_while_it_waits_takes_one_place(failing: Script) -> None:
    stage = Stage(failing.client())
    for _ in range(5000):
        stage.emit()
    assert stage.outcomes == {}
    assert len(stage.events._others) == 1


def test_memory_of_what_was_written_is_bounded(failing: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.cluster.events._REMEMBERED", 3)
    failing.answer = lambda request: request.json({})
    stage = Stage(failing.client())
    stage.events.start()
    for index in range(10):
        stage.emit(about=replace(SECRET_A, name=str(index)))
    stage.settle()
    assert (len(stage.events._written), len(stage.events._full_at)) == (3, 3)
    stage.events.stop()


def test_a_bug_ends_no_thread(failing: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    failing.answer = lambda request: request.json({})
    stage = Stage(failing.client())
    bugs = [ValueError("a bug")]
    create = stage.events._create

    def create_or_crash(*args: Any) -> Any:
        if bugs:
            raise bugs.pop()
        return create(*args)

    monkeypatch.setattr(stage.events, "_create", create_or_crash)
    stage.events.start()
    stage.emit("one")
    stage.emit("two")
    stage.settle()
    assert stage.outcomes == {EventOutcome.REFUSED: 1, EventOutcome.WRITTEN: 1}
    stage.events.stop()


# --- the end


def test_a_stop_writes_what_waits(world: StandIn) -> None:
    for name in ("a", "b"):
        world.emit(about=replace(SECRET_A, namespace=name))
    world.events.stop(5)
    assert len(world.api.admin.list("events")) == 2
    world.emit("late")
    assert world.outcomes[EventOutcome.QUEUE_FULL] == 1


def test_a_stop_does_not_wait_for_an_api_server_that_is_away(failing: Script) -> None:
    stage = Stage(failing.client())
    stage.events._backoff_s = 30
    stage.events.start()
    stage.emit()
    eventually(lambda: failing.requests)
    stage.events.stop(5)
    assert not any(thread.name == "events" for thread in threading.enumerate())
    assert stage.outcomes == {EventOutcome.UNAVAILABLE: 1}
