"""Figures that are not counted but read at the moment of a scrape."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from webhook.core.figures import CredentialFigures, WatchHealth


class Snapshots(Collector):
    """Reads them; arguments as of `webhook.telemetry.metrics.Metrics`."""

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
