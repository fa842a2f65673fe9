"""A queue of keys with delays, each key at most once, as controllers use it."""

from __future__ import annotations

import heapq
import threading
import time
from typing import TypeAlias

Key: TypeAlias = tuple[str, ...]


class WorkQueue:
    """Keys to work on, for one worker."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._due: dict[Key, float] = {}
        # May hold outdated entries: `_due` says which one counts.
        self._heap: list[tuple[float, Key]] = []
        self._busy = False
        self._closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Ask for `key` in `after` seconds; an earlier time it is already asked for stays."""
        due = time.monotonic() + after
        with self._condition:
            if key in self._due and self._due[key] <= due:
                return
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._condition.notify()

    def take(self) -> Key | None:
        """Wait for the next key; None when the queue is closed. The one before counts as done."""
        with self._condition:
            self._busy = False
            self._condition.notify_all()
            while not self._closed:
                while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
                    heapq.heappop(self._heap)
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    _, key = heapq.heappop(self._heap)
                    del self._due[key]
                    self._busy = True
                    return key
                self._condition.wait(wait)
            return None

    def close(self) -> None:
        """Wake the worker for good; what is queued is dropped."""
        with self._condition:
            self._closed = True
            self._due.clear()
            self._heap.clear()
            self._condition.notify_all()

    def is_idle(self) -> bool:
        """Tell whether nothing is being worked on or due now; what waits for later does not count."""
        now = time.monotonic()
        with self._condition:
            return not self._busy and not any(due <= now for due in self._due.values())
