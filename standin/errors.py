"""API errors and the `v1` Status they are answered with.

The texts follow `k8s.io/apimachinery/pkg/api/errors` as recorded in `standin/tests/data/apiserver-transcripts.jsonl`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class ApiError(Exception):
    """An answer that is not a success.

    Attributes:
        code: HTTP status code.
        reason: `metav1.StatusReason`, empty for none.
        message: The text users see.
        details: `metav1.StatusDetails`, or None for no such field.
    """

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """Return the `v1` Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One finding of validation: `field.Error` of apimachinery.

    Attributes:
        reason: `FieldValueRequired`, `FieldValueInvalid`, `FieldValueForbidden`, ...
        message: Text without the field's path.
        field: Path of the field.
    """

    reason: str
    message: str
    field: str


def qualified(plural: str, group: str) -> str:
    """Return `plural` or `plural.group`, the way messages name a resource or kind."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 for one object."""
    return ApiError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', _details(name, group, plural))


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 on create."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, why: str = MODIFIED) -> ApiError:
    """409 for a stale resourceVersion or a failed precondition."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


def forbidden(plural: str, group: str, name: str, why: str, causes: Sequence[Mapping[str, Any]] = ()) -> ApiError:
    """403 by the authorizer or by admission."""
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    details = _details(name, group, plural)
    if causes:
        details["causes"] = [dict(cause) for cause in causes]
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with one cause per finding; several are listed in brackets."""
    texts = [f"{error.field}: {error.message}" for error in errors]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(name, group, kind)
    details["causes"] = [{"reason": error.reason, "message": error.message, "field": error.field} for error in errors]
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {joined}', details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no or unknown credentials."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_supported(plural: str, group: str, verb: str) -> ApiError:
    """405: the resource knows no such verb."""
    return ApiError(
        405, "MethodNotAllowed", f'{verb} is not supported on resources of kind "{qualified(plural, group)}"', {}
    )


def not_acceptable() -> ApiError:
    """406: one object was asked for as a list's metadata."""
    return ApiError(406, "NotAcceptable", "the requested object is not a list")


def unsupported_media_type(message: str) -> ApiError:
    """415."""
    return ApiError(415, "UnsupportedMediaType", message)


def internal(message: str, *, causes: bool = True) -> ApiError:
    """500, with the message as its cause, as `NewInternalError` does."""
    details = {"causes": [{"message": message}]} if causes else None
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details)


def gone(message: str) -> ApiError:
    """410: a resourceVersion or continue token that is no longer served."""
    return ApiError(410, "Expired", message)
