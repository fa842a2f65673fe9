"""What happens to a Pod before any webhook sees it."""

from __future__ import annotations

from typing import Any

import pytest

from standin.admission import AdmissionChain
from standin.errors import ApiError
from standin.interfaces import Json
from standin.tests.fake_cluster import DEPLOYMENTS, FakeCluster, create


def pod(**spec: Any) -> Json:
    containers = spec.pop("containers", [{"name": "a", "image": "x"}])
    metadata = {"name": "p", "namespace": "tr2"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def admitted(cluster: FakeCluster, obj: Json) -> Json:
    result, warnings = AdmissionChain(cluster).mutate(create(obj))
    assert result is not None
    assert warnings == []
    return result


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    account = {"metadata": {"name": "default", "namespace": "tr2"}, "imagePullSecrets": [{"name": "sa-secret"}]}
    made.store.put("serviceaccounts", account)
    return made


@pytest.mark.parametrize(
    ("listed", "effective"),
    [(None, ["sa-secret"]), ([], ["sa-secret"]), ([{"name": "own"}], ["own"])],
    ids=["absent", "empty", "own"],
)
def test_the_service_accounts_pull_secrets_are_copied_only_into_an_empty_list(
    cluster: FakeCluster, listed: list[Json] | None, effective: list[str]
) -> None:
    spec = {} if listed is None else {"imagePullSecrets": listed}
    result = admitted(cluster, pod(**spec))
    assert [reference["name"] for reference in result["spec"]["imagePullSecrets"]] == effective


def test_a_missing_service_account_forbids_the_pod(cluster: FakeCluster) -> None:
    with pytest.raises(ApiError) as caught:
        admitted(cluster, pod(serviceAccountName="nope"))
    assert caught.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "p" is forbidden: error looking up service account tr2/nope: serviceaccount "nope" not found',
        "reason": "Forbidden",
        "details": {"name": "p", "kind": "pods"},
        "code": 403,
    }


@pytest.mark.parametrize(
    ("account", "spec", "mounted"),
    [
        ({}, {}, True),
        ({"automountServiceAccountToken": False}, {}, False),
        ({"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}, True),
        ({}, {"automountServiceAccountToken": False}, False),
    ],
)
def test_the_token_is_mounted_unless_pod_or_account_decline(
    cluster: FakeCluster, account: Json, spec: Json, *, mounted: bool
) -> None:
    cluster.store.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "tr2"}, **account})
    result = admitted(cluster, pod(**spec))
    assert ("volumes" in result["spec"]) is mounted


def test_a_container_that_mounts_something_there_is_left_alone(cluster: FakeCluster) -> None:
    mount = {"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    result = admitted(cluster, pod(containers=[{"name": "a", "image": "x", "volumeMounts": [mount]}]))
    assert result["spec"]["containers"][0]["volumeMounts"] == [mount]
    assert "volumes" not in result["spec"]


def test_a_mirror_pod_is_not_touched(cluster: FakeCluster) -> None:
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "serviceAccountName" not in admitted(cluster, obj)["spec"]


def test_own_tolerations_stay_and_only_what_is_missing_is_added(cluster: FakeCluster) -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    tolerations = admitted(cluster, pod(tolerations=[own]))["spec"]["tolerations"]
    assert tolerations[0] == own
    assert [toleration["key"] for toleration in tolerations[1:]] == ["node.kubernetes.io/unreachable"]
    everything = {"operator": "Exists"}
    assert admitted(cluster, pod(tolerations=[everything]))["spec"]["tolerations"] == [everything]


def test_priority_comes_from_its_class(cluster: FakeCluster) -> None:
    cluster.store.put(
        "priorityclasses.scheduling.k8s.io",
        {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"},
    )
    spec = admitted(cluster, pod(priorityClassName="high"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    assert admitted(cluster, pod(priorityClassName="system-node-critical"))["spec"]["priority"] == 2_000_001_000
    with pytest.raises(ApiError, match="no PriorityClass with name nope was found"):
        admitted(cluster, pod(priorityClassName="nope"))


def test_only_pods_that_are_created_are_touched(cluster: FakeCluster) -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "tr2"}, "spec": {}}
    chain = AdmissionChain(cluster)
    assert chain.mutate(create(obj, of=DEPLOYMENTS)) == (obj, [])
    assert chain.mutate(create(obj, subresource="binding")) == (obj, [])


def test_the_request_itself_is_not_changed(cluster: FakeCluster) -> None:
    obj = pod()
    admitted(cluster, obj)
    assert obj == pod()
