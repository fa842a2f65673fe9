"""A tiny HTTP server that answers as a test tells it to, for faults no API server would show on demand."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client.configuration import Configuration

from webhook.cluster.client import Client

Json = dict[str, Any]


class Request:
    """One request under way, and the means to answer it, well or badly."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        url = urlsplit(handler.path)
        self.method = handler.command
        self.path = url.path
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.headers = handler.headers
        self.body = body
        self.at = time.monotonic()
        self.client = handler.client_address
        self._handler = handler

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    def json(self, body: object, code: int = 200, **headers: str) -> None:
        self.raw(json.dumps(body).encode(), code, **headers)

    def raw(self, content: bytes, code: int = 200, **headers: str) -> None:
        self._handler.send_response(code)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Content-Length", str(len(content)))
        self._handler.end_headers()
        self._handler.wfile.write(content)

    def begin(self, code: int = 200, **headers: str) -> None:
        """Begin a chunked body."""
        self._handler.send_response(code)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def chunk(self, content: bytes) -> None:
        self._handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self._handler.wfile.flush()

    def event(self, kind: str, obj: Json) -> None:
        self.chunk(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def end(self) -> None:
        """End the chunked body as HTTP wants it."""
        self._handler.wfile.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Close the connection in the middle."""
        self._handler.close_connection = True
        self._handler.connection.close()

    def hang(self, until: threading.Event) -> None:
        """Say nothing more, and do not close either."""
        until.wait(30)
        self._handler.close_connection = True


class Script:
    """The server; `answer` is what it does, and can be changed at any time."""

    def __init__(self, answer: Callable[[Request], None], port: int = 0) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._connections: list[socket.socket] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self, body)
                script.requests.append(request)
                try:
                    script.answer(request)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

            def finish(self) -> None:
                with suppress(OSError, ValueError):  # the test closed it
                    super().finish()

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.serve)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def process_request(self, request: Any, client_address: Any) -> None:
                script._connections.append(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                with suppress(OSError):
                    super().shutdown_request(request)

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def client(self, token: str = "") -> Client:
        def load(configuration: Configuration) -> None:
            configuration.host = self.url
            if token:
                configuration.api_key["BearerToken"] = f"Bearer {token}"

        return Client(load, source="test")

    def watches(self) -> list[Request]:
        return [request for request in self.requests if request.is_watch]

    def lists(self) -> list[Request]:
        return [request for request in self.requests if not request.is_watch]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


def steps(*actions: Callable[[Request], object]) -> Callable[[Request], None]:
    """Make one answer of several actions."""

    def answer(request: Request) -> None:
        for action in actions:
            action(request)

    return answer


@contextmanager
def scripted(answer: Callable[[Request], None], port: int = 0) -> Iterator[Script]:
    script = Script(answer, port)
    script.start()
    try:
        yield script
    finally:
        script.stop()


def eventually(condition: Callable[[], object], within: float = 30.0) -> None:
    """Wait until that holds; fail if it does not in time."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def obj(name: str, version: int, **fields: Any) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version), **fields}}


def content(obj: object) -> bytes:
    """Write JSON as an API server does, without blanks."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


def page(*items: Json, version: int, token: str = "") -> Json:
    metadata = {"resourceVersion": str(version)} | ({"continue": token} if token else {})
    return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": list(items)}


def status(code: int, reason: str = "", **details: Any) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "MESSAGE-OF-THE-SERVER",
        "reason": reason,
        "details": details,
        "code": code,
    }
