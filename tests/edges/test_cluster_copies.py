"""Every `ghcr-secret` of a cluster: by watch for the controller, by list for `cleanup`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import Json, Request, eventually, page, scripted, status
from tests.services.contracts.world import soon
from webhook.cluster import Cluster, cluster_of, connect
from webhook.core.names import PROVISION_LABEL, SECRET_NAME
from webhook.ports import Expired, Unavailable

RULES = [
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET_NAME], "verbs": ["get", "list", "watch"]},
]


def namespace(name: str, labels: dict[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(namespace: str, name: str = SECRET_NAME) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "type": "Opaque"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ApiServer(admission=None, controllers=None) as api:
        api.load(
            [namespace(name, labels) for name, labels in (("ghcr", {}), ("a", {PROVISION_LABEL: "true"}), ("b", {}))]
        )
        for where, names in (("a", ["other"]), ("b", ["other", SECRET_NAME])):
            listed = [{"name": name} for name in names]
            metadata = {"name": "builder", "namespace": where}
            api.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": listed}])
        made = connect(api.kubeconfig_file(account(api, "controller", RULES)))
        api.load([secret("a"), secret("b"), secret("b", "other")])
        yield made
        made.close()


def test_who_may_ask_for_a_copy_is_known(cluster: Cluster) -> None:
    cluster.caches.start()
    eventually(cluster.caches.synced)
    assert sorted(cluster.facts.namespaces_with_secret()) == ["a", "b"]
    assert [watch.resource for watch in cluster.caches.health()] == ["secrets", "namespaces", "serviceaccounts"]
    assert [each.name for each in cluster.facts.namespaces() if each.provision == "true"] == ["a"]
    assert cluster.facts.namespaces_by_account() == {"b"}


def test_a_list_has_all_pages_and_no_other_secret(cluster: Cluster) -> None:
    for page_size in (1, 500):
        found = cluster.facts.copies(soon(), page_size=page_size)
        assert [secret.namespace for secret in found] == ["a", "b"]


def listed(*answers: Json | int | list[object]) -> tuple[list[str], list[Request]]:
    """List against a server that answers with these bodies or codes in turn."""
    rest = iter(answers)

    def respond(request: Request) -> None:
        body = next(rest)
        request.json(status(body), body) if isinstance(body, int) else request.json(body)

    with scripted(respond) as script:
        return [secret.namespace for secret in cluster_of(script.client()).facts.copies(soon())], script.requests


def test_a_continuation_that_expired_begins_the_list_again() -> None:
    first = page(secret("a"), version=1, token="t")
    names, requests = listed(first, 410, first, page(secret("b"), version=1))
    assert names == ["a", "b"]
    assert [request.query.get("continue") for request in requests] == [None, "t", None, "t"]
    assert {request.query["fieldSelector"] for request in requests} == {f"metadata.name={SECRET_NAME}"}
    with pytest.raises(Expired):
        listed(first, 410, first, 410)


@pytest.mark.parametrize("body", [[], {}, {"items": []}, {"metadata": {}, "items": [7]}, {"metadata": {}, "items": 7}])
def test_what_is_no_list_is_not_from_an_api_server(body: Json) -> None:
    with pytest.raises(Unavailable):
        listed(body)
