"""Answers one request: faults first, then who asks and whether they may, then what they ask for."""

import time

import orjson

from standin import discovery, errors
from standin.access import Access
from standin.accounting import RequestLog
from standin.connection import HttpRequest, HttpResponse, Subject
from standin.dispatch import Dispatcher
from standin.errors import ApiError
from standin.faults import Fault, Faults, RequestInfo
from standin.interfaces import User
from standin.resources import ResourceTable
from standin.routing import Route, route


class Handler:
    """Makes responses of requests. Thread-safe."""

    def __init__(
        self, table: ResourceTable, access: Access, dispatcher: Dispatcher, faults: Faults, log: RequestLog
    ) -> None:
        self._table = table
        self._access = access
        self._dispatcher = dispatcher
        self._faults = faults
        self._log = log

    def __call__(self, request: HttpRequest, subject: Subject) -> HttpResponse:
        """Answer a request; no exception leaves it."""
        arrived = time.monotonic()
        asked = route(request.method, request.target, self._table)
        info = _info(asked, None)
        try:
            user = self._access.user(request, subject)
            info = _info(asked, user)
            response = self._with_faults(request, asked, user, info)
        except ApiError as error:
            response = _error(error)
        except Exception as fault:  # one request must not end the server; the client reads what went wrong
            text = f"{type(fault).__name__} in the stand-in: {fault}"
            response = _error(errors.internal(text))
        code = 0 if response.reset or response.silent else response.code
        self._log.add(info, code, request.headers.get("user-agent", ""), arrived)
        return response

    def _with_faults(self, request: HttpRequest, asked: Route, user: User, info: RequestInfo) -> HttpResponse:
        fault = self._faults.meet(info)
        if fault is None:
            return self._answer(request, asked, user, info, gone=False)
        if fault.latency_s:
            time.sleep(fault.latency_s)
        if fault.after:
            self._answer(request, asked, user, info, gone=False)
        if fault.reset:
            return HttpResponse(code=0, reset=True)
        if fault.half_open:
            return HttpResponse(code=0, silent=True)
        if fault.status is not None:
            raise _injected(fault, fault.status)
        if fault.gone and asked.verb != "watch":
            raise errors.gone("The provided resource version is too old.")
        return self._answer(request, asked, user, info, gone=fault.gone)

    def _answer(self, request: HttpRequest, asked: Route, user: User, info: RequestInfo, *, gone: bool) -> HttpResponse:
        self._access.check(asked, user)
        if asked.resource is not None:
            return self._dispatcher.answer(request, asked, asked.resource, user, info, gone=gone)
        found = discovery.answer(asked.path, request.headers, self._table) if asked.verb == "get" else None
        if found is None:
            return HttpResponse(code=404, body=b"404 page not found\n", content_type=discovery.TEXT)
        content_type, body = found
        return HttpResponse(code=200, body=body, content_type=content_type)


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


def _error(error: ApiError) -> HttpResponse:
    retry = (error.details or {}).get("retryAfterSeconds")
    headers = (("Retry-After", str(retry).encode()),) if retry is not None else ()
    return HttpResponse(code=error.code, body=orjson.dumps(error.status()), headers=headers)


def _injected(fault: Fault, code: int) -> ApiError:
    details = {"retryAfterSeconds": fault.retry_after} if fault.retry_after is not None else None
    return ApiError(code, fault.reason, fault.message or f"the stand-in was told to answer {code}", details)
