"""HTTP listener for `/healthz`, `/readyz` and `/metrics`."""

import io
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import structlog

from webhook.config import Address
from webhook.core.figures import WatchHealth
from webhook.telemetry.metrics import CONTENT_TYPE

_TEXT: Final = "text/plain; charset=utf-8"
_IDLE_SECONDS: Final = 10.0
"""For a request, and between two on one connection."""

_BACKLOG: Final = 64

_MOST_CONNECTIONS: Final = 32
"""The kubelet opens one for each probe, a Prometheus keeps one."""

_MOST_OF_ONE_ADDRESS: Final = 8
"""So that whoever opens many closes only their own. The kubelet probes one at a time."""

_MOST_HEAD_BYTES: Final = 16 * 1024
"""Of a request; `http.server` itself would take 6 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing `/readyz` looks at.

    Attributes:
        detail: Said beside it; why it fails, if it does.
        required: We are ready only if it is ok. The others are shown and change nothing.
    """

    name: str
    ok: bool
    detail: str = ""
    required: bool = True


def watch_checks(watches: Iterable[WatchHealth]) -> tuple[Check, ...]:
    """Show each watch. A broken one changes nothing: it breaks in all replicas at once, and the caches go on."""
    return tuple(
        Check(
            name=f"watch-{watch.resource}",
            ok=not watch.error,
            detail=", ".join(filter(None, (watch.error, f"last heard of {watch.last_event_age_s:.0f} s ago"))),
            required=False,
        )
        for watch in watches
    )


def listen(address: Address) -> socket.socket:
    """Open the listening socket; `OSError` if that address cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server(tuple(address), family=family, backlog=_BACKLOG)


def serve(
    listener: socket.socket,
    checks: Callable[[], Sequence[Check]],
    metrics: Callable[[], bytes],
    *,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Answer on a listening socket, in threads of its own, until the process ends.

    Args:
        listener: From `listen`.
        checks: Looks, at the moment of a probe.
        metrics: Renders, at the moment of a scrape.
        alive: Returns whether anything can still be hoped for from this process.
    """

    class Handler(_Handler):
        look = staticmethod(checks)
        render = staticmethod(metrics)
        lives = staticmethod(alive)

    server = _Server(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()
    host, port = listener.getsockname()[:2]
    structlog.get_logger().info("ops_listening", bind=f"{host}:{port}")


def report(checks: Sequence[Check], *, verbose: bool) -> tuple[int, str]:
    """Say whether all is well, in the words of the API server's own `/readyz`."""
    ready = all(check.ok for check in checks if check.required)
    if ready and not verbose:
        return 200, "ok"
    lines = [
        f"[{'+' if check.ok else '-'}]{check.name} {'ok' if check.ok else 'failed'}"
        + (f": {check.detail}" if check.detail else "")
        + ("" if check.ok or check.required else " (does not make it unready)")
        for check in checks
    ]
    return (200 if ready else 503), "\n".join([*lines, f"readyz check {'passed' if ready else 'failed'}", ""])


class _Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number in all and of one address: the one that is open longest goes."""

    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: dict[socket.socket, str] = {}
        self._change = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        address = str(client_address[0])
        with self._change:
            self._open[request] = address
            # In the order in which they came.
            of_one = [each for each, theirs in self._open.items() if theirs == address]
            if len(of_one) > _MOST_OF_ONE_ADDRESS:
                self._end(of_one[0])
            elif len(self._open) > _MOST_CONNECTIONS:
                self._end(next(iter(self._open)))
        super().process_request(request, client_address)

    def _end(self, request: socket.socket) -> None:
        del self._open[request]
        with suppress(OSError):
            # Its thread reads the end, and closes.
            request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        with self._change:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, _request: object, _client_address: object) -> None:
        structlog.get_logger().warning("ops_request_failed", exc_info=True)


class _Head(io.BufferedReader):
    """Reads lines until the head of a request is longer than it may be, and then as if it had ended."""

    left = _MOST_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(min(self.left, size) if size and size > 0 else self.left)
        self.left -= len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ghcr-pull-secrets"
    sys_version = ""
    timeout = _IDLE_SECONDS
    look: Callable[[], Sequence[Check]]
    render: Callable[[], bytes]
    lives: Callable[[], bool]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        match url.path:
            case "/healthz":
                self._answer(*((200, "ok") if type(self).lives() else (503, "reviews are not answered any more")))
            case "/readyz":
                verbose = "verbose" in parse_qs(url.query, keep_blank_values=True)
                self._answer(*report(type(self).look(), verbose=verbose))
            case "/metrics":
                self._answer(200, type(self).render(), CONTENT_TYPE)
            case _:
                self._answer(404, "there are /healthz, /readyz and /metrics")

    def setup(self) -> None:
        super().setup()
        self.rfile = _Head(self.rfile.detach())

    def handle_one_request(self) -> None:
        self.rfile.left = _MOST_HEAD_BYTES  # type: ignore[attr-defined]
        super().handle_one_request()

    do_HEAD = do_GET  # noqa: N815 (the name http.server calls)

    def _answer(self, code: int, body: str | bytes, content_type: str = _TEXT) -> None:
        content = body if isinstance(body, bytes) else body.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Write nothing: probes and scrapes come every few seconds."""
