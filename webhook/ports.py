"""What the services need of the world, as Protocols; `webhook.cluster` is the Kubernetes side of them.

Errors of the cluster have a tree of their own here, so that a service can tell what to do by type and never by text.
"""

import time
from dataclasses import dataclass
from typing import Protocol

from webhook.core.copies import Secret
from webhook.core.policy import SecretFact
from webhook.core.scope import Namespace


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


class ClusterError(Exception):
    """The API server did not do what was asked.

    Attributes:
        verb: What was asked, such as `create`.
        resource: Of what, such as `secrets`.
        namespace, name: Of which, empty if of none.
        code: HTTP status of the answer, 0 if there was none.
        retry_after: Seconds the API server asked us to wait, 0 if it did not.
    """

    cause: str = "the API server refused it"
    """For people: what this kind of error means."""

    def __init__(
        self, verb: str, resource: str, namespace: str = "", name: str = "", *, code: int = 0, retry_after: float = 0
    ) -> None:
        where = "/".join(part for part in (namespace, name) if part)
        super().__init__(f"{verb} {resource} {where}".rstrip() + (f": HTTP {code}" if code else f": {self.cause}"))
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.code = code
        self.retry_after = retry_after


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
    """401: our token is not accepted."""

    cause = "the API server does not accept our token"


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


class Facts(Protocol):
    """What is known of the cluster.

    Each read is answered from a cache if that has an answer, and by the API server if not, or if `fresh` is asked for,
    or if that cache has not synced yet. Absence in a cache is no answer: the watch may be late.

    All raise `ClusterError` when the API server had to be asked and could not answer.
    """

    def namespace(self, name: str, deadline: Deadline, *, fresh: bool = False) -> Namespace:
        """Read a Namespace; one that does not exist is a Namespace without labels."""
        ...

    def service_account_secrets(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> tuple[str, ...]:
        """Read the names of a ServiceAccount's pull secrets; none if it does not exist."""
        ...

    def secret(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> SecretFact:
        """Read a Secret, or say that it may not be read or is not there."""
        ...

    def copy(self, namespace: str, deadline: Deadline, *, fresh: bool = False) -> Secret | None:
        """Read the `ghcr-secret` of a namespace. Absence in a synced cache *is* an answer here unless `fresh`."""
        ...

    def observe(self, secret: Secret) -> None:
        """Take note of a Secret just written, before the watch tells of it."""
        ...


class SecretWriter(Protocol):
    """Writes copies. Every method raises `ClusterError`."""

    def create(self, secret: Secret, deadline: Deadline, *, dry_run: bool = False) -> Secret:
        """Create a Secret; `AlreadyExists` if there is one."""
        ...

    def update(self, secret: Secret, deadline: Deadline) -> Secret:
        """Bring a Secret to this content and these marks if it still has its resourceVersion, else `Conflict`."""
        ...

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        """Delete a Secret if it is still this one (uid and resourceVersion), else `Conflict`."""
        ...
