"""gunicorn, configured: one worker with threads, TLS, and nothing written but to `/dev/shm`."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from webhook.config import ServeSettings
from webhook.server.certificate import CertificateFiles
from webhook.server.timeouts import MAX_SECONDS
from webhook.server.worker import Worker

KEEPALIVE_SECONDS: Final = 120
"""An API server drops an idle connection after 90 s. If we did so first, now and then a call would be lost."""

CONNECTIONS: Final = 500
"""At most 25 idle connections from each API server, and room for many; below the usual limit of 1024 open files."""

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (memory, where a container's root may be read-only)


class NoCertificate(ConnectionResetError):
    """There is nothing to serve with yet. A reset, since the worker takes a reset for no fault of its own."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "no certificate yet")


class GunicornLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Leaves gunicorn's messages to the root logger, which writes them as every other line; there is no access log."""

    def setup(self, cfg: Any) -> None:
        """Take the place of handlers, formats and files."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.handlers.clear()

    def access(self, *args: Any) -> None:
        """Write nothing: a review has its own line."""


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The server.

    Args:
        settings: What to run with.
        certificate: What to serve with.
        load: Makes the WSGI app, and starts what it needs; called in the worker, since no thread survives the fork.

    Attributes:
        stopping: Set when the drain begins.
        shutdown_delay: Seconds the drain takes.
    """

    def __init__(
        self, settings: ServeSettings, certificate: CertificateFiles, load: Callable[[threading.Event], Flask]
    ) -> None:
        self.stopping = threading.Event()
        self.shutdown_delay = settings.shutdown_delay
        self._settings = settings
        self._certificate = certificate
        self._load = load
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn how; its own flags, files and environment variables are not read."""
        settings = self._settings
        for name, value in {
            "bind": [str(settings.bind)],
            "workers": 1,
            "worker_class": Worker,
            "threads": settings.threads,
            "worker_connections": CONNECTIONS + settings.threads,
            "keepalive": KEEPALIVE_SECONDS,
            # From SIGTERM to SIGKILL: the drain, the longest review, and a moment for the connections to close.
            "graceful_timeout": int(settings.shutdown_delay + MAX_SECONDS) + 5,
            "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
            "control_socket_disable": True,
            "proc_name": "ghcr-pull-secrets",
            "logger_class": GunicornLog,
            # gunicorn speaks TLS if it has a certificate's path, and does not start if nothing is there. The directory
            # is there when its files are not yet; what is served with comes from the hook.
            "certfile": str(self._certificate.directory),
            "ssl_context": self._context,
            "pre_request": self._before,
            "when_ready": _announce,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the WSGI app, in the worker."""
        return self._load(self.stopping)

    def _context(self, _config: object, _default: Callable[[], SSLContext]) -> SSLContext:
        served = self._certificate.current()
        if served is None:
            raise NoCertificate
        return served.context

    def _before(self, _worker: object, req: Any) -> None:
        if self.stopping.is_set():
            req.force_close()


def _announce(server: Any) -> None:
    addresses = [listener.sock.getsockname()[:2] for listener in server.LISTENERS]
    structlog.get_logger().info("listening", bind=[f"{host}:{port}" for host, port in addresses])
