"""The real server process with a reviewer that does as the review's name says; `python -m` this, and a handle on it.

Only the decision is played: Flask app, gunicorn, worker, TLS, signals and the second listener are the real ones.
"""

import http.client
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from flask import Flask

from certs.authority import issue_leaf, new_ca
from certs.facts import KeyPair
from webhook.config import ServeSettings
from webhook.core.answers import Answer
from webhook.core.review import Review, allowed, patched
from webhook.core.vocabulary import Outcome, Reason
from webhook.ports import Deadline, Unavailable
from webhook.server import ops
from webhook.server.app import create_app
from webhook.server.certificate import CertificateFiles
from webhook.server.ops import Check
from webhook.server.selfcheck import ALIVE_SECONDS, SelfCheck
from webhook.server.serve import Application
from webhook.telemetry import logs
from webhook.telemetry.metrics import Metrics

HOST = "webhook.test.svc"
ROOT = Path(__file__).parents[2]


class Double:
    """Answers by name: `slow-1.5` after that many seconds, `boom` with a bug, `down` without an API server."""

    def __init__(self, *, most: int | None = None) -> None:
        self.seen: deque[tuple[str, Review, Deadline]] = deque(maxlen=most)

    def mutate(self, review: Review, deadline: Deadline) -> Answer:
        self.seen.append(("mutate", review, deadline))
        self._act(review)
        response = patched([{"op": "add", "path": "/spec/imagePullSecrets", "value": []}], audit={"reason": "injected"})
        return Answer(response=response, reason=Reason.INJECTED, outcome=Outcome.PATCHED, provisioning="created")

    def validate(self, review: Review, deadline: Deadline) -> Answer:
        self.seen.append(("validate", review, deadline))
        self._act(review)
        return Answer(response=allowed(warnings=["careful"]), reason=Reason.COVERED)

    @staticmethod
    def _act(review: Review) -> None:
        kind, _, argument = review.name.partition("-")
        if kind == "slow":
            time.sleep(float(argument))
        elif kind == "boom":
            local_secret = "ghp_" + "x" * 30  # must not show in the traceback
            raise RuntimeError(f"a bug of {len(local_secret)}")
        elif kind == "down":
            raise Unavailable("get", "secrets", "apps", "ghcr-secret", code=503)


def review(name: str = "api", uid: str = "u-1", **changes: Any) -> dict[str, Any]:
    """An AdmissionReview for a Pod."""
    request: dict[str, Any] = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "apps",
        "name": name,
        "object": {"metadata": {"name": name}},
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **changes}}


@contextmanager
def logging_restored() -> Iterator[None]:
    """Take back what `logs.configure` does to the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook, threading.excepthook = hooks


class Authority:
    """A CA, and the files of a server's certificate."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.ca = new_ca(common_name="test", now=self.now)

    def leaf(self, days: int = 30) -> KeyPair:
        return issue_leaf(self.ca, dns_names=[HOST], now=self.now, validity=timedelta(days=days))

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca.certificate_pem.decode())


def write_pair(directory: Path, certificate: bytes, key: bytes) -> None:
    """Write both files, each in one step."""
    for name, content in (("tls.crt", certificate), ("tls.key", key)):
        new = directory / f"{name}.new"
        new.write_bytes(content)
        new.replace(directory / name)


class Process:
    """A server process and its log lines."""

    def __init__(self, command: Sequence[str], authority: Authority, environ: Mapping[str, str] | None = None) -> None:
        self._authority = authority
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def workers(self) -> list[int]:
        """Give the process ids of gunicorn's workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._grown:
                self.raw.append(line)
                if line.startswith("{"):
                    self.lines.append(json.loads(line))
                self._grown.notify_all()

    def wait_for(self, event: str, timeout: float = 20, count: int = 1) -> dict[str, Any]:
        """Wait for the first, or a further, log line of an event."""

        def find() -> dict[str, Any] | None:
            found = self.events(event)
            return found[count - 1] if len(found) >= count else None

        with self._grown:
            found = self._grown.wait_for(lambda: find() or self._popen.poll() is not None, timeout)
            line = find()
            assert line is not None, (found, self._popen.poll(), "".join(self.raw)[-4000:])
            return line

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("event") == event]

    @property
    def port(self) -> int:
        return int(self.wait_for("listening")["bind"][0].rpartition(":")[2])

    @property
    def ops_port(self) -> int:
        return int(self.wait_for("ops_listening")["bind"].rpartition(":")[2])

    def connect(self, shown: tuple[Path, Path] | None = None) -> http.client.HTTPSConnection:
        """Open a TLS connection that checks the certificate as the API server does, and perhaps shows one."""
        context = self._authority.client_context()
        if shown:
            context.load_cert_chain(*shown)
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=15)
        for attempt in range(3):
            raw = socket.create_connection(("127.0.0.1", self.port), timeout=15)
            try:
                connection.sock = context.wrap_socket(raw, server_hostname=HOST)
                break
            except ssl.SSLEOFError:
                # With many more processes than processors, ours may not get its turn within the time a handshake has.
                raw.close()
                if attempt == 2:
                    raise
        return connection

    def post(
        self, path: str = "/mutate", body: object = None, connection: http.client.HTTPSConnection | None = None
    ) -> tuple[int, dict[str, Any]]:
        own = connection or self.connect()
        content = json.dumps(review() if body is None else body)
        own.request("POST", path, content, {"Content-Type": "application/json"})
        response = own.getresponse()
        answer = json.loads(response.read())
        if connection is None:
            own.close()
        return response.status, answer

    def ops(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ops_port, timeout=15)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def wait_ready(self, timeout: float = 20) -> None:
        end = time.monotonic() + timeout
        while self.ops("/readyz")[0] != 200:
            assert time.monotonic() < end, self.ops("/readyz?verbose")
            time.sleep(0.05)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        code = self._popen.wait(timeout)
        self._reader.join(5)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait(20)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self.wait(5)
        assert self._popen.stdout is not None
        self._popen.stdout.close()


@contextmanager
def serving(directory: Path, authority: Authority, *flags: str, delay: str = "0s") -> Iterator[Process]:
    """Run the double in a process of its own, until the block ends."""
    command = [sys.executable, "-m", "tests.edges.server_double", "--tls-dir", str(directory)]
    with Process([*command, "--shutdown-delay", delay, *flags], authority) as process:
        process.wait_for("app_loaded")
        yield process


def main(arguments: Sequence[str]) -> None:
    """Run the server with a `Double`; flags as those of `serve`, and `--patience` of its look at itself."""
    flags = {"bind": "127.0.0.1:0", "ops_bind": "127.0.0.1:0", "namespace": "ghcr-pull-secrets"}
    for flag, value in zip(arguments[::2], arguments[1::2], strict=True):
        flags[flag.removeprefix("--").replace("-", "_")] = value
    patience = float(flags.pop("patience", ALIVE_SECONDS))
    settings = ServeSettings.parse(flags, {})
    logs.configure(level=settings.log_level)
    assert settings.tls_dir is not None
    certificate = CertificateFiles(settings.tls_dir, settings.client_ca)
    listener = ops.listen(settings.ops_bind)

    def load(stopping: threading.Event) -> Flask:
        metrics = Metrics(
            version="test", certificate_expiry=certificate.expiry, connections_dropped=application.drops.totals
        )

        def checks() -> Sequence[Check]:
            return (
                Check(name="certificate", ok=certificate.current() is not None, detail=certificate.problem),
                Check(name="shutdown", ok=not stopping.is_set()),
                application.self_check.check(),
            )

        ops.serve(listener, checks, metrics.render, alive=application.self_check.alive)
        app = create_app(Double(most=0), metrics, limits=application.limits)
        structlog.get_logger().info("app_loaded")
        return app

    application = Application(settings, certificate, load)
    application.self_check = SelfCheck(timeout=patience)
    application.run()


if __name__ == "__main__":
    main(sys.argv[1:])
