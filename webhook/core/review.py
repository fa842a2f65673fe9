"""AdmissionReview bytes parsed, and answers rendered.

The four constructors `allowed`, `patched`, `denied` and `status` (an error of ours) are the whole vocabulary of
answers. A denial is a decision and ignores the webhook configuration's `failurePolicy`; an error must not pretend to be
one, so it is an HTTP error with a `v1` `Status` body, whose message the API server shows under `failurePolicy: Fail`.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"

LONGEST_TEXT: Final = 253
"""Of any text in the envelope: the longest name of an object (RFC 1123 subdomain). A uid has 36 characters."""

OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
"""All there are in admission.k8s.io/v1."""

_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123: what the name of a namespace is."""

Json = dict[str, Any]
"""An object as JSON has it."""


class BadReview(Exception):
    """A request that is no AdmissionReview we can answer.

    Attributes:
        field: Path of the offending field, such as `request.uid`; empty for the body as a whole.
        problem: What is wrong with it. Names the *kind* of the value found, never the value.
        uid: The review's uid if it was read before the fault.
    """

    def __init__(self, field: str, problem: str, *, uid: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem
        self.uid = uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One admission request, its envelope checked and its objects still as they came."""

    uid: str
    operation: str
    group: str
    version: str
    resource: str
    kind: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    object: Json | None = field(default=None, repr=False)
    old_object: Json | None = field(default=None, repr=False)
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer to one review; build it with `allowed`, `patched` or `denied`."""

    allowed: bool
    patch: tuple[Json, ...] = ()
    code: int = 0
    message: str = ""
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)


def allowed(*, warnings: Sequence[str] = (), audit: Mapping[str, str] | None = None) -> Response:
    """Let the object in as it is."""
    return Response(allowed=True, warnings=tuple(warnings), audit=audit or {})


def patched(patch: Sequence[Json], *, warnings: Sequence[str] = (), audit: Mapping[str, str] | None = None) -> Response:
    """Let the object in with an RFC 6902 patch."""
    return Response(allowed=True, patch=tuple(patch), warnings=tuple(warnings), audit=audit or {})


def denied(message: str, *, warnings: Sequence[str] = (), audit: Mapping[str, str] | None = None) -> Response:
    """Keep the object out; the user reads `message`."""
    return Response(allowed=False, code=403, message=message, warnings=tuple(warnings), audit=audit or {})


def kind_of(value: object) -> str:
    """Name a JSON value's kind for an error message, so that the message need not show the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
        case _:
            return type(value).__name__


def parse(body: bytes) -> Review:
    """Read the body of a call of ours by the API server.

    Raises:
        BadReview: not JSON, not a v1 AdmissionReview, or a field of the envelope of the wrong kind, longer than an API
            server makes it, or with a value that it never has.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson's text names a position, not content; `error.doc`, which it also carries, stays here.
        raise BadReview(
            "", f"the body is not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        ) from None
    if not isinstance(document, dict):
        raise BadReview("", f"expected an AdmissionReview object, got {kind_of(document)}")
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(name) != wanted:
            raise BadReview(name, f"expected {wanted!r}, got {_description(document.get(name))}")
    request = document.get("request")
    if not isinstance(request, dict):
        raise BadReview("request", f"expected an object, got {kind_of(request)}")
    uid = _text(request, "uid", required=True)
    try:
        kind = _mapping(request, "kind")
        resource = _mapping(request, "resource")
        return Review(
            uid=uid,
            operation=_operation(request),
            group=_text(resource, "group", within="request.resource"),
            version=_text(resource, "version", within="request.resource"),
            resource=_text(resource, "resource", within="request.resource", required=True),
            kind=_text(kind, "kind", within="request.kind", required=True),
            subresource=_text(request, "subResource"),
            namespace=_namespace(request),
            name=_text(request, "name"),
            object=_object(request, "object"),
            old_object=_object(request, "oldObject"),
            dry_run=_flag(request, "dryRun"),
        )
    except BadReview as fault:
        fault.uid = uid
        raise


def render(uid: str, response: Response) -> bytes:
    """Write the AdmissionReview that answers the review `uid`."""
    answer: Json = {"uid": uid, "allowed": response.allowed}
    if response.patch:
        answer["patchType"] = "JSONPatch"
        answer["patch"] = base64.b64encode(orjson.dumps(response.patch)).decode("ascii")
    if not response.allowed:
        answer["status"] = {"code": response.code, "reason": "Forbidden", "message": response.message}
    if response.warnings:
        answer["warnings"] = list(response.warnings)
    if response.audit:
        answer["auditAnnotations"] = dict(response.audit)
    return orjson.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": answer})


_STATUS_REASONS: Final = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def status(code: int, message: str) -> bytes:
    """Write the `v1` `Status` of an HTTP error, which `failurePolicy` then decides on."""
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "reason": _STATUS_REASONS.get(code, ""),
            "message": message,
            "code": code,
        }
    )


def _description(value: object) -> str:
    # The two fields read through this are not secret, and "expected v1, got v1beta1" is what the reader needs; yet a
    # sender may put anything there, so only short plain strings are shown.
    if isinstance(value, str) and len(value) <= 64 and value.isprintable():
        return repr(value)
    return kind_of(value)


def _text(holder: Json, name: str, *, within: str = "request", required: bool = False) -> str:
    value = holder.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise BadReview(f"{within}.{name}", f"expected a string, got {kind_of(value)}")
    if required and not value:
        raise BadReview(f"{within}.{name}", "must not be empty")
    # It goes into log lines, texts and audit annotations. Not everybody who can connect is an API server.
    if len(value) > LONGEST_TEXT:
        raise BadReview(f"{within}.{name}", f"longer than {LONGEST_TEXT} characters")
    if not value.isprintable():
        raise BadReview(f"{within}.{name}", "has a character that cannot be printed")
    return value


def _operation(request: Json) -> str:
    value = _text(request, "operation", required=True)
    if value not in OPERATIONS:
        raise BadReview("request.operation", f"expected one of {', '.join(sorted(OPERATIONS))}")
    return value


def _namespace(request: Json) -> str:
    value = _text(request, "namespace")
    if value and not _DNS_LABEL.fullmatch(value):
        raise BadReview("request.namespace", "is not a DNS label (lower-case letters, digits and '-', at most 63)")
    return value


def _mapping(request: Json, name: str) -> Json:
    value = request.get(name)
    if not isinstance(value, dict):
        raise BadReview(f"request.{name}", f"expected an object, got {kind_of(value)}")
    return value


def _object(request: Json, name: str) -> Json | None:
    value = request.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise BadReview(f"request.{name}", f"expected an object, got {kind_of(value)}")


def _flag(request: Json, name: str) -> bool:
    value = request.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadReview(f"request.{name}", f"expected a boolean, got {kind_of(value)}")
