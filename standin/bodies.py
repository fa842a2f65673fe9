"""What a write request carries: its options and its body."""

from typing import Any

import orjson
import yaml

from standin import errors, patches, wire
from standin.connection import HttpRequest
from standin.gojson import json_error
from standin.interfaces import Json, ResourceInfo
from standin.routing import Route
from standin.writes import WriteOptions

_JSON_TYPES = frozenset({"", "application/json", "*/*"})
_PATCH_TYPES = frozenset({patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_PATCH, patches.APPLY_PATCH})
_UNKNOWN_FORMAT = "the body of the request was in an unknown format - accepted media types include: "


def _content_type(request: HttpRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def options(asked: Route, request: HttpRequest, body: Json | None = None) -> WriteOptions:
    """Return the options of a write; those of a deletion can be in its body. Raises ApiError(422)."""
    query = asked.query
    manager = query.get("fieldManager", "")
    dry_run = query.get("dryRun") or next(iter((body or {}).get("dryRun") or ()), "")
    if dry_run not in {"", "All"}:
        text = f'Unsupported value: "{dry_run}": supported values: "All"'
        found = errors.FieldError(reason="FieldValueNotSupported", message=text, field="dryRun")
        raise errors.invalid("Options", "meta.k8s.io", "", [found])
    return WriteOptions(
        manager=manager or request.headers.get("user-agent", "").partition("/")[0] or "unknown",
        named_manager=bool(manager),
        dry_run=bool(dry_run),
        validation=query.get("fieldValidation") or "Warn",
        explicit_validation=bool(query.get("fieldValidation")),
        force=asked.flag("force"),
    )


def deletion(asked: Route, request: HttpRequest, resource: ResourceInfo) -> Json:
    """Return the DeleteOptions of a request."""
    body = read(request, resource) if request.body else {}
    policy = asked.query.get("propagationPolicy")
    return {**body, "propagationPolicy": policy} if policy else body


def read(request: HttpRequest, resource: ResourceInfo) -> Json:
    """Return the object a request carries, from JSON, YAML or protobuf. Raises ApiError(400, 415)."""
    content_type = _content_type(request)
    loaded: Any
    if content_type == wire.CONTENT_TYPE:
        loaded = wire.decode(request.body)
    elif content_type == "application/yaml":
        loaded = _yaml(request.body)
    elif content_type in _JSON_TYPES:
        try:
            loaded = orjson.loads(request.body)
        except orjson.JSONDecodeError as fault:
            text = request.body.decode(errors="replace")
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
                f"json parse error: {json_error(request.body)} ({text})"
            ) from fault
    else:
        raise errors.unsupported_media_type(_UNKNOWN_FORMAT + "application/json, application/yaml")
    if not isinstance(loaded, dict):
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    return loaded


def patch(request: HttpRequest) -> tuple[str, Any]:
    """Return a patch and its media type. Raises ApiError(400, 415)."""
    content_type = _content_type(request)
    if content_type not in _PATCH_TYPES:
        raise errors.unsupported_media_type(_UNKNOWN_FORMAT + ", ".join(sorted(_PATCH_TYPES)))
    if content_type == patches.APPLY_PATCH and request.body[:1] != b"{":
        return content_type, _yaml(request.body)
    try:
        return content_type, orjson.loads(request.body)
    except orjson.JSONDecodeError as fault:
        raise errors.bad_request("error decoding patch: the patch is no JSON") from fault


def _yaml(body: bytes) -> Any:
    try:
        return yaml.safe_load(body)
    except yaml.YAMLError as fault:
        raise errors.bad_request("the body is no YAML") from fault
