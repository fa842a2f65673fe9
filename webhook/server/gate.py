"""Admission of reviews to threads and memory, fair by namespace."""

import threading
from collections import Counter

from webhook.server.limits import FREE_BYTES, Limits, document_bytes


class Gate:
    """Counts what is being worked on. Never waits: who is not let through waits for a `leave`, or gives up."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._running = 0
        self._by_namespace: Counter[str] = Counter()
        self._documents = 0

    def cost(self, body: bytes) -> int:
        """Say what parsing a body takes of the budget: nothing of a small one, of which each thread may hold one."""
        return 0 if len(body) <= FREE_BYTES else document_bytes(body)

    def fits(self, cost: int) -> bool:
        """Return whether a document of that cost can ever be parsed."""
        return cost <= self._limits.document_bytes

    def take(self, cost: int) -> bool:
        """Reserve the memory of a parsed document, if there is room."""
        if not cost:
            return True
        with self._lock:
            if self._documents + cost > self._limits.document_bytes:
                return False
            self._documents += cost
            return True

    def give_back(self, cost: int) -> None:
        """Free what `take` reserved."""
        if cost:
            with self._lock:
                self._documents -= cost

    def enter(self, namespace: str) -> bool:
        """Begin to work on a review of a namespace, if it is its turn."""
        with self._lock:
            if self._running >= self._limits.threads:
                return False
            if self._by_namespace[namespace] >= self._limits.namespace_threads:
                return False
            self._running += 1
            self._by_namespace[namespace] += 1
            return True

    def leave(self, namespace: str) -> None:
        """End what `enter` began."""
        with self._lock:
            self._running -= 1
            self._by_namespace[namespace] -= 1
            if not self._by_namespace[namespace]:
                del self._by_namespace[namespace]
