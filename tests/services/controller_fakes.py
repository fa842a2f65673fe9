"""What the controller works with, in memory: a clock, Leases, Pods and Events. They pass `controller_contracts`."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.objects import workload
from webhook.core.names import SECRET_NAME
from webhook.core.review import Json
from webhook.ports import AlreadyExists, ClusterError, Conflict, Deadline, EventReason, LeaderLease, NotFound, ObjectRef


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: float = 0.0) -> None:
        self._at = at

    def __call__(self) -> float:
        return self._at

    def advance(self, seconds: float) -> None:
        """Move it on."""
        self._at += seconds


@dataclass
class LeaseStore:
    """The one Lease object of an API server."""

    lease: LeaderLease | None = None
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def write(self, lease: LeaderLease) -> LeaderLease:
        """Store a Lease under a new resourceVersion."""
        self.lease = replace(lease, resource_version=str(next(self._versions)))
        return self.lease


class FakeLeases:
    """`Leases` over a store that several may share.

    Args:
        store: The store.
        on_call: Called before each access with the verb; raise a `ClusterError` to fail the call.
    """

    def __init__(self, store: LeaseStore | None = None, on_call: Callable[[str], None] = lambda _: None) -> None:
        self.store = store or LeaseStore()
        self.calls: list[str] = []
        self._on_call = on_call

    def get(self, deadline: Deadline) -> LeaderLease | None:
        self._called("get")
        return self.store.lease

    def create(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        self._called("create")
        if self.store.lease is not None:
            raise AlreadyExists("create", "leases", code=409)
        return self.store.write(lease)

    def update(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        self._called("update")
        if self.store.lease is None:
            raise NotFound("update", "leases", code=404)
        if self.store.lease.resource_version != lease.resource_version:
            raise Conflict("update", "leases", code=409)
        return self.store.write(lease)

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        self._on_call(verb)


def pod(namespace: str, *, name: str = "auth-api-0", phase: str = "Pending", **changes: Any) -> Json:
    """A Pod that lists `ghcr-secret` and pulls a selected image."""
    made = workload("Pod", namespace=namespace, name=name, **{"secrets": (SECRET_NAME,), **changes})
    return {**made, "status": {"phase": phase}}


class FakePods:
    """`Pods` over a list."""

    def __init__(self, *pods: Json) -> None:
        self.pods = list(pods)
        self.lists: list[tuple[str, bool]] = []
        self.error: ClusterError | None = None

    def list(self, deadline: Deadline, *, namespace: str = "", pending: bool = False) -> Iterator[Json]:
        self.lists.append((namespace, pending))
        for found in copy.deepcopy(self.pods):
            if namespace in ("", found["metadata"]["namespace"]) and (
                not pending or found["status"]["phase"] == "Pending"
            ):
                yield found
        if self.error is not None:
            raise self.error


@dataclass(kw_only=True)
class Emitted:
    """One event, and how often it was emitted."""

    reason: EventReason
    about: ObjectRef
    text: str
    warning: bool
    count: int = 1


class FakeEvents:
    """`Events` that are kept for a test to look at."""

    def __init__(self) -> None:
        self.emitted: list[Emitted] = []

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        for known in self.emitted:
            if (known.reason, known.about, known.text, known.warning) == (reason, about, text, warning):
                known.count += 1
                return
        self.emitted.append(Emitted(reason=reason, about=about, text=text, warning=warning))

    def of(self, reason: EventReason) -> list[Emitted]:
        """Events of one reason."""
        return [event for event in self.emitted if event.reason is reason]
