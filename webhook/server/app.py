"""The Flask app: HTTP to reviews, answers to HTTP, and everything that is no answer to a `v1` `Status`."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, Protocol

import structlog
from flask import Flask, Request, Response, g, request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.routing import MapAdapter

from webhook.admission import Answer
from webhook.core.reasons import Reason
from webhook.core.review import BadReview, Review, parse, render, status
from webhook.core.workloads import MalformedObject
from webhook.ports import ClusterError, Deadline
from webhook.server.timeouts import budget
from webhook.telemetry.logs import LineWriter, line_writer
from webhook.telemetry.metrics import Metrics

_JSON: Final = "application/json"

_LONGEST_NAME: Final = 253
"""Of a Kubernetes object (RFC 1123 subdomain); what is longer is not from an API server and is cut in the log."""


class Reviewer(Protocol):
    """Decides on reviews: `webhook.admission.Admission`. May raise `BadReview`, `MalformedObject`, `ClusterError`."""

    def mutate(self, review: Review, deadline: Deadline) -> Answer:
        """Answer for the mutating half."""
        ...

    def validate(self, review: Review, deadline: Deadline) -> Answer:
        """Answer for the validating half."""
        ...


class ClientGone(Exception):
    """The connection ended, or nothing more came on it, before the whole body was there."""


def create_app(reviewer: Reviewer, metrics: Metrics, *, max_body_bytes: int, batch_lines: bool = False) -> Flask:
    """Make the app.

    Args:
        reviewer: Decides.
        metrics: Counts.
        max_body_bytes: Longest body read; a longer one is answered 413.
        batch_lines: Hand the line of each review to a thread, which this begins.
    """
    write_line = line_writer("review_answered", batched=batch_lines)
    app = _App("webhook.server", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    for half, decide in (("mutate", reviewer.mutate), ("validate", reviewer.validate)):
        view = _Half(half, decide, metrics, write_line, max_body_bytes)
        app.add_url_rule(f"/{half}", endpoint=half, view_func=view.answer, methods=["POST"])
    _Errors(metrics).register(app)
    return app


class _App(Flask):
    """Flask without what only a web site needs, which would be a fifth of the time a review takes.

    There are no sessions, no URLs that depend on the host asked for, no signals and no functions before or after a
    request; views and error handlers return `Response` and nothing else.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind("", path_info=request.path, default_method=request.method)

    def full_dispatch_request(self) -> Response:
        try:
            answer = self.dispatch_request()
        except Exception as error:  # noqa: BLE001 (handed to the handlers below, as Flask does)
            answer = self.handle_user_exception(error)
        assert isinstance(answer, Response)  # noqa: S101 (for the type checker; see above)
        return answer


class _NoSessions(SessionInterface):
    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, _app: Flask, _request: Request) -> SessionMixin:
        return self._none


class _Half:
    """The view of one half; it is on the way of every Pod, so what can be looked up once is."""

    def __init__(
        self,
        half: str,
        decide: Callable[[Review, Deadline], Answer],
        metrics: Metrics,
        write_line: LineWriter,
        max_body_bytes: int,
    ) -> None:
        self._half = half
        self._decide = decide
        self._reviewed = metrics.reviewed
        self._observe = metrics.duration[half]
        self._in_flight = metrics.in_flight[half]
        self._max_body_bytes = max_body_bytes
        self._log = structlog.get_logger().bind(half=half)
        self._write_line = write_line

    def answer(self) -> Response:
        started = perf_counter()
        self._in_flight.inc()
        try:
            review = parse(self._body())
            # For whoever answers if this does not: an error without the uid cannot be found again.
            g.uid = review.uid
            answer = self._decide(review, self._deadline(review.uid))
            body = render(review.uid, answer.response)
        finally:
            self._in_flight.dec()
            duration = perf_counter() - started
            self._observe(duration)
        self._reviewed(self._half, answer.outcome, answer.reason)
        self._write_line(
            {
                "uid": review.uid,
                "operation": review.operation,
                "kind": review.kind,
                "namespace": review.namespace[:_LONGEST_NAME],
                "name": _name(review)[:_LONGEST_NAME],
            },
            {
                "half": self._half,
                "dry_run": review.dry_run,
                "reason": answer.reason,
                "outcome": answer.outcome,
                "provisioning": answer.provisioning,
                "duration_s": round(duration, 6),
            },
        )
        return Response(body, content_type=_JSON)

    def _body(self) -> bytes:
        environ = request.environ
        content_type = environ.get("CONTENT_TYPE", "")
        if content_type != _JSON and content_type.partition(";")[0].strip().lower() != _JSON:
            raise UnsupportedMediaType(f"the Content-Type must be {_JSON}")
        declared = environ.get("CONTENT_LENGTH")
        limit = self._max_body_bytes
        if declared:
            if not (declared.isascii() and declared.isdigit()):
                raise BadRequest("the Content-Length is not a number")
            if int(declared) > limit:
                raise RequestEntityTooLarge(f"the body is longer than {limit} bytes")
            length = int(declared)
        else:
            # Chunked, then: its length is known only at its end.
            length = limit + 1
        try:
            body: bytes = environ["wsgi.input"].read(length)
        except OSError as error:
            raise ClientGone(type(error).__name__) from None
        except ParseException:
            raise BadRequest("the body's chunks are malformed") from None
        if declared and len(body) < length:
            raise ClientGone("EOF")
        if len(body) > limit:
            raise RequestEntityTooLarge(f"the body is longer than {limit} bytes")
        return body

    def _deadline(self, uid: str) -> Deadline:
        seconds, understood = budget(request.environ.get("QUERY_STRING", ""))
        if not understood:
            self._log.warning("timeout_not_understood", uid=uid, assumed_s=seconds)
        return Deadline.after(seconds)


class _Errors:
    """Turns whatever a view raises into a `Status`, a count and a line, each once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()

    def register(self, app: Flask) -> None:
        app.register_error_handler(BadReview, self.bad_review)
        app.register_error_handler(MalformedObject, self.malformed_object)
        app.register_error_handler(ClusterError, self.cluster)
        app.register_error_handler(ClientGone, self.client_gone)
        app.register_error_handler(HTTPException, self.http)
        app.register_error_handler(Exception, self.unforeseen)

    def bad_review(self, error: BadReview) -> Response:
        g.uid = error.uid or g.get("uid", "")
        return self._answer(400, str(error), "bad_request", field=error.field, problem=error.problem)

    def malformed_object(self, error: MalformedObject) -> Response:
        field = f"request.object{error.field}"
        return self._answer(400, f"{field}: {error.problem}", "malformed_object", field=field, problem=error.problem)

    def cluster(self, error: ClusterError) -> Response:
        # 500 whatever the cause: that is the answer whose effect under `failurePolicy` was measured.
        return self._answer(
            500,
            f"what the decision rests on could not be read: {error}",
            "cluster",
            verb=error.verb,
            resource=error.resource,
            api_code=error.code,
            cause=error.cause,
        )

    def client_gone(self, error: ClientGone) -> Response:
        # Nobody may be there to read this; it has to end in a response all the same.
        return self._answer(400, "the body ended early", "client_gone", cause=str(error))

    def http(self, error: HTTPException) -> Response:
        code = error.code or 500
        kind = {413: "body_too_large", 415: "bad_content_type"}.get(code, "bad_request")
        response = self._answer(code, error.description or error.name, kind)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    def unforeseen(self, error: Exception) -> Response:
        uid = g.get("uid", "")
        return self._answer(
            500, f"internal error of the webhook; its log tells more under uid {uid!r}", "internal", exc_info=error
        )

    def _answer(self, code: int, message: str, kind: str, **fields: Any) -> Response:
        half = request.endpoint
        if half is not None:
            self._metrics.failed(half, kind, Reason.BAD_REQUEST if code < 500 else Reason.ERROR)
        write = self._log.warning if code < 500 else self._log.error
        write("review_failed", half=half, uid=g.get("uid", ""), code=code, kind=kind, **fields)
        return Response(status(code, message), status=code, content_type=_JSON)


def _name(review: Review) -> str:
    """Name a review's object; what a controller makes has only the beginning of a name yet."""
    if review.name:
        return review.name
    metadata = review.object.get("metadata") if review.object else None
    prefix = metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{prefix}*" if isinstance(prefix, str) else ""
