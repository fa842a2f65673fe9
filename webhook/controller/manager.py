"""Event and timer dispatch to keys and worker threads."""

import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

import structlog

from webhook.controller.workqueue import MAX_PAUSE_S, Queue
from webhook.core.copies import Secret
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import Reconciliation
from webhook.ports import LIST_S, ClusterError, Deadline, NotLeading
from webhook.reconciler import Reconciler
from webhook.reporting import CentralState

_CALL_S: Final = 10.0
"""Time for one key's calls to the API server."""
_SETTLE_S: Final = 0.05
"""Changes of the central secret that come within this time cost one round; a twentieth of the second a rotation has."""
_NOT_LEADING_S: Final = 1.0
"""Pause of a key that could not be written since leadership had ended a moment before its worker learned of it."""


WHOLE_EVERY: Final = 4
"""One sweep in so many lists all Pods, the others only Pending ones. A Pod is `Running` where a container that has run
before, or was added later, cannot pull, and no selector finds it; 10,000 Pods of 7 KB are 74 MB, and 0.7 s of our
processor."""


class Task(StrEnum):
    """What a key asks for; a log field."""

    COPY = "copy"
    CENTRAL = "central"
    SWEEP = "sweep"
    CERTIFICATES = "certificates"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Key:
    """A piece of work; two of the same are one."""

    task: Task
    namespace: str = ""


CENTRAL: Final = Key(Task.CENTRAL)
SWEEP: Final = Key(Task.SWEEP)
CERTIFICATES: Final = Key(Task.CERTIFICATES)
CREDENTIAL: Final = Key(Task.CREDENTIAL)


Keep = Callable[[], float]
"""Does what is to be done now, and returns the seconds after which to look again. Not called by two at once."""


class Manager:
    """Workers over one de-duplicating queue; they work only while this controller leads."""

    def __init__(  # noqa: PLR0913 - the parts it holds together
        self,
        *,
        reconciler: Reconciler,
        rules: Rules,
        workers: int,
        sweep_interval_s: float,
        certificates: Keep | None = None,
        credential: Keep | None = None,
        on_central: Callable[[CentralState], None] = lambda _: None,
        queue: Queue[Key] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconciler = reconciler
        self._rules = rules
        self._keep = {CERTIFICATES: certificates, CREDENTIAL: credential}
        self._workers = workers
        self._sweep_interval_s = sweep_interval_s
        self._on_central = on_central
        self._queue: Queue[Key] = Queue() if queue is None else queue
        self._clock = clock
        self._leading = threading.Event()
        self._central_usable = False
        self._sweep_all = True
        self._partial_sweeps = 0
        self._sweep_waits = threading.Event()
        self._threads: list[threading.Thread] = []
        self._log = structlog.get_logger()

    @property
    def backlog(self) -> int:
        """Count the keys that wait or are being worked on."""
        return len(self._queue)

    # --- what happens, as the caches report it; noted by standbys too, so that a new leader knows of it

    def secret_changed(self, namespace: str, old: Secret | None, new: Secret | None) -> None:
        """React to a change of a `ghcr-secret`."""
        if namespace == self._rules.release_namespace:
            self._queue.add_after(CENTRAL, _SETTLE_S)
            return
        self._reconciler.secret_changed(old, new)
        self._queue.add(Key(Task.COPY, namespace))

    def namespace_changed(self, name: str, old: Namespace | None, new: Namespace | None) -> None:
        """React to a change of a Namespace's labels or phase."""
        if old is None or new is None:
            self._reconciler.forget(name)
        if new is not None and (self._rules.provisions_in(new) if old is None else old != new):
            self._queue.add(Key(Task.COPY, name))

    def service_account_changed(
        self, key: tuple[str, str], old: Container[str] | None, new: Container[str] | None
    ) -> None:
        """React to a change of a ServiceAccount's pull secrets: one that lists `ghcr-secret` asks for it."""
        if SECRET_NAME in (new or ()) and SECRET_NAME not in (old or ()):
            self._queue.add(Key(Task.COPY, key[0]))

    def certificates_changed(self) -> None:
        """React to a change of the certificates' Secrets or of a webhook configuration."""
        self._queue.add(CERTIFICATES)

    def leading(self, leads: bool) -> None:
        """Begin or end to work."""
        if not leads:
            self._leading.clear()
            return
        # Whatever Pods a sweep has to read, nobody waits for a certificate meanwhile.
        self._sweep_waits.set()
        for key in (CERTIFICATES, CENTRAL, CREDENTIAL):
            self._queue.add(key)
        self._leading.set()

    # --- what is done

    def start(self) -> None:
        """Start the workers."""
        for index in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"worker-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the workers; the work they have begun is finished, if it is within the time. Returns whether it was."""
        self._queue.stop()
        self._leading.set()
        give_up = self._clock() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, give_up - self._clock()))
        return not any(thread.is_alive() for thread in self._threads)

    def work(self, timeout_s: float | None = None) -> bool:
        """Do the work of the next key; `False` if the queue was stopped or nothing came in time."""
        key = self._queue.get(timeout_s)
        if key is None:
            return False
        try:
            self._handle(key)
            self._queue.forget(key)
        except NotLeading:
            # Kept for whoever leads next, should that be us.
            self._queue.add_after(key, _NOT_LEADING_S)
        except ClusterError as error:
            delay = self._queue.retry(key, at_least_s=min(error.retry_after, MAX_PAUSE_S))
            self._log.warning(
                "work_failed",
                key=key.task,
                namespace=key.namespace,
                error=type(error).__name__,
                code=error.code,
                failure=str(error.failure or ""),
                retry_s=round(delay, 2),
            )
        except Exception:  # noqa: BLE001 - one bad key must not end a worker
            delay = self._queue.retry(key)
            self._log.error(
                "work_crashed", key=key.task, namespace=key.namespace, retry_s=round(delay, 2), exc_info=True
            )
        finally:
            self._queue.done(key)
        return True

    def _work(self) -> None:
        self._leading.wait()
        while self.work():
            self._leading.wait()

    def _handle(self, key: Key) -> None:
        match key.task:
            case Task.COPY:
                if self._reconciler.reconcile(key.namespace, Deadline.after(_CALL_S)) is Reconciliation.HELD_BACK:
                    self._queue.add_after(key, self._reconciler.pause_s(key.namespace))
            case Task.CENTRAL:
                self._central()
            case Task.SWEEP:
                self._sweep()
            case Task.CERTIFICATES | Task.CREDENTIAL:
                try:
                    if (keep := self._keep[key]) is not None:
                        self._queue.add_after(key, keep())
                finally:
                    if key == CERTIFICATES and self._sweep_waits.is_set():
                        self._sweep_waits.clear()
                        self._queue.add(SWEEP)
            case _:
                assert_never(key.task)

    def _central(self) -> None:
        state = self._reconciler.central(Deadline.after(_CALL_S))
        self._on_central(state)
        namespaces = self._reconciler.namespaces()
        note = self._log.info if state.usable else self._log.warning
        note(
            "central_secret_read",
            present=state.present,
            usable=state.usable,
            fault=state.fault or "",
            namespaces=len(namespaces),
        )
        for concern in state.concerns:
            self._log.warning("central_secret_doubtful", concern=concern.kind, entry=concern.entry)
        for namespace in namespaces:
            self._queue.add(Key(Task.COPY, namespace))
        if state.usable and not self._central_usable:
            # Until now no copy could be made; who waits for one is found as on the first day.
            self._sweep_all = True
            if not self._sweep_waits.is_set():
                self._queue.add(SWEEP)
        self._central_usable = state.usable
        # After the copies: to ask a registry takes a while.
        self._queue.add(CREDENTIAL)

    def _sweep(self) -> None:
        begun = self._clock()
        found = 0
        # Pending Pods wait for a copy. Running ones are looked at too when one may have gone while nobody watched.
        pending, self._sweep_all = not self._sweep_all and self._partial_sweeps < WHOLE_EVERY - 1, False
        try:
            for namespace in self._reconciler.sweep(Deadline.after(LIST_S), pending=pending):
                self._queue.add(Key(Task.COPY, namespace))
                found += 1
        except ClusterError:
            self._sweep_all |= not pending
            raise
        self._partial_sweeps = self._partial_sweeps + 1 if pending else 0
        self._log.info("swept", namespaces_without_copy=found, duration_s=round(self._clock() - begun, 3))
        self._queue.add_after(SWEEP, self._sweep_interval_s)
