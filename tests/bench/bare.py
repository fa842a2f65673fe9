"""What the server is compared with: bare Flask routes that decode a review, and allow it or append a pull secret.

It runs on gunicorn's own threaded worker, as anybody would run it, or on the server's event loop.
"""

import base64
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

from webhook.config import ServeSettings
from webhook.server.certificate import CertificateFiles
from webhook.server.serve import Application


def load(_: threading.Event) -> Flask:
    """Make the bare app."""
    app = Flask("bare", static_folder=None)

    @app.post("/mutate")
    def mutate() -> Response:
        return _answer()

    @app.post("/inject")
    def inject() -> Response:
        return _answer(patchType="JSONPatch", patch=_PATCH)

    @app.post("/allow")
    def allow() -> Response:
        return _answer()

    return app


_PATCH = base64.b64encode(
    orjson.dumps([{"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": "ghcr-secret"}]}])
).decode()


def _answer(**fields: str) -> Response:
    review = orjson.loads(request.get_data(cache=False))
    answer = {
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], "allowed": True, **fields},
    }
    return Response(orjson.dumps(answer), content_type="application/json")


class Stock(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn as it comes, with as many threads as the server has."""

    def __init__(self, port: str, tls_dir: str) -> None:
        self._settings = {
            "bind": f"127.0.0.1:{port}",
            "worker_class": "gthread",
            "threads": 16,
            "keepalive": 120,
            "certfile": f"{tls_dir}/tls.crt",
            "keyfile": f"{tls_dir}/tls.key",
            "ssl_context": self._context,
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app."""
        return load(threading.Event())

    @staticmethod
    def _context(_config: Any, default: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def main() -> None:
    """Serve it on the port, with the certificate and on the worker given."""
    port, tls_dir, worker = sys.argv[1:]
    if worker == "stock":
        Stock(port, tls_dir).run()
        return
    settings = ServeSettings.parse(
        {"bind": f"127.0.0.1:{port}", "tls_dir": str(Path(tls_dir)), "namespace": "bench", "shutdown_delay": "0s"}, {}
    )
    Application(settings, CertificateFiles(Path(tls_dir)), load).run()


if __name__ == "__main__":
    main()
