"""Watches: the stream of events one request receives."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty

import orjson

from standin.errors import ApiError
from standin.interfaces import ChangeType, Json, ResourceInfo
from standin.selectors import Predicate
from standin.store import MemoryStore, Record, StoreEvent, Subscription

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# The API server's watch cache sends a bookmark every minute and in the last two seconds before the time-out.
BOOKMARK_PERIOD_S = 60.0
BOOKMARK_BEFORE_END_S = 2.0
# A stream that has nothing to send looks this often whether its client is still there.
POLL_S = 0.5

Render = Callable[[Json], Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What a watch asks for.

    Attributes:
        since: Events after this resourceVersion; None for the present state first, as synthetic ADDED.
        namespace: None for all.
        matches: Field and label selectors; None selects everything.
        render: Turns an object into what is sent (a Table, another apiVersion); None sends it as stored.
        send_initial: `sendInitialEvents`: end the present state with a marked bookmark.
        bookmark_period_s: Seconds between bookmarks.
    """

    resource: ResourceInfo
    since: int | None
    namespace: str | None
    matches: Predicate | None
    bookmarks: bool
    timeout_s: float
    render: Render | None = None
    send_initial: bool = False
    bookmark_period_s: float = BOOKMARK_PERIOD_S


def frame(kind: str, obj: bytes) -> bytes:
    """Return one watch event as a line."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), obj)


def error_frame(error: ApiError) -> bytes:
    """Return an ERROR event."""
    return frame("ERROR", orjson.dumps(error.status()))


class Stream:
    """Iterates over the lines of one watch; an empty line of bytes means "nothing yet, look at the client"."""

    def __init__(self, store: MemoryStore, request: WatchRequest) -> None:
        self._store = store
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        request = self._request
        start = time.monotonic()
        try:
            subscription, current = self._store.watch(request.resource.key, request.since)
        except ApiError as error:
            yield error_frame(error)
            return
        try:
            for record in current:
                if self._selected(record.obj):
                    yield self._line(ChangeType.ADDED, record)
            if request.send_initial and request.bookmarks:
                yield self._bookmark(self._store.revision, initial=True)
            yield from self._follow(subscription, start)
        finally:
            subscription.close()

    def _follow(self, subscription: Subscription, start: float) -> Iterator[bytes]:
        request = self._request
        end = start + request.timeout_s
        next_bookmark = min(start + request.bookmark_period_s, end - BOOKMARK_BEFORE_END_S)
        while (now := time.monotonic()) < end:
            if request.bookmarks and now >= next_bookmark:
                revision = subscription.progress()
                if revision is not None:
                    # In the last seconds one each second, else one a period.
                    last = now >= end - BOOKMARK_BEFORE_END_S
                    next_bookmark = (
                        now + 1.0 if last else min(now + request.bookmark_period_s, end - BOOKMARK_BEFORE_END_S)
                    )
                    yield self._bookmark(revision)
            wait = min(end, next_bookmark if request.bookmarks else end, now + POLL_S) - now
            try:
                event = subscription.queue.get(timeout=max(wait, 0.001))
            except Empty:
                yield b""
                continue
            line = self._event(event)
            if line is not None:
                yield line

    def _selected(self, obj: Json) -> bool:
        request = self._request
        if request.namespace is not None and obj["metadata"].get("namespace", "") != request.namespace:
            return False
        return request.matches is None or request.matches(obj)

    def _event(self, event: StoreEvent) -> bytes | None:
        """An object that begins to be selected is ADDED, one that ceases to be is DELETED."""
        change = event.change
        old = change.old_object
        was = old is not None and self._selected(old)
        if change.type is ChangeType.DELETED:
            return self._line(ChangeType.DELETED, event.record) if was else None
        now = self._selected(change.object)
        if now:
            return self._line(ChangeType.MODIFIED if was else ChangeType.ADDED, event.record)
        if was and old is not None:
            metadata = {**old["metadata"], "resourceVersion": str(change.resource_version)}
            return self._line(ChangeType.DELETED, Record({**old, "metadata": metadata}, change.resource_version))
        return None

    def _line(self, kind: ChangeType, record: Record) -> bytes:
        render = self._request.render
        return frame(kind, record.raw if render is None else orjson.dumps(render(record.obj)))

    def _bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        resource = self._request.resource
        metadata: Json = {"resourceVersion": str(revision)}
        if initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Json = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        render = self._request.render
        return frame("BOOKMARK", orjson.dumps(obj if render is None else render(obj)))
