"""Protocols of what the services need from clusters and registries."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from webhook.core.copies import Secret
from webhook.core.images import ImageReference
from webhook.core.judging import SecretFact
from webhook.core.keyring import Credential
from webhook.core.policy import ServiceAccount
from webhook.core.review import Json
from webhook.core.scope import Namespace
from webhook.failures import ConnectionFailure
from webhook.ports.errors import Deadline

LIST_S: Final = 120.0
"""Time for listing every object of a kind in a large cluster, in pages."""


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
    """What an Event is about, of the API `v1`. A Namespace's own events lie in the namespace `default`, as it asks."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""


class Events(Protocol):
    """Reports to people, in the cluster, what was done or refused."""

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        """Note an event. Never raises and never waits; events that repeat are counted together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLease:
    """A `coordination.k8s.io/v1` Lease, as leader election reads and writes it.

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

    def get(self, deadline: Deadline) -> LeaderLease | None:
        """Read it; `None` if it does not exist."""
        ...

    def create(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        """Create it; `AlreadyExists` if somebody was faster."""
        ...

    def update(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
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
