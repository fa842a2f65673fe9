"""Connections dropped before they were done: counted, and logged seldom."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import structlog

_REPORT_SECONDS: Final = 10.0
"""Between two lines about dropped connections; anybody could fill the log otherwise."""


class DropCause(StrEnum):
    """Why a connection was closed; a metric label."""

    FULL = "full"
    """There were too many, and it was the one to go, or all were being worked on and it was not taken."""
    ADDRESS = "address"
    """The same, of those from its address."""
    MEMORY = "memory"
    """Its unfinished body made room for another."""
    HANDSHAKE = "handshake"
    """It took too long to shake hands."""
    REQUEST = "request"
    """It took too long to send head and body."""
    ANSWER = "answer"
    """It took too long to read the answer."""
    TLS = "tls"
    """It spoke no TLS, or the handshake failed."""


class Drops:
    """Counts them.

    Args:
        clock: Monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._totals: dict[str, int] = dict.fromkeys(DropCause, 0)
        self._unreported: Counter[str] = Counter()
        self._reported = 0.0

    def count(self, cause: DropCause) -> None:
        """Count one."""
        with self._lock:
            self._totals[cause] += 1
            self._unreported[cause] += 1

    def count_tls(self, peer: str, word: str) -> None:
        """Count a handshake that failed, and log the first: a port scan, or an API server that does not trust us.

        Args:
            peer: Host of the peer.
            word: OpenSSL's for what went wrong; one of a fixed list, which is no label of a metric all the same.
        """
        with self._lock:
            self._totals[DropCause.TLS] += 1
            first = not self._unreported[f"handshake_{word}"]
            self._unreported[f"handshake_{word}"] += 1
        if first:
            structlog.get_logger().info("handshake_failed", peer=peer, cause=word)

    def totals(self) -> Mapping[str, int]:
        """Give the number of each cause since the start."""
        with self._lock:
            return dict(self._totals)

    def report(self) -> None:
        """Log how many there were since the last line, unless that was a moment ago."""
        now = self._clock()
        with self._lock:
            if not self._unreported or now - self._reported <= _REPORT_SECONDS:
                return
            self._reported = now
            unreported, self._unreported = self._unreported, Counter()
        structlog.get_logger().warning("connections_dropped", **unreported)
