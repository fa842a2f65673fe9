"""Objects in memory, one global resourceVersion, and the history that watches start from."""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeAlias

import orjson

from standin.errors import gone
from standin.interfaces import Change, ChangeType, Json, ResourceInfo


class Record:
    """A stored object. Never changed in place; `raw` is its JSON, made when first needed."""

    __slots__ = ("_raw", "obj", "revision")

    def __init__(self, obj: Json, revision: int) -> None:
        self.obj = obj
        self.revision = revision
        self._raw: bytes | None = None

    @property
    def raw(self) -> bytes:
        """The object as JSON."""
        raw = self._raw
        if raw is None:
            raw = self._raw = orjson.dumps(self.obj)
        return raw


Records: TypeAlias = list[Record]


class StoreEvent:
    """One entry of the history: a change and the record it left (on DELETED: the last state)."""

    __slots__ = ("change", "record")

    def __init__(self, change: Change, record: Record) -> None:
        self.change = change
        self.record = record


def with_version(obj: Json, revision: int) -> Json:
    """Return the object with its metadata.resourceVersion set, sharing the rest."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


class Subscription:
    """A queue of the events of one resource, from a resourceVersion on."""

    __slots__ = ("_store", "key", "queue")

    def __init__(self, store: "MemoryStore", key: str) -> None:
        self._store = store
        self.key = key
        self.queue: SimpleQueue[StoreEvent] = SimpleQueue()

    def close(self) -> None:
        """Receive no more."""
        self._store.unsubscribe(self)

    def progress(self) -> int | None:
        """Return the resourceVersion up to which everything was taken from the queue, None if events wait."""
        with self._store.lock:
            return self._store.revision if self.queue.empty() else None


class MemoryStore:
    """All state of the stand-in. Reads need no lock; writes of several steps hold `lock`.

    Args:
        history_limit: Events kept per resource. A watch from before the oldest one is answered 410.
        revision: The first resourceVersion less one.
    """

    def __init__(self, *, history_limit: int = 100_000, revision: int = 1_000) -> None:
        self.lock = threading.RLock()
        self.revision = revision
        self._history_limit = history_limit
        self._records: dict[str, dict[str, dict[str, Record]]] = {}
        self._history: dict[str, deque[StoreEvent]] = {}
        self._compacted: dict[str, int] = {}
        self._compacted_all = 0
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._callbacks: list[Callable[[Change], None]] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock over several reads and writes."""
        with self.lock:
            yield

    # --- reading ---

    def record(self, resource: str, namespace: str, name: str) -> Record | None:
        """Return a stored record or None."""
        return self._records.get(resource, {}).get(namespace, {}).get(name)

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        """Return a stored object or None; it must not be changed."""
        record = self.record(resource, namespace, name)
        return None if record is None else record.obj

    def records(self, resource: str, namespace: str | None = None) -> tuple[list[Record], int]:
        """Return records in the order of namespace and name, and the resourceVersion they are as of."""
        with self.lock:
            spaces = self._records.get(resource, {})
            names = sorted(spaces) if namespace is None else [namespace]
            found = [space[name] for space_name in names if (space := spaces.get(space_name)) for name in sorted(space)]
            return found, self.revision

    def list(self, resource: str, namespace: str | None = None) -> list[Json]:
        """Return objects in the order of namespace and name; they must not be changed."""
        return [record.obj for record in self.records(resource, namespace)[0]]

    def count(self, resource: str, namespace: str) -> int:
        """Return how many objects of a resource a namespace holds."""
        return len(self._records.get(resource, {}).get(namespace, ()))

    # --- writing; the caller holds the lock if it decided by what it read ---

    def put(self, resource: ResourceInfo, obj: Json) -> Record:
        """Store an object under the next resourceVersion and tell everybody."""
        with self.lock:
            metadata = obj["metadata"]
            space = self._records.setdefault(resource.key, {}).setdefault(metadata.get("namespace", ""), {})
            before = space.get(metadata["name"])
            self.revision += 1
            record = space[metadata["name"]] = Record(with_version(obj, self.revision), self.revision)
            self._emit(
                Change(
                    type=ChangeType.ADDED if before is None else ChangeType.MODIFIED,
                    resource=resource,
                    object=record.obj,
                    old_object=None if before is None else before.obj,
                    resource_version=self.revision,
                ),
                record,
            )
            return record

    def remove(self, resource: ResourceInfo, namespace: str, name: str, last: Json | None = None) -> Record:
        """Delete an object. `last`: the state that the DELETED event shows, if not the stored one. Raises KeyError."""
        with self.lock:
            spaces = self._records[resource.key]
            before = spaces[namespace].pop(name)
            if not spaces[namespace]:
                del spaces[namespace]
            self.revision += 1
            record = Record(with_version(last or before.obj, self.revision), self.revision)
            self._emit(
                Change(
                    type=ChangeType.DELETED,
                    resource=resource,
                    object=record.obj,
                    old_object=before.obj,
                    resource_version=self.revision,
                ),
                record,
            )
            return record

    def _emit(self, change: Change, record: Record) -> None:
        event = StoreEvent(change, record)
        key = change.resource.key
        history = self._history.get(key)
        if history is None:
            history = self._history[key] = deque()
        if len(history) >= self._history_limit:
            self._compacted[key] = history.popleft().record.revision
        history.append(event)
        for subscription in self._subscriptions.get(key, ()):
            subscription.queue.put(event)
        for callback in self._callbacks:
            callback(change)

    # --- watching ---

    def watch(self, key: str, since: int | None) -> tuple[Subscription, Records]:
        """Subscribe to a resource.

        Args:
            since: Deliver what came after this resourceVersion; None delivers what comes from now on.

        Returns:
            The subscription, and the records there are now if `since` is None.

        Raises:
            ApiError: 410 if the history does not reach back to `since`.
        """
        subscription = Subscription(self, key)
        with self.lock:
            current: Records = []
            if since is None:
                current = self.records(key)[0]
            else:
                oldest = max(self._compacted.get(key, 0), self._compacted_all)
                if since < oldest:
                    raise gone(f"too old resource version: {since} ({oldest})")
                history = self._history.get(key, deque())
                start = bisect_right(history, since, key=lambda event: event.record.revision)
                for index in range(start, len(history)):
                    subscription.queue.put(history[index])
            self._subscriptions.setdefault(key, []).append(subscription)
        return subscription, current

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self.lock:
            found = self._subscriptions.get(subscription.key, [])
            if subscription in found:
                found.remove(subscription)

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back for each change of any resource, under the lock. Returns the function that ends this."""
        with self.lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self.lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def expire_history(self) -> None:
        """Forget all history: each watch from a resourceVersion before now is answered 410."""
        with self.lock:
            self._history.clear()
            self._compacted_all = self.revision

    def continue_is_stale(self, revision: int) -> bool:
        """Tell whether a continue token of this resourceVersion has expired."""
        return revision < self._compacted_all


def json_equal(first: Any, second: Any) -> bool:
    """Compare as JSON: `True` is not 1."""
    return bool(first == second) and orjson.dumps(first, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        second, option=orjson.OPT_SORT_KEYS
    )
