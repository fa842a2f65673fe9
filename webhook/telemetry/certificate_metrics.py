"""Certificate metrics."""

from itertools import product

from prometheus_client import CollectorRegistry, Counter

from certs.plan import RenewalReason
from certs.ports import Kind


class CertificateMetrics:
    """Adds them to a registry.

    Args:
        registry: Of `webhook.telemetry.metrics.Metrics`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._renewals = Counter(
            "ghcr_pull_secrets_certificate_renewals",
            "Certificates made, by what was wrong with the one before.",
            ("certificate", "reason"),
            registry=registry,
        )
        for kind, reason in product(Kind, RenewalReason):
            self._renewals.labels(kind, reason)

    def renewed(self, kind: Kind, reason: RenewalReason) -> None:
        """Count a certificate that was made and stored."""
        self._renewals.labels(kind, reason).inc()
