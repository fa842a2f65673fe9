"""Words of logs, metrics and answers, each spelt once.

The values are part of the public interface: labels of metrics, fields of log lines, audit annotations.
"""

from enum import StrEnum
from typing import Final


class Half(StrEnum):
    """A half of the webhook; its path, too."""

    MUTATE = "mutate"
    VALIDATE = "validate"


class Outcome(StrEnum):
    """The outcome of a review; a metric label."""

    ALLOWED = "allowed"
    PATCHED = "patched"
    WARNED = "warned"
    DENIED = "denied"
    ERROR = "error"
    """There was no answer: the request ended in an HTTP error."""


class Reason(StrEnum):
    """Every reason of both halves; the value is part of the public interface (metrics, logs, audit annotations)."""

    # Both halves: nothing to judge.
    NOT_APPLICABLE = "not_applicable"
    NO_SELECTED_IMAGE = "no_selected_image"
    OPTED_OUT = "opted_out"
    CONTROLLER_OWNED = "controller_owned"
    UNCHANGED = "unchanged"
    # Mutating half.
    NOT_MUTABLE = "not_mutable"
    ALREADY_LISTED = "already_listed"
    LEFT_TO_POD = "left_to_pod"
    INJECTED = "injected"
    MOUNTED = "mounted"
    # Validating half.
    COVERED = "covered"
    SECRET_MISSING = "secret_missing"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_ENTRY_FOR_IMAGE = "no_entry_for_image"
    EMPTY_CREDENTIAL = "empty_credential"
    NOT_LISTED = "not_listed"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    PROVISIONING_FAILED = "provisioning_failed"
    UNVERIFIABLE = "unverifiable"
    TOO_LARGE = "too_large"
    # Neither: the request could not be read, or we failed.
    BAD_REQUEST = "bad_request"
    ERROR = "error"


REFUSING: Final = (
    Reason.SECRET_MISSING,
    Reason.WRONG_TYPE,
    Reason.MALFORMED,
    Reason.NO_ENTRY_FOR_IMAGE,
    Reason.EMPTY_CREDENTIAL,
    Reason.NOT_LISTED,
    Reason.CENTRAL_MISSING,
    Reason.CENTRAL_UNUSABLE,
    Reason.PROVISIONING_FAILED,
    Reason.UNVERIFIABLE,
    Reason.TOO_LARGE,
)
"""The reasons a `webhook.core.judging.Problem` can have."""


class CentralFault(StrEnum):
    """Why the central secret must not be copied; said beside `Reason.CENTRAL_UNUSABLE`, in Events and in logs."""

    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_ENTRY_FOR_IMAGE = "no_entry_for_image"
    EMPTY_CREDENTIAL = "empty_credential"
    TOO_LARGE = "too_large"


class RequestFault(StrEnum):
    """Why a request ended in an HTTP error in place of an answer."""

    BAD_CONTENT_TYPE = "bad_content_type"
    BODY_TOO_LARGE = "body_too_large"
    BAD_REQUEST = "bad_request"
    MALFORMED_OBJECT = "malformed_object"
    CLIENT_GONE = "client_gone"
    OVERLOADED = "overloaded"
    CLUSTER = "cluster"
    """What the decision rests on could not be read."""
    INTERNAL = "internal"


class Provisioning(StrEnum):
    """How provisioning ended; a metric label and a log field."""

    CREATED = "created"
    UPDATED = "updated"
    CURRENT = "current"
    FOREIGN = "foreign"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    NAMESPACE_TERMINATING = "namespace_terminating"
    DELETING = "deleting"
    QUOTA_EXCEEDED = "quota_exceeded"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    CONFLICT = "conflict"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"

    @property
    def has_secret(self) -> bool:
        """Return whether there is a `ghcr-secret` in the namespace now."""
        return self in (Provisioning.CREATED, Provisioning.UPDATED, Provisioning.CURRENT, Provisioning.FOREIGN)


class Reconciliation(StrEnum):
    """What came of one reconciliation; a metric label."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    CURRENT = "current"
    LEFT = "left"
    HELD_BACK = "held_back"
    """It is contested, and not written before its pause ends."""
    FAILED = "failed"


class CredentialState(StrEnum):
    """What a registry says of a credential, or of it and one image; a metric label.

    `unreadable` is accepted, but not for the image that was tried. `unreachable` may pass and is tried again soon;
    `not_checked` is a registry that cannot be asked in this way.
    """

    ACCEPTED = "accepted"
    UNREADABLE = "unreadable"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    NOT_CHECKED = "not_checked"


class EventOutcome(StrEnum):
    """What came of an event; a metric label."""

    WRITTEN = "written"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    """Forbidden, or the namespace is being deleted or gone."""
    UNAVAILABLE = "unavailable"
    """The API server could not be reached again and again."""


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
