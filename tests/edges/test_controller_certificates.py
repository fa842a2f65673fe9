"""The controller's keeper on the stand-in: what it tells people, and that it writes only while it may."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from certs.keeper import Terms
from standin import ApiServer
from tests.edges.certificate_world import CA, HOOKS, LAST, NAMESPACE, StandIn
from tests.edges.cluster_script import eventually
from tests.services.contracts.certificates import NAME
from webhook.cluster.certificates import configurations
from webhook.controller.certificates import Certificates
from webhook.ports import Deadline, EventReason, NotLeading, ObjectRef
from webhook.telemetry.controller_metrics import CertificateMetrics

SECOND = timedelta(seconds=1)


class Reports:
    """Events as they are emitted."""

    def __init__(self) -> None:
        self.events: list[tuple[EventReason, ObjectRef, str]] = []

    def emit(self, reason: EventReason, about: ObjectRef, text: str, *, warning: bool = False) -> None:
        assert not warning
        self.events.append((reason, about, text))


class Lease:
    """Lets writes through while it is held."""

    def __init__(self) -> None:
        self.held = True

    @contextmanager
    def write(self, deadline: Deadline) -> Iterator[Deadline]:
        if not self.held:
            raise NotLeading("write", "leases")
        yield deadline


class House:
    def __init__(self, world: StandIn, last: str | None = None) -> None:
        self.world = world
        self.reports = Reports()
        self.lease = Lease()
        self.changed = threading.Event()
        self.registry = CollectorRegistry()
        self.certificates = Certificates(
            world.client,
            namespace=NAMESPACE,
            authority=CA,
            leaf=NAME,
            configurations=configurations(HOOKS, last),
            terms=Terms(
                dns_names=("hooks.ghcr.svc",), common_name="hooks webhook CA", overlap=SECOND / 5, settle=SECOND / 10
            ),
            writing=self.lease.write,
            events=self.reports,
            on_change=self.changed.set,
            on_renewed=CertificateMetrics(self.registry).renewed,
        )

    def figure(self, series: str) -> float:
        lines = generate_latest(self.registry).decode().splitlines()
        (found,) = [line.rpartition(" ")[2] for line in lines if line.startswith(series + " ")]
        return float(found)


@pytest.fixture
def house() -> Iterator[House]:
    with ApiServer() as api:
        world = StandIn(api)
        world.register({"a.hooks.io": b""})
        world.register({"a.hooks.io": b""}, "ValidatingWebhookConfiguration")
        yield House(world)
        world.client.close()


def test_what_was_made_is_reported_by_event_log_and_metric(house: House) -> None:
    series = 'ghcr_pull_secrets_certificate_renewals_total{certificate="leaf",reason="missing"}'
    assert house.figure(series) == 0
    assert house.certificates.expiry() is None
    with capture_logs() as logs:
        assert house.certificates.keep() == 3600
    assert [(reason, about.name) for reason, about, _ in house.reports.events] == [
        (EventReason.CERTIFICATE_RENEWED, CA),
        (EventReason.CERTIFICATE_RENEWED, NAME),
    ]
    assert house.reports.events[0][1] == ObjectRef(kind="Secret", name=CA, namespace=NAMESPACE)
    assert house.reports.events[0][2].startswith("Made a new CA (missing), valid until 20")
    assert house.reports.events[1][2].startswith("Made a new server certificate (missing), valid until 20")
    assert [line["event"] for line in logs] == [
        "certificate_renewed",
        "ca_bundle_published",
        "ca_bundle_published",
        "certificate_renewed",
    ]
    assert house.figure(series) == 1
    assert house.certificates.expiry() is not None
    assert "PRIVATE" not in repr(logs) + repr(house.reports.events)


def test_the_configuration_that_is_called_last_is_given_its_ca_bundle_as_soon_as_it_is_there(house: House) -> None:
    house = House(house.world, last=LAST)
    # Without it the next look is soon, and the watch tells of it sooner.
    assert house.certificates.keep() == 30
    house.certificates.start()
    house.changed.clear()
    house.world.register({"a.last.hooks.io": b""}, name=LAST)
    eventually(house.changed.is_set)
    assert house.certificates.keep() == 3600
    house.certificates.stop()

    first, last = (house.world.configuration(name=name)["webhooks"][0]["clientConfig"] for name in (HOOKS, LAST))
    assert first["caBundle"] == last["caBundle"] != ""


def test_a_rotation_is_logged_to_its_end(house: House) -> None:
    house.certificates.keep()
    house.world.delete_secret(CA)
    with capture_logs() as logs:
        eventually(lambda: house.certificates.keep() == 3600)
    assert [line["event"] for line in logs][-3:] == ["ca_retired", "ca_bundle_published", "ca_bundle_published"]


def test_without_the_lease_nothing_is_written_and_afterwards_it_goes_on(house: House) -> None:
    house.lease.held = False
    with pytest.raises(NotLeading):
        house.certificates.keep()
    assert house.reports.events == []
    assert house.world.store.get(CA) is None
    house.lease.held = True
    assert house.certificates.keep() == 3600


def test_a_change_by_anybody_calls_for_the_keeper(house: House) -> None:
    house.certificates.keep()
    house.certificates.start()
    eventually(lambda: all(health.synced for health in house.certificates.health()))
    eventually(house.changed.is_set)
    house.changed.clear()
    house.world.edit_bundle("a.hooks.io", b"")
    assert house.changed.wait(30)
    house.certificates.stop()
