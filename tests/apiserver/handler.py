"""Answers one request: who asks, may they, then read or write."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from tests.apiserver import discovery, errors, patches, selectors, wire
from tests.apiserver.accounting import RequestLog
from tests.apiserver.admission import warning_headers
from tests.apiserver.auth import ANONYMOUS, Tokens, service_account, user_of_certificate
from tests.apiserver.connection import Request, Response, Subject
from tests.apiserver.errors import ApiError
from tests.apiserver.faults import Fault, Faults, RequestInfo
from tests.apiserver.gojson import json_error
from tests.apiserver.interfaces import Json, ResourceInfo, User
from tests.apiserver.reading import Reader
from tests.apiserver.registry import Registry, WriteOptions, Written
from tests.apiserver.resources import ResourceTable
from tests.apiserver.routing import Route, route
from tests.apiserver.subresources import Authorize, Reviews, Subresources, scale_of

_ACCOUNT = "system:serviceaccount:"
USERS = ResourceInfo(
    group="", version="v1", plural="users", kind="User", singular="user", namespaced=False, verbs=("impersonate",)
)
_TEXT = "text/plain; charset=utf-8"
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_BODY_TYPES = frozenset({"", "application/json", "*/*"})
_PATCH_TYPES = frozenset({patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_PATCH, patches.APPLY_PATCH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the handler is put together from."""

    table: ResourceTable
    registry: Registry
    reader: Reader
    subresources: Subresources
    reviews: Reviews
    tokens: Tokens
    authorize: Authorize
    faults: Faults
    log: RequestLog
    address: str


def json_response(code: int, obj: Any, warnings: list[str] | None = None) -> Response:
    """Return an answer with a JSON body."""
    headers = tuple(("Warning", value.encode("latin-1")) for value in warning_headers(warnings or ()))
    return Response(code=code, body=obj if isinstance(obj, bytes) else orjson.dumps(obj), headers=headers)


def _not_found() -> Response:
    return Response(code=404, body=b"404 page not found\n", content_type=_TEXT)


class Handler:
    """Makes responses of requests. Thread-safe."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: Request, subject: Subject) -> Response:
        """Answer a request; no exception leaves it."""
        arrived = time.monotonic()
        asked = route(request.method, request.target, self._parts.table)
        user: User | None = None
        info = self._info(asked, user)
        try:
            user = self._impersonate(request, self._authenticate(request, subject))
            info = self._info(asked, user)
            response = self._faulty(request, asked, user, info)
        except ApiError as error:
            retry = (error.details or {}).get("retryAfterSeconds")
            headers = (("Retry-After", str(retry).encode()),) if retry else ()
            response = Response(code=error.code, body=orjson.dumps(error.status()), headers=headers)
        except Exception as fault:
            response = json_response(500, errors.internal(f"{type(fault).__name__} in the stand-in: {fault}").status())
        self._parts.log.add(
            info, 0 if response.reset else response.code, request.headers.get("user-agent", ""), arrived
        )
        return response

    @staticmethod
    def _info(asked: Route, user: User | None) -> RequestInfo:
        return RequestInfo(
            user="" if user is None else user.name,
            verb=asked.verb,
            resource="" if asked.resource is None else asked.resource.key,
            subresource=asked.subresource,
            namespace=asked.namespace,
            name=asked.name,
            path=asked.path,
        )

    def _authenticate(self, request: Request, subject: Subject) -> User:
        authorization = request.headers.get("authorization", "")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            user = self._parts.tokens.user(token.strip()) if scheme.lower() == "bearer" else None
            if user is None:
                raise errors.unauthorized()
            return user
        return user_of_certificate(subject) if subject else ANONYMOUS

    def _impersonate(self, request: Request, user: User) -> User:
        """Return the user that `kubectl --as` names, if this one may act as others."""
        name = request.headers.get("impersonate-user")
        if not name:
            return user
        why = self._parts.authorize(user, "impersonate", USERS, "", "", name, "")
        if why is not None:
            text = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
            raise errors.forbidden("users", "", name, text)
        if name.startswith(_ACCOUNT):
            namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
            return service_account(namespace, account)
        groups = tuple(filter(None, request.headers.get("impersonate-group", "").split(",")))
        return User(name=name, groups=(*groups, "system:authenticated"))

    # --- faults ---

    def _faulty(self, request: Request, asked: Route, user: User, info: RequestInfo) -> Response:
        fault = self._parts.faults.meet(info)
        if fault is None:
            return self._answer(request, asked, user, info, gone=False)
        if fault.latency_s:
            time.sleep(fault.latency_s)
        if fault.after:
            self._answer(request, asked, user, info, gone=False)
        if fault.reset:
            return Response(code=0, reset=True)
        if fault.half_open:
            return Response(code=0, silent=True)
        if fault.status is not None:
            return _failed(fault)
        if fault.gone and asked.verb != "watch":
            raise errors.gone("The resourceVersion for the provided watch is too old.")
        return self._answer(request, asked, user, info, gone=fault.gone)

    # --- answering ---

    def _answer(self, request: Request, asked: Route, user: User, info: RequestInfo, *, gone: bool) -> Response:
        resource = asked.resource
        self._check_access(asked, user)
        if resource is None:
            return self._other(request, asked)
        self._check_verb(asked, resource)
        accept = request.headers.get("accept", "")
        if asked.subresource:
            return self._subresource(request, asked, resource, user)
        match asked.verb:
            case "get":
                return json_response(200, self._parts.reader.get_rendered(asked, resource, accept))
            case "list":
                return json_response(200, self._parts.reader.list(asked, resource, accept))
            case "watch":
                stream = self._parts.reader.watch(asked, resource, accept, info, gone=gone)
                return Response(code=200, stream=stream)
            case "create":
                return self._create(request, asked, resource, user)
            case "update" | "patch":
                return self._written(self._change(request, asked, resource, user))
            case "delete":
                body = _read_body(request, resource) if request.body else {}
                options = _options(asked, request, body)
                written = self._parts.registry.delete(
                    user, resource, asked.namespace, asked.name, _delete_options(asked, body), options
                )
                return self._written(written)
            case "deletecollection":
                return self._delete_collection(request, asked, resource, user)
            case _:
                return _not_found()

    def _check_access(self, asked: Route, user: User) -> None:
        resource = asked.resource
        name = asked.name
        if resource is not None and asked.verb in {"list", "watch", "deletecollection"}:
            name = name or selectors.selected_name(selectors.field_terms(asked.query.get("fieldSelector", "")))
        why = self._parts.authorize(user, asked.verb, resource, asked.subresource, asked.namespace, name, asked.path)
        if why is None:
            return
        suffix = f": {why}" if why else ""
        if resource is None:
            text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"{suffix}'
            raise ApiError(403, "Forbidden", text, {})
        full = f"{resource.plural}/{asked.subresource}" if asked.subresource else resource.plural
        scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        text = (
            f'User "{user.name}" cannot {asked.verb} resource "{full}" in API group "{resource.group}" {scope}{suffix}'
        )
        raise errors.forbidden(resource.plural, resource.group, asked.name, text)

    @staticmethod
    def _check_verb(asked: Route, resource: ResourceInfo) -> None:
        if asked.subresource or asked.verb in resource.verbs or (asked.verb == "watch" and "list" in resource.verbs):
            return
        if asked.verb == "create" and asked.name:
            raise errors.method_not_supported(resource.plural, resource.group, asked.verb)
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    def _other(self, request: Request, asked: Route) -> Response:
        path = asked.path.rstrip("/") or "/"
        table = self._parts.table
        if asked.verb != "get":
            return _not_found()
        if path in _HEALTH:
            return Response(code=200, body=b"ok", content_type=_TEXT)
        if path == "/version":
            return json_response(200, discovery.VERSION)
        if path in {"/api", "/apis"} and "as=APIGroupDiscoveryList" in request.headers.get("accept", ""):
            core: list[tuple[str, tuple[str, ...]]] = [("", ("v1",))]
            groups = table.groups() if path == "/apis" else core
            body = orjson.dumps(discovery.aggregated(table, groups))
            return Response(code=200, body=body, content_type=discovery.AGGREGATED)
        if path == "/api":
            return json_response(200, discovery.api_versions(self._parts.address))
        if path == "/apis":
            return json_response(200, discovery.group_list(table))
        if path == "/openapi/v3":
            return json_response(200, discovery.openapi_index(table))
        parts = path.removeprefix("/openapi/v3").strip("/").split("/")
        versions = dict([("", ("v1",)), *table.groups()])
        group, version = ("", parts[1]) if len(parts) == 2 and parts[0] == "api" else ("?", "")
        if len(parts) == 3 and parts[0] == "apis":
            group, version = parts[1], parts[2]
        if len(parts) == 2 and parts[0] == "apis" and parts[1] in versions:
            return json_response(
                200, {"kind": "APIGroup", "apiVersion": "v1", **discovery.group(parts[1], versions[parts[1]])}
            )
        if version not in versions.get(group, ()):
            return _not_found()
        if path.startswith("/openapi"):
            return json_response(200, discovery.openapi(table, group, version))
        return json_response(200, discovery.resource_list(table, group, version))

    def _written(self, written: Written) -> Response:
        return json_response(201 if written.created else 200, written.obj, written.warnings)

    def _create(self, request: Request, asked: Route, resource: ResourceInfo, user: User) -> Response:
        body = _read_body(request, resource)
        if "list" not in resource.verbs:
            return json_response(201, self._parts.reviews.answer(user, resource, asked.namespace, body))
        options = _options(asked, request)
        namespace = asked.namespace
        if resource.namespaced and not namespace:
            raise errors.bad_request("the server could not find the requested resource")
        return self._written(self._parts.registry.create(user, resource, namespace, body, options))

    def _change(
        self, request: Request, asked: Route, resource: ResourceInfo, user: User, *, subresource: str = ""
    ) -> Written:
        options = _options(asked, request)
        registry = self._parts.registry
        if asked.verb == "update":
            body = _read_body(request, resource)
            return registry.update(user, resource, asked.namespace, asked.name, body, options, subresource=subresource)
        patch_type, patch = _read_patch(request)
        return registry.patch(
            user, resource, asked.namespace, asked.name, patch_type, patch, options, subresource=subresource
        )

    def _subresource(self, request: Request, asked: Route, resource: ResourceInfo, user: User) -> Response:
        parts = self._parts
        namespace, name, kind = asked.namespace, asked.name, asked.subresource
        options = _options(asked, request)
        match kind, asked.verb:
            case "scale", "get":
                return json_response(200, scale_of(parts.reader.get(resource, namespace, name).obj))
            case "scale", "update":
                body = _read_body(request, resource)
                return self._written(parts.subresources.scale(user, resource, namespace, name, None, body, options))
            case "scale", "patch":
                patch_type, patch = _read_patch(request)
                return self._written(
                    parts.subresources.scale(user, resource, namespace, name, patch_type, patch, options)
                )
            case "eviction", "create":
                body = _read_body(request, resource)
                return json_response(201, parts.subresources.evict(user, resource, namespace, name, body, options))
            case "token", "create":
                return json_response(201, parts.subresources.token(namespace, name, _read_body(request, resource)))
            case (("exec" | "attach" | "portforward"), _):
                parts.reader.get(resource, namespace, name)
                shown = {"kind": f"Pod{kind.title()}Options", "apiVersion": "v1"}
                parts.registry.admit_connect(user, resource, namespace, name, options, shown, kind)
                raise errors.internal("no kubelet runs behind the stand-in")
            case (("log" | "proxy" | "binding"), _):
                parts.reader.get(resource, namespace, name)
                raise errors.not_found(f"{resource.plural}/{kind}", resource.group, name)
            case _, "get":
                return json_response(200, parts.reader.get(resource, namespace, name).raw)
            case _, ("update" | "patch"):
                return self._written(self._change(request, asked, resource, user, subresource=kind))
            case _:
                raise ApiError(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
                )

    def _delete_collection(self, request: Request, asked: Route, resource: ResourceInfo, user: User) -> Response:
        matches = self._parts.reader.predicate(asked, resource)
        body = _read_body(request, resource) if request.body else {}
        options = _options(asked, request, body)
        deleted: list[Json] = []
        for obj in self._parts.registry.store.list(resource.key, asked.namespace or None):
            if matches is not None and not matches(obj):
                continue
            metadata = obj["metadata"]
            try:
                self._parts.registry.delete(
                    user,
                    resource,
                    metadata.get("namespace", ""),
                    metadata["name"],
                    _delete_options(asked, body),
                    options,
                )
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
            deleted.append(obj)
        version = {"resourceVersion": str(self._parts.registry.store.revision)}
        return json_response(200, self._parts.reader.as_list(resource, deleted, version))


def _failed(fault: Fault) -> Response:
    code = fault.status or 500
    message = fault.message or f"the stand-in was told to answer {code}"
    details = {"retryAfterSeconds": fault.retry_after} if fault.retry_after else None
    headers = (("Retry-After", str(fault.retry_after).encode()),) if fault.retry_after is not None else ()
    return Response(
        code=code, body=orjson.dumps(ApiError(code, fault.reason, message, details).status()), headers=headers
    )


def _options(asked: Route, request: Request, body: Json | None = None) -> WriteOptions:
    query = asked.query
    manager = query.get("fieldManager", "")
    agent = request.headers.get("user-agent", "").partition("/")[0]
    dry_run = query.get("dryRun") or next(iter((body or {}).get("dryRun") or ()), "")
    if dry_run not in {"", "All"}:
        raise errors.invalid(
            "Options", "meta.k8s.io", "",
            [errors.FieldError(reason="FieldValueNotSupported", message=f'Unsupported value: "{dry_run}": supported values: "All"', field="dryRun")],
        )  # fmt: skip
    return WriteOptions(
        manager=manager or agent or "unknown",
        named_manager=bool(manager),
        dry_run=bool(dry_run),
        validation=query.get("fieldValidation") or "Warn",
        explicit_validation=bool(query.get("fieldValidation")),
        force=asked.flag("force"),
    )


def _delete_options(asked: Route, body: Json) -> Json:
    policy = asked.query.get("propagationPolicy")
    return {**body, "propagationPolicy": policy} if policy else body


def _read_body(request: Request, resource: ResourceInfo) -> Json:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == wire.CONTENT_TYPE:
        return wire.decode(request.body)
    if content_type == "application/yaml":
        loaded: Any = yaml.safe_load(request.body)
    elif content_type in _BODY_TYPES:
        try:
            loaded = orjson.loads(request.body)
        except orjson.JSONDecodeError as fault:
            text = request.body.decode(errors="replace")
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
                f"json parse error: {json_error(request.body)} ({text})"
            ) from fault
    else:
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, "
            "application/yaml"
        )
    if not isinstance(loaded, dict):
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    return loaded


def _read_patch(request: Request) -> tuple[str, Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _PATCH_TYPES:
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(sorted(_PATCH_TYPES))
        )
    if content_type == patches.APPLY_PATCH:
        return content_type, yaml.safe_load(request.body) if request.body[:1] != b"{" else orjson.loads(request.body)
    try:
        return content_type, orjson.loads(request.body)
    except orjson.JSONDecodeError as fault:
        raise errors.bad_request("error decoding patch: the patch is no JSON") from fault
