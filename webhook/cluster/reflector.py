"""One resource, kept like the API server has it: list, then watch, for ever, whatever happens in between.

A watch can end, be refused, break, fall silent or lose its place; each has one defined way back (see `Reflector`).
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson
import structlog

from webhook.cluster.client import Client, LineStream
from webhook.cluster.errors import MALFORMED, describe, from_status
from webhook.cluster.requests import CORE_V1, Target, Verb
from webhook.ports import ClusterError, Deadline, DeadlineExceeded, Expired, Forbidden, Unauthorized

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

PAGE_SIZE: Final = 500
"""Objects a page, as client-go does."""


class EventType(StrEnum):
    """What a watch event says of its object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class RestartCause(StrEnum):
    """Why a watch was begun again; a metric label."""

    ENDED = "ended"
    """The server ended the stream, as it does by itself after a while."""
    SILENT = "silent"
    """No end, no error, no bytes: the connection is half open."""
    EXPIRED = "expired"
    """410: our place in the history is gone; listed again."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    """Any other refusal, or no connection."""
    UNDECODABLE = "undecodable"
    """A line that is no event; listed again."""
    INTERNAL = "internal"
    """A fault of ours; listed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHealth:
    """How a watch is.

    Attributes:
        resource: Plural name, or the label the watch was given.
        synced: It has been listed once.
        last_event_age_s: Seconds since the API server last told anything: a list, an event, a bookmark, or the end of
            a stream that had lasted. Before any, since the reflector was made.
        restarts: How often it was begun again, by `RestartCause`; every cause is there.
        error: What is wrong now; empty while a stream is open.
    """

    resource: str
    synced: bool
    last_event_age_s: float
    restarts: Mapping[str, int]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Times of a reflector, in seconds.

    What is promised: within 60 s of the end of any fault the cache agrees again.

    - Half-open: a stream must end after `stream_max` (40) at the latest, as we asked the server for it; if it has not
      `slack` (5) later, it is given up. That is at most 45 after the fault began. Then come a pause (0.2 at most), the
      connection (5 at most) and the headers: there is time for one of these to fail.
    - Refusals: the pause grows to `backoff_cap` (10), so the first try after the fault comes 10 later at most;
      `Retry-After` can stretch it to `retry_after_cap` (30).
    - Lost place: as above, plus one list.

    Attributes:
        stream_min, stream_max: A stream lasts a random time between these, so that replicas do not move in step.
        slack: Grace for the server to end a stream.
        header_timeout: Until a watch has been accepted.
        list_timeout: One page of a list.
        backoff_base, backoff_cap: Exponential backoff with full jitter: the n-th pause in a row is random between 0
            and `base * 2**n`, capped.
        healthy: A stream that lasted this long ends the row.
        retry_after_cap: Longest `Retry-After` we heed.
    """

    stream_min: float = 30
    stream_max: float = 40
    slack: float = 5
    header_timeout: float = 10
    list_timeout: float = 30
    backoff_base: float = 0.2
    backoff_cap: float = 10
    healthy: float = 10
    retry_after_cap: float = 30


DEFAULT_PACING: Final = Pacing()


class Sink(Protocol[T_contra]):
    """Where a reflector puts what it learns. Called by one thread."""

    def replace(self, items: Sequence[T_contra], version: str) -> None:
        """Take these as all there is, as of that resourceVersion; what is not among them is gone."""
        ...

    def apply(self, event: EventType, item: T_contra, version: str) -> None:
        """Take one change, made at that resourceVersion."""
        ...


class Undecodable(Exception):
    """A line of a watch or an item of a list is not what it should be."""


class Reflector(Generic[T]):
    """Keeps a sink like the API server has a resource.

    | what happens | what follows |
    |---|---|
    | the stream ends | watch on from the last resourceVersion |
    | the stream is silent beyond its time | the connection is dropped; watch on |
    | 410, as an answer or an `ERROR` event | list again (deletions missed meanwhile are noticed) |
    | 401 | the client has re-read the token and tried again already; if that fails too, a pause and watch on |
    | 403, 429, 5xx, reset, refused | a pause, `Retry-After` heeded; watch on |
    | an undecodable line, an exception in a listener | a pause; list again |

    Every one of these is followed by a pause unless the stream had lasted `Pacing.healthy`: there is no busy loop.
    """

    def __init__(  # noqa: PLR0913 (what is watched, and what tests hold still)
        self,
        client: Client,
        resource: str,
        decode: Callable[[dict[str, Any]], T],
        sink: Sink[T],
        *,
        field_selector: str = "",
        namespace: str = "",
        api: str = CORE_V1,
        label: str = "",
        pacing: Pacing = DEFAULT_PACING,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._client = client
        self._list_target = Target(verb=Verb.LIST, resource=resource, namespace=namespace, api=api)
        self._label = label or resource
        self._decode = decode
        self._sink = sink
        self._selector = {"fieldSelector": field_selector} if field_selector else {}
        self._pacing = pacing
        self._clock = clock
        self._uniform = uniform
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._thread: threading.Thread | None = None
        self._stream: LineStream | None = None
        self._version = ""
        self._row = 0
        self._synced = threading.Event()
        self._heard = clock()
        self._restarts: Counter[RestartCause] = Counter(dict.fromkeys(RestartCause, 0))
        self._error = ""
        self._log = structlog.get_logger().bind(resource=self._label)

    def start(self) -> None:
        """Begin, in a daemon thread."""
        self._thread = threading.Thread(target=self.run, name=f"watch-{self._label}", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End, and wait for the end that many seconds at most: a call under way is not cut, only an open stream."""
        self.cut()
        if self._thread is not None:
            self._thread.join(timeout)

    def cut(self) -> None:
        """Ask to end, without waiting for it."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def wait_synced(self, timeout: float) -> bool:
        """Wait for the first list."""
        return self._synced.wait(timeout)

    @property
    def synced(self) -> bool:
        """It has been listed once."""
        return self._synced.is_set()

    def health(self) -> WatchHealth:
        """Say how it is now."""
        return WatchHealth(
            resource=self._label,
            synced=self.synced,
            last_event_age_s=max(0.0, self._clock() - self._heard),
            restarts={cause.value: self._restarts[cause] for cause in RestartCause},
            error=self._error,
        )

    def run(self) -> None:
        """List and watch until stopped."""
        while not self._stopping.is_set():
            began = self._clock()
            retry_after = 0.0
            try:
                if not self._version:
                    self._list()
                    began = self._clock()
                self._watch()
                cause, detail = RestartCause.ENDED, ""
            except ClusterError as error:
                cause, detail, retry_after = _cause(error), describe(error), error.retry_after
            except Undecodable as error:
                cause, detail = RestartCause.UNDECODABLE, str(error)
            except Exception:  # noqa: BLE001 (see below)
                # The last line of defence: a thread that died of a listener's fault would be a cache that is silently
                # stale for ever.
                self._log.exception("watch_failed")
                cause, detail = RestartCause.INTERNAL, "an unforeseen error, see the log"
            if self._stopping.is_set():
                return
            self._restart(cause, detail, lasted=self._clock() - began, retry_after=retry_after)

    def _restart(self, cause: RestartCause, detail: str, *, lasted: float, retry_after: float) -> None:
        self._restarts[cause] += 1
        self._error = detail
        if cause in _LIST_AGAIN:
            self._version = ""
        if lasted >= self._pacing.healthy:
            self._row = 0
            if cause is RestartCause.ENDED:
                self._heard = self._clock()
                return
        pause = self._pause(retry_after)
        self._log.info("watch_restarted", cause=cause.value, error=detail, pause_s=round(pause, 3))
        self._sleep(pause)

    def _pause(self, retry_after: float) -> float:
        pacing = self._pacing
        bound = min(pacing.backoff_cap, pacing.backoff_base * 2 ** min(self._row, 32))
        self._row += 1
        return max(self._uniform(0, bound), min(retry_after, pacing.retry_after_cap))

    def _list(self) -> None:
        target = self._list_target
        items: list[T] = []
        query = {**self._selector, "limit": str(PAGE_SIZE)}
        while True:
            page = self._client.request(target, Deadline.after(self._pacing.list_timeout), query=query)
            try:
                items.extend(self._decode(item) for item in page["items"] or ())
                metadata = page["metadata"]
                version, token = metadata["resourceVersion"], metadata.get("continue")
            except MALFORMED as error:
                raise Undecodable(f"list: {type(error).__name__}") from None
            if not token:
                break
            query["continue"] = token
        self._sink.replace(items, version)
        self._version = version
        self._heard = self._clock()
        self._synced.set()
        self._log.info("watch_listed", items=len(items))

    def _watch(self) -> None:
        pacing = self._pacing
        seconds = self._uniform(pacing.stream_min, pacing.stream_max)
        query = {
            **self._selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        target = replace(self._list_target, verb=Verb.WATCH)
        stream = self._client.stream(
            target, query=query, header_timeout=pacing.header_timeout, lasts=seconds + pacing.slack
        )
        self._stream = stream
        self._error = ""
        try:
            if self._stopping.is_set():  # stop() came before there was a stream to close
                stream.close()
            for line in stream:
                self._take(line, target)
        finally:
            self._stream = None

    def _take(self, line: bytes, target: Target) -> None:
        try:
            event = orjson.loads(line)
            kind, obj = event["type"], event["object"]
            if kind == "ERROR":
                code = obj.get("code")
                raise from_status(target, code if isinstance(code, int) else 500, obj)
            version = obj["metadata"]["resourceVersion"]
            item = None if kind == "BOOKMARK" else self._decode(obj)
            change = None if kind == "BOOKMARK" else EventType(kind)
        except MALFORMED as error:
            raise Undecodable(f"watch: {type(error).__name__}") from None
        if change is not None and item is not None:
            self._sink.apply(change, item, version)
        self._version = version
        self._heard = self._clock()


_LIST_AGAIN: Final = frozenset({RestartCause.EXPIRED, RestartCause.UNDECODABLE, RestartCause.INTERNAL})


def _cause(error: ClusterError) -> RestartCause:
    match error:
        case Expired():
            return RestartCause.EXPIRED
        case DeadlineExceeded():
            return RestartCause.SILENT
        case Unauthorized():
            return RestartCause.UNAUTHORIZED
        case Forbidden():
            return RestartCause.FORBIDDEN
        case _:
            return RestartCause.UNAVAILABLE
