"""Server process: gunicorn's configuration, and what is wired into it.

Nothing is written to any file system but `/dev/shm`.
"""

import importlib.metadata
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from webhook.admission import Admission, Settling
from webhook.cluster import Cluster, Unreachable, connect
from webhook.cluster.certificate_watches import watch_certificate
from webhook.cluster.reflector import Watches
from webhook.config import ConfigError, Fault, ServeSettings
from webhook.core.figures import WatchHealth
from webhook.core.vocabulary import Provisioning
from webhook.provisioning import Provisioner
from webhook.server import ops
from webhook.server.app import create_app
from webhook.server.certificate import CertificateFiles, SecretFiles, files_directory
from webhook.server.connection import Drops
from webhook.server.gthread import Worker, announce
from webhook.server.limits import TooLittleMemory, derive, directory_in_memory
from webhook.server.ops import Check
from webhook.server.request import MAX_TIMEOUT_SECONDS
from webhook.server.selfcheck import SelfCheck
from webhook.telemetry import logs
from webhook.telemetry.metrics import Metrics


class GunicornLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Leaves gunicorn's messages to the root logger, which writes them as every other line; there is no access log."""

    def setup(self, cfg: Any) -> None:
        """Take the place of handlers, formats and files."""
        self.cfg = cfg
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
        """Configure gunicorn; its own flags, files and environment variables are not read."""
        settings = self._settings
        for name, value in {
            "bind": [str(settings.bind)],
            "workers": 1,
            "worker_class": Worker,
            # From SIGTERM to SIGKILL: the drain, the longest review, and a moment for the connections to close.
            "graceful_timeout": int(settings.shutdown_delay + MAX_TIMEOUT_SECONDS) + 5,
            "worker_tmp_dir": directory_in_memory(),
            "control_socket_disable": True,
            "proc_name": "ghcr-pull-secrets",
            "logger_class": GunicornLog,
            # gunicorn speaks TLS if it has a certificate's path, and does not start if nothing is there. The directory
            # is there when its files are not yet; what is served with comes from `tls_context`.
            "certfile": str(self._certificate.directory),
            "when_ready": announce,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the WSGI app, in the worker."""
        return self._load(self.stopping)

    def tls_context(self) -> SSLContext | None:
        """Give what a new connection shakes hands with; nothing while there is no certificate."""
        served = self._certificate.current()
        return served.context if served else None


_POOL_MARGIN: Final = 8
"""Connections to the API server besides one for each review: the watches, and a few that are being replaced."""


def run(settings: ServeSettings) -> None:
    """Serve until SIGTERM; ends the process.

    Raises:
        ConfigError: There is no usable way to reach an API server, or an address cannot be had.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    with _directory(settings) as directory:
        _run(settings, CertificateFiles(directory, settings.client_ca))


def _directory(settings: ServeSettings) -> AbstractContextManager[Path]:
    return nullcontext(settings.tls_dir) if settings.tls_dir else files_directory(settings.tls_cache_dir)


def _run(settings: ServeSettings, certificate: CertificateFiles) -> None:
    # What can fail for a wrong setting does so here, before the fork, and in words. A worker that has to be replaced
    # goes on with the same socket.
    cluster = _connect(settings)
    try:
        listener = ops.listen(settings.ops_bind)
    except OSError as error:
        raise ConfigError([Fault("--ops-bind", f"cannot listen there: {error.strerror}")]) from None

    def load(_stopping: threading.Event) -> Flask:
        return compose(settings, cluster, certificate, listener, application)

    application = Application(settings, certificate, load)
    application.run()


def _connect(settings: ServeSettings) -> Cluster:
    try:
        return connect(
            str(settings.kubeconfig) if settings.kubeconfig else None,
            trust=settings.ca_bundle,
            read_all_secrets=settings.read_all_secrets,
            pool_size=settings.threads + _POOL_MARGIN,
        )
    except Unreachable as error:
        raise ConfigError([Fault("--kubeconfig", str(error))]) from None


def compose(
    settings: ServeSettings,
    cluster: Cluster,
    certificate: CertificateFiles,
    listener: socket.socket,
    application: Application,
) -> Flask:
    """Start the watches and the second listener, and make the app. Begins threads, so only after the fork."""
    version = importlib.metadata.version("ghcr-pull-secrets")
    source = None if settings.tls_dir else CertificateSource.of(settings, cluster, certificate.directory)
    metrics = Metrics(
        version=version,
        watches=lambda: watches(cluster, source),
        certificate_expiry=certificate.expiry,
        provisioning_results=Provisioning,
        connections_dropped=application.drops.totals,
    )
    cluster.client.on_request(metrics.api_requested)
    provisioner = Provisioner(
        cluster.facts,
        cluster.writer,
        rules=settings.rules,
        count=metrics.provisioned,
    )
    admission = Admission(
        rules=settings.rules,
        kinds=settings.kinds,
        facts=cluster.facts,
        provisioner=provisioner,
        authenticated=settings.client_ca is not None,
        settling=Settling() if settings.label_covered else None,
    )
    cluster.caches.start()
    if source is not None:
        source.watch.start()
    ops.serve(
        listener,
        lambda: (*checks(cluster, certificate, application.stopping, source), application.self_check.check()),
        metrics.render,
        alive=application.self_check.alive,
    )
    structlog.get_logger().info("started", version=version, namespace=settings.rules.release_namespace)
    return create_app(admission, metrics, limits=application.limits, batch_lines=True)


@dataclass(frozen=True, slots=True)
class CertificateSource:
    """The Secret that the certificate's files are made from, where they are."""

    files: SecretFiles
    watch: Watches

    @classmethod
    def of(cls, settings: ServeSettings, cluster: Cluster, directory: Path) -> "CertificateSource":
        """Prepare to watch it."""
        files = SecretFiles(directory)
        namespace = settings.rules.release_namespace
        watch = watch_certificate(cluster.client, namespace=namespace, name=settings.tls_secret, take=files.take)
        return cls(files, watch)


def watches(cluster: Cluster, source: CertificateSource | None) -> tuple[WatchHealth, ...]:
    """Say how each watch is."""
    return (*cluster.caches.health(), *(source.watch.health() if source else ()))


def checks(
    cluster: Cluster, certificate: CertificateFiles, stopping: threading.Event, source: CertificateSource | None = None
) -> Sequence[Check]:
    """Look at what readiness rests on.

    A broken watch is shown and changes nothing: it breaks in all replicas at once, and what a cache does not know is
    read from the API server. So is a Secret that holds no certificate to serve: the last good one is.
    """
    loaded = certificate.current() is not None
    return (
        Check(name="certificate", ok=loaded, detail=certificate.problem),
        Check(name="caches", ok=cluster.caches.synced(), detail="" if cluster.caches.synced() else "not filled yet"),
        Check(name="shutdown", ok=not stopping.is_set(), detail="stopping" if stopping.is_set() else ""),
        *((_secret_check(source.files),) if source else ()),
        *ops.watch_checks(watches(cluster, source)),
    )


def _secret_check(files: SecretFiles) -> Check:
    return Check(name="certificate-secret", ok=not files.problem, detail=files.problem, required=False)
