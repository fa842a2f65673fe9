"""Limits of threads, bodies, connections and memory, and their gate."""

import ctypes
import os
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

MIB: Final = 2**20

BASE_BYTES: Final = 104 * MIB
"""Of a process that has 10,000 namespaces, ServiceAccounts and copies in its caches (`make bench`, `size`)."""

THREAD_BYTES: Final = MIB
"""Stack, allocator's arena and the copies that a thread needs of what it works on."""

CONNECTIONS: Final = 512
"""25 idle connections from each API server, and room for many; below the usual limit of 1024 open files."""

CONNECTION_BYTES: Final = 40 * 1024
"""State of TLS, and the part of a request that is free of `Limits.buffered_bytes`."""

FREE_BYTES: Final = 16 * 1024
"""Of each request that is being received: nearly every review is smaller."""

BODIES: Final = 2
"""The longest bodies that may be received at the same time."""

DENSITY: Final = 8
"""Bytes in memory for each byte of the longest body that still has to be read: a review is mostly names and texts."""

SPARE_THREADS: Final = 3
"""Threads besides those of reviews: while every review waits for the API server, they read and refuse."""

WAITING: Final = 256
"""Reviews that may wait for their turn; the API server sends the Pods of one ReplicaSet by the dozen."""

NAMESPACE_WAITING: Final = WAITING // 4
"""Of one namespace, or of those too large to be read at once, whose namespace is not known yet: a quarter, as of the
threads. What is more is refused at once."""

WAIT_SECONDS: Final = 2.0
"""How long a review waits for its turn, without a thread; then it is refused while the API server, which waits 5 s by
the chart's values, has time to say so. Not at once: the first Pods of a namespace wait for its copy. Of 40 at once,
with a copy that took the API server 0.3 s to make, 36 were refused when none waited, and none when they had 0.5 s; on a
starved node some needed longer."""


class TooLittleMemory(Exception):
    """Settings that do not fit the memory limit.

    Attributes:
        needed: The least that would do, in bytes.
    """

    def __init__(self, needed: int) -> None:
        super().__init__(f"needs {needed // MIB} MiB")
        self.needed = needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes on at the same time; from `derive`.

    Attributes:
        threads: Reviews worked on.
        namespace_threads: Reviews of one namespace worked on: a quarter, so that one cannot hold up the others.
        body_bytes: Longest body.
        buffered_bytes: Of all bodies that are being received, beyond `FREE_BYTES` of each.
        document_bytes: Of all parsed reviews, by `document_bytes`.
        connections: Open connections.
        peer_connections: From one address: half. All API servers may come from one, behind kube-proxy, konnectivity or
            SNAT, and a neighbour may share it; so it is not less, and within it those go first that never asked for a
            review.
    """

    threads: int
    namespace_threads: int
    body_bytes: int
    buffered_bytes: int
    document_bytes: int
    connections: int = CONNECTIONS
    peer_connections: int = CONNECTIONS // 2


def derive(*, memory_bytes: int, threads: int, body_bytes: int) -> Limits:
    """Divide a memory limit.

    Raises:
        TooLittleMemory: The longest body could not be received and read.
    """
    fixed = BASE_BYTES + CONNECTIONS * CONNECTION_BYTES + (threads + SPARE_THREADS) * THREAD_BYTES
    buffered = BODIES * body_bytes
    documents = memory_bytes - fixed - buffered
    if documents < DENSITY * body_bytes:
        raise TooLittleMemory(fixed + buffered + DENSITY * body_bytes)
    return Limits(
        threads=threads,
        namespace_threads=max(1, threads // 4),
        body_bytes=body_bytes,
        buffered_bytes=buffered,
        document_bytes=documents,
    )


def document_bytes(body: bytes) -> int:
    """Say what a JSON text takes in memory once it is parsed, at most, without parsing it.

    A list of `{}` takes 36 times its text. The weights are those of CPython's objects and of orjson's own copy,
    measured on texts that are as bad as can be (`tests/edges/test_server_limits.py`).
    """
    ascii_only = body.isascii() and b"\\u" not in body
    return (
        65536
        + len(body) * (5 if ascii_only else 17)
        + body.count(b'"') * 24
        + body.count(b"{") * 200
        + body.count(b"[") * 120
        + body.count(b",") * 80
        + body.count(b":") * 120
    )


_MMAP_THRESHOLD: Final = (-3, 128 * 1024)
"""glibc's own figure to begin with; set, it no longer grows to 32 MiB after the first large body."""

_ARENA_MAX: Final = (-8, 2)
"""glibc takes eight for each processor, and each keeps its own free memory."""

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 (memory: a key is not to touch a disk, and a root may be read-only)


def directory_in_memory() -> str | None:
    """Return a directory for files that are to lie in memory; `None` where there is none that can be written."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


def give_back_freed_memory() -> bool:
    """Have glibc give freed memory back to the kernel; `False` where the C library is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) for setting in (_MMAP_THRESHOLD, _ARENA_MAX))


class Gate:
    """Admission of reviews to threads and memory, fair by namespace.

    It never waits: a review for which there is no room waits elsewhere for a `leave`, or is given up.
    """

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
