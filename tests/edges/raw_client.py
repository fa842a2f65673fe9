"""A client of the webhook's port that holds to no rule: what it sends was made before, so that sending takes no time."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.objects import IMAGE

TIMEOUT_S = 15.0


def pod_review(namespace: str, /, **changes: Any) -> dict[str, Any]:
    """An AdmissionReview for a Pod with one selected image; `spec` and whatever else the request has may be given."""
    spec = changes.pop("spec", {"containers": [{"name": "c", "image": IMAGE}]})
    request: dict[str, Any] = {
        "uid": "0c5f7a4e-6a2d-4a39-9b2f-7e1d1c9b1f00",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": namespace,
        "name": "p",
        "dryRun": True,
        "object": {"metadata": {"name": "p", "namespace": namespace}, "spec": spec},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **changes}}


def http(body: bytes | dict[str, Any], *, path: str = "/mutate?timeout=5s", headers: Iterable[str] = ()) -> bytes:
    """A whole request."""
    content = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    lines = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(content)}", *headers]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""])
    return head.encode() + content


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens, and the CA of its certificate."""

    host: str
    port: int
    name: str
    ca: Path

    def plain(self, source: str = "") -> socket.socket:
        """Connect, perhaps from an address of one's own."""
        return socket.create_connection(
            (self.host, self.port), TIMEOUT_S, source_address=(source, 0) if source else None
        )

    def tls(self, source: str = "") -> ssl.SSLSocket:
        """Connect and shake hands."""
        context = ssl.create_default_context(cafile=str(self.ca))
        sock = self.plain(source)
        try:
            return context.wrap_socket(sock, server_hostname=self.name)
        except BaseException:
            sock.close()
            raise

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request on a connection of its own and give the answer's code and body; code 0 if there is none."""
        with closing(self.tls()) as sock:
            # The answer may come before all was sent.
            with suppress(OSError):
                sock.sendall(request)
            return answer(sock)

    def ordinary(self, namespace: str) -> tuple[int, float]:
        """Ask about an ordinary Pod: code, and seconds with the handshake."""
        begun = time.monotonic()
        try:
            code, body = self.ask(http(pod_review(namespace)))
        except OSError:
            return 0, time.monotonic() - begun
        return (code if b'"allowed":true' in body else 0), time.monotonic() - begun


def answer(sock: socket.socket) -> tuple[int, bytes]:
    """Read one answer."""
    received = b""
    try:
        while b"\r\n\r\n" not in received and (part := sock.recv(65536)):
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        if not head:
            return 0, b""
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length and (part := sock.recv(65536)):
            body += part
    except OSError:
        return 0, b""
    return int(head.split()[1]), body
