"""gunicorn worker, and every private gunicorn name we use.

gunicorn supervises: it forks the worker, replaces one that dies or hangs, and hands on signals. It also parses heads
and writes answers as WSGI has them. The connections are the event loop's (`webhook.server.loop`), because gunicorn's
own threaded worker gives a thread to whoever begins to say something.

SIGTERM begins a drain: the server says that it is not ready and goes on serving for a while, since API servers go on
calling until they have learned of it; every answer meanwhile asks for its connection to be closed. Then it stops.
"""

import io
import os
import select
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create
from gunicorn.workers.base import Worker as BaseWorker

from webhook.core.review import status
from webhook.server.limits import give_back_freed_memory
from webhook.server.loop import Loop
from webhook.server.request import ENVIRON_KEY, BadHead, Visit

_TICK_SECONDS: Final = 0.25
_HEARTBEAT_SECONDS: Final = 1.0

_CODES: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (LimitRequestLine, 414, "URI Too Long", "the request line is too long"),
    (LimitRequestHeaders, 431, "Request Header Fields Too Large", "the headers are too long"),
    (UnsupportedTransferCoding, 501, "Not Implemented", "the transfer coding is not supported"),
    (ExpectationFailed, 417, "Expectation Failed", "what is expected is not done here"),
    (Exception, 400, "Bad Request", "this is no HTTP request"),
)


class Head(Request):  # type: ignore[misc]  # gunicorn has no types
    """The head of a request.

    Attributes:
        head: Its bytes.
        length: Bytes of the body that follows; 0 also for one that is not to be received, since the app refuses it.
        expects_continue: The peer waits for `100 Continue` before it sends the body.
    """

    headers: list[tuple[str, str]]
    _expected_100_continue: bool

    def __init__(self, config: Any, head: bytes, address: Any, most: int) -> None:
        super().__init__(config, IterUnreader([head]), address)
        self.head = len(head)
        declared = next((value for name, value in self.headers if name == "CONTENT-LENGTH"), "0")
        chunked = any(name == "TRANSFER-ENCODING" for name, _ in self.headers)
        length = int(declared)
        self.length = 0 if chunked or length > most else length
        if chunked or length > most:
            self.force_close()
        self.expects_continue = bool(self._expected_100_continue and self.length)
        self._expected_100_continue = False


class WsgiHttp:
    """Reads heads and answers requests by a WSGI app.

    Args:
        config: gunicorn's.
        app: The WSGI app.
        most: Longest body that is received.
        stopping: Returns whether connections are to be closed after their next answer.
    """

    def __init__(self, config: Any, app: Any, most: int, stopping: Any) -> None:
        self._config = config
        self._app = app
        self._most = most
        self._stopping = stopping

    def read_head(self, head: bytes, address: Any) -> Head:
        """Read a head; `BadHead` if it is none."""
        try:
            return Head(self._config, head, address, self._most)
        except (ParseException, StopIteration, ValueError, OSError) as error:
            code, reason, text = next(row[1:] for row in _CODES if isinstance(error, row[0]))
            body = status(code, text)
            raise BadHead(
                f"HTTP/1.1 {code} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            ) from None

    def answer(self, request: Head, body: bytes, visit: Visit) -> tuple[bytes, bool]:
        """Call the app."""
        if self._stopping():
            request.force_close()
        gathered = _Gathered()
        response, environ = create(request, gathered, request.peer_addr, ("", 0), self._config)
        environ["wsgi.multithread"] = True
        environ["wsgi.input"] = io.BytesIO(body)
        environ[ENVIRON_KEY] = visit
        parts = self._app(environ, response.start_response)
        try:
            for part in parts:
                response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return b"".join(gathered.parts), response.should_close()


class _Gathered:
    """Stands for the socket, so that head and body of an answer are one write."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep a part."""
        self.parts.append(data)


class Worker(BaseWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module. Its application is a `webhook.server.serve.Application`."""

    alive: bool
    told_to_stop: bool = False

    def run(self) -> None:
        """Serve until it is to stop."""
        give_back_freed_memory()
        for listener in self.sockets:
            listener.setblocking(False)
        http = WsgiHttp(self.cfg, self.wsgi, self.app.limits.body_bytes, self.app.stopping.is_set)
        listeners = [listener.sock for listener in self.sockets]
        loop = Loop(self.app.limits, listeners, self.app.tls_context, http, self.app.drops)
        loop.start()
        self.app.self_check.start(loop.inside)
        self._until(loop, lambda: self.told_to_stop or not self.alive)
        self.app.stopping.set()
        if self.told_to_stop:
            structlog.get_logger().info("draining", seconds=self.app.shutdown_delay)
            end = time.monotonic() + self.app.shutdown_delay
            self._until(loop, lambda: time.monotonic() >= end)
        structlog.get_logger().info("stopping", connections=loop.connections())
        loop.drain()
        for listener in self.sockets:
            listener.close()
        end = time.monotonic() + self.cfg.graceful_timeout
        self._until(loop, lambda: not loop.connections() or time.monotonic() >= end)
        loop.stop()

    def _until(self, loop: Loop, done: Callable[[], bool]) -> None:
        """Keep the loop in order and show gunicorn that we live, until this is so."""
        beat = 0.0
        while not done():
            now = time.monotonic()
            if now - beat >= _HEARTBEAT_SECONDS:
                beat = now
                self.notify()
                # Whoever started us is gone: nobody would replace us, or stop us.
                self.alive = self.alive and self.ppid == os.getppid()
            loop.tick()
            # A signal writes here, so none has to wait for the end of the pause.
            if select.select([self.PIPE[0]], [], [], _TICK_SECONDS)[0]:
                os.read(self.PIPE[0], 4096)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 (a signal handler's signature)
        """Begin to stop. In a signal handler, so it only leaves a mark."""
        self.told_to_stop = True


def announce(server: Any) -> None:
    """Log where gunicorn listens, once it does."""
    addresses = [listener.sock.getsockname()[:2] for listener in server.LISTENERS]
    structlog.get_logger().info("listening", bind=[f"{host}:{port}" for host, port in addresses])
