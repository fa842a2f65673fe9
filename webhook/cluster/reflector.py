"""Mirrors of resources by list and watch.

A watch can end, be refused, break, fall silent or lose its place; each has one defined way back (see `Reflector`).
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import orjson
import structlog

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.paging import Decode, whole_list
from webhook.cluster.requests import CORE_V1, Target, Verb
from webhook.cluster.responses import MALFORMED, LineStream, describe_error, error_from_status
from webhook.cluster.watching import DEFAULT_PACING, LIST_AGAIN, Pacing, RestartCause
from webhook.cluster.wire import Content
from webhook.core.figures import WatchHealth
from webhook.ports import ClusterError, Deadline, DeadlineExceeded, Expired, Forbidden, TooLarge, Unauthorized

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Where a reflector puts what it learns. Called by one thread."""

    def replace(self, items: Sequence[T_contra], version: str) -> None:
        """Take these as all there is, as of that resourceVersion; what is not among them is gone."""
        ...

    def apply(self, item: T_contra, version: str, *, deleted: bool) -> None:
        """Take one change, made at that resourceVersion: the item as it is now, or was when it was deleted."""
        ...


class Undecodable(Exception):
    """A line of a watch or an item of a list is not what it should be."""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Metadata(msgspec.Struct):
    resourceVersion: str  # noqa: N815 (the API's name)


class _Versioned(msgspec.Struct):
    metadata: _Metadata


class Reflector(Generic[T]):
    """Keeps a sink like the API server has a resource.

    | what happens | what follows |
    |---|---|
    | the stream ends | watch on from the last resourceVersion |
    | the stream is silent beyond its time | the connection is dropped; watch on |
    | 410, as an answer or an `ERROR` event | list again (deletions missed meanwhile are noticed) |
    | 401 | the client has re-read the token and tried again already; if that fails too, a pause and watch on |
    | 403, 429, 5xx, reset, refused | a pause, `Retry-After` obeyed; watch on |
    | an undecodable line, an exception in a listener | a pause; list again |
    | a line beyond `wire.OBJECT_BYTES` | the same; the list asks for the metadata of what is too large |

    Every one of these is followed by a pause unless the stream had lasted `Pacing.healthy`: there is no busy loop.
    """

    def __init__(  # noqa: PLR0913 (what is watched, and what tests hold still)
        self,
        client: Client,
        resource: str,
        decode: Decode[T],
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
                cause, detail, retry_after = _cause(error), describe_error(error), error.retry_after
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
        if cause in LIST_AGAIN:
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
        items, version = whole_list(
            self._client,
            self._list_target,
            self._decoded,
            query=self._selector,
            deadline=lambda: Deadline.after(self._pacing.list_timeout),
        )
        self._sink.replace(items, version)
        self._version = version
        self._heard = self._clock()
        self._synced.set()
        self._log.info("watch_listed", items=len(items))

    def _decoded(self, item: Content, whole: bool) -> T:
        try:
            return self._decode(item, whole)
        except MALFORMED as error:
            raise Undecodable(f"list: {type(error).__name__}") from None

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
                del line  # it can be large, and the next one may be long in coming
        finally:
            self._stream = None

    def _take(self, line: bytearray, target: Target) -> None:
        try:
            event = wire.read(line, _Event)
            if event.type == "ERROR":
                status = orjson.loads(memoryview(event.object))
                code = status.get("code")
                raise error_from_status(target, code if isinstance(code, int) else 500, status)
            version = wire.read(event.object, _Versioned).metadata.resourceVersion
            deleted = _DELETED[event.type]
            item = None if deleted is None else self._decode(event.object, True)
        except MALFORMED as error:
            raise Undecodable(f"watch: {type(error).__name__}") from None
        if deleted is not None and item is not None:
            self._sink.apply(item, version, deleted=deleted)
        self._version = version
        self._heard = self._clock()


class Watches:
    """Reflectors that begin and end together."""

    def __init__(self, reflectors: Iterable[Reflector[Any]]) -> None:
        self._reflectors = tuple(reflectors)

    def start(self) -> None:
        """Start the watches."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """Stop the watches."""
        for reflector in self._reflectors:
            reflector.cut()
        for reflector in self._reflectors:
            reflector.stop()

    def synced(self) -> bool:
        """Return whether everything has been listed once."""
        return all(reflector.synced for reflector in self._reflectors)

    def health(self) -> tuple[WatchHealth, ...]:
        """Report the state of each watch."""
        return tuple(reflector.health() for reflector in self._reflectors)


_DELETED: Final = {"ADDED": False, "MODIFIED": False, "DELETED": True, "BOOKMARK": None}
"""What an event's type says of its object; a bookmark has none."""


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
        case TooLarge():
            return RestartCause.TOO_LARGE
        case _:
            return RestartCause.UNAVAILABLE
