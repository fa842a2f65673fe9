"""Protocols of what the services need from the outside.

Errors of the cluster have a tree of their own here, so that a service can tell what to do by type and never by text.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from webhook.core.copies import Secret
from webhook.core.images import ImageReference
from webhook.core.keyring import Credential
from webhook.core.policy import SecretFact, ServiceAccount
from webhook.core.review import Json
from webhook.core.scope import Namespace
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


class OutOfTime(DeadlineExceeded):
    """Our own work did not end in time; the API server was not asked."""

    cause = "it took too long"


class TooLarge(ClusterError):
    """The answer is larger than what is read of one."""

    cause = "the answer is larger than what is read of one"


class NotLeading(ClusterError):
    """A write was asked for by a controller that does not hold the Lease; the API server was not asked."""

    cause = "this controller does not lead"


class Facts(Protocol):
    """What is known of the cluster.

    Each read is answered from a cache if that has an answer, and by the API server if not, or if `fresh` is asked for,
    or if that cache has not synced yet. Absence in a cache is no answer: the watch may be late.

    All raise `ClusterError` when the API server had to be asked and could not answer.
    """

    def namespace(self, name: str, deadline: Deadline, *, fresh: bool = False) -> Namespace:
        """Read a Namespace; one that does not exist is a Namespace without labels."""
        ...

    def service_account(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> ServiceAccount:
        """Read a ServiceAccount's pull secrets, or that it does not exist."""
        ...

    def secret(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> SecretFact:
        """Read a Secret, or say that it may not be read or is not there."""
        ...

    def copy(self, namespace: str, deadline: Deadline, *, fresh: bool = False) -> Secret | None:
        """Read the `ghcr-secret` of a namespace. Absence in a synced cache *is* an answer here unless `fresh`."""
        ...

    def observe(self, secret: Secret) -> None:
        """Take note of a Secret just written, before the watch reports it."""
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


class Copies(Facts, Protocol):
    """What the controller knows beyond a single namespace's facts."""

    def namespaces_with_secret(self) -> tuple[str, ...]:
        """List the namespaces that have a `ghcr-secret`, from the cache."""
        ...

    def namespaces(self) -> tuple[Namespace, ...]:
        """List every Namespace, from the cache."""
        ...

    def namespaces_by_account(self) -> frozenset[str]:
        """List the namespaces in which a ServiceAccount lists `ghcr-secret`, from the cache."""
        ...


class Pods(Protocol):
    """Lists Pods a page at a time, so that a large cluster never lies in memory at once."""

    def list(self, deadline: Deadline, *, namespace: str = "", pending: bool = False) -> Iterator[Json]:
        """Yield the Pods of one namespace or of all, or only those whose phase is Pending. Raises `ClusterError`."""
        ...


class EventReason(StrEnum):
    """Reasons of the Kubernetes Events we emit; part of the public interface."""

    COPY_CREATED = "CopyCreated"
    COPY_UPDATED = "CopyUpdated"
    COPY_DELETED = "CopyDeleted"
    COPY_REFUSED = "CopyRefused"
    COPY_FOREIGN = "CopyForeign"
    COPY_CONTESTED = "CopyContested"
    CENTRAL_SECRET_UNUSABLE = "CentralSecretUnusable"
    CENTRAL_SECRET_MISSING = "CentralSecretMissing"
    CENTRAL_SECRET_USABLE = "CentralSecretUsable"
    CENTRAL_SECRET_DOUBTFUL = "CentralSecretDoubtful"
    CERTIFICATE_RENEWED = "CertificateRenewed"
    CREDENTIAL_REJECTED = "CredentialRejected"
    CREDENTIAL_INSUFFICIENT = "CredentialInsufficient"
    CREDENTIAL_CANNOT_READ = "CredentialCannotRead"
    CREDENTIAL_EXPIRING = "CredentialExpiring"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """What an Event is about. A Namespace's own events lie in the namespace `default`, as the API asks."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    api_version: str = "v1"


class Events(Protocol):
    """Reports to people, in the cluster, what was done or refused."""

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        """Note an event. Never raises and never waits; events that repeat are counted together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A `coordination.k8s.io/v1` Lease.

    Attributes:
        holder: Identity of its holder; empty if it was released.
        duration_s: How long after its last renewal others must respect it.
        acquired_at, renewed_at: RFC 3339 with microseconds, for people; nobody compares clocks of two machines.
        transitions: How often the holder has changed.
        resource_version: Of the object as read; empty for one to create.
    """

    holder: str
    duration_s: int
    acquired_at: str = ""
    renewed_at: str = ""
    transitions: int = 0
    resource_version: str = ""


class Leases(Protocol):
    """One Lease, by its name. Every method raises `ClusterError`."""

    def get(self, deadline: Deadline) -> Lease | None:
        """Read it; `None` if it does not exist."""
        ...

    def create(self, lease: Lease, deadline: Deadline) -> Lease:
        """Create it; `AlreadyExists` if somebody was faster."""
        ...

    def update(self, lease: Lease, deadline: Deadline) -> Lease:
        """Replace it if it still has the lease's resourceVersion, else `Conflict`."""
        ...


class RegistryFault(StrEnum):
    """Why a registry's answer is no word on a credential; a log field."""

    REDIRECT = "redirect"
    NO_CHALLENGE = "no_challenge"
    REALM_REFUSED = "realm_refused"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAnswer:
    """How trying to log in to a registry, or to pull from one, ended.

    Attributes:
        code: HTTP status of the last answer, 0 if there was none. Without a fault, 401 and 403 are answers to a request
            that carried the credential.
        fault: Why this is no word on the credential, `None` if it may be one.
        failure: Why there was no answer, `None` if there was one.
    """

    code: int = 0
    fault: RegistryFault | None = None
    failure: ConnectionFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHeaders:
    """What GitHub's API says of a token in the headers of any answer; `None` for a header that is not there.

    Attributes:
        scopes: `X-OAuth-Scopes`.
        expiration: `GitHub-Authentication-Token-Expiration`.
        failure: Why there was no answer, `None` if there was one or nobody was asked.
    """

    scopes: str | None = None
    expiration: str | None = None
    failure: ConnectionFailure | None = None


class Registry(Protocol):
    """Registries and GitHub's API, asked about a credential. No method raises or outlasts its deadline."""

    def login(self, host: str, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Try to log in to a registry as `docker login` does; `host` may have a port."""
        ...

    def pull(self, image: ImageReference, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Ask for an image's manifest. 404 says that there is none, or that who asks may not know of it."""
        ...

    def token_headers(self, credential: Credential, deadline: Deadline) -> TokenHeaders:
        """Ask GitHub's API about a token; with no answer, or none that accepts the token, no header is there."""
        ...
