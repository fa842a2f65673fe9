"""`helm upgrade` and a restart under steady admissions: none fails, and what the controller wrote stays.

The release is applied as Helm applies it, server-side and as its own field manager. Deployments are rolled here as
`maxUnavailable: 0` has it: the new process is ready before the old one is told to stop.
"""

import base64
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import helm
from tests.e2e.installation import Installation
from tests.e2e.planes import ControlPlane, control_plane
from tests.e2e.processes import Process, free_port
from tests.e2e.service import Service
from tests.e2e.test_certificate_rotation import Traffic
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload, workload

AS_HELM = ("--server-side", "--field-manager=helm")
SHUTDOWN_DELAY_S = 3
ENDPOINT_LAG_S = 1.0
"""A stopped server is still sent new connections for so long: its signal and its removal go different ways."""
BEFORE_AND_AFTER_S = 1.0
"""Traffic on either side of a change."""
CA = "ghcr-pull-secrets-webhook-ca"
FOREIGN_IMAGE = "ghcr.io/somebody/tool:1"
NARROWED: Mapping[str, Any] = {"enforcement": "warn", "images": {"include": ["ghcr.io/sesacthon/*"]}}
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


class Release(Installation):
    """An installation that can be upgraded: its servers are behind a Service."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(plane, {"server": {"shutdownDelaySeconds": SHUTDOWN_DELAY_S}}, keeper={})
        self.service = Service()

    @property
    def bind_port(self) -> int:
        """Where the API server reaches whichever server is ready."""
        return self.service.port

    def install(self, *, servers: int = 1) -> "Release":
        """Install as Helm does."""
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        self.set_central(payload())
        self.apply_objects()
        self.start_controller(extra_dns_name="localhost")
        for _ in range(servers):
            self.service.set_endpoints(self.serve()[1])
        self.register()
        return self

    def upgrade(self, values: Mapping[str, Any]) -> None:
        """Apply the chart with these values over those it was installed with, and roll both Deployments."""
        self.manifests = helm.render({**self.values, **values}, namespace=RELEASE_NAMESPACE)
        self.apply_objects()
        self.register()
        self.restart()

    def apply_objects(self) -> None:
        """Apply everything but the webhook configurations."""
        objects = [each for each in self.manifests if not each["kind"].endswith("WebhookConfiguration")]
        self.kube.apply(*objects, args=AS_HELM)

    def restart(self) -> None:
        """Replace the server and the controller, the old ones told to stop once the new ones are ready."""
        old_server, old_controller = self.servers[-1], self.controllers[-1]
        _, port = self.serve()
        with ThreadPoolExecutor(max_workers=1) as meanwhile:
            ended = meanwhile.submit(old_server.stop)
            time.sleep(ENDPOINT_LAG_S)
            self.service.set_endpoints(port)
            self.start_controller(extra_dns_name="localhost")
            assert old_controller.stop() == 0
            assert ended.result() == 0

    def serve(self) -> tuple[Process, int]:
        """Start a server; returns it, ready, and its port."""
        port = free_port()
        return self.start_server(port=port), port

    def close(self) -> None:
        """Uninstall."""
        try:
            self.uninstall()
        finally:
            self.service.close()


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    """A release on a control plane of its own: the names of its webhook configurations are those of any other."""
    plane = control_plane()
    try:
        plane.start()
        release = Release(plane)
        try:
            yield release.install()
        finally:
            release.close()
    finally:
        plane.close()


@pytest.fixture(scope="module")
def namespace(release: Release) -> str:
    """Where Pods are made."""
    return release.namespace("upgraded")


@pytest.fixture(scope="module")
def opted_out(release: Release) -> str:
    """Where Pods get no pull secret, and so have none."""
    return release.namespace("opted-out", {"ghcr-pull-secrets.io/inject": "false"})


def test_an_upgrade_and_its_rollback_under_traffic_fail_no_admission_and_take_effect(
    release: Release, namespace: str, opted_out: str
) -> None:
    authority, bundles = authority_of(release), bundles_of(release)
    assert all(base64.b64decode(bundle).startswith(b"-----BEGIN CERTIFICATE-----") for bundle in bundles)
    assert injects(release, namespace, FOREIGN_IMAGE)
    assert refuses(release, opted_out)

    with Traffic(release, namespace) as traffic:
        time.sleep(BEFORE_AND_AFTER_S)
        release.upgrade(NARROWED)
        assert not injects(release, namespace, FOREIGN_IMAGE)
        assert not refuses(release, opted_out)
        time.sleep(BEFORE_AND_AFTER_S)
        release.upgrade({})
        assert injects(release, namespace, FOREIGN_IMAGE)
        assert refuses(release, opted_out)
        time.sleep(BEFORE_AND_AFTER_S)

    check(release, traffic, servers=3)
    assert authority_of(release) == authority
    assert bundles_of(release) == bundles


def test_a_restart_under_traffic_fails_no_admission_and_makes_no_new_certificate(
    release: Release, namespace: str
) -> None:
    authority, bundles = authority_of(release), bundles_of(release)
    before = len(release.servers)

    with Traffic(release, namespace) as traffic:
        time.sleep(BEFORE_AND_AFTER_S)
        release.restart()
        time.sleep(BEFORE_AND_AFTER_S)

    check(release, traffic, servers=before + 1)
    assert authority_of(release) == authority
    assert bundles_of(release) == bundles
    assert "certificate_renewed" not in release.controllers[-1].output


def test_an_upgrade_leaves_to_the_controller_what_the_controller_wrote(release: Release) -> None:
    release.register()

    for kind in CONFIGURATIONS:
        found = release.kube.get(kind, "ghcr-pull-secrets", "", "--show-managed-fields")
        owners = {
            entry["manager"]
            for entry in found["metadata"]["managedFields"]
            for webhook in entry["fieldsV1"].get("f:webhooks", {}).values()
            if "f:caBundle" in webhook.get("f:clientConfig", {})
        }
        assert owners == {"ghcr-pull-secrets"}


# --- what is looked at


def check(release: Release, traffic: Traffic, *, servers: int) -> None:
    """No admission failed, and each server had its share of them."""
    assert traffic.failed == []
    assert traffic.passed > 0
    assert len(release.servers) == servers
    assert all('"review_answered"' in server.output for server in release.servers)


def authority_of(release: Release) -> dict[str, str]:
    data: dict[str, str] = release.kube.get("secret", CA, RELEASE_NAMESPACE)["data"]
    return data


def bundles_of(release: Release) -> list[str]:
    found = [release.kube.get(kind, "ghcr-pull-secrets") for kind in CONFIGURATIONS]
    return [webhook["clientConfig"]["caBundle"] for each in found for webhook in each["webhooks"]]


def dry_run(release: Release, namespace: str, image: str) -> str:
    """Make a Pod on dry run; returns the pull secrets it would have, or why it would not be let in."""
    pod = workload("Pod", name="looked-at", namespace=namespace, images=[image])
    return release.kube.apply(pod, args=["--dry-run=server", "-o", "jsonpath={.spec.imagePullSecrets}"], ok=None).text


def injects(release: Release, namespace: str, image: str) -> bool:
    return "ghcr-secret" in dry_run(release, namespace, image)


def refuses(release: Release, namespace: str) -> bool:
    return "denied the request" in dry_run(release, namespace, IMAGE)
