"""HTTP/1.1 over one TLS connection: just what API clients use, without a framework's cost per request."""

import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TypeAlias, cast

MAX_LINE = 64 * 1024
MAX_BODY = 8 * 1024 * 1024
_TEXTS = {
    200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Entity", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


# `subject` of `SSLSocket.getpeercert()`: relative names of (attribute, value) pairs.
Subject: TypeAlias = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as it was read. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An answer. With `stream` the body is sent in chunks as it comes; an empty piece checks that the client is there.

    `reset` cuts the connection instead; `silent` sends nothing and keeps it open.
    """

    code: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, bytes], ...] = ()
    stream: Iterable[bytes] | None = None
    reset: bool = False
    silent: bool = False


class BadRequest(Exception):
    """What was sent is not HTTP, or too long."""


class CutConnection(Exception):
    """Raised by a stream to cut its connection with a reset."""


class Silence(Exception):
    """Raised by a stream to send nothing more and close nothing."""


def _read_headers(reader: IO[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    while True:
        line = reader.readline(MAX_LINE)
        if line in {b"\r\n", b"\n"}:
            return headers
        name, colon, value = line.partition(b":")
        if not colon or len(line) >= MAX_LINE:
            raise BadRequest
        key, text = name.decode("latin-1").strip().lower(), value.decode("latin-1").strip()
        # A header that comes again is a list (RFC 9110, 5.3).
        headers[key] = f"{headers[key]},{text}" if key in headers else text


def _read_chunked(reader: IO[bytes]) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        try:
            size = int(reader.readline(MAX_LINE).split(b";")[0], 16)
        except ValueError as fault:
            raise BadRequest from fault
        total += size
        if total > MAX_BODY:
            raise BadRequest
        if size == 0:
            while reader.readline(MAX_LINE) not in {b"\r\n", b"\n", b""}:
                pass
            return b"".join(parts)
        parts.append(reader.read(size))
        reader.readline(MAX_LINE)


def read_request(reader: IO[bytes]) -> HttpRequest | None:
    """Return the next request of a connection, None at its end. Raises BadRequest."""
    line = reader.readline(MAX_LINE)
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise BadRequest
    headers = _read_headers(reader)
    if "chunked" in headers.get("transfer-encoding", ""):
        body = _read_chunked(reader)
    else:
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise BadRequest
        body = reader.read(int(length)) if length != "0" else b""
    return HttpRequest(method=parts[0], target=parts[1], headers=headers, body=body)


def head(response: HttpResponse, *, chunked: bool = False) -> bytes:
    """Return status line and headers."""
    lines = [
        f"HTTP/1.1 {response.code} {_TEXTS.get(response.code, 'Status')}".encode(),
        b"Content-Type: " + response.content_type.encode(),
        b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(response.body),
    ]
    lines += [name.encode() + b": " + value for name, value in response.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Connection:
    """Serves the requests of one client until either side ends it.

    Args:
        sock: Connected, before the TLS handshake.
        context: The server's TLS context.
        answer: Makes a response of a request and the client's certificate subject (empty without one).
        stopping: Tells whether the server stops.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        answer: Callable[[HttpRequest, Subject], HttpResponse],
        stopping: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._context = context
        self._answer = answer
        self._stopping = stopping
        self._tls: ssl.SSLSocket | None = None

    def serve(self) -> None:
        """Run until the end of the connection; never raises for what the client does."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._tls = tls = self._context.wrap_socket(self._sock, server_side=True)
            peer = tls.getpeercert() or {}
            subject: Subject = peer.get("subject", ())  # type: ignore[assignment]  # typeshed leaves the nesting open
            with cast(IO[bytes], tls.makefile("rb", 64 * 1024)) as reader:
                while not self._stopping() and (request := read_request(reader)) is not None:
                    if not self._respond(tls, self._answer(request, subject)):
                        break
        except BadRequest:
            self._send_quietly(head(HttpResponse(code=400)))
        except (OSError, ValueError):
            # The client went away, or `abort` closed the socket under us: nobody is left to tell.
            pass
        finally:
            self._close()

    def _respond(self, tls: ssl.SSLSocket, response: HttpResponse) -> bool:
        """Send a response; False ends the connection."""
        if response.reset:
            self._reset()
            return False
        if response.silent:
            self._hang(tls)
            return False
        if response.stream is None:
            tls.sendall(head(response) + response.body)
            return True
        tls.sendall(head(response, chunked=True))
        return self._send_stream(tls, response.stream)

    def _send_stream(self, tls: ssl.SSLSocket, stream: Iterable[bytes]) -> bool:
        pieces: Iterator[bytes] = iter(stream)
        try:
            for piece in pieces:
                if self._stopping():
                    return False
                if piece:
                    tls.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif self._client_left(tls):
                    return False
            tls.sendall(b"0\r\n\r\n")
        except CutConnection:
            self._reset()
            return False
        except Silence:
            self._hang(tls)
            return False
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        return True

    @staticmethod
    def _client_left(tls: ssl.SSLSocket) -> bool:
        """During a stream a client sends nothing but its end."""
        return bool(tls.pending() or select.select([tls], [], [], 0)[0])

    def _hang(self, tls: ssl.SSLSocket) -> None:
        while not self._stopping() and not self._client_left(tls):
            select.select([tls], [], [], 0.2)

    def _send_quietly(self, data: bytes) -> None:
        if self._tls is not None:
            try:
                self._tls.sendall(data)
            except OSError:
                return

    def _reset(self) -> None:
        sock = self._tls or self._sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _close(self) -> None:
        (self._tls or self._sock).close()

    def abort(self) -> None:
        """End the connection from another thread."""
        try:
            (self._tls or self._sock).shutdown(socket.SHUT_RDWR)
        except OSError:
            return
