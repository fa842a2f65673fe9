"""Responses read within bounds, and failures as errors of `webhook.ports`.

No error carries a body or a message of the answer.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson
import urllib3
from urllib3.exceptions import ReadTimeoutError

from webhook.cluster.requests import Target, Verb
from webhook.cluster.wire import OBJECT_BYTES
from webhook.failures import ConnectionFailure, ConnectionFault, failure_of
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    Expired,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
    TooLarge,
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


def error_from_answer(target: Target, code: int, body: bytes, retry_after: str | None = None) -> ClusterError:
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
    return error_from_status(target, code, status, retry_after)


def error_from_status(target: Target, code: int, status: object, retry_after: str | None = None) -> ClusterError:
    """Turn a decoded `v1` `Status` into an error; also that of an `ERROR` event, which has its code within."""
    fields = status if isinstance(status, dict) else {}
    details = fields.get("details")
    if not isinstance(details, dict):
        details = {}
    kind = _kind(target, code, fields.get("reason"), details)
    return target.error(
        kind, code=code, retry_after=_seconds(retry_after) or _seconds(details.get("retryAfterSeconds"))
    )


def error_from_failure(target: Target, failure: Exception, *, timed_out: bool) -> ClusterError:
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


def deadline_passed(target: Target) -> ClusterError:
    """Make the error of a deadline that has passed before anything failed."""
    return target.error(DeadlineExceeded, failure=_LATE)


def describe_error(error: ClusterError) -> str:
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


SMALL_BYTES: Final = 1 << 20
"""Bodies up to this size are read by any thread at any time."""

LARGE_BODIES: Final = 2
"""So many larger ones are in memory at once, until they are decoded; other threads wait, by their deadlines."""

_STATUS_BYTES: Final = 64 * 1024
"""An answer that is no success is read up to here; the code alone says enough."""

_CHUNK: Final = 1 << 16


class Bodies:
    """Reads bodies for many threads, `LARGE_BODIES` large ones at a time."""

    def __init__(self) -> None:
        self._large = threading.BoundedSemaphore(LARGE_BODIES)

    @contextmanager
    def read(
        self, response: urllib3.BaseHTTPResponse, target: Target, deadline: Deadline, *, max_bytes: int
    ) -> Iterator[bytearray]:
        """Give a whole body; it counts as one in memory until the context ends.

        Raises:
            TooLarge: It has more than `max_bytes`; the connection is dropped.
            DeadlineExceeded: It has not ended by the deadline, or too many large ones were in memory.
            Unavailable: The connection broke.
        """
        content = bytearray()
        held = False
        try:
            for chunk in chunks(response, target, deadline):
                content += chunk
                if len(content) > max_bytes:
                    response.close()
                    raise target.error(TooLarge)
                if len(content) > SMALL_BYTES and not held:
                    held = self._large.acquire(timeout=deadline.remaining())
                    if not held:
                        response.close()
                        raise deadline_passed(target)
            yield content
        finally:
            if held:
                self._large.release()


class LineStream:
    """A body read line by line by one thread; any thread may close it."""

    def __init__(self, response: urllib3.BaseHTTPResponse, target: Target, deadline: Deadline) -> None:
        self._response = response
        self._target = target
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytearray]:
        """Yield lines as they come, without their newlines, until the server ends the body.

        Raises:
            DeadlineExceeded: The body has not ended by the deadline: a connection that is half open.
            Unavailable: The connection broke.
            TooLarge: A line is longer than `OBJECT_BYTES`.
        """
        pending = bytearray()
        for chunk in chunks(self._response, self._target, self._deadline):
            for number, piece in enumerate(chunk.split(b"\n")):
                if number > 0:
                    line, pending = pending, bytearray()
                    if line:
                        yield line
                    del line  # it can be large, and the next one may be long in coming
                pending += piece
                if len(pending) > OBJECT_BYTES:
                    raise self._target.error(TooLarge)
        if pending:
            yield pending

    def close(self) -> None:
        """End the body at once, also under the hands of the thread that reads it."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            return  # it has ended already


def chunks(response: urllib3.BaseHTTPResponse, target: Target, deadline: Deadline) -> Iterator[bytes]:
    """Yield what has come, each time as soon as anything has; the socket waits no longer than the deadline."""
    finished = False
    try:
        while True:
            remaining = deadline.remaining()
            if remaining <= 0:
                raise deadline_passed(target)
            sock = getattr(response.connection, "sock", None)
            if sock is not None:
                sock.settimeout(remaining)
            chunk = response.read1(_CHUNK)
            if not chunk:
                finished = True
                return
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        raise error_from_failure(target, failure, timed_out=deadline.remaining() <= 0) from None
    finally:
        # One that was read to its end has gone back to the pool by itself.
        if not finished:
            response.close()


def read_status(response: urllib3.BaseHTTPResponse, target: Target, deadline: Deadline) -> bytes:
    """Read the body of an answer that is no success, if it is no longer than a `v1` `Status` could be."""
    content = bytearray()
    for chunk in chunks(response, target, deadline):
        content += chunk
        if len(content) > _STATUS_BYTES:
            response.close()
            return b""
    return bytes(content)
