"""The adapters keep the ports' contracts, on the stand-in API server and with the RBAC they say they need.

The accounts' permissions are those of the class docstrings in `webhook.cluster`; one too few fails here.
"""

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import eventually
from tests.services.contracts.facts import FactsContract
from tests.services.contracts.world import World, copy, soon
from tests.services.contracts.writer import WriterContract
from webhook.cluster import Cluster, connect
from webhook.cluster.watching import DEFAULT_PACING
from webhook.core.copies import Secret
from webhook.core.judging import UnreadableSecret
from webhook.core.names import LAST_APPLIED_ANNOTATION, MANAGED_BY_LABEL, PULL_SECRET_KEYS, SECRET_NAME
from webhook.ports import Forbidden

NARROW = [
    {"apiGroups": [""], "resources": ["namespaces", "serviceaccounts"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [SECRET_NAME],
        "verbs": ["get", "list", "watch", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
]
WIDE = [*NARROW, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]


class StandIn:
    """A `World` on the stand-in API server."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ghcr"}})
        self.narrow = connect(api.kubeconfig_file(account(api, "narrow", NARROW)))
        self.wide = connect(api.kubeconfig_file(account(api, "wide", WIDE)), read_all_secrets=True)
        self.facts = self.narrow.facts
        self.facts_of_all = self.wide.facts
        self.writer = self.narrow.writer

    def close(self) -> None:
        self.narrow.close()
        self.wide.close()

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def terminate_namespace(self, name: str) -> None:
        metadata = {"name": "anchor", "finalizers": ["example.com/stay"]}
        self.api.admin.create("configmaps", name, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        self.api.admin.delete("namespaces", "", name)

    def forbid_secrets_by_quota(self, namespace: str) -> None:
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "0"}}}
        self.api.admin.create("resourcequotas", namespace, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})

    def make_service_account(self, namespace: str, name: str, pull_secrets: Sequence[str]) -> None:
        obj = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name},
            "imagePullSecrets": [{"name": each} for each in pull_secrets],
        }
        self.api.admin.create("serviceaccounts", namespace, obj)

    def make_secret(
        self,
        secret: Secret,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        extra: Mapping[str, bytes] | None = None,
    ) -> None:
        data = dict(extra or {})
        if secret.payload is not None:
            data[PULL_SECRET_KEYS[secret.type]] = secret.payload
        marks = dict(secret.marks)
        ours = {MANAGED_BY_LABEL: marks.pop(MANAGED_BY_LABEL)} if MANAGED_BY_LABEL in marks else {}
        metadata: dict[str, Any] = {"name": secret.name}
        if all_labels := ours | dict(labels or {}):
            metadata["labels"] = all_labels
        applied = {LAST_APPLIED_ANNOTATION: "{}"} if secret.given_away else {}
        if all_annotations := marks | applied | dict(annotations or {}):
            metadata["annotations"] = all_annotations
        if secret.owned:
            owner = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "e", "uid": "e"}
            metadata["ownerReferences"] = [owner]
        obj = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": secret.type,
            "immutable": secret.immutable,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        self.api.admin.create("secrets", secret.namespace, obj)

    def remove_secret(self, namespace: str, name: str) -> None:
        self.api.admin.delete("secrets", namespace, name)

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        labels: dict[str, str] = self.api.admin.get("secrets", namespace, name)["metadata"].get("labels", {})
        return labels

    def annotations(self, namespace: str, name: str) -> Mapping[str, str]:
        found: dict[str, str] = self.api.admin.get("secrets", namespace, name)["metadata"].get("annotations", {})
        return found

    def keys(self, namespace: str, name: str) -> set[str]:
        return set(self.api.admin.get("secrets", namespace, name)["data"])

    def settle(self) -> None:
        self.narrow.caches.start()
        eventually(self.narrow.caches.synced)

    def stop_watching(self) -> None:
        self.narrow.caches.stop()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with ApiServer() as api:
        world = StandIn(api)
        yield world
        world.close()


@pytest.fixture
def world(stand_in: StandIn) -> World:
    return stand_in


class TestClusterFacts(FactsContract):
    pass


class TestClusterSecretWriter(WriterContract):
    pass


def test_before_a_cache_is_filled_everything_is_read(stand_in: StandIn) -> None:
    stand_in.make_namespace("a", {"ghcr-pull-secrets.io/inject": "true"})
    stand_in.make_secret(copy("a"))
    stand_in.make_service_account("a", "builder", ["z"])
    assert stand_in.facts.namespace("a", soon()).inject == "true"
    assert stand_in.facts.service_account("a", "builder", soon()).secrets == ("z",)
    assert stand_in.facts.copy("a", soon()) is not None


def test_before_the_cache_is_filled_a_secret_written_long_ago_is_read_again(stand_in: StandIn) -> None:
    """Nobody has told since whether it is still so."""
    stand_in.make_namespace("a")
    stand_in.facts.observe(stand_in.writer.create(copy("a"), soon()))
    stand_in.remove_secret("a", SECRET_NAME)
    assert stand_in.facts.secret("a", SECRET_NAME, soon()) is None
    assert stand_in.facts.copy("a", soon()) is None


def test_what_the_caches_know_costs_no_request(stand_in: StandIn) -> None:
    stand_in.make_namespace("a")
    stand_in.make_secret(copy("a"))
    stand_in.make_service_account("a", "builder", ["z"])
    stand_in.settle()
    asked: list[str] = []
    stand_in.narrow.client.on_request(lambda verb, resource, code: asked.append(verb))
    stand_in.facts.namespace("a", soon())
    stand_in.facts.service_account("a", "builder", soon())
    stand_in.facts.copy("a", soon())
    stand_in.facts.secret("a", SECRET_NAME, soon())
    assert "get" not in asked


def test_a_secret_we_thought_we_may_read_but_may_not_is_unreadable(stand_in: StandIn) -> None:
    """`read_all_secrets` was set, and the RBAC forgotten."""
    stand_in.make_namespace("a")
    mistaken = connect(stand_in.api.kubeconfig_file(account(stand_in.api, "narrow2", NARROW)), read_all_secrets=True)
    assert mistaken.facts.secret("a", "theirs", soon()) == UnreadableSecret()
    mistaken.close()


def test_a_missing_permission_to_create_is_forbidden_and_no_quota(stand_in: StandIn) -> None:
    stand_in.make_namespace("a")
    reader = connect(stand_in.api.kubeconfig_file(account(stand_in.api, "reader", NARROW[:2])))
    with pytest.raises(Forbidden):
        reader.writer.create(copy("a"), soon())
    reader.close()


# --- the watches, over TLS, through each fault


@pytest.fixture
def watching(stand_in: StandIn) -> tuple[StandIn, Cluster]:
    stand_in.make_namespace("a")
    stand_in.settle()
    return stand_in, stand_in.narrow


def test_a_change_reaches_the_cache_by_the_watch(watching: tuple[StandIn, Cluster]) -> None:
    world, cluster = watching
    began = time.monotonic()
    world.make_secret(copy("a"))
    eventually(lambda: cluster.facts.copy("a", soon()) is not None)
    world.remove_secret("a", SECRET_NAME)
    eventually(lambda: cluster.facts.copy("a", soon()) is None)
    assert time.monotonic() - began < DEFAULT_PACING.stream_min  # nothing else is asked before


def test_cut_connections_are_made_again_without_a_list(watching: tuple[StandIn, Cluster]) -> None:
    world, cluster = watching
    lists: list[str] = []
    cluster.client.on_request(lambda verb, resource, code: lists.append(verb) if verb == "list" else None)
    world.api.drop_connections()
    world.make_secret(copy("a"))
    eventually(lambda: cluster.facts.copy("a", soon()) is not None)
    assert lists == []


def test_a_restart_of_the_api_server_is_survived(watching: tuple[StandIn, Cluster]) -> None:
    world, cluster = watching
    with world.api.restarting():
        world.make_secret(copy("a"))
        eventually(lambda: all(health.error for health in cluster.caches.health()))
    eventually(lambda: cluster.facts.copy("a", soon()) is not None, within=15)
    eventually(lambda: not any(health.error for health in cluster.caches.health()), within=15)


def test_a_history_that_is_gone_leads_to_a_list_that_notices_deletions(watching: tuple[StandIn, Cluster]) -> None:
    world, cluster = watching
    world.make_secret(copy("a"))
    eventually(lambda: cluster.facts.copy("a", soon()) is not None)
    world.api.stop()
    world.remove_secret("a", SECRET_NAME)
    world.api.expire_history()
    world.api.start()
    eventually(lambda: cluster.facts.copy("a", soon()) is None, within=15)
    assert cluster.caches.health()[0].restarts["expired"] == 1


def test_a_permission_taken_and_given_back_is_survived(watching: tuple[StandIn, Cluster]) -> None:
    world, cluster = watching
    role = world.api.admin.get("clusterroles.rbac.authorization.k8s.io", "", "narrow")
    world.api.admin.update("clusterroles.rbac.authorization.k8s.io", "", {**role, "rules": []})
    world.api.drop_connections()
    eventually(lambda: cluster.caches.health()[0].restarts["forbidden"] >= 1)
    assert "403" in cluster.caches.health()[0].error
    role = world.api.admin.get("clusterroles.rbac.authorization.k8s.io", "", "narrow")
    world.api.admin.update("clusterroles.rbac.authorization.k8s.io", "", {**role, "rules": NARROW})
    world.make_secret(copy("a"))
    eventually(lambda: cluster.facts.copy("a", soon()) is not None, within=15)


def test_names_beyond_those_that_are_kept_are_asked_for_when_ours_is_not_among_them(stand_in: StandIn) -> None:
    others = [f"s{number}" for number in range(40)]
    stand_in.make_namespace("a")
    asked: list[str] = []
    for name, listed in (
        ("first", [SECRET_NAME, *others]),
        ("last", [*others, SECRET_NAME]),
        ("many", others),
        ("few", others[:3]),
    ):
        stand_in.make_service_account("a", name, listed)
    stand_in.settle()
    stand_in.narrow.client.on_request(lambda verb, resource, code: asked.append(f"{verb} {resource}"))
    assert stand_in.facts.service_account("a", "few", soon()).secrets == tuple(others[:3])
    assert stand_in.facts.service_account("a", "first", soon()).secrets[0] == SECRET_NAME
    assert stand_in.facts.service_account("a", "last", soon()).secrets == (*others[:32], SECRET_NAME)
    assert [each for each in asked if each.startswith("get")] == []
    assert stand_in.facts.service_account("a", "many", soon()).secrets == tuple(others)
    assert [each for each in asked if each.startswith("get")] == ["get serviceaccounts"]
