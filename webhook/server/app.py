"""Flask app that answers admission reviews."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final, Protocol

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import (
    BadRequest,
    LengthRequired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from webhook.core.answers import Answer
from webhook.core.review import Review, parse, render
from webhook.core.vocabulary import Half
from webhook.ports import Deadline
from webhook.server.failures import JSON, ClientGone, Failures, Overloaded
from webhook.server.limits import Gate, Limits
from webhook.server.request import ENVIRON_KEY, Visit, review_seconds
from webhook.telemetry.logs import batched_logger
from webhook.telemetry.metrics import Metrics

_LEAST_SECONDS: Final = 0.02
"""To decide in: a review that has less is refused rather than answered when nobody listens any more."""

_OURSELVES: Final = "/"
"""No namespace can be named so."""

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


def create_app(reviewer: Reviewer, metrics: Metrics, *, limits: Limits, batch_lines: bool = False) -> Flask:
    """Make the app.

    Args:
        reviewer: Decides.
        metrics: Counts.
        limits: How much to take on; a body that is longer is answered 413, a review beyond the rest 500.
        batch_lines: Hand the line of each review to a thread, which this begins.
    """
    review_log = batched_logger() if batch_lines else structlog.get_logger()
    gate = Gate(limits)
    app = Flask("webhook.server", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    for half, decide in ((Half.MUTATE, reviewer.mutate), (Half.VALIDATE, reviewer.validate)):
        view = _Half(half, decide, metrics, review_log, gate, limits.body_bytes)
        app.add_url_rule(f"/{half}", endpoint=half, view_func=view.answer, methods=["POST"])
    Failures(metrics).register(app)
    return app


class _Half:
    """The view of one half; it is on the way of every Pod, so what can be looked up once is."""

    def __init__(
        self,
        half: Half,
        decide: Callable[[Review, Deadline], Answer],
        metrics: Metrics,
        review_log: Any,
        gate: Gate,
        max_body_bytes: int,
    ) -> None:
        self._half = half
        self._decide = decide
        self._reviewed = metrics.reviewed
        self._observe = metrics.duration[half]
        self._in_flight = metrics.in_flight[half]
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._log = structlog.get_logger().bind(half=half)
        self._review_log = review_log.bind(half=half)

    def answer(self) -> Response:
        visit: Visit = request.environ.get(ENVIRON_KEY) or Visit()
        self._in_flight.inc()
        try:
            return self._answer(visit)
        finally:
            self._in_flight.dec()
            if visit.turn is None:
                # Here, where no variable holds the review any more, the memory that is given back is free.
                self._end(visit)

    def _answer(self, visit: Visit) -> Response:
        try:
            review, deadline = self._begin(visit)
            if review is None:
                return Response()
            answer = self._decide(review, deadline)
            body = render(review.uid, answer.response)
        finally:
            duration = perf_counter() - visit.started
            if visit.turn is None and not visit.quiet:
                self._observe(duration)
        if not visit.quiet:
            self._reviewed(self._half, answer.outcome, answer.reason)
            visit.log_line = self._log_line(review, answer, duration)
            if not visit.may_wait:
                visit.write_log_line()
        return Response(body, content_type=JSON)

    def _begin(self, visit: Visit) -> tuple[Review | None, Deadline]:
        """Read the review when it is its turn to be read; no review if it is not its turn yet."""
        deadline = visit.deadline = visit.deadline or self._deadline()
        review = visit.review
        if review is None:
            body = self._body(visit)
            visit.cost = cost = self._gate.cost(body)
            if not self._gate.fits(cost):
                raise RequestEntityTooLarge("reading a review with so many fields would take too much memory")
            if not visit.taken and not self._has_turn(visit, lambda: self._take(visit), "large reviews"):
                return None, deadline
            visit.review = review = parse(body)
        # For whoever answers if this does not: an error without the uid cannot be found again.
        g.uid = review.uid
        namespace = review.namespace
        crowded = f"reviews, of namespace {namespace or '(none)'} or of all together"
        if not visit.entered and not self._has_turn(visit, lambda: self._enter(visit, namespace), crowded):
            return None, deadline
        if deadline.remaining() < _LEAST_SECONDS:
            raise Overloaded("the time to answer is over")
        return review, deadline

    def _take(self, visit: Visit) -> bool:
        visit.taken = self._gate.take(visit.cost)
        return visit.taken

    def _enter(self, visit: Visit, namespace: str) -> bool:
        # Our own look at ourselves has a share of its own: reviews that name no namespace could hold it up otherwise.
        visit.share = _OURSELVES if visit.quiet else namespace
        visit.entered = self._gate.enter(visit.share)
        return visit.entered

    @staticmethod
    def _has_turn(visit: Visit, turn: Callable[[], bool], crowded: str) -> bool:
        if turn():
            return True
        if not visit.may_wait or visit.overdue:
            raise Overloaded(f"too many {crowded}, are being worked on; try again")
        visit.turn = turn
        return False

    def _end(self, visit: Visit) -> None:
        if visit.entered:
            self._gate.leave(visit.share)
        visit.review = None
        if visit.taken:
            self._gate.give_back(visit.cost)
        visit.entered = visit.taken = False

    def _log_line(self, review: Review, answer: Answer, duration: float) -> Callable[[], None]:
        # Holds no part of the review but a few short texts: its memory is given back before the line is written.
        return partial(
            self._review_log.info,
            "review_answered",
            uid=review.uid,
            operation=review.operation,
            kind=review.kind,
            namespace=review.namespace,
            name=_name(review)[:_LONGEST_NAME],
            dry_run=review.dry_run,
            reason=answer.reason,
            outcome=answer.outcome,
            provisioning=answer.provisioning,
            duration_s=round(duration, 6),
        )

    def _body(self, visit: Visit) -> bytes:
        environ = request.environ
        content_type = environ.get("CONTENT_TYPE", "")
        if content_type != JSON and content_type.partition(";")[0].strip().lower() != JSON:
            raise UnsupportedMediaType(f"the Content-Type must be {JSON}")
        if "HTTP_TRANSFER_ENCODING" in environ:
            # An API server has the whole review before it calls, and says how long it is.
            raise LengthRequired("the Content-Length must be given")
        declared = environ.get("CONTENT_LENGTH") or "0"
        if not (declared.isascii() and declared.isdigit()):
            raise BadRequest("the Content-Length is not a number")
        limit = self._max_body_bytes
        length = int(declared)
        if length > limit:
            raise RequestEntityTooLarge(f"the body is longer than {limit} bytes")
        if visit.no_room:
            raise Overloaded("too many bodies are being received; try again")
        body: bytes = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise ClientGone("EOF")
        return body

    def _deadline(self) -> Deadline:
        seconds, understood = review_seconds(request.environ.get("QUERY_STRING", ""))
        if not understood:
            self._log.warning("timeout_not_understood", assumed_s=seconds)
        return Deadline.after(seconds)


def _name(review: Review) -> str:
    """Name a review's object; what a controller makes has only the beginning of a name yet."""
    if review.name:
        return review.name
    metadata = review.object.get("metadata") if review.object else None
    prefix = metadata.get("generateName") if isinstance(metadata, dict) else None
    return f"{prefix}*" if isinstance(prefix, str) else ""
