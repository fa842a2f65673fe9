"""Wiring of the controller process: caches, election, workers, certificates, probes.

Here and not in `webhook.controller`, since the second listener is the server's and the two know nothing of each other.
"""

import importlib.metadata
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final

import structlog

from webhook.cluster import Cluster, Unreachable, connect
from webhook.cluster.certificates import configurations
from webhook.cluster.events import ClusterEvents
from webhook.cluster.leases import ClusterLeases
from webhook.cluster.pods import ClusterPods
from webhook.config import ConfigError, Fault
from webhook.config.controller import ControllerSettings
from webhook.controller.certificates import Certificates
from webhook.controller.leader import Elector
from webhook.controller.manager import Manager
from webhook.controller.workqueue import Guard, GuardedWriter, Limiter
from webhook.core.figures import WatchHealth, count_copies
from webhook.core.vocabulary import CredentialState
from webhook.credential import CredentialWatch
from webhook.reconciler import Reconciler
from webhook.registry import HttpsRegistry
from webhook.reporting import CentralState
from webhook.server import ops
from webhook.server.ops import Check
from webhook.telemetry import logs
from webhook.telemetry.controller_metrics import CertificateMetrics, ControllerFigures, ControllerMetrics
from webhook.telemetry.metrics import Metrics

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM or SIGINT sets; on leaving, the handlers are as they were. Main thread only.

    A handler runs in the main thread, between any two of its instructions. If that thread is just then about to wait
    for the event it holds the event's lock, which `set` needs as well: to set it there would now and then hang the
    process. So the handler only puts into a `SimpleQueue`, the one container that allows that, and a thread does the
    rest.
    """
    stop = threading.Event()
    arrived: SimpleQueue[int | None] = SimpleQueue()

    def pass_on() -> None:
        if arrived.get() is not None:
            stop.set()

    thread = threading.Thread(target=pass_on, name="signals", daemon=True)
    thread.start()
    before = {number: signal.signal(number, lambda number, _: arrived.put(number)) for number in _STOPPING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        arrived.put(None)
        thread.join()


_POOL_MARGIN: Final = 12
"""Connections to the API server besides one for each worker: watches, Lease, events, and a few being replaced."""

_SYNC_POLL_S: Final = 0.05


def run(settings: ControllerSettings) -> None:
    """Reconciliation until SIGTERM or SIGINT, then finish what was begun, let go of the Lease, and return.

    Raises:
        ConfigError: There is no usable way to reach an API server, or an address cannot be had.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    try:
        cluster = connect(
            str(settings.kubeconfig) if settings.kubeconfig else None,
            trust=settings.ca_bundle,
            pool_size=settings.workers + _POOL_MARGIN,
        )
    except Unreachable as error:
        raise ConfigError([Fault("--kubeconfig", str(error))]) from None
    try:
        listener = ops.listen(settings.ops_bind)
    except OSError as error:
        raise ConfigError([Fault("--ops-bind", f"cannot listen there: {error.strerror}")]) from None
    with stopped_by_signals() as stop:
        Process(settings, cluster, stop).run(listener)


class Process:
    """One controller.

    Args:
        settings: What to run with.
        cluster: Connected, and not begun.
        stop: Ends it.
    """

    def __init__(self, settings: ControllerSettings, cluster: Cluster, stop: threading.Event) -> None:
        self._settings = settings
        self._cluster = cluster
        self._stop = stop
        self._central: CentralState | None = None
        self._log = structlog.get_logger()
        version = importlib.metadata.version("ghcr-pull-secrets")
        rules, client = settings.rules, cluster.client
        identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._metrics = Metrics(
            version=version,
            watches=self._watches,
            # A standby's last word may be on a certificate, or on a token, that is long gone.
            certificate_expiry=lambda: (
                self._certificates.expiry() if self._certificates and self._elector.leading else None
            ),
            credentials=lambda: self._credential.figures if self._credential and self._elector.leading else (),
            credential_results=CredentialState if settings.credential_check else (),
        )
        counts = ControllerMetrics(self._metrics.registry, figures=self._figures)
        client.on_request(self._metrics.api_requested)
        leases = ClusterLeases(client, namespace=rules.release_namespace, name=settings.lease)
        self._elector = Elector(leases, identity=identity)
        # A wait that ends with the process: what is to be finished then need not keep its distance.
        guard = Guard(self._elector, Limiter(settings.qps, sleep=stop.wait))
        self._events = ClusterEvents(client, instance=identity, count=counts.emitted)
        self._certificates = self._certificates_kept(guard) if settings.manage_certificates else None
        self._credential = self._credential_watch() if settings.credential_check else None
        self._reconciler = Reconciler(
            rules=rules,
            facts=cluster.facts,
            writer=GuardedWriter(cluster.writer, guard),
            pods=ClusterPods(client),
            events=self._events,
            count=counts.reconciled,
        )
        self._manager = Manager(
            reconciler=self._reconciler,
            rules=rules,
            workers=settings.workers,
            sweep_interval_s=settings.sweep_interval,
            certificates=self._certificates.keep if self._certificates else None,
            credential=self._credential.keep if self._credential else None,
            on_central=self._judged,
        )
        self._log.info("started", version=version, namespace=rules.release_namespace, identity=identity)

    def run(self, listener: socket.socket) -> None:
        """Reconciliation until stopped; then finish what was begun, and let go of the Lease."""
        caches = self._cluster.caches
        caches.secrets.on_change(self._manager.secret_changed)
        caches.namespaces.on_change(self._manager.namespace_changed)
        caches.service_accounts.on_change(self._manager.service_account_changed)
        caches.start()
        if self._certificates is not None:
            self._certificates.start()
        self._events.start()
        ops.serve(listener, self._checks, self._metrics.render)
        self._manager.start()
        try:
            # Who has not seen the cluster yet must not lead it.
            while not caches.synced() and not self._stop.wait(_SYNC_POLL_S):
                pass
            # In this thread: should it fail, the process ends and is started again.
            self._elector.run(self._stop, self._manager.leading)
        finally:
            self._stop.set()
            finished = self._manager.stop()
            self._elector.resign()
            self._events.stop()
            if self._certificates is not None:
                self._certificates.stop()
            self._cluster.close()
            self._log.info("stopped", work_finished=finished)

    # --- parts

    def _certificates_kept(self, guard: Guard) -> Certificates:
        settings = self._settings
        return Certificates(
            self._cluster.client,
            namespace=settings.rules.release_namespace,
            authority=settings.authority_secret,
            leaf=settings.certificate_secret,
            configurations=configurations(settings.name, settings.last_configuration),
            terms=settings.terms,
            writing=guard.write,
            events=self._events,
            on_change=self._certificates_changed,
            on_renewed=CertificateMetrics(self._metrics.registry).renewed,
        )

    def _credential_watch(self) -> CredentialWatch:
        settings = self._settings
        return CredentialWatch(
            rules=settings.rules,
            facts=self._cluster.facts,
            registry=HttpsRegistry(api_url=settings.credential_api_url, trust=settings.ca_bundle),
            events=self._events,
            pods=ClusterPods(self._cluster.client),
            interval_s=settings.credential_check_interval,
            count=self._metrics.credential_checked,
        )

    # --- what is reported

    def _judged(self, state: CentralState) -> None:
        self._central = state

    def _certificates_changed(self) -> None:
        self._manager.certificates_changed()

    def _watches(self) -> tuple[WatchHealth, ...]:
        return (*self._cluster.caches.health(), *(self._certificates.health() if self._certificates else ()))

    def _checks(self) -> Sequence[Check]:
        """Look at what readiness rests on. A standby is ready, and so is one with a broken watch."""
        synced, stopping = self._cluster.caches.synced(), self._stop.is_set()
        return (
            Check(name="caches", ok=synced, detail="" if synced else "not filled yet"),
            Check(name="shutdown", ok=not stopping, detail="stopping" if stopping else ""),
            *(
                Check(name=f"credential-{each.registry}", ok=not each.problem, detail=each.problem, required=False)
                for each in (self._credential.figures if self._credential and self._elector.leading else ())
            ),
            Check(name="leader", ok=True, detail="leads" if self._elector.leading else "stands by", required=False),
            *ops.watch_checks(self._watches()),
        )

    def _figures(self) -> ControllerFigures:
        leading = self._elector.leading
        unable = self._reconciler.unable_to_pull if leading else {}
        return ControllerFigures(
            leading=leading,
            backlog=self._manager.backlog,
            central_usable=self._central.usable if leading and self._central else None,
            copies=count_copies(self._cluster.caches.secrets.snapshot(), self._settings.rules),
            contested=self._reconciler.contested,
            unable_to_pull={str(cause): count for cause, count in unable.items()},
        )
