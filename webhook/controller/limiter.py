"""Rate limit of controller writes, with respect for Retry-After."""

import threading
import time
from collections.abc import Callable
from typing import Final

MAX_PAUSE_S: Final = 30.0
"""Longest `Retry-After` that is heeded; half of the 60 s within which a fixed fault must be noticed."""


class Limiter:
    """Lets through so many writes a second; a pause asked for by the API server holds all of them up.

    Args:
        qps: Writes a second; 0 for no limit.
        burst: Writes that may go at once after a quiet time.
        sleep: Waits; may end early (the process is to stop), and then the write goes early too.
    """

    def __init__(
        self,
        qps: float,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._qps = qps
        self._burst = max(1, burst)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._paused_until = float("-inf")

    def acquire(self) -> None:
        """Wait until a write may go."""
        with self._lock:
            now = self._clock()
            at = max(now, self._paused_until)
            if self._qps > 0:
                # The bucket as the time at which it is full again: no token count to keep.
                self._next = max(self._next, at - (self._burst - 1) / self._qps)
                at = max(at, self._next)
                self._next += 1 / self._qps
        if at > now:
            self._sleep(at - now)

    def pause(self, seconds: float) -> None:
        """Hold all writes for some seconds (`Retry-After`), `MAX_PAUSE_S` at most."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + min(seconds, MAX_PAUSE_S))
