"""Certificates are rotated under steady traffic, and no admission fails."""

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.processes import Process
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, workload
from webhook.cluster.access import from_kubeconfig
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.ports import ClusterError, Deadline

ALONE = "PYTEST_XDIST_WORKER" not in os.environ
ROTATIONS = 10 if ALONE else 4
RATE = 50
CALLERS = 10
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


class Traffic:
    """Creates Pods as dry runs at a fixed rate; each is one call of `/mutate` and one of `/validate`.

    Args:
        kube: Whose API server.
        namespace: Where.
        template: Create this Deployment instead, which is to be admitted and left to its Pods.
        callers: How many there are, each at a share of the rate.
    """

    def __init__(
        self, kube: Kube, namespace: str, *, template: dict[str, Any] | None = None, callers: int = CALLERS
    ) -> None:
        self._client = Client(from_kubeconfig(str(kube.kubeconfig)), pool_size=CALLERS)
        self._target = (
            Target(verb=Verb.CREATE, resource="deployments", namespace=namespace, api="/apis/apps/v1")
            if template
            else Target(verb=Verb.CREATE, resource="pods", namespace=namespace)
        )
        self._template = template
        self._object = template or workload("Pod", name="dry-run", namespace=namespace, images=[IMAGE])
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]
        self.passed = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Traffic":
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.lasted = time.monotonic() - self.began
        self._client.close()

    def _call(self, number: int) -> None:
        due = self.began + number / RATE  # the callers take turns
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += CALLERS / RATE
            outcome = self._ask()
            with self._lock:
                if outcome:
                    self.failed.append(outcome)
                else:
                    self.passed += 1

    def _ask(self) -> str:
        try:
            query = {"dryRun": "All"}
            made = self._client.read(self._target, Deadline.after(30), json.loads, query=query, body=self._object)
        except ClusterError as error:
            return str(error)
        return "" if self._template or made["spec"].get("imagePullSecrets") else "not injected"


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
    assert traffic.passed >= 0.8 * RATE * traffic.lasted, "steady traffic"

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
