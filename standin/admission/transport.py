"""HTTP/1.1 over TLS to webhooks, as the API server's Go client does it: pooled connections, Go's error texts.

What is modelled on net/http because a webhook's author meets it: at most 25 idle connections for each server and CA,
kept 90 s; a pooled connection that the server has closed meanwhile is noticed and replaced; a request whose first
byte could not be written is sent again on a new connection; one that was written is *not*, for a POST is not
idempotent, so a server that drops busy connections is seen as ``EOF`` or ``connection reset by peer``.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

from standin.admission import tls

MAX_IDLE = 25
IDLE_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEndpoint:
    """Where a webhook listens.

    Attributes:
        authority: host:port as it stands in the URL and in the Host header.
        address: What to dial: differs from `authority` for a Service, whose name no resolver here knows.
        server_name: The name sent as SNI and looked for in the certificate.
        path: Path of the URL.
        ca_bundle: PEM certificates to trust; empty means the system's.
    """

    authority: str
    address: tuple[str, int]
    server_name: str
    path: str
    ca_bundle: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    status: int
    content_type: str
    body: bytes


class TransportError(Exception):
    """No answer came; `text` is Go's wording, the URL included."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Transport:
    """A thread-safe client for all webhooks of one API server.

    Args:
        max_idle: Idle connections kept for each server and CA.
        idle_seconds: How long.
        client_certificate: Files of a certificate to show to every webhook, and of its key.
    """

    def __init__(
        self,
        *,
        max_idle: int = MAX_IDLE,
        idle_seconds: float = IDLE_SECONDS,
        client_certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._client_certificate = client_certificate
        self._lock = threading.Lock()
        self._idle: _Pools = {}
        self._contexts: dict[bytes, ssl.SSLContext] = {}
        self.handshakes = 0
        # An admission chain has no end of its own that could close them.
        weakref.finalize(self, _close_all, self._idle)

    def post(self, endpoint: HookEndpoint, body: bytes, *, timeout_seconds: float) -> HookAnswer:
        """Send one POST of JSON, bounded as a whole by `timeout_seconds`.

        Raises:
            TransportError: When the server cannot be reached, trusted or understood, or is too slow.
        """
        url = f"https://{endpoint.authority}{endpoint.path}?timeout={_go_seconds(timeout_seconds)}"
        deadline = time.monotonic() + timeout_seconds
        head = (
            f"POST {endpoint.path}?timeout={_go_seconds(timeout_seconds)} HTTP/1.1\r\nHost: {endpoint.authority}\r\n"
            "User-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        try:
            return self._exchange(endpoint, head.encode("ascii") + body, deadline)
        except TimeoutError as error:
            raise TransportError(f'Post "{url}": context deadline exceeded') from error
        except tls.VerificationError as error:
            raise TransportError(f'Post "{url}": tls: failed to verify certificate: {error.text}') from error
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f'Post "{url}": {_go_text(error, endpoint)}') from error

    def idle_connections(self) -> int:
        """Count pooled connections."""
        with self._lock:
            return sum(len(connections) for connections in self._idle.values())

    def close(self) -> None:
        """Close every pooled connection."""
        with self._lock:
            _close_all(self._idle)

    def _exchange(self, endpoint: HookEndpoint, request: bytes, deadline: float) -> HookAnswer:
        connection = self._take(endpoint) or self._dial(endpoint, deadline)
        try:
            try:
                connection.send(request, deadline)
            except OSError as error:
                if not connection.reused or connection.written or isinstance(error, TimeoutError):
                    raise
                connection.close()
                connection = self._dial(endpoint, deadline)
                connection.send(request, deadline)
            answer, keep = connection.receive(deadline)
        except BaseException:
            connection.close()
            raise
        if keep:
            self._put(endpoint, connection)
        else:
            connection.close()
        return answer

    def _take(self, endpoint: HookEndpoint) -> _Connection | None:
        self._drop_expired()
        with self._lock:
            pool = self._idle.get((endpoint.address, endpoint.server_name, endpoint.ca_bundle))
            while pool:
                connection = pool.pop()
                if connection.is_quiet():
                    connection.reused = True
                    connection.written = 0
                    return connection
                connection.close()
        return None

    def _put(self, endpoint: HookEndpoint, connection: _Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            pool = self._idle.setdefault((endpoint.address, endpoint.server_name, endpoint.ca_bundle), deque())
            if len(pool) < self._max_idle:
                pool.append(connection)
                return
        connection.close()

    def _drop_expired(self) -> None:
        """Close what has idled too long; this is also how connections under a replaced caBundle go."""
        limit = time.monotonic() - self._idle_seconds
        with self._lock:
            for key, pool in list(self._idle.items()):
                while pool and pool[0].idle_since <= limit:
                    pool.popleft().close()
                if not pool:
                    del self._idle[key]

    def _dial(self, endpoint: HookEndpoint, deadline: float) -> _Connection:
        with self._lock:
            context = self._contexts.get(endpoint.ca_bundle)
            if context is None:
                context = self._contexts[endpoint.ca_bundle] = tls.client_context(endpoint.ca_bundle)
                if self._client_certificate:
                    context.load_cert_chain(*self._client_certificate)
            self.handshakes += 1
        raw = socket.create_connection(endpoint.address, timeout=_left(deadline))
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = context.wrap_socket(raw, server_hostname=endpoint.server_name)
        except ssl.SSLCertVerificationError as error:
            raw.close()
            leaf = tls.presented_leaf(endpoint.address, endpoint.server_name, _left(deadline))
            raise tls.VerificationError(tls.explain_untrusted(leaf, endpoint.server_name)) from error
        except BaseException:
            raw.close()
            raise
        try:
            tls.verify_name(wrapped.getpeercert(binary_form=True), endpoint.server_name)
        except tls.VerificationError:
            wrapped.close()
            raise
        return _Connection(wrapped)


@dataclass(slots=True)
class _Connection:
    sock: ssl.SSLSocket
    reused: bool = False
    written: int = 0
    idle_since: float = field(default_factory=time.monotonic)

    def is_quiet(self) -> bool:
        """Tell whether the server has said nothing since its last answer: a close would be readable."""
        try:
            return not select.select([self.sock], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while self.written < len(data):
            self.sock.settimeout(_left(deadline))
            self.written += self.sock.send(view[self.written :])

    def receive(self, deadline: float) -> tuple[HookAnswer, bool]:
        source = _DeadlineSource(self.sock, deadline)
        # HTTPResponse asks its socket for nothing but a file to read from.
        response = http.client.HTTPResponse(cast(socket.socket, source), method="POST")
        with contextlib.closing(response):
            response.begin()
            body = response.read()
            if response.getheader("Content-Encoding", "").lower() == "gzip":
                body = gzip.decompress(body)
            answer = HookAnswer(
                status=response.status, content_type=response.getheader("Content-Type") or "", body=body
            )
            return answer, not response.will_close

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


class _DeadlineSource(io.RawIOBase):
    """Read from a socket with one deadline for all reads, so that a dripping server gains no time."""

    def __init__(self, sock: ssl.SSLSocket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLEOFError:
            return 0


_Pools: TypeAlias = dict[tuple[tuple[str, int], str, bytes], deque[_Connection]]


def _close_all(pools: _Pools) -> None:
    for pool in pools.values():
        for connection in pool:
            connection.close()
    pools.clear()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _go_seconds(seconds: float) -> str:
    """Word a timeout as Go prints a Duration of whole seconds; the API server rounds up."""
    whole = -int(-seconds // 1)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"


def _go_text(error: Exception, endpoint: HookEndpoint) -> str:
    host, port = endpoint.address
    match error:
        case ConnectionRefusedError():
            return f"dial tcp {host}:{port}: connect: connection refused"
        case http.client.RemoteDisconnected():
            return "EOF"
        case http.client.IncompleteRead():
            return "unexpected EOF"
        case ConnectionResetError():
            return f"read tcp {host}:{port}: read: connection reset by peer"
        case BrokenPipeError():
            return f"write tcp {host}:{port}: write: broken pipe"
        case socket.gaierror():
            return f"dial tcp: lookup {host}: no such host"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "EOF"
        case ssl.SSLError() if error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
            return "http: server gave HTTP response to HTTPS client"
        case ssl.SSLError():
            return f"tls: {(error.reason or 'handshake failure').lower().replace('_', ' ')}"
        case http.client.HTTPException():
            return f"net/http: HTTP/1.x transport connection broken: {error}"
        case _:
            return str(error)
