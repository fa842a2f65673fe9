"""The Pods that cannot pull, read from the stand-in: who they belong to, what is read, and what may not be."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import Request, scripted
from tests.objects import CANARY_PREFIX, IMAGE, RELEASE_NAMESPACE, RULES, payload, secret, workload
from webhook.cluster import connect
from webhook.cluster.client import Client
from webhook.cluster.pods import ClusterPods
from webhook.core.copies import desired
from webhook.core.kubelet_words import Symptom
from webhook.core.vocabulary import CredentialState
from webhook.doctor import pods, waiting_pods
from webhook.doctor.model import PodFindings, Question, StationState
from webhook.doctor.pods import find_pod_groups
from webhook.ports import Deadline, Forbidden

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ANONYMOUS = "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"
REJECTED = "failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden"
Json = dict[str, Any]
READ = ["get", "list"]


def rule(group: str, *resources: str) -> Json:
    return {"apiGroups": [group], "resources": list(resources), "verbs": READ}


ALL = [
    rule("", "pods", "namespaces", "serviceaccounts", "secrets", "nodes"),
    rule("apps", "replicasets"),
    rule("batch", "jobs"),
    rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
]


class World:
    """A cluster, and what doctor finds in it."""

    def __init__(self, api: ApiServer, *, installed: bool = True) -> None:
        self.api = api
        self.namespace("ghcr", RELEASE_NAMESPACE)
        if installed:
            self.load(configuration("pull", "mutate.ghcr-pull-secrets.io", NOW - timedelta(hours=1)))
        self.clients: list[Client] = []

    def load(self, *objects: Json) -> None:
        self.api.load(objects)
        for body in objects:
            if "status" in body:
                # What is created has no status yet.
                resource, where = f"{body['kind'].lower()}s", body["metadata"].get("namespace", "")
                stored = self.api.admin.get(resource, where, body["metadata"]["name"])
                self.api.admin.update(resource, where, {**stored, "status": body["status"]}, subresource="status")

    def namespace(self, *names: str, **labels: str) -> None:
        for name in names:
            self.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def secret(self, namespace: str, content: bytes = payload(), **metadata: Any) -> None:
        self.load(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "ghcr-secret", "namespace": namespace, **metadata},
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": base64.b64encode(content).decode()},
            }
        )

    def find(
        self, rules: Iterable[Json] = ALL, *, name: str = "viewer", progress: Any = lambda _: None, **question: Any
    ) -> PodFindings:
        client = connect(self.api.kubeconfig_file(account(self.api, name, list(rules)))).client
        self.clients.append(client)
        asked: Json = {"namespace": "", "rules": RULES, "central": secret(), "now": NOW, **question}
        return find_pod_groups(client, Question(**asked), Deadline.after(30), progress)


@pytest.fixture
def world() -> Iterator[World]:
    with ApiServer(admission=None, controllers=None) as api:
        made = World(api)
        yield made
        for client in made.clients:
            client.close()


def pod(
    name: str,
    namespace: str = "auth",
    *,
    message: str = ANONYMOUS,
    reason: str = "ImagePullBackOff",
    owner: tuple[str, str] = ("", ""),
    node: str = "",
    since: datetime = NOW - timedelta(minutes=9),
    **changes: Any,
) -> Json:
    made = workload("Pod", **{"name": name, "namespace": namespace, "secrets": ["ghcr-secret"], **changes})
    if owner[0]:
        made["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "u", "controller": True}
        ]
    made["metadata"]["creationTimestamp"] = stamp(since)
    if node:
        made["spec"]["nodeName"] = node
    waiting = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    made["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "ContainersReady", "status": "False", "lastTransitionTime": stamp(since)}],
        "containerStatuses": [{"name": "c0", "state": waiting}],
    }
    return made


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def configuration(name: str, webhook: str, created: datetime) -> Json:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "creationTimestamp": stamp(created)},
        "webhooks": [{"name": webhook}],
    }


def owned(kind: str, name: str, owner: tuple[str, str], *, group: str = "apps", namespace: str = "auth") -> Json:
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [
                {"apiVersion": f"{group}/v1", "kind": owner[0], "name": owner[1], "uid": "u", "controller": True}
            ],
        },
    }


def groups_of(found: PodFindings) -> list[tuple[str, str, str, int]]:
    return [
        (group.cause, f"{group.owner_kind}/{group.owner_name}", group.namespace, group.pods) for group in found.groups
    ]


def test_where_every_pod_runs_there_is_nothing_to_report(world: World) -> None:
    world.load(pod("a", reason=""), pod("b", reason="ContainerCreating"), pod("c", images=["nginx"]))

    found = world.find()

    assert found.groups == ()
    assert found.skipped == ()
    assert (found.counts.pods, found.counts.selected, found.counts.unable, found.counts.namespaces) == (3, 2, 0, 1)


def test_pods_are_reported_by_cause_and_then_by_what_is_to_be_restarted(world: World) -> None:
    world.namespace("auth", "chat")
    world.load(
        owned("ReplicaSet", "auth-api-5d9c", ("Deployment", "auth-api")),
        owned("Job", "report-28", ("CronJob", "report"), group="batch"),
        *(pod(f"auth-api-5d9c-{n}", owner=("ReplicaSet", "auth-api-5d9c"), since=NOW - timedelta(minutes=n)) for n in range(1, 4)),
        pod("report-28-x", owner=("Job", "report-28")),
        pod("queue-0", owner=("StatefulSet", "queue"), reason="illegal base64 data"),
        pod("lone", "chat", secrets=[]),
        pod("info-x", "chat", reason="CreateContainerConfigError", message='configmap "info-env" not found'),
    )  # fmt: skip

    found = world.find()

    assert groups_of(found) == [
        ("secret_missing", "Deployment/auth-api", "auth", 3),
        ("secret_missing", "StatefulSet/queue", "auth", 1),
        ("secret_missing", "CronJob/report", "auth", 1),
        ("not_listed", "Pod/lone", "chat", 1),
        ("pulled", "Pod/info-x", "chat", 1),
    ]
    assert found.groups[0].since == NOW - timedelta(minutes=3)
    assert found.groups[-1].pulled
    assert found.groups[-1].detail == "pulled: CreateContainerConfigError, ConfigMap info-env is missing"
    assert (found.counts.unable, found.counts.pods, found.counts.namespaces) == (6, 7, 2)


def test_the_secrets_are_those_that_are_there(world: World) -> None:
    world.namespace("auth", "legacy", "late", "opted")
    world.secret("late")
    world.secret(
        "legacy",
        b'{"auths": 1}',
        ownerReferences=[
            {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "ghcr-secret", "uid": "u"}
        ],
    )
    world.load(
        pod("a"), pod("b", "late"), pod("c", "legacy", reason="json: cannot unmarshal string into Go struct field"),
    )  # fmt: skip

    found = world.find()

    assert groups_of(found) == [
        ("secret_missing", "Pod/a", "auth", 1),
        ("malformed", "Pod/c", "legacy", 1),
        ("back_off", "Pod/b", "late", 1),
    ]
    assert "belongs to ExternalSecret ghcr-secret" in found.groups[1].detail


def test_a_central_secret_that_was_not_given_is_looked_for(world: World) -> None:
    world.namespace("auth")
    world.load(pod("a"))

    assert groups_of(world.find(central=None))[0][0] == "central_missing"
    world.secret(RELEASE_NAMESPACE)
    assert groups_of(world.find(central=None, name="again"))[0][0] == "secret_missing"


@pytest.mark.parametrize(("ago", "cause"), [(30, "back_off"), (7200, "credential_rejected")])
def test_a_secret_that_was_written_since_the_kubelet_tried_last_is_given_time(
    world: World, ago: int, cause: str
) -> None:
    world.namespace("auth")
    changed = {
        "manager": "kubectl",
        "operation": "Update",
        "time": stamp(NOW - timedelta(seconds=ago)),
        "fieldsV1": {"f:data": {}},
    }
    labelled = {"manager": "other", "operation": "Update", "time": stamp(NOW), "fieldsV1": {"f:metadata": {}}}
    world.secret("auth", managedFields=[changed, labelled])
    world.load(pod("a", message=REJECTED, since=NOW - timedelta(minutes=60)))

    assert [group.cause for group in world.find().groups] == [cause]


@pytest.mark.parametrize(
    ("word", "cause"),
    [
        (CredentialState.ACCEPTED, "back_off"),
        (CredentialState.UNREADABLE, "credential_no_access"),
        (CredentialState.REJECTED, "credential_rejected"),
    ],
)
def test_what_the_registry_said_goes_before_what_the_kubelet_met(
    world: World, word: CredentialState, cause: str
) -> None:
    world.namespace("auth")
    old = {
        "manager": "kubectl",
        "operation": "Update",
        "time": stamp(NOW - timedelta(days=9)),
        "fieldsV1": {"f:data": {}},
    }
    world.secret("auth", managedFields=[old])
    world.load(pod("a", message=REJECTED), pod("b", images=["ghcr.io/a/b:1"], message=REJECTED))

    found = world.find(words={"ghcr.io/sesacthon/auth-api": word})

    assert {group.owner_name: group.cause for group in found.groups} == {"a": cause, "b": "credential_rejected"}


def test_accounts_that_list_what_a_pod_lacks_are_found(world: World) -> None:
    world.namespace("auth", "chat")
    for namespace, name in (("auth", "builder"), ("chat", "default")):
        world.secret(namespace)
        world.load(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": namespace},
                "imagePullSecrets": [{"name": "ghcr-secret"}],
            }
        )
    world.load(
        pod("own", secrets=["corp"], service_account="builder"),
        pod("other", "chat", secrets=[], service_account="builder"),
    )

    found = world.find()

    assert groups_of(found) == [
        ("account_unused", "Pod/own", "auth", 1), ("account_unused", "Pod/other", "chat", 1)
    ]  # fmt: skip
    assert "lists pull secrets of its own" in found.groups[0].detail
    assert "runs as chat/builder" in found.groups[1].detail


def test_the_status_of_a_node_that_is_not_heard_of_is_old(world: World) -> None:
    world.namespace("auth")
    for name, ready in (("up", "True"), ("gone", "Unknown"), ("ill", "False")):
        status = {"conditions": [{"type": "Ready", "status": ready}, {"type": "MemoryPressure", "status": "Unknown"}]}
        world.load({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status})
        world.load(pod(name, node=name))

    assert groups_of(world.find()) == [
        ("secret_missing", "Pod/ill", "auth", 1),
        ("secret_missing", "Pod/up", "auth", 1),
        ("node_unreachable", "Pod/gone", "auth", 1),
    ]


def test_a_pod_that_is_older_than_the_webhook_is_said_to_be(world: World) -> None:
    world.namespace("auth")
    world.load(
        configuration("other", "mutate.other.io", NOW - timedelta(hours=9)),
        pod("old", secrets=[], since=NOW - timedelta(hours=2)),
        pod("new", secrets=[], since=NOW - timedelta(minutes=2)),
    )

    older = {group.owner_name: "made before the webhook" in group.detail for group in world.find().groups}

    assert older == {"old": True, "new": False}


def test_where_the_add_on_is_not_nothing_is_expected_of_it() -> None:
    with ApiServer(admission=None, controllers=None) as api:
        world = World(api, installed=False)
        world.namespace("auth")
        world.load(pod("a"), pod("b", secrets=[], owner=("StatefulSet", "b")))

        found = world.find(central=None)

        [missing, not_listed] = found.groups
        world.clients[0].close()
    assert missing.cause == "secret_missing"
    assert "kubectl create secret docker-registry" in missing.commands[1]
    assert not_listed.cause == "not_listed"
    assert not not_listed.restart
    assert not_listed.remedy.startswith(
        "add '- name: ghcr-secret' to imagePullSecrets in the template of StatefulSet b"
    )


def test_labels_of_namespaces_count(world: World) -> None:
    world.namespace("auth", **{"ghcr-pull-secrets.io/inject": "false"})
    world.load(pod("a", secrets=[]))

    assert "its namespace is out of injection" in world.find().groups[0].detail
    assert "its namespace is out of injection" in world.find(namespace="auth", name="again").groups[0].detail


def test_one_namespace_alone_may_be_asked_about(world: World) -> None:
    world.namespace("auth", "chat")
    world.load(pod("a"), pod("b", "chat"))

    assert groups_of(world.find(namespace="chat")) == [("secret_missing", "Pod/b", "chat", 1)]


def test_what_may_not_be_read_is_said_and_the_rest_is_reported(world: World) -> None:
    world.namespace("auth", "chat", "info", "scan")
    world.load(owned("ReplicaSet", "auth-api-5d9c", ("Deployment", "auth-api")))
    world.load(
        *(
            pod("auth-api-5d9c-x", name, owner=("ReplicaSet", "auth-api-5d9c"), node="n")
            for name in ("auth", "chat", "info", "scan")
        )
    )

    found = world.find([rule("", "pods")], name="narrow", central=None)

    assert {group.cause for group in found.groups} == {"unverifiable"}
    assert {group.owner_kind for group in found.groups} == {"ReplicaSet"}
    assert {station.state for station in found.skipped} == {StationState.SKIPPED}
    said = {station.name: station.text for station in found.skipped}
    assert set(said) == {
        "mutatingwebhookconfigurations", "namespaces", "nodes", "replicasets", "secrets", "serviceaccounts"
    }  # fmt: skip
    assert said["nodes"] == "not looked at: you may not list nodes"
    assert said["secrets"] == f"not looked at: you may not get secrets in auth, chat, {RELEASE_NAMESPACE} and 2 more"


def test_who_may_not_list_pods_is_told_nothing(world: World) -> None:
    with pytest.raises(Forbidden):
        world.find([], name="nobody")


def test_of_a_healthy_namespace_nothing_is_read(world: World) -> None:
    world.namespace("auth", "fine")
    world.load(pod("a"), pod("b", "fine", reason=""))
    world.secret("fine")
    world.find()
    world.api.requests.clear()

    world.find(name="viewer")

    asked = [request.info for request in world.api.requests.matching(lambda info: info.user.endswith(":viewer"))]
    assert {(info.verb, info.resource) for info in asked} == {
        ("list", "pods"), ("list", "mutatingwebhookconfigurations.admissionregistration.k8s.io"), ("get", "namespaces"),
        ("get", "secrets"), ("get", "serviceaccounts"),
    }  # fmt: skip
    assert {info.namespace for info in asked if info.resource == "secrets"} == {"auth"}


def test_the_progress_is_reported(world: World) -> None:
    seen: list[int] = []
    world.load(*(pod(f"p{number}", reason="") for number in range(250)))

    world.find(progress=seen.append)

    assert seen == [100, 200, 250]


def test_of_more_pods_than_are_kept_the_others_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_pods, "MAX_WAITING_PODS", 2)
    world.namespace("auth")
    world.load(*(pod(f"p{number}") for number in range(5)))

    found = world.find()

    assert found.counts.unable == 2
    assert [station.text for station in found.skipped] == [
        "no more than 2 Pods that wait were looked at; 3 were not"
    ]  # fmt: skip


def test_of_more_secrets_than_are_read_the_others_are_not_guessed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "MAX_NAMES", 2)
    world.namespace("auth")
    world.load(pod("a", secrets=["s1", "s2", "s3"]))

    [group] = world.find().groups

    assert group.cause == "unverifiable"


def test_a_static_pod_and_a_pod_that_no_api_server_would_give_are_passed_over(world: World) -> None:
    world.namespace("auth")
    world.load(pod("static", annotations={"kubernetes.io/config.mirror": "x"}), pod("broken", service_account="x"))

    assert groups_of(world.find()) == [("secret_missing", "Pod/broken", "auth", 1)]


def test_no_token_is_in_what_is_found(world: World) -> None:
    world.namespace("auth")
    world.secret("auth", payload(token=f"{CANARY_PREFIX}other"))
    world.load(pod("a", message=REJECTED, since=NOW - timedelta(days=1)))

    found = world.find()

    assert found.groups
    assert CANARY_PREFIX not in repr(found)


@pytest.mark.slow
def test_pods_pass_through_memory_a_page_at_a_time() -> None:
    many = [pod(f"p{number}") for number in range(100)]
    for each in many:
        each["spec"]["containers"][0]["env"] = [{"name": "SETTING", "value": "x" * 30_000}]
    body = json.dumps({"metadata": {"resourceVersion": "1", "continue": "next"}, "items": many}).encode()
    last = json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()
    sent = 0

    def respond(request: Request) -> None:
        nonlocal sent
        page = body.replace(b'"namespace": "auth"', f'"namespace": "n{sent}"'.encode())
        content = page if sent < 25 * len(body) else last
        sent += len(content)
        request.raw(content)

    with scripted(respond) as script:
        client = script.client()
        tracemalloc.start()
        try:
            kept, counts, _ = waiting_pods.collect(
                ClusterPods(client).list(Deadline.after(60)), question(), lambda _: None
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert counts.pods == len(kept) == 2_500
    assert sent > 70_000_000
    assert peak < 35_000_000


def test_a_healthy_cluster_of_a_thousand_namespaces_gives_no_finding_and_only_its_pods_are_read(world: World) -> None:
    world.api.load(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}} for number in range(1_000)
    )
    for number in range(1_000):
        world.secret(f"team-{number}")
        world.load(pod("api", f"team-{number}", reason=""))
    world.api.requests.clear()

    found = world.find()

    assert (found.groups, found.skipped) == ((), ())
    assert (found.counts.namespaces, found.counts.selected, found.counts.unable) == (1_000, 1_000, 0)
    asked = [request.info for request in world.api.requests.matching(lambda info: info.user.endswith(":viewer"))]
    assert {(info.verb, info.resource) for info in asked} == {("list", "pods")}
    assert len(asked) == 10


def test_a_pod_that_a_list_gives_twice_is_reported_once() -> None:
    twice = [pod("a"), pod("b", reason=""), pod("a"), pod("b", reason="")]
    kept, counts, _ = waiting_pods.collect(twice, question(), lambda _: None)

    assert (len(kept), counts.pods, counts.selected, counts.namespaces) == (1, 2, 2, 1)


def test_of_a_runtimes_message_the_beginning_is_kept() -> None:
    [kept], _, _ = waiting_pods.collect([pod("a", message=ANONYMOUS + "x" * 4_000)], question(), lambda _: None)

    assert len(kept.stuck.waiting.message) == 1024
    assert kept.stuck.symptom is Symptom.ANONYMOUS
    assert kept.workload.template == {}


@pytest.mark.parametrize("text", ["", None, "yesterday", "2026-05-04T12:00:00"])
def test_what_is_no_time_of_an_api_server_is_none(text: str | None) -> None:
    assert waiting_pods.parse_time(text) is None


def test_a_pod_is_waiting_since_its_containers_were_not_ready_or_it_was_made() -> None:
    made = pod("a", since=NOW)
    del made["status"]["conditions"]
    [by_creation], _, _ = waiting_pods.collect([made], question(), lambda _: None)
    made["status"]["startTime"] = stamp(NOW + timedelta(seconds=5))
    [by_start], _, _ = waiting_pods.collect([made], question(), lambda _: None)
    del made["metadata"]["creationTimestamp"], made["status"]["startTime"]
    [unknown], _, _ = waiting_pods.collect([made], question(), lambda _: None)

    assert (by_creation.since, by_start.since, unknown.since) == (NOW, NOW + timedelta(seconds=5), None)
    assert IMAGE in {image.image for image in unknown.workload.images}


def question() -> Question:
    return Question(namespace="", rules=RULES, central=None, now=NOW)


def test_a_copy_is_what_the_controller_would_make_of_the_central_secret(world: World) -> None:
    world.namespace("auth")
    copy = desired("auth", secret(), RULES.patterns)
    world.secret(
        "auth",
        payload(token="old"),
        labels={"app.kubernetes.io/managed-by": "ghcr-pull-secrets"},
        annotations={key: value for key, value in copy.marks.items() if "managed-by" not in key},
    )
    world.load(pod("a", message=REJECTED, since=NOW - timedelta(days=1)))

    assert [group.cause for group in world.find().groups] == ["stale"]
