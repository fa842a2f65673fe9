"""Sends requests for resources to what serves them."""

from dataclasses import replace
from typing import Any

import orjson

from standin import bodies, errors
from standin.admission import warning_headers
from standin.connection import HttpRequest, HttpResponse
from standin.deletion import delete
from standin.errors import ApiError
from standin.faults import RequestInfo
from standin.interfaces import Json, ResourceInfo, User
from standin.reading import ObjectReader
from standin.registry import Registry
from standin.reviews import Reviews
from standin.routing import Route
from standin.subresources import Subresources, scale_of
from standin.writes import RuleTarget, Written

_CONNECTED = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}


def json_response(code: int, obj: Any, warnings: list[str] | None = None) -> HttpResponse:
    """Return an answer with a JSON body, given as bytes or as an object."""
    headers = tuple(("Warning", value.encode("latin-1")) for value in warning_headers(warnings or ()))
    return HttpResponse(code=code, body=obj if isinstance(obj, bytes) else orjson.dumps(obj), headers=headers)


def _written(written: Written) -> HttpResponse:
    return json_response(201 if written.created else 200, written.obj, written.warnings)


def _not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


class Dispatcher:
    """Answers requests for resources. Who asks, and that they may, is settled."""

    def __init__(self, registry: Registry, reader: ObjectReader, subresources: Subresources, reviews: Reviews) -> None:
        self._registry = registry
        self._reader = reader
        self._subresources = subresources
        self._reviews = reviews

    def answer(
        self, request: HttpRequest, asked: Route, resource: ResourceInfo, user: User, info: RequestInfo, *, gone: bool
    ) -> HttpResponse:
        """Return the response. Raises ApiError.

        Args:
            gone: Answer a watch as if its resourceVersion were too old.
        """
        if asked.subresource:
            return self._subresource(request, asked, resource, user)
        if asked.verb not in resource.verbs:
            raise _not_allowed()
        accept = request.headers.get("accept", "")
        match asked.verb:
            case "get":
                return json_response(200, self._reader.get_rendered(asked, resource, accept))
            case "list":
                return json_response(200, self._reader.list(asked, resource, accept))
            case "watch":
                return HttpResponse(code=200, stream=self._reader.watch(asked, resource, accept, info, gone=gone))
            case "create":
                return self._create(request, asked, resource, user)
            case "update" | "patch":
                return self._change(request, asked, resource, user)
            case "delete":
                how = bodies.deletion(asked, request, resource)
                return _written(delete(self._registry, self._target(request, asked, resource, user, how), how))
            case "deletecollection":
                return self._delete_collection(request, asked, resource, user)
            case _:
                raise _not_allowed()

    @staticmethod
    def _target(
        request: HttpRequest, asked: Route, resource: ResourceInfo, user: User, body: Json | None = None
    ) -> RuleTarget:
        return RuleTarget(
            user=user, resource=resource, namespace=asked.namespace, name=asked.name, subresource=asked.subresource,
            options=bodies.options(asked, request, body),
        )  # fmt: skip

    def _create(self, request: HttpRequest, asked: Route, resource: ResourceInfo, user: User) -> HttpResponse:
        if asked.name:
            raise _not_allowed()
        body = bodies.read(request, resource)
        if "list" not in resource.verbs:
            return json_response(201, self._reviews.answer(user, resource, body))
        if resource.namespaced and not asked.namespace:
            raise ApiError(405, "MethodNotAllowed", "create is not supported without a namespace", {})
        return _written(self._registry.create(self._target(request, asked, resource, user), body))

    def _change(self, request: HttpRequest, asked: Route, resource: ResourceInfo, user: User) -> HttpResponse:
        target = self._target(request, asked, resource, user)
        if asked.verb == "update":
            return _written(self._registry.update(target, bodies.read(request, resource)))
        return _written(self._registry.patch(target, *bodies.patch(request)))

    def _subresource(self, request: HttpRequest, asked: Route, resource: ResourceInfo, user: User) -> HttpResponse:
        kind = asked.subresource
        target = self._target(request, asked, resource, user)
        match kind, asked.verb:
            case "scale", "get":
                found = self._reader.get(resource, asked.namespace, asked.name)
                return json_response(200, scale_of(found.obj))
            case "scale", "update":
                return _written(self._subresources.scale(target, None, bodies.read(request, resource)))
            case "scale", "patch":
                return _written(self._subresources.scale(target, *bodies.patch(request)))
            case "eviction", "create":
                return json_response(201, self._subresources.evict(target, bodies.read(request, resource)))
            case "token", "create":
                body = bodies.read(request, resource)
                return json_response(201, self._subresources.token(asked.namespace, asked.name, body))
            case (("exec" | "attach" | "portforward"), _):
                self._reader.get(resource, asked.namespace, asked.name)
                self._subresources.connect(target, _CONNECTED[kind])
                raise errors.internal("no kubelet runs behind the stand-in")
            case (("log" | "proxy" | "binding"), _):
                self._reader.get(resource, asked.namespace, asked.name)
                raise errors.not_found(f"{resource.plural}/{kind}", resource.group, asked.name)
            case _, "get":
                return json_response(200, self._reader.get(resource, asked.namespace, asked.name).raw)
            case _, ("update" | "patch"):
                return self._change(request, asked, resource, user)
            case _:
                raise _not_allowed()

    def _delete_collection(
        self, request: HttpRequest, asked: Route, resource: ResourceInfo, user: User
    ) -> HttpResponse:
        matches = self._reader.predicate(asked, resource)
        how = bodies.deletion(asked, request, resource)
        target = self._target(request, asked, resource, user, how)
        store = self._registry.store
        deleted: list[Json] = []
        for obj in store.list(resource.key, asked.namespace or None):
            if matches is not None and not matches(obj):
                continue
            metadata = obj["metadata"]
            try:
                delete(
                    self._registry,
                    replace(target, namespace=metadata.get("namespace", ""), name=metadata["name"]),
                    how,
                )
            except ApiError as error:
                # Another deleted it since it was listed.
                if error.reason != "NotFound":
                    raise
            deleted.append(obj)
        return json_response(200, self._reader.as_list(resource, deleted, {"resourceVersion": str(store.revision)}))
