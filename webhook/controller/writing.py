"""Secret writes only while leading and within the rate limit."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhook.controller.leader import Elector
from webhook.controller.limiter import Limiter
from webhook.core.copies import Secret
from webhook.ports import ClusterError, Deadline, SecretWriter


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
