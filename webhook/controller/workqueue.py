"""Work queue of keys with retries, and writes within limits."""

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from webhook.controller.leader import Elector
from webhook.core.copies import Secret
from webhook.ports import ClusterError, Deadline, SecretWriter

Key = TypeVar("Key", bound=Hashable)

BASE_DELAY_S: Final = 0.05
MAX_DELAY_S: Final = 30.0
"""Longest pause between two tries of a key; half of the 60 s within which a fixed fault must be noticed."""


class Queue(Generic[Key]):
    """A de-duplicating queue with delayed adds and per-key back-off.

    The semantics are those of client-go's rate-limited workqueue: what is added while it is being worked on is worked
    on again afterwards, and what failed comes back after a delay that doubles with every failure in a row.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._changed = threading.Condition()
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # in `_ready`, or to be put there when its worker is done
        self._working: set[Key] = set()
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._order = itertools.count()
        self._stopped = False

    def __len__(self) -> int:
        """Count the keys that wait or are being worked on, delayed ones left out."""
        with self._changed:
            return len(self._waiting | self._working)

    def add(self, key: Key) -> None:
        """Put a key in line, unless it stands there already."""
        with self._changed:
            self._put(key)

    def add_after(self, key: Key, delay_s: float) -> None:
        """Put a key in line in some seconds; an earlier time it waits for already is kept."""
        if delay_s <= 0:
            self.add(key)
            return
        with self._changed:
            due = self._clock() + delay_s
            if self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            heapq.heappush(self._later, (due, next(self._order), key))
            self._changed.notify()

    def retry(self, key: Key, *, at_least_s: float = 0.0) -> float:
        """Put a key that failed in line again after its back-off; returns the delay in seconds."""
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        # Full jitter on the upper half: keys that failed together do not come back together.
        ceiling = min(MAX_DELAY_S, BASE_DELAY_S * 2.0 ** min(failures - 1, 16))
        delay = max(at_least_s, ceiling * (0.5 + 0.5 * self._jitter()))
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Reset the key's back-off: it went well."""
        with self._changed:
            self._failures.pop(key, None)

    def get(self, timeout_s: float | None = None) -> Key | None:
        """Take the next key, waiting for one; `None` when stopped or nothing came in time. Call `done` afterwards."""
        give_up = None if timeout_s is None else self._clock() + timeout_s
        with self._changed:
            while not self._stopped:
                now = self._clock()
                self._promote(now)
                if self._ready:
                    key = self._ready.popleft()
                    self._waiting.discard(key)
                    self._working.add(key)
                    return key
                wakes = [at for at in (give_up, self._later[0][0] if self._later else None) if at is not None]
                if give_up is not None and now >= give_up:
                    return None
                self._changed.wait(max(0.0, min(wakes) - now) if wakes else None)
            return None

    def done(self, key: Key) -> None:
        """Say that the work on a key has ended, well or not."""
        with self._changed:
            self._working.discard(key)
            if key in self._waiting:
                self._ready.append(key)
                self._changed.notify()

    def stop(self) -> None:
        """Let every `get` return `None` from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _put(self, key: Key) -> None:
        if self._stopped or key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._changed.notify()

    def _promote(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            # An entry that an earlier time has replaced is void.
            if self._due.get(key) == due:
                del self._due[key]
                self._put(key)


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
    """Admits a write when the limiter does and we lead, in this order: leadership may end during the wait."""

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
