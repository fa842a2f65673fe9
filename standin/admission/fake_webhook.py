"""A webhook over TLS whose every answer a test decides: the other end of the recorded transcripts."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from standin.interfaces import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer. With `drop` the connection is closed instead, without a byte."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    drop: bool = False
    drip_seconds: float = 0.0
    close: bool = False
    encoding: str = ""


Behaviour = Callable[[Json], Reply]


def decide(review: Json, **response: Any) -> Reply:
    """Answer a review with an `AdmissionResponse` of these fields; allowed and with the right uid unless given."""
    answer = {"uid": review["request"]["uid"], "allowed": True, **response}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    return Reply(body=json.dumps(body).encode())


def patch(review: Json, *operations: Json) -> Reply:
    """Allow, with a JSON Patch."""
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return decide(review, patch=encoded, patchType="JSONPatch")


def failure(code: int, message: str) -> Reply:
    """Fail with an HTTP status and a `v1` Status body."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Reply(status=code, body=json.dumps(status).encode())


class Authority:
    """A throw-away CA for one test."""

    def __init__(self, name: str = "fake-webhook-ca") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            _builder(self._name, self._name, now, dt.timedelta(days=1))
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def bundle(self) -> str:
        """What belongs in `caBundle`."""
        return base64.b64encode(self._certificate.public_bytes(serialization.Encoding.PEM)).decode()

    def issue(self, *names: str, expired: bool = False) -> bytes:
        """Return certificate and key in PEM for DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        start = dt.datetime.now(dt.UTC) - dt.timedelta(days=2 if expired else 0, minutes=1)
        builder = _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake-webhook")]),
            self._name,
            start,
            dt.timedelta(days=1),
        ).public_key(key.public_key())
        # Tells two CAs of one name apart, in a bundle of the old and the new one.
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, start: dt.datetime, validity: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + validity)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class FakeWebhook:
    """Serves `behaviours` by path on a loopback port of its own; use as a context manager.

    Attributes:
        behaviours: Path to function from review to `Reply`; may be changed at any time.
        reviews: What arrived, with its path and query, oldest first.
        connections: How many TLS connections were opened.
    """

    def __init__(self, certificate_and_key: bytes, behaviours: dict[str, Behaviour] | None = None) -> None:
        self.behaviours: dict[str, Behaviour] = dict(behaviours or {})
        self.reviews: list[tuple[str, Json]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.tls = self._context(certificate_and_key)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop_connections()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def drop_connections(self) -> None:
        """Close all connections from this side, as a server does whose keep-alive ran out."""
        with self._lock:
            connections, self._server.open = self._server.open, []
        for connection in connections:
            # The handler's thread, which waits in a read, does the closing.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def arrived(self, path: str, review: Json, headers: dict[str, str]) -> None:
        with self._lock:
            self.reviews.append((path, review))
            self.headers.append(headers)

    def _context(self, certificate_and_key: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "tls.pem")
            file.write_bytes(certificate_and_key)
            context.load_cert_chain(file)

        def note(_socket: object, name: str | None, _context: object) -> None:
            with self._lock:
                self.connections += 1
                self.server_names.append(name)

        context.sni_callback = note
        return context


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext

    def __init__(self, *args: Any) -> None:
        self.open: list[ssl.SSLSocket] = []
        super().__init__(*args)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake belongs to the connection's own thread: a client that stalls must not hold the others.
        try:
            wrapped = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            return
        self.open.append(wrapped)
        try:
            super().finish_request(wrapped, client_address)
        except (OSError, ValueError):
            return
        finally:
            wrapped.close()


def _handler(webhook: FakeWebhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            webhook.arrived(self.path, review, dict(self.headers.items()))
            reply = webhook.behaviours[self.path.partition("?")[0]](review)
            if reply.delay_seconds:
                time.sleep(reply.delay_seconds)
            if reply.drop:
                self.close_connection = True
                return
            self.send_response(reply.status)
            if reply.content_type:
                self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.encoding:
                self.send_header("Content-Encoding", reply.encoding)
            if reply.close:
                self.send_header("Connection", "close")
            self.end_headers()
            if not reply.drip_seconds:
                self.wfile.write(reply.body)
                return
            for byte in reply.body:
                self.wfile.write(bytes([byte]))
                time.sleep(reply.drip_seconds)

        def log_message(self, *_: object) -> None:
            return

    return Handler
