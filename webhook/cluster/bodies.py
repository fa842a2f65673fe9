"""Response bodies read within bounds of size, number and time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import urllib3

from webhook.cluster.errors import from_failure, late
from webhook.cluster.requests import Target
from webhook.cluster.wire import OBJECT_BYTES
from webhook.ports import Deadline, TooLarge

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
                        raise late(target)
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
                raise late(target)
            sock = getattr(response.connection, "sock", None)
            if sock is not None:
                sock.settimeout(remaining)
            chunk = response.read1(_CHUNK)
            if not chunk:
                finished = True
                return
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        raise from_failure(target, failure, timed_out=deadline.remaining() <= 0) from None
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
