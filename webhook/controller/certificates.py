"""Certificate keeper on a cluster, with Events and metrics."""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

import structlog

from certs.keeper import Keeper, Terms
from certs.plan import RenewalReason
from certs.ports import CertificateKind, Done, Published, Renewed, Retired
from webhook.cluster.certificate_watches import certificate_watches
from webhook.cluster.certificates import CertificateSecrets, WebhookConfiguration, WebhookRegistration, Writing
from webhook.cluster.client import Client
from webhook.cluster.watching import DEFAULT_PACING, Pacing
from webhook.core.figures import WatchHealth
from webhook.ports import EventReason, Events, ObjectRef

_WHAT: Final = {CertificateKind.AUTHORITY: "CA", CertificateKind.LEAF: "server certificate"}


class Certificates:
    """A keeper with the watches that call for it.

    Args:
        client: HTTP to the API server.
        namespace: Where the Secrets are.
        authority, leaf: Their names.
        configurations: The webhook configurations whose `caBundle` is kept.
        terms: What certificates to make.
        writing: Lets writes through while this controller leads.
        events: Where renewals are reported.
        on_change: Called when `keep` should be, sooner than it said.
        on_renewed: Called with each certificate made.
    """

    def __init__(  # noqa: PLR0913 - the parts it holds together
        self,
        client: Client,
        *,
        namespace: str,
        authority: str,
        leaf: str,
        configurations: Sequence[WebhookConfiguration],
        terms: Terms,
        writing: Writing,
        events: Events,
        on_change: Callable[[], None],
        on_renewed: Callable[[CertificateKind, RenewalReason], None] = lambda _kind, _reason: None,
        pacing: Pacing = DEFAULT_PACING,
    ) -> None:
        self._namespace = namespace
        self._events = events
        self._on_renewed = on_renewed
        self._keeper = Keeper(
            store=CertificateSecrets(client, namespace, writing=writing),
            authority=authority,
            leaf=leaf,
            registrations=tuple(
                WebhookRegistration(client, each.resource, each.name, writing=writing) for each in configurations
            ),
            terms=terms,
            on_done=self._report,
        )
        self._watches = certificate_watches(
            client,
            namespace=namespace,
            authority=authority,
            leaf=leaf,
            configurations=configurations,
            on_change=on_change,
            pacing=pacing,
        )
        self._log = structlog.get_logger()

    def keep(self) -> float:
        """Do what is to be done now; returns the seconds after which to look again.

        Raises:
            ClusterError: The API server did not do what was asked, or this controller does not lead.
        """
        return self._keeper.keep()

    def expiry(self) -> float | None:
        """Give the end of the server certificate's life as a POSIX timestamp; `None` if it was not looked at yet."""
        return self._keeper.expiry()

    def start(self) -> None:
        """Begin to watch."""
        self._watches.start()

    def stop(self) -> None:
        """End the watches."""
        self._watches.stop()

    def health(self) -> tuple[WatchHealth, ...]:
        """Say how each watch is."""
        return self._watches.health()

    def _report(self, done: Done) -> None:
        match done:
            case Renewed():
                what, why = _WHAT[done.kind], done.reason.replace("_", " ")
                until = done.not_after.isoformat()
                self._log.info(
                    "certificate_renewed",
                    certificate=done.kind,
                    reason=done.reason,
                    fingerprint=done.fingerprint,
                    not_after=until,
                )
                self._on_renewed(done.kind, done.reason)
                self._events.emit(
                    EventReason.CERTIFICATE_RENEWED,
                    ObjectRef(kind="Secret", name=done.secret, namespace=self._namespace),
                    f"Made a new {what} ({why}), valid until {until}.",
                )
            case Published():
                self._log.info("ca_bundle_published", registration=done.registration, authorities=done.authorities)
            case Retired():
                self._log.info("ca_retired", authorities=done.authorities)
            case _:
                assert_never(done)
