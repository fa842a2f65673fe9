"""Starts, feeds and stops the controllers."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from standin.controllers.daemonset import DaemonSetController
from standin.controllers.deployment import DeploymentController
from standin.controllers.events import EventRecorder
from standin.controllers.garbage import GarbageCollector
from standin.controllers.job import JobController
from standin.controllers.kubelet import NODE_USER, Kubelet, Registry
from standin.controllers.namespace import NamespaceController
from standin.controllers.objects import controller_user
from standin.controllers.replicas import REPLICA_SETS, REPLICATION_CONTROLLERS, ReplicaController
from standin.controllers.statefulset import StatefulSetController
from standin.controllers.workqueue import Key, WorkQueue
from standin.errors import ApiError
from standin.interfaces import Change, ChangeType, Client, Cluster, Json, Store, User

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.05
# kube-controller-manager waits up to 1000 s; a test cannot.
LONGEST_RETRY_SECONDS = 2.0


class Controller(Protocol):
    """One controller: which keys a change concerns, and what to do about a key."""

    def keys(self, change: Change) -> Iterable[Key]: ...

    def reconcile(self, key: Key) -> float | None:
        """Bring one thing nearer to what it should be; return in how many seconds to look again, if at all.

        Reads the store afresh each time, so calling it once too often does nothing. An ApiError is tried again.
        """
        ...


class _Hands:
    """A controller's client and event recorder: `objects.Acts`."""

    def __init__(self, cluster: Cluster, user: User, component: str) -> None:
        self.store: Store = cluster.store
        self.client: Client = cluster.client_as(user)
        self._recorder = EventRecorder(self.client, component)

    def event(self, obj: Json, reason: str, message: str, *, kind: str = "Normal") -> None:
        self._recorder.record(obj, reason, message, kind=kind)


class ControllerManager:
    """All controllers of one cluster; an implementation of `interfaces.Controllers`.

    Attributes:
        errors: Exceptions other than ApiError that a controller met: bugs of this stand-in, for tests to look at.
    """

    def __init__(self, cluster: Cluster, *, registry: Registry | None = None, elsewhere: Collection[str] = ()) -> None:
        """Args:
        cluster: What to work on.
        registry: Decides which images can be pulled; None for all.
        elsewhere: Namespaces whose Pods another node runs.
        """
        self._cluster = cluster
        self._registry = registry
        self._elsewhere = frozenset(elsewhere)
        self._loops: list[_Loop] = []
        self._pump: _Pump | None = None
        self.errors: list[Exception] = []

    def start(self) -> None:
        """Start all controllers on what is there and on what changes. Does nothing when started."""
        if self._pump is not None:
            return
        self._loops = [_Loop(name, controller, self.errors) for name, controller in self._controllers()]
        self._pump = _Pump(self._cluster, self._loops)
        for loop in self._loops:
            loop.start()
        self._pump.start()

    def stop(self) -> None:
        """Stop; returns when all threads have ended. Does nothing when stopped."""
        if self._pump is None:
            return
        self._pump.stop()
        for loop in self._loops:
            loop.stop()
        self._pump, self._loops = None, []

    def settle(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until there is nothing to do but retries; tell whether that was reached in time."""
        deadline = time.monotonic() + timeout_seconds
        quiet = 0
        while time.monotonic() < deadline:
            # Twice in a row: a change may just have been on its way from one controller to the next.
            quiet = quiet + 1 if self._is_idle() else 0
            if quiet == 2:
                return True
            time.sleep(0.005)
        return False

    def _is_idle(self) -> bool:
        if self._pump is None:
            return all(loop.queue.is_idle() for loop in self._loops)
        taken = self._pump.taken
        # What one controller wrote while the others were looked at is a change that has come since.
        idle = self._pump.is_idle() and all(loop.queue.is_idle() for loop in self._loops)
        return idle and self._pump.taken == taken

    def _controllers(self) -> list[tuple[str, Controller]]:
        def hands(name: str) -> _Hands:
            return _Hands(self._cluster, controller_user(name), name)

        kubelet = _Hands(self._cluster, NODE_USER, "kubelet")
        return [
            ("deployment", DeploymentController(hands("deployment-controller"))),
            ("replicaset", ReplicaController(hands("replicaset-controller"), REPLICA_SETS)),
            ("replicationcontroller", ReplicaController(hands("replication-controller"), REPLICATION_CONTROLLERS)),
            ("statefulset", StatefulSetController(hands("statefulset-controller"))),
            ("daemonset", DaemonSetController(hands("daemon-set-controller"))),
            ("job", JobController(hands("job-controller"))),
            ("kubelet", Kubelet(kubelet, self._registry, self._elsewhere)),
            ("garbage", GarbageCollector(hands("generic-garbage-collector"), self._cluster.resources)),
            ("namespace", NamespaceController(hands("namespace-controller"), self._cluster.resources)),
        ]


class _Pump:
    """Carries changes from the writing threads to the controllers' queues.

    Attributes:
        taken: How many changes have come.
    """

    def __init__(self, cluster: Cluster, loops: list[_Loop]) -> None:
        self._cluster = cluster
        self._loops = loops
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.taken = 0
        self._carried = 0
        self._thread = threading.Thread(target=self._run, name="controllers-pump", daemon=True)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        # The first listing counts as one.
        self.taken += 1
        self._unsubscribe = self._cluster.store.subscribe(self._take)
        self._thread.start()

    def stop(self) -> None:
        self._unsubscribe()
        self._changes.put(None)
        self._thread.join()

    def is_idle(self) -> bool:
        with self._lock:
            return self._carried == self.taken

    def _take(self, change: Change) -> None:
        # Counted before it can be carried: whoever looks meanwhile must not find nothing to do.
        with self._lock:
            self.taken += 1
        self._changes.put(change)

    def _carry(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._dispatch(change)
        with self._lock:
            self._carried += 1

    def _run(self) -> None:
        self._carry(
            Change(type=ChangeType.ADDED, resource=resource, object=obj, old_object=None, resource_version=0)
            for resource in self._cluster.resources()
            for obj in self._cluster.store.list(resource.key)
        )
        while (change := self._changes.get()) is not None:
            self._carry([change])

    def _dispatch(self, change: Change) -> None:
        for loop in self._loops:
            for key in loop.controller.keys(change):
                loop.queue.add(key)


class _Loop:
    """One controller's queue and worker."""

    def __init__(self, name: str, controller: Controller, errors: list[Exception]) -> None:
        self.controller = controller
        self.queue = WorkQueue()
        self._errors = errors
        self._failures: dict[Key, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"controller-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.queue.close()
        self._thread.join()

    def _run(self) -> None:
        while (key := self.queue.take()) is not None:
            try:
                again = self.controller.reconcile(key)
            except ApiError as error:
                logger.debug("controller_retries %s %s", key, error.message)
                self._retry(key)
            except Exception as error:
                logger.exception("controller_failed %s", key)
                self._errors.append(error)
                self._retry(key)
            else:
                self._failures.pop(key, None)
                if again is not None:
                    self.queue.add(key, again)

    def _retry(self, key: Key) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.queue.add(key, min(FIRST_RETRY_SECONDS * 2 ** (failures - 1), LONGEST_RETRY_SECONDS))
