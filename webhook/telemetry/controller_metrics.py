"""Metrics of the controller and of the certificates it keeps.

Those of every process are in `webhook.telemetry.metrics`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from certs.plan import RenewalReason
from certs.ports import CertificateKind
from webhook.core.figures import CopyFigures
from webhook.core.vocabulary import EventOutcome, Reconciliation


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFigures:
    """A controller's state at the moment of a scrape.

    Attributes:
        leading: It holds the Lease and writes.
        backlog: Keys that wait or are being worked on.
        central_usable: The central secret can be spread; `None` where that is another's to judge, or not judged yet.
        copies: Whose the Secrets of that name are.
        contested: Copies that somebody else rewrites or deletes again and again.
        unable_to_pull: Pods that cannot pull, by cause; empty where that is another's to count.
    """

    leading: bool
    backlog: int
    central_usable: bool | None
    copies: CopyFigures
    contested: int
    unable_to_pull: Mapping[str, int]


class ControllerMetrics:
    """Adds a controller's metrics to a registry.

    Args:
        registry: Of `Metrics`.
        figures: Gives the figures at the moment of a scrape.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        figures: Callable[[], ControllerFigures],
    ) -> None:
        registry.register(_Figures(figures))
        self._reconciliations = Counter(
            "ghcr_pull_secrets_reconciliations",
            "Times a namespace's copy was looked at, by what came of it.",
            ("result",),
            registry=registry,
        )
        self._events = Counter(
            "ghcr_pull_secrets_events",
            "Kubernetes Events emitted, by outcome.",
            ("outcome",),
            registry=registry,
        )
        for result in Reconciliation:
            self._reconciliations.labels(result)
        for outcome in EventOutcome:
            self._events.labels(outcome)

    def reconciled(self, result: Reconciliation) -> None:
        """Count a reconciliation."""
        self._reconciliations.labels(result).inc()

    def emitted(self, outcome: EventOutcome) -> None:
        """Count an event."""
        self._events.labels(outcome).inc()


class CertificateMetrics:
    """Adds the metrics of kept certificates to a registry; a controller that keeps none has none of them.

    Args:
        registry: Of `Metrics`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._renewals = Counter(
            "ghcr_pull_secrets_certificate_renewals",
            "Certificates made, by what was wrong with the one before.",
            ("certificate", "reason"),
            registry=registry,
        )
        for kind, reason in product(CertificateKind, RenewalReason):
            self._renewals.labels(kind, reason)

    def renewed(self, kind: CertificateKind, reason: RenewalReason) -> None:
        """Count a certificate that was made and stored."""
        self._renewals.labels(kind, reason).inc()


class _Figures(Collector):
    def __init__(self, figures: Callable[[], ControllerFigures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead: a scrape at registration would come before there is anything to read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        found = self._figures()
        yield GaugeMetricFamily(
            "ghcr_pull_secrets_leading", "1 while this controller holds the Lease.", value=float(found.leading)
        )
        yield GaugeMetricFamily(
            "ghcr_pull_secrets_queue_backlog", "Keys that wait or are being worked on.", value=found.backlog
        )
        usable = GaugeMetricFamily(
            "ghcr_pull_secrets_central_secret_usable",
            "1 if the central secret can be spread; only the controller that leads says so.",
        )
        if found.central_usable is not None:
            usable.add_metric((), float(found.central_usable))
        yield usable
        copies = GaugeMetricFamily(
            "ghcr_pull_secrets_copies",
            "Secrets named ghcr-secret outside the release namespace, by whose they are.",
            labels=("owner",),
        )
        copies.add_metric(("ours",), found.copies.ours)
        copies.add_metric(("foreign",), found.copies.foreign)
        copies.add_metric(("other_release",), found.copies.other_release)
        yield copies
        yield GaugeMetricFamily(
            "ghcr_pull_secrets_copies_contested",
            "Copies that somebody else rewrites or deletes again and again; repaired after pauses only.",
            value=found.contested,
        )
        yield GaugeMetricFamily(
            "ghcr_pull_secrets_copies_stale",
            "Copies that do not have what a usable central secret says.",
            value=found.copies.stale,
        )
        unable = GaugeMetricFamily(
            "ghcr_pull_secrets_pods_unable_to_pull",
            "Pods that cannot pull a selected image, by cause: Pending ones as the last sweep found them, Running ones "
            "as the last of every four found them; only the controller that leads says so.",
            labels=("cause",),
        )
        for cause, count in found.unable_to_pull.items():
            unable.add_metric((cause,), count)
        yield unable
