"""Writes of the controller: only while it leads, and no faster than it may."""

from webhook.controller.leader import Elector
from webhook.controller.limiter import Limiter
from webhook.core.copies import Secret
from webhook.ports import ClusterError, Deadline, SecretWriter


class GuardedWriter:
    """A `SecretWriter` that asks the elector and the limiter before each write."""

    def __init__(self, writer: SecretWriter, elector: Elector, limiter: Limiter) -> None:
        self._writer = writer
        self._elector = elector
        self._limiter = limiter

    def create(self, secret: Secret, deadline: Deadline, *, dry_run: bool = False) -> Secret:
        """Create a Secret."""
        deadline = self._admit(deadline)
        try:
            return self._writer.create(secret, deadline, dry_run=dry_run)
        except ClusterError as error:
            raise self._heeded(error) from None

    def update(self, secret: Secret, deadline: Deadline) -> Secret:
        """Update a Secret."""
        deadline = self._admit(deadline)
        try:
            return self._writer.update(secret, deadline)
        except ClusterError as error:
            raise self._heeded(error) from None

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        """Delete a Secret."""
        deadline = self._admit(deadline)
        try:
            self._writer.delete(secret, deadline)
        except ClusterError as error:
            raise self._heeded(error) from None

    def _admit(self, deadline: Deadline) -> Deadline:
        self._limiter.acquire()
        # After the wait, not before it: leadership may have ended meanwhile.
        return self._elector.write_deadline(deadline)

    def _heeded(self, error: ClusterError) -> ClusterError:
        if error.retry_after > 0:
            self._limiter.pause(error.retry_after)
        return error
