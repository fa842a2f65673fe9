"""Metrics of every process, each declared once with bounded labels.

Each series exists at zero from the start. One that appears with its first increment is worse than none: `rate()` cannot
see the first error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from webhook.core.figures import CredentialFigures, WatchHealth
from webhook.core.vocabulary import REFUSING, Half, Outcome, Provisioning, Reason, RequestFault

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: from a warm cache (well under 1 ms) to the longest the API server usually waits (10 s)."""

_EXEMPT: Final = (
    Reason.NOT_APPLICABLE,
    Reason.NO_SELECTED_IMAGE,
    Reason.OPTED_OUT,
    Reason.CONTROLLER_OWNED,
    Reason.UNCHANGED,
)
_LEFT_ALONE: Final = (Reason.NOT_MUTABLE, Reason.ALREADY_LISTED, Reason.LEFT_TO_POD, Reason.MOUNTED)
# Which (outcome, reason) a half can come to: the two decision tables, and the two ends of a review that is no decision.
_NO_ANSWER: Final = ((Outcome.ERROR, Reason.BAD_REQUEST), (Outcome.ERROR, Reason.ERROR))
REACHABLE: Final[Mapping[Half, tuple[tuple[Outcome, Reason], ...]]] = {
    Half.MUTATE: (
        *((Outcome.ALLOWED, reason) for reason in (*_EXEMPT, *_LEFT_ALONE)),
        (Outcome.PATCHED, Reason.INJECTED),
        *_NO_ANSWER,
    ),
    Half.VALIDATE: (
        *((Outcome.ALLOWED, reason) for reason in (*_EXEMPT, Reason.COVERED, *REFUSING)),
        *product((Outcome.WARNED, Outcome.DENIED), REFUSING),
        *_NO_ANSWER,
    ),
}

_API_CALLS: Final = (
    *product(("get", "list", "watch", "create", "update", "patch", "delete"), ("secrets",)),
    *product(("get", "list", "watch"), ("namespaces", "serviceaccounts")),
    ("list", "pods"),
    *product(("get", "create", "patch"), ("leases",)),
    *product(("create", "patch"), ("events",)),
    *product(("get", "list", "watch", "patch"), ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")),
)
_CODE_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", "none")


class Metrics:
    """The metrics of one process, in a registry of their own.

    Args:
        version: For `build_info`.
        watches: Gives the health of each watch at the moment of a scrape.
        certificate_expiry: Gives the end of the served certificate's life as a POSIX timestamp, `None` while there is
            no certificate.
        provisioning_results: Every result provisioning can end with.
        credentials: Gives what is known of the central secret's credentials at the moment of a scrape.
        credential_results: Every result a check of a credential can end with.
        connections_dropped: Gives how many connections were closed before they were done, by cause; each cause there is
            among them from the start.
    """

    def __init__(  # noqa: PLR0913 (what the figures are read from)
        self,
        *,
        version: str,
        watches: Callable[[], Iterable[WatchHealth]] = tuple,
        certificate_expiry: Callable[[], float | None] = lambda: None,
        provisioning_results: Iterable[Provisioning] = (),
        credentials: Callable[[], Iterable[CredentialFigures]] = tuple,
        credential_results: Iterable[str] = (),
        connections_dropped: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self.registry.register(_ReadFigures(watches, certificate_expiry, credentials, connections_dropped))
        registry = self.registry
        Gauge(
            "ghcr_pull_secrets_build_info", "Always 1; the label says what runs.", ("version",), registry=registry
        ).labels(version).set(1)
        self._reviews = Counter(
            "ghcr_pull_secrets_reviews", "Reviews answered.", ("half", "outcome", "reason"), registry=registry
        )
        duration = Histogram(
            "ghcr_pull_secrets_review_duration_seconds",
            "Time from a request's headers to its answer.",
            ("half",),
            buckets=_BUCKETS,
            registry=registry,
        )
        in_flight = Gauge(
            "ghcr_pull_secrets_reviews_in_flight", "Reviews being worked on.", ("half",), registry=registry
        )
        self._errors = Counter(
            "ghcr_pull_secrets_review_errors",
            "Reviews that ended in an HTTP error.",
            ("half", "kind"),
            registry=registry,
        )
        self._provisioning = Counter(
            "ghcr_pull_secrets_provisioning",
            "Times a copy was to be in place, by end.",
            ("result",),
            registry=registry,
        )
        self._api_requests = Counter(
            "ghcr_pull_secrets_api_requests",
            "Requests to the API server, by class of its answer.",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self._credential_checks = Counter(
            "ghcr_pull_secrets_credential_checks",
            "Checks of a credential of the central secret, by what was found.",
            ("result",),
            registry=registry,
        )
        # Looked up once: `labels()` takes a lock and builds a key, on the way of every review.
        self.duration = {half: duration.labels(half).observe for half in Half}
        self.in_flight = {half: in_flight.labels(half) for half in Half}
        self._review_counters = {
            (half, outcome, reason): self._reviews.labels(half, outcome, reason)
            for half in Half
            for outcome, reason in REACHABLE[half]
        }
        for half, kind in product(Half, RequestFault):
            self._errors.labels(half, kind)
        for provisioned in provisioning_results:
            self._provisioning.labels(provisioned)
        for checked in credential_results:
            self._credential_checks.labels(checked)
        for (verb, resource), code in product(_API_CALLS, _CODE_CLASSES):
            self._api_requests.labels(verb, resource, code)

    def reviewed(self, half: Half, outcome: Outcome, reason: Reason) -> None:
        """Count a review that was answered."""
        counter = self._review_counters.get((half, outcome, reason))
        (counter or self._reviews.labels(half, outcome, reason)).inc()

    def failed(self, half: Half, kind: RequestFault, reason: Reason) -> None:
        """Count a review that ended in an HTTP error."""
        self._errors.labels(half, kind).inc()
        self.reviewed(half, Outcome.ERROR, reason)

    def provisioned(self, result: Provisioning) -> None:
        """Count one end of provisioning."""
        self._provisioning.labels(result).inc()

    def api_requested(self, verb: str, resource: str, code: int) -> None:
        """Count a request to the API server; `code` is 0 if there was no answer."""
        self._api_requests.labels(verb, resource, f"{code // 100}xx" if code else "none").inc()

    def credential_checked(self, result: str) -> None:
        """Count a check of a credential."""
        self._credential_checks.labels(result).inc()

    def render(self) -> bytes:
        """Write all metrics in the text format of Prometheus (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)


class _ReadFigures(Collector):
    """Metrics read at the moment of a scrape instead of counted; arguments as of `Metrics`."""

    def __init__(
        self,
        watches: Callable[[], Iterable[WatchHealth]],
        certificate_expiry: Callable[[], float | None],
        credentials: Callable[[], Iterable[CredentialFigures]],
        connections_dropped: Callable[[], Mapping[str, int]],
    ) -> None:
        self._watches = watches
        self._certificate_expiry = certificate_expiry
        self._credentials = credentials
        self._connections_dropped = connections_dropped

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead: a scrape at registration would come before there is anything to read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        age = GaugeMetricFamily(
            "ghcr_pull_secrets_watch_last_event_age_seconds",
            "Time since a watch was last heard of, bookmarks included.",
            labels=("resource",),
        )
        synced = GaugeMetricFamily(
            "ghcr_pull_secrets_watch_synced", "1 once the cache behind a watch has been filled.", labels=("resource",)
        )
        restarts = CounterMetricFamily(
            "ghcr_pull_secrets_watch_restarts",
            "Times a watch had to be started again, by cause.",
            labels=("resource", "cause"),
        )
        for watch in self._watches():
            age.add_metric((watch.resource,), watch.last_event_age_s)
            synced.add_metric((watch.resource,), float(watch.synced))
            for cause, count in watch.restarts.items():
                restarts.add_metric((watch.resource, cause), count)
        yield from (age, synced, restarts)
        expiry = GaugeMetricFamily(
            "ghcr_pull_secrets_certificate_expiry_timestamp_seconds",
            "When the certificate ends that a server serves, or that the leading controller keeps; a POSIX timestamp.",
        )
        ends = self._certificate_expiry()
        if ends is not None:
            expiry.add_metric((), ends)
        yield expiry
        yield from self._of_credentials()
        dropped = CounterMetricFamily(
            "ghcr_pull_secrets_connections_dropped",
            "Connections closed before they were done: too many (of one address), no memory for a body, too slow to "
            "shake hands, to send a request or to read its answer, or no TLS.",
            labels=("cause",),
        )
        for cause, count in self._connections_dropped().items():
            dropped.add_metric((cause,), count)
        yield dropped

    def _of_credentials(self) -> Iterator[Metric]:
        accepted = GaugeMetricFamily(
            "ghcr_pull_secrets_credential_accepted",
            "1 if the registry accepts the central secret's credential and, as far as is known, lets it pull.",
            labels=("registry",),
        )
        expiry = GaugeMetricFamily(
            "ghcr_pull_secrets_credential_expiry_timestamp_seconds",
            "When the central secret's token for a registry ends, as a POSIX timestamp; absent if that is not known.",
            labels=("registry",),
        )
        answered = GaugeMetricFamily(
            "ghcr_pull_secrets_credential_answered_timestamp_seconds",
            "When a registry last said whether it accepts the credential, or before it did was first asked.",
            labels=("registry",),
        )
        unreadable = GaugeMetricFamily(
            "ghcr_pull_secrets_credential_unreadable_images",
            "Repositories in use that the credential was denied when last tried on them; at most 16 an entry.",
            labels=("registry",),
        )
        for credential in self._credentials():
            answered.add_metric((credential.registry,), credential.answered_at)
            unreadable.add_metric((credential.registry,), credential.unreadable)
            if credential.accepted is not None:
                accepted.add_metric((credential.registry,), float(credential.accepted))
            if credential.expires_at is not None:
                expiry.add_metric((credential.registry,), credential.expires_at)
        yield from (accepted, expiry, answered, unreadable)
