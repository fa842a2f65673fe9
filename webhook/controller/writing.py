"""Secret writes only while leading and within the rate limit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from webhook.controller.leader import Elector
from webhook.controller.queue import MAX_DELAY_S
from webhook.core.copies import Secret
from webhook.ports import ClusterError, Deadline, SecretWriter

MAX_PAUSE_S: Final = MAX_DELAY_S
"""Longest `Retry-After` that is obeyed; the bound of our own pauses, for the same reason."""


class Limiter:
    """Rate limit of writes; a pause that the API server asks for holds all of them.

    Args:
        qps: Writes a second; 0 for no limit.
        sleep: Waits; may end early (the process is to stop), and then the write goes early too.
    """

    def __init__(
        self,
        qps: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._qps = qps
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = float("-inf")

    def acquire(self) -> None:
        """Wait until a write may go."""
        with self._lock:
            now = self._clock()
            at = max(now, self._next)
            self._next = at + (1 / self._qps if self._qps > 0 else 0)
        if at > now:
            self._sleep(at - now)

    def pause(self, seconds: float) -> None:
        """Hold all writes for some seconds (`Retry-After`), `MAX_PAUSE_S` at most."""
        with self._lock:
            self._next = max(self._next, self._clock() + min(seconds, MAX_PAUSE_S))


class Guard:
    """Lets a write through when the limiter and the elector do, in this order: leadership may end during the wait."""

    def __init__(self, elector: Elector, limiter: Limiter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._elector = elector
        self._limiter = limiter
        self._clock = clock

    @contextmanager
    def write(self, deadline: Deadline) -> Iterator[Deadline]:
        """Write within this, by the deadline it gives; a `Retry-After` holds up the writes after it.

        Raises:
            NotLeading: Writing is not allowed.
        """
        begun = self._clock()
        self._limiter.acquire()
        # The deadline is for the API server to answer in; our own rate limit must not use it up.
        deadline = Deadline(deadline.at + (self._clock() - begun))
        with self._elector.writing(deadline) as bounded:
            try:
                yield bounded
            except ClusterError as error:
                if error.retry_after > 0:
                    self._limiter.pause(error.retry_after)
                raise


class GuardedWriter:
    """A `SecretWriter` behind a guard."""

    def __init__(self, writer: SecretWriter, guard: Guard) -> None:
        self._writer = writer
        self._guard = guard

    def create(self, secret: Secret, deadline: Deadline, *, dry_run: bool = False) -> Secret:
        """Create a Secret."""
        with self._guard.write(deadline) as bounded:
            return self._writer.create(secret, bounded, dry_run=dry_run)

    def update(self, secret: Secret, deadline: Deadline) -> Secret:
        """Update a Secret."""
        with self._guard.write(deadline) as bounded:
            return self._writer.update(secret, bounded)

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        """Delete a Secret."""
        with self._guard.write(deadline) as bounded:
            self._writer.delete(secret, bounded)
