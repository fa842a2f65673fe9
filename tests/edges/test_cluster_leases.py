"""Leases on the stand-in API server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import pytest

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import Request, scripted
from tests.services.controller_contracts import HELD, LeasesContract, soon
from webhook.cluster import connect
from webhook.cluster.leases import ClusterLeases
from webhook.controller.leader import Elector
from webhook.ports import Unavailable

LEASES = "leases.coordination.k8s.io"
GROUP = ["coordination.k8s.io"]
RULES = [
    {"apiGroups": GROUP, "resources": ["leases"], "verbs": ["create"]},
    {"apiGroups": GROUP, "resources": ["leases"], "resourceNames": ["controller"], "verbs": ["get", "patch"]},
]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(controllers=None) as server:
        server.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ghcr"}})
        yield server


@pytest.fixture
def leases(api: ApiServer) -> Iterator[ClusterLeases]:
    cluster = connect(api.kubeconfig_file(account(api, "controller", RULES)))
    yield ClusterLeases(cluster.client, namespace="ghcr", name="controller")
    cluster.close()


class TestClusterLeases(LeasesContract):
    pass


def test_what_others_wrote_on_the_lease_stays(api: ApiServer, leases: ClusterLeases) -> None:
    made = leases.create(HELD, soon())
    api.admin.patch(LEASES, "ghcr", "controller", {"metadata": {"annotations": {"note": "n"}}})
    current = leases.get(soon())
    assert current is not None
    assert current.resource_version != made.resource_version
    leases.update(replace(current, holder="other"), soon())
    assert api.admin.get(LEASES, "ghcr", "controller")["metadata"]["annotations"] == {"note": "n"}


def test_a_released_lease_has_no_holder_at_all(api: ApiServer, leases: ClusterLeases) -> None:
    leases.update(replace(leases.create(HELD, soon()), holder=""), soon())
    assert "holderIdentity" not in api.admin.get(LEASES, "ghcr", "controller")["spec"]


def test_an_elector_writes_times_the_api_takes(api: ApiServer, leases: ClusterLeases) -> None:
    noon = dt.datetime(2026, 5, 4, 12, 0, 0, tzinfo=dt.UTC)
    elector = Elector(leases, identity="a", utc=lambda: noon)
    elector.step()
    assert elector.leading
    elector.step()
    spec = api.admin.get(LEASES, "ghcr", "controller")["spec"]
    # metav1.MicroTime: six digits also where they are noughts.
    assert spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 12,
        "acquireTime": "2026-05-04T12:00:00.000000Z",
        "renewTime": "2026-05-04T12:00:00.000000Z",
        "leaseTransitions": 0,
    }


def test_a_lease_somebody_made_by_hand_is_read(api: ApiServer, leases: ClusterLeases) -> None:
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "controller"}}
    api.admin.create(LEASES, "ghcr", body)
    found = leases.get(soon())
    assert found is not None
    assert (found.holder, found.duration_s, found.transitions) == ("", 0, 0)
    elector = Elector(leases, identity="a")
    elector.step()
    assert elector.leading


@pytest.mark.parametrize("body", [[], "x", {"spec": {}}, {"metadata": {}}, {"metadata": {}, "spec": 7}])
def test_what_is_no_lease_is_not_from_an_api_server(body: object) -> None:
    def answer(request: Request) -> None:
        request.json(body)

    with scripted(answer) as script, pytest.raises(Unavailable):
        ClusterLeases(script.client(), namespace="ghcr", name="controller").get(soon())
