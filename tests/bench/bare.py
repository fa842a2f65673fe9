"""What the server is compared with: a bare Flask route that only decodes and encodes a review, on the same gunicorn."""

import sys
import threading
from pathlib import Path

import orjson
from flask import Flask, Response, request

from webhook.config import ServeSettings
from webhook.server.certificate import CertificateFiles
from webhook.server.process import Application


def load(_: threading.Event) -> Flask:
    """Make the bare app."""
    app = Flask("bare", static_folder=None)

    @app.post("/mutate")
    def mutate() -> Response:
        review = orjson.loads(request.get_data(cache=False))
        answer = {
            "apiVersion": review["apiVersion"],
            "kind": review["kind"],
            "response": {"uid": review["request"]["uid"], "allowed": True},
        }
        return Response(orjson.dumps(answer), content_type="application/json")

    return app


def main() -> None:
    """Serve it on the port and with the certificate given."""
    port, tls_dir = sys.argv[1:]
    settings = ServeSettings.parse(
        {"bind": f"127.0.0.1:{port}", "tls_dir": str(Path(tls_dir)), "namespace": "bench", "shutdown_delay": "0s"}, {}
    )
    Application(settings, CertificateFiles(Path(tls_dir)), load).run()


if __name__ == "__main__":
    main()
