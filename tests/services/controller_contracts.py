"""What every implementation of `Leases`, `Pods` and `Events` does: the fakes here, the adapters in `tests/edges`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from webhook.core.review import Json
from webhook.ports import (
    AlreadyExists,
    Conflict,
    Deadline,
    EventReason,
    Events,
    LeaderLease,
    Leases,
    NotFound,
    ObjectRef,
    Pods,
)

HELD = LeaderLease(
    holder="controller-0_0f6a",
    duration_s=12,
    acquired_at="2026-05-04T12:00:00.000001Z",
    renewed_at="2026-05-04T12:00:08.120000Z",
    transitions=3,
)


def soon() -> Deadline:
    return Deadline.after(5)


class LeasesContract:
    """Given a fixture `leases` for a Lease that does not exist."""

    def test_a_lease_that_does_not_exist_is_none(self, leases: Leases) -> None:
        assert leases.get(soon()) is None

    def test_what_is_created_is_what_is_read(self, leases: Leases) -> None:
        made = leases.create(HELD, soon())
        assert made == replace(HELD, resource_version=made.resource_version)
        assert made.resource_version
        assert leases.get(soon()) == made

    def test_creating_what_exists_is_refused(self, leases: Leases) -> None:
        made = leases.create(HELD, soon())
        with pytest.raises(AlreadyExists):
            leases.create(replace(HELD, holder="other"), soon())
        assert leases.get(soon()) == made

    def test_an_update_replaces_every_field(self, leases: Leases) -> None:
        made = leases.create(HELD, soon())
        wanted = LeaderLease(
            holder="other",
            duration_s=15,
            acquired_at="2026-05-04T13:00:00.999999Z",
            renewed_at="2026-05-04T13:00:00.999999Z",
            transitions=4,
            resource_version=made.resource_version,
        )
        after = leases.update(wanted, soon())
        assert after == replace(wanted, resource_version=after.resource_version)
        assert after.resource_version != made.resource_version
        assert leases.get(soon()) == after

    def test_a_lease_can_be_released_and_taken(self, leases: Leases) -> None:
        released = leases.update(replace(leases.create(HELD, soon()), holder="", duration_s=1), soon())
        assert (released.holder, released.duration_s, released.transitions) == ("", 1, 3)
        assert leases.get(soon()) == released
        assert leases.update(replace(released, holder="b", duration_s=12), soon()).holder == "b"

    def test_an_update_of_what_was_changed_meanwhile_is_a_conflict(self, leases: Leases) -> None:
        first = leases.create(HELD, soon())
        second = leases.update(replace(first, holder="other"), soon())
        with pytest.raises(Conflict):
            leases.update(replace(first, holder="third"), soon())
        assert leases.get(soon()) == second

    def test_an_update_without_a_version_is_a_conflict(self, leases: Leases) -> None:
        first = leases.create(HELD, soon())
        with pytest.raises(Conflict):
            leases.update(replace(first, resource_version=""), soon())
        assert leases.get(soon()) == first

    def test_an_update_of_what_is_gone_finds_nothing(self, leases: Leases) -> None:
        with pytest.raises(NotFound):
            leases.update(replace(HELD, resource_version="7"), soon())


class PodsWorld(Protocol):
    """A cluster with Pods."""

    @property
    def pods(self) -> Pods:
        """Under test; its pages hold 2 Pods, if it has pages."""
        ...

    def make_pod(self, pod: Json) -> None:
        """Create a Pod and its namespace."""
        ...


def some_pod(namespace: str, name: str, phase: str = "Pending") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "ghcr.io/a/b:1"}], "imagePullSecrets": [{"name": "s"}]},
        "status": {"phase": phase},
    }


def names(world: PodsWorld, *, namespace: str = "", pending: bool = False) -> list[str]:
    found = world.pods.list(soon(), namespace=namespace, pending=pending)
    return sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in found)


class PodsContract:
    """Given a fixture `pods_world` without Pods."""

    @pytest.fixture
    def seven(self, pods_world: PodsWorld) -> PodsWorld:
        for index in range(5):
            pods_world.make_pod(some_pod("a", f"p{index}", "Running" if index % 2 else "Pending"))
        pods_world.make_pod(some_pod("b", "p0"))
        pods_world.make_pod(some_pod("b", "p1", "Succeeded"))
        return pods_world

    def test_where_there_are_none_there_are_none(self, pods_world: PodsWorld) -> None:
        assert names(pods_world) == []
        assert names(pods_world, namespace="a", pending=True) == []

    def test_all_pods_of_all_pages_come_once(self, seven: PodsWorld) -> None:
        assert names(seven) == ["a/p0", "a/p1", "a/p2", "a/p3", "a/p4", "b/p0", "b/p1"]

    def test_pending_pods_alone(self, seven: PodsWorld) -> None:
        assert names(seven, pending=True) == ["a/p0", "a/p2", "a/p4", "b/p0"]

    def test_pods_of_one_namespace(self, seven: PodsWorld) -> None:
        assert names(seven, namespace="b") == ["b/p0", "b/p1"]
        assert names(seven, namespace="b", pending=True) == ["b/p0"]

    def test_a_pod_comes_with_what_its_pull_needs(self, seven: PodsWorld) -> None:
        [found] = seven.pods.list(soon(), namespace="b", pending=True)
        assert found["spec"]["imagePullSecrets"] == [{"name": "s"}]
        assert found["spec"]["containers"][0]["image"] == "ghcr.io/a/b:1"

    def test_a_list_may_be_left_in_the_middle(self, seven: PodsWorld) -> None:
        assert next(iter(seven.pods.list(soon())))["metadata"]["namespace"] in "ab"
        assert len(names(seven)) == 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as people find it."""

    reason: str
    kind: str
    namespace: str
    name: str
    text: str
    warning: bool
    count: int


class EventsWorld(Protocol):
    """A cluster with the namespaces `a` and `b`."""

    @property
    def events(self) -> Events:
        """Under test."""
        ...

    def recorded(self) -> list[Recorded]:
        """List what was recorded, once all has been."""
        ...


SECRET_A = ObjectRef(kind="Secret", name="ghcr-secret", namespace="a", uid="7c1c")


class EventsContract:
    """Given a fixture `events_world`."""

    def test_an_event_is_recorded(self, events_world: EventsWorld) -> None:
        events_world.events.emit(EventReason.COPY_CREATED, SECRET_A, "created")
        assert events_world.recorded() == [
            Recorded(
                reason="CopyCreated",
                kind="Secret",
                namespace="a",
                name="ghcr-secret",
                text="created",
                warning=False,
                count=1,
            )
        ]

    def test_a_warning_is_one(self, events_world: EventsWorld) -> None:
        events_world.events.emit(EventReason.COPY_FOREIGN, SECRET_A, "left", warning=True)
        assert events_world.recorded()[0].warning

    def test_an_event_about_a_namespace(self, events_world: EventsWorld) -> None:
        events_world.events.emit(EventReason.COPY_REFUSED, ObjectRef(kind="Namespace", name="a"), "no", warning=True)
        [found] = events_world.recorded()
        assert (found.kind, found.namespace, found.name) == ("Namespace", "", "a")

    def test_what_repeats_is_counted(self, events_world: EventsWorld) -> None:
        for _ in range(3):
            events_world.events.emit(EventReason.COPY_UPDATED, SECRET_A, "updated")
        assert [found.count for found in events_world.recorded()] == [3]
        events_world.events.emit(EventReason.COPY_UPDATED, SECRET_A, "updated")
        assert [found.count for found in events_world.recorded()] == [4]

    def test_what_differs_is_not_counted_together(self, events_world: EventsWorld) -> None:
        other = replace(SECRET_A, namespace="b")
        events_world.events.emit(EventReason.COPY_UPDATED, SECRET_A, "one")
        events_world.events.emit(EventReason.COPY_UPDATED, SECRET_A, "two")
        events_world.events.emit(EventReason.COPY_CREATED, SECRET_A, "one")
        events_world.events.emit(EventReason.COPY_UPDATED, other, "one")
        assert [found.count for found in events_world.recorded()] == [1, 1, 1, 1]
