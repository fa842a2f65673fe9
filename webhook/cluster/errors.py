"""HTTP failures translated to the errors of `webhook.ports`.

None of them carries a body or a message of the answer.
"""

from typing import Any, Final

import orjson
from urllib3.exceptions import ReadTimeoutError

from webhook.cluster.requests import Target, Verb
from webhook.failures import ConnectionFailure, ConnectionFault, failure_of
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    DeadlineExceeded,
    Expired,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
    Unauthorized,
    Unavailable,
)

_LATE: Final = ConnectionFailure(fault=ConnectionFault.TIMEOUT)

MALFORMED: Final = (KeyError, TypeError, AttributeError, ValueError)
"""What a decoder raises for JSON of another shape than it expects."""

_KINDS: Final[dict[int, type[ClusterError]]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Expired,
    429: Unavailable,
}


def from_answer(target: Target, code: int, body: bytes, retry_after: str | None = None) -> ClusterError:
    """Turn an answer other than 2xx into an error.

    Args:
        target: What was asked.
        code: HTTP status.
        body: The body, a `v1` `Status` if the API server wrote it; anything else is passed over.
        retry_after: Value of the header `Retry-After`.
    """
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    return from_status(target, code, status, retry_after)


def from_status(target: Target, code: int, status: object, retry_after: str | None = None) -> ClusterError:
    """Turn a decoded `v1` `Status` into an error; also that of an `ERROR` event, which has its code within."""
    fields = status if isinstance(status, dict) else {}
    details = fields.get("details")
    if not isinstance(details, dict):
        details = {}
    kind = _kind(target, code, fields.get("reason"), details)
    return target.error(
        kind, code=code, retry_after=_seconds(retry_after) or _seconds(details.get("retryAfterSeconds"))
    )


def from_failure(target: Target, failure: Exception, *, timed_out: bool) -> ClusterError:
    """Turn a failure to get an answer into an error.

    The original is left out of the chain (`raise … from None`): a text of urllib3 or `http.client` can hold bytes that
    were received. What `webhook.failures` makes of it is kept, or if that is nothing its type's name, as a note.

    Args:
        target: What was asked.
        failure: The failure.
        timed_out: The deadline has passed.
    """
    late = timed_out or isinstance(failure, ReadTimeoutError | TimeoutError)
    known = failure_of(failure) or (_LATE if late else None)
    error = target.error(DeadlineExceeded if late else Unavailable, failure=known)
    if known is None:
        error.add_note(type(failure).__name__)
    return error


def late(target: Target) -> ClusterError:
    """Make the error of a deadline that has passed before anything failed."""
    return target.error(DeadlineExceeded, failure=_LATE)


def describe(error: ClusterError) -> str:
    """Say for people what went wrong: kind, what was asked, and where it failed."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}{notes}"


def _kind(target: Target, code: int, reason: object, details: dict[str, Any]) -> type[ClusterError]:
    if code == 403:
        return _forbidden(target, details)
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if code in _KINDS:
        return _KINDS[code]
    return Invalid if 400 <= code < 500 else Unavailable


def _forbidden(target: Target, details: dict[str, Any]) -> type[ClusterError]:
    """Tell the 403s apart by structure.

    RBAC refuses a create before the body is read, so its Status names no object; an admission plugin knows the name.
    Of those on by default, `NamespaceLifecycle` and ValidatingAdmissionPolicy give causes; the one that refuses a
    Secret by name and without causes is `ResourceQuota`. A webhook's denial has no `details` unless it sets them.
    """
    causes = details.get("causes") or []
    if any(isinstance(cause, dict) and cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminating
    if target.verb is Verb.CREATE and not causes and details.get("kind") == target.resource and details.get("name"):
        return QuotaExceeded
    return Forbidden


def _seconds(value: object) -> float:
    """Read a number of seconds; the API server never sends the date that HTTP allows besides, so one counts as none."""
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return 0.0
