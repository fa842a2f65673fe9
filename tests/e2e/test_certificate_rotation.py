"""Certificates are rotated under steady traffic, and no admission fails."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.processes import Process
from tests.e2e.machinery.traffic import RATE, Traffic
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, workload

ALONE = "PYTEST_XDIST_WORKER" not in os.environ
ROTATIONS = 10 if ALONE else 4
TERMS = (
    {"ca_validity": "156s", "leaf_validity": "156s", "overlap": "2s", "settle": "0.5s"}
    if ALONE
    else {"ca_validity": "165s", "leaf_validity": "165s", "overlap": "5s", "settle": "3s"}
)
"""A certificate begins 5 minutes before it is made, so the last third of 156 s begins 4 s after the making:
156 - (156 + 300) / 3; that of 165 s after 10 s. A rotation takes 2.5 s of them, or 8 s: beside other tests an API server
may learn of a new bundle a second late, where a cluster's own default gives it ten."""


def events(process: Process, name: str) -> list[dict[str, str]]:
    return [line for line in map(json.loads, process.lines) if line.get("event") == name]


@pytest.fixture
def rotating() -> Iterator[Installation]:
    """An installation on a control plane of its own: the names of its webhook configurations are those of any other."""
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane, {"credentialCheck": {"enabled": False}}, keeper=TERMS)
        try:
            yield installation.install(servers=1)
        finally:
            installation.uninstall()
    finally:
        plane.close()


def test_rotations_of_ca_and_leaf_under_steady_traffic_fail_no_admission(rotating: Installation) -> None:
    namespace = rotating.namespace("rotation")
    rotating.kube.apply(workload("Pod", namespace=namespace, images=[IMAGE]))
    until(lambda: rotating.kube.exists("secret", "ghcr-secret", namespace), "there is a copy")
    (controller,), (server,) = rotating.controllers, rotating.servers

    before = len(events(controller, "ca_retired"))
    with Traffic(rotating.kube, namespace) as traffic:
        until(
            lambda: traffic.failed or len(events(controller, "ca_retired")) >= before + ROTATIONS,
            f"{ROTATIONS} rotations are over",
            timeout_s=300,
            every_s=0.2,
        )
    assert traffic.failed == []
    assert traffic.passed >= 0.2 * RATE * traffic.lasted, "steady traffic, also on a machine that is busy otherwise"

    made = events(controller, "certificate_renewed")
    for certificate in ("authority", "leaf"):
        fingerprints = {line["fingerprint"] for line in made if line["certificate"] == certificate}
        assert len(fingerprints) >= ROTATIONS + 1
    leaves = {line["fingerprint"] for line in made if line["certificate"] == "leaf"}
    shown = {line["fingerprint"] for line in events(server, "certificate_loaded")}
    assert len(shown & leaves) >= ROTATIONS
    assert shown <= leaves
    told = rotating.kube.get("events", "", RELEASE_NAMESPACE)["items"]
    assert "CertificateRenewed" in {event["reason"] for event in told}
