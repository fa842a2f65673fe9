"""gunicorn configuration for one TLS worker with threads.

Nothing is written to any file system but `/dev/shm`.
"""

import threading
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from webhook.config import ConfigError, Fault, ServeSettings
from webhook.server.certificate import CertificateFiles
from webhook.server.drops import Drops
from webhook.server.gthread import Worker
from webhook.server.limits import TooLittleMemory, derive, directory_in_memory
from webhook.server.selfcheck import SelfCheck
from webhook.server.visit import MAX_SECONDS


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
        limits: How much the worker takes on.
        self_check: Sends itself reviews, once the worker serves.
        drops: Counts the connections that are closed before they are done.

    Raises:
        ConfigError: The memory limit is too low for the rest.
    """

    def __init__(
        self,
        settings: ServeSettings,
        certificate: CertificateFiles,
        load: Callable[[threading.Event], Flask],
    ) -> None:
        try:
            self.limits = derive(
                memory_bytes=settings.memory_limit, threads=settings.threads, body_bytes=settings.max_body_bytes
            )
        except TooLittleMemory as fault:
            raise ConfigError(
                [Fault("--memory-limit", f"with these --threads and --max-body-bytes, {fault}")]
            ) from None
        self.self_check = SelfCheck()
        self.drops = Drops()
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
            # From SIGTERM to SIGKILL: the drain, the longest review, and a moment for the connections to close.
            "graceful_timeout": int(settings.shutdown_delay + MAX_SECONDS) + 5,
            "worker_tmp_dir": directory_in_memory(),
            "control_socket_disable": True,
            "proc_name": "ghcr-pull-secrets",
            "logger_class": GunicornLog,
            # gunicorn speaks TLS if it has a certificate's path, and does not start if nothing is there. The directory
            # is there when its files are not yet; what is served with comes from `tls_context`.
            "certfile": str(self._certificate.directory),
            "when_ready": _announce,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the WSGI app, in the worker."""
        return self._load(self.stopping)

    def tls_context(self) -> SSLContext | None:
        """Give what a new connection shakes hands with; nothing while there is no certificate."""
        served = self._certificate.current()
        return served.context if served else None


def _announce(server: Any) -> None:
    addresses = [listener.sock.getsockname()[:2] for listener in server.LISTENERS]
    structlog.get_logger().info("listening", bind=[f"{host}:{port}" for host, port in addresses])
