"""What the stand-in refuses, and what it does when two come at once."""

from typing import Any

import pytest

from standin import ApiServer
from standin.errors import ApiError
from standin.interfaces import Attributes, Cluster, Json, Operation, User
from standin.tests.http import MERGE, SECRETS, Http, secret

PODS = "/api/v1/namespaces/app/pods"


class Meddler:
    """Admission that changes the object in the store while its first update is being admitted."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._meddled = False

    def mutate(self, attributes: Attributes) -> tuple[Json | None, list[str]]:
        if attributes.operation is Operation.UPDATE and not self._meddled:
            self._meddled = True
            client = self._cluster.client_as(User(name="meddler"))
            client.patch("secrets", "app", attributes.name, {"metadata": {"labels": {"by": "meddler"}}})
        return attributes.object, []

    def validate(self, attributes: Attributes) -> list[str]:
        return []


@pytest.fixture
def meddled() -> Any:
    with ApiServer(controllers=None, admission=Meddler) as api:
        api.load([{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "app"}}])
        api.admin.create("secrets", "app", secret("s"))
        yield api


def test_an_update_is_made_again_if_another_came_between(meddled: ApiServer) -> None:
    meddled.admin.patch("secrets", "app", "s", {"metadata": {"labels": {"mine": "yes"}}})
    assert meddled.admin.get("secrets", "app", "s")["metadata"]["labels"] == {"by": "meddler", "mine": "yes"}


def test_an_update_of_one_version_conflicts_if_another_came_between(meddled: ApiServer) -> None:
    read = meddled.admin.get("secrets", "app", "s")
    with pytest.raises(ApiError) as caught:
        meddled.admin.update("secrets", "app", {**read, "data": {}})
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


def test_acting_as_another_needs_permission(api: ApiServer) -> None:
    client = Http(api, api.token_for("app", "robot"))
    status, answer = client.send("GET", SECRETS, **{"Impersonate-User": "admin", "Impersonate-Group": "system:masters"})
    client.close()
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert "cannot impersonate" in answer["message"]


def _pod(name: str) -> Json:
    spec = {"containers": [{"name": "a", "image": "x:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"l": name}}, "spec": spec}


def test_a_disruption_budget_holds_up_evictions_of_its_pods_only(api: ApiServer, http: Http) -> None:
    api.load(
        [
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "b", "namespace": "app"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"l": "kept"}}},
            },
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "app"}},
        ]
    )
    answers = []
    for name in ("kept", "free"):
        http.ok("POST", PODS, _pod(name))
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        answers.append(http.send("POST", f"{PODS}/{name}/eviction", body)[0])
    assert answers == [429, 201]
    assert [pod["metadata"]["name"] for pod in api.store.list("pods", "app")] == ["kept"]


def test_a_namespace_is_deleted_once(http: Http) -> None:
    assert http.ok("DELETE", "/api/v1/namespaces/app")["status"]["phase"] == "Terminating"
    status, answer = http.send("DELETE", "/api/v1/namespaces/app")
    assert (status, answer["reason"]) == (409, "Conflict")


def test_a_namespace_of_the_system_is_not_deleted(http: Http) -> None:
    assert http.send("DELETE", "/api/v1/namespaces/kube-system")[0] == 403


def test_orphans_lose_the_reference_to_their_owner(api: ApiServer, http: Http) -> None:
    owner = http.ok("POST", SECRETS, secret("owner"))
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "owner", "uid": owner["metadata"]["uid"]}
    http.ok("POST", SECRETS, secret("child", ownerReferences=[reference]))
    http.ok("DELETE", f"{SECRETS}/owner?propagationPolicy=Orphan")
    assert "ownerReferences" not in api.admin.get("secrets", "app", "child")["metadata"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/cbor"])
def test_a_body_of_another_type_is_not_read(http: Http, content_type: str) -> None:
    assert http.send("POST", SECRETS, b"x", content_type)[0] == 415


@pytest.mark.parametrize("body", [b"k8s\0\xff", b"k8s\0\x0a\x02\x0a\x09", b"not protobuf"])
def test_malformed_protobuf_is_a_bad_request(http: Http, body: bytes) -> None:
    assert http.send("POST", SECRETS, body, "application/vnd.kubernetes.protobuf")[0] == 400


def test_an_update_of_a_lease_must_name_its_version(api: ApiServer, http: Http) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/app/leases"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    http.ok("POST", path, body)
    status, answer = http.send("PUT", f"{path}/l", body)
    assert (status, answer["details"]["causes"][0]["field"]) == (422, "metadata.resourceVersion")


def test_an_exception_inside_is_answered_and_does_not_end_the_server(api: ApiServer, http: Http) -> None:
    status, answer = http.send("PATCH", f"{SECRETS}/s", {"metadata": {}}, MERGE)
    assert status == 404
    api.admin.create("secrets", "app", secret("s"))
    status, answer = http.send("PATCH", f"{SECRETS}/s", {"metadata": {"labels": ["no", "map"]}}, MERGE)
    assert status in {400, 500}
    assert answer["kind"] == "Status"
    assert http.send("GET", f"{SECRETS}/s")[0] == 200


def test_one_object_is_no_list_of_metadata(http: Http) -> None:
    one, several = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "as=PartialObjectMetadataList"
    http.ok("POST", SECRETS, secret("s"))

    status, answer = http.send("GET", f"{SECRETS}/s", Accept=f"application/json;{several};g=meta.k8s.io;v=v1,{one}")
    assert (status, answer["reason"]) == (406, "NotAcceptable")
    assert http.send("GET", f"{SECRETS}/s", Accept=one)[1]["kind"] == "PartialObjectMetadata"
