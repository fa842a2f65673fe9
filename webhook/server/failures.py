"""Failed reviews as `v1` `Status`, metric and log line."""

from typing import Any, Final

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from webhook.core.review import BadReview, status
from webhook.core.vocabulary import Half, Reason, RequestFault
from webhook.core.workloads import MalformedObject
from webhook.ports import ClusterError
from webhook.server.request import ENVIRON_KEY
from webhook.telemetry.metrics import Metrics

JSON: Final = "application/json"


class ClientGone(Exception):
    """The body is shorter than its head says."""


class Overloaded(Exception):
    """There is no room for a review now; its text says of what."""


class Failures:
    """Turns whatever a view raises into a `Status`, a count and a line, each once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()

    def register(self, app: Flask) -> None:
        app.register_error_handler(BadReview, self.bad_review)
        app.register_error_handler(MalformedObject, self.malformed_object)
        app.register_error_handler(ClusterError, self.cluster)
        app.register_error_handler(ClientGone, self.client_gone)
        app.register_error_handler(Overloaded, self.overloaded)
        app.register_error_handler(HTTPException, self.http)
        app.register_error_handler(Exception, self.unexpected)

    def bad_review(self, error: BadReview) -> Response:
        g.uid = error.uid or g.get("uid", "")
        return self._answer(400, str(error), RequestFault.BAD_REQUEST, field=error.field, problem=error.problem)

    def malformed_object(self, error: MalformedObject) -> Response:
        field = f"request.object{error.field}"
        message = f"{field}: {error.problem}"
        return self._answer(400, message, RequestFault.MALFORMED_OBJECT, field=field, problem=error.problem)

    def cluster(self, error: ClusterError) -> Response:
        # 500 whatever the cause: that is the answer whose effect under `failurePolicy` was measured.
        return self._answer(
            500,
            f"what the decision rests on could not be read: {error}",
            RequestFault.CLUSTER,
            verb=error.verb,
            resource=error.resource,
            api_code=error.code,
            cause=error.cause,
        )

    def client_gone(self, error: ClientGone) -> Response:
        # Nobody may be there to read this; it has to end in a response all the same.
        return self._answer(400, "the body ended early", RequestFault.CLIENT_GONE, cause=str(error))

    def overloaded(self, error: Overloaded) -> Response:
        # 500, as for whatever keeps us from a decision: `failurePolicy` decides then, and controllers try again.
        return self._answer(500, f"this server is busy: {error}", RequestFault.OVERLOADED, problem=str(error))

    def http(self, error: HTTPException) -> Response:
        code = error.code or 500
        kinds = {413: RequestFault.BODY_TOO_LARGE, 415: RequestFault.BAD_CONTENT_TYPE}
        kind = kinds.get(code, RequestFault.BAD_REQUEST)
        response = self._answer(code, error.description or error.name, kind)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    def unexpected(self, error: Exception) -> Response:
        uid = g.get("uid", "")
        message = f"internal error of the webhook; its log tells more under uid {uid!r}"
        return self._answer(500, message, RequestFault.INTERNAL, exc_info=error)

    def _answer(self, code: int, message: str, kind: RequestFault, **fields: Any) -> Response:
        half = Half(request.endpoint) if request.endpoint else None
        visit = request.environ.get(ENVIRON_KEY)
        if visit is not None and visit.quiet:
            return Response(status(code, message), status=code, content_type=JSON)
        if half is not None:
            self._metrics.failed(half, kind, Reason.BAD_REQUEST if code < 500 else Reason.ERROR)
        write = self._log.warning if code < 500 else self._log.error
        write("review_failed", half=half, uid=g.get("uid", ""), code=code, kind=kind, **fields)
        return Response(status(code, message), status=code, content_type=JSON)
