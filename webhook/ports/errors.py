"""Deadlines, and the errors of an API server.

The errors have a tree of their own, so that a service can tell what to do by type and never by text.
"""

import time
from dataclasses import dataclass

from webhook.failures import ConnectionFailure


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock by which an answer must be out."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Make the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Say how many seconds are left; never below zero."""
        return max(0.0, self.at - time.monotonic())

    def check(self) -> None:
        """Raise `OutOfTime` if nothing is left; for loops whose length somebody else decides."""
        if time.monotonic() >= self.at:
            raise OutOfTime("judge", "pull secrets")


class ClusterError(Exception):
    """The API server did not do what was asked.

    Attributes:
        verb: What was asked, such as `create`.
        resource: Of what, such as `secrets`.
        namespace, name: Of which, empty if of none.
        code: HTTP status of the answer, 0 if there was none.
        retry_after: Seconds the API server asked us to wait, 0 if it did not.
        failure: Why there was no answer, as far as it is known; `None` if there was one.
    """

    cause: str = "the API server refused it"
    """For people: what this kind of error means."""

    def __init__(  # noqa: PLR0913 - what it carries
        self,
        verb: str,
        resource: str,
        namespace: str = "",
        name: str = "",
        *,
        code: int = 0,
        retry_after: float = 0,
        failure: ConnectionFailure | None = None,
    ) -> None:
        where = "/".join(part for part in (namespace, name) if part)
        what = f"HTTP {code}" if code else f"{self.cause} ({failure})" if failure else self.cause
        super().__init__(f"{verb} {resource} {where}".rstrip() + f": {what}")
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.code = code
        self.retry_after = retry_after
        self.failure = failure


class NotFound(ClusterError):
    """404."""

    cause = "it does not exist"


class AlreadyExists(ClusterError):
    """409 on create: somebody was faster."""

    cause = "it exists already"


class Conflict(ClusterError):
    """409 on a change: it is no longer what we read."""

    cause = "it was changed meanwhile"


class NamespaceTerminating(ClusterError):
    """403 with the cause `NamespaceTerminating`."""

    cause = "the namespace is being deleted"


class QuotaExceeded(ClusterError):
    """403 for a ResourceQuota."""

    cause = "a ResourceQuota of the namespace forbids another Secret"


class Forbidden(ClusterError):
    """403 otherwise: a missing permission, or another admission webhook."""

    cause = "the API server forbids it (missing permission or another admission policy)"


class Unauthorized(ClusterError):
    """401: the caller is not known."""

    cause = "the API server does not know who asks: a token or certificate has ended, or is another cluster's"


class Invalid(ClusterError):
    """400 or 422: what we sent is not acceptable."""

    cause = "the API server calls it invalid"


class Expired(ClusterError):
    """410: a resourceVersion or a list's continuation is too old."""

    cause = "the resourceVersion is too old"


class Unavailable(ClusterError):
    """429, 5xx or no connection: worth another try later."""

    cause = "the API server is not available"


class DeadlineExceeded(ClusterError):
    """The answer did not come in time."""

    cause = "the API server did not answer in time"


class OutOfTime(DeadlineExceeded):
    """Our own work did not end in time; the API server was not asked."""

    cause = "it took too long"


class TooLarge(ClusterError):
    """The answer is larger than what is read of one."""

    cause = "the answer is larger than what is read of one"


class NotLeading(ClusterError):
    """A write was asked for by a controller that does not hold the Lease; the API server was not asked."""

    cause = "this controller does not lead"
