"""Kubernetes Events written by a background thread.

They are `v1` Events: `kubectl events` and `kubectl get events` read these, with `count` and `lastTimestamp` for what
repeats. The rules are those of client-go's `EventCorrelator`: what is equal is counted on one Event by a patch, and
each object has a token bucket, so that one broken namespace cannot fill etcd. An object is its kind, namespace and
name: one that is deleted and created in a loop gets no new bucket each time.
"""

import datetime as dt
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from webhook.cluster.client import Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.core.vocabulary import EventOutcome
from webhook.ports import ClusterError, Deadline, DeadlineExceeded, EventReason, NotFound, ObjectRef, Unavailable

COMPONENT: Final = "ghcr-pull-secrets-controller"

_BURST: Final = 25
_REFILL_S: Final = 300.0
"""Events about one object: so many at once, then one in so many seconds (client-go's `defaultSpamBurst`, `…QPS`)."""

_REMEMBERED: Final = 4096
"""Objects and Events remembered (client-go's `maxLruCacheEntries`)."""

_QUEUED: Final = 1000
"""Distinct events that may wait: a rotation over many namespaces has one for each."""

_FIRST: Final = frozenset(
    {
        EventReason.CENTRAL_SECRET_UNUSABLE,
        EventReason.CENTRAL_SECRET_MISSING,
        EventReason.CENTRAL_SECRET_USABLE,
        EventReason.CENTRAL_SECRET_DOUBTFUL,
        EventReason.CREDENTIAL_REJECTED,
        EventReason.CREDENTIAL_INSUFFICIENT,
        EventReason.CREDENTIAL_CANNOT_READ,
        EventReason.CREDENTIAL_EXPIRING,
    }
)
"""These concern the whole cluster: they wait in a line of their own, as long as the other, and are written first."""

_PAUSE_S: Final = 0.05
"""Between two writes. Events are for people; the copies they report come first."""

_CALL_S: Final = 5.0
_TRIES: Final = 12
_BACKOFF_S: Final = 1.0
_MAX_BACKOFF_S: Final = 30.0
_MESSAGE: Final = 1024
"""Longest `message` (`NoteLengthLimit` of the API)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    reason: EventReason
    about: ObjectRef
    text: str
    warning: bool

    @property
    def bucket(self) -> tuple[str, str, str]:
        return self.about.kind, self.about.namespace, self.about.name

    @property
    def namespace(self) -> str:
        # The API wants the events of an object without a namespace there.
        return self.about.namespace or "default"


@dataclass(slots=True, kw_only=True)
class _Pending:
    first: dt.datetime
    last: dt.datetime
    count: int = 1


@dataclass(slots=True, kw_only=True)
class _Written:
    name: str
    count: int


class ClusterEvents:
    """Events about what the controller did or refused.

    RBAC: `create` and `patch` on events.

    Args:
        client: HTTP to the API server.
        instance: Name of this process (`reportingInstance`).
        count: Called with the outcome of each event that was emitted.
        utc, clock: The time of day, and the seconds for the token buckets.
        pause_s: Between two writes.
        backoff_s: First pause after the API server could not be reached.
    """

    def __init__(  # noqa: PLR0913 (what tests hold still)
        self,
        client: Client,
        *,
        instance: str,
        count: Callable[[EventOutcome], None] = lambda _: None,
        utc: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        clock: Callable[[], float] = time.monotonic,
        pause_s: float = _PAUSE_S,
        backoff_s: float = _BACKOFF_S,
    ) -> None:
        self._client = client
        self._instance = instance
        self._count = count
        self._utc = utc
        self._clock = clock
        self._pause_s = pause_s
        self._backoff_s = backoff_s
        self._changed = threading.Condition()
        self._first: OrderedDict[_Key, _Pending] = OrderedDict()
        self._others: OrderedDict[_Key, _Pending] = OrderedDict()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # Used by the thread alone.
        self._written: OrderedDict[_Key, _Written] = OrderedDict()
        self._full_at: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._log = structlog.get_logger()

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        """Note an event. Never raises and never waits; events that repeat are counted together."""
        key = _Key(reason=reason, about=about, text=text[:_MESSAGE], warning=warning)
        line = self._first if reason in _FIRST else self._others
        now = self._utc()
        with self._changed:
            known = line.get(key)
            if known is not None:
                known.count += 1
                known.last = now
                return
            if len(line) < _QUEUED and not self._stopping.is_set():
                line[key] = _Pending(first=now, last=now)
                self._changed.notify_all()
                return
        self._count(EventOutcome.QUEUE_FULL)

    def start(self) -> None:
        """Begin to write, in a daemon thread."""
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End, and deal with what waits within that time."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._first or self._others or self._stopping.is_set())
                line = self._first or self._others
                if not line:
                    return
                key, waiting = line.popitem(last=False)
            if self._admitted(key.bucket):
                self._report(self._deliver(key, waiting), waiting.count)
                self._stopping.wait(self._pause_s)
            else:
                self._report(EventOutcome.RATE_LIMITED, waiting.count)

    def _report(self, outcome: EventOutcome, count: int) -> None:
        for _ in range(count):
            self._count(outcome)

    def _admitted(self, bucket: tuple[str, str, str]) -> bool:
        """Take a token of an object's bucket. A bucket is the moment at which it will be full again."""
        now = self._clock()
        full_at = max(now, self._full_at.get(bucket, now)) + _REFILL_S
        if full_at - now > _BURST * _REFILL_S:
            return False
        self._full_at[bucket] = full_at
        self._full_at.move_to_end(bucket)
        if len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)
        return True

    def _deliver(self, key: _Key, waiting: _Pending) -> EventOutcome:
        backoff = self._backoff_s
        for _ in range(_TRIES):
            try:
                self._write(key, waiting)
                return EventOutcome.WRITTEN
            except (Unavailable, DeadlineExceeded) as error:
                if self._stopping.wait(min(max(backoff, error.retry_after), _MAX_BACKOFF_S)):
                    break
                backoff *= 2
            except ClusterError as error:
                self._log.info("event_refused", reason=key.reason, namespace=key.namespace, error=type(error).__name__)
                return EventOutcome.REFUSED
            except Exception:  # noqa: BLE001 (the last line of defence: without this thread there are no events)
                self._log.error("event_failed", reason=key.reason, exc_info=True)
                return EventOutcome.REFUSED
        return EventOutcome.UNAVAILABLE

    def _write(self, key: _Key, waiting: _Pending) -> None:
        known = self._written.get(key)
        if known is not None:
            try:
                self._patch(key, known, waiting)
                self._written.move_to_end(key)
                return
            except NotFound:
                # Events are deleted after a while (`--event-ttl`, an hour).
                del self._written[key]
        self._written[key] = self._create(key, waiting)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _patch(self, key: _Key, known: _Written, waiting: _Pending) -> None:
        count = known.count + waiting.count
        target = Target(verb=Verb.PATCH, resource="events", namespace=key.namespace, name=known.name)
        patch = {"count": count, "lastTimestamp": _stamp(waiting.last)}
        self._client.request(target, Deadline.after(_CALL_S), body=patch, patch_type=PatchType.MERGE)
        known.count = count

    def _create(self, key: _Key, waiting: _Pending) -> _Written:
        about = key.about
        # 253 characters at most, none of them a separator before our own.
        name = f"{about.name[:230].rstrip('-.')}.{secrets.token_hex(8)}"
        involved = {"kind": about.kind, "apiVersion": "v1", "name": about.name}
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": key.namespace},
            "involvedObject": involved
            | ({"namespace": about.namespace} if about.namespace else {})
            | ({"uid": about.uid} if about.uid else {}),
            "reason": key.reason,
            "message": key.text,
            "type": "Warning" if key.warning else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": _stamp(waiting.first),
            "lastTimestamp": _stamp(waiting.last),
            "count": waiting.count,
        }
        target = Target(verb=Verb.CREATE, resource="events", namespace=key.namespace, about=name)
        self._client.request(target, Deadline.after(_CALL_S), body=body)
        return _Written(name=name, count=waiting.count)


def _stamp(moment: dt.datetime) -> str:
    """Write a `metav1.Time`: RFC 3339 in whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
