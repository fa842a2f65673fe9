"""Pods by pages, on the stand-in API server and against answers it would not give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import Json, Request, obj, scripted, status
from tests.edges.decoding import decoded, pods
from tests.services.controller_contracts import PodsContract, PodsWorld, soon
from webhook.cluster import connect
from webhook.cluster.client import METADATA_ONLY
from webhook.cluster.objects import KEPT_NAMES
from webhook.cluster.pods import MAX_WAITING, PODS_A_PAGE, ClusterPods
from webhook.cluster.wire import OBJECT_BYTES
from webhook.core.kubelet_words import MAX_MESSAGE, MAX_REASON
from webhook.core.names import SECRET_NAME
from webhook.ports import Expired, Forbidden, Unavailable

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


class StandIn:
    """A `PodsWorld` on the stand-in."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.cluster = connect(api.kubeconfig_file(account(api, "controller", RULES)))
        self.pods = ClusterPods(self.cluster.client, page_size=2)

    def make_pod(self, pod: Json) -> None:
        self.api.load([pod])
        where = pod["metadata"]
        stored = self.api.admin.get("pods", where["namespace"], where["name"])
        self.api.admin.update("pods", where["namespace"], {**stored, "status": pod["status"]}, subresource="status")


@pytest.fixture
def pods_world() -> Iterator[PodsWorld]:
    with ApiServer(admission=None, controllers=None) as api:
        api.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("ghcr", "a", "b")])
        world = StandIn(api)
        yield world
        world.cluster.close()


class TestClusterPods(PodsContract):
    pass


def listed(answer: object, *, page_size: int = PODS_A_PAGE, pending: bool = False) -> tuple[list[str], list[Request]]:
    """List against a server that answers with these bodies or codes in turn."""
    answers = iter(answer if isinstance(answer, list) else [answer])

    def respond(request: Request) -> None:
        body = next(answers)
        request.json(status(body), body) if isinstance(body, int) else request.json(body)

    with scripted(respond) as script:
        found = ClusterPods(script.client(), page_size=page_size).list(soon(), pending=pending)
        return [pod["metadata"]["name"] for pod in found], script.requests


def test_pages_of_a_hundred_are_asked_for_and_only_pending_pods_if_wanted() -> None:
    _, [request] = listed(pods(), pending=True)
    assert (request.path, request.query) == ("/api/v1/pods", {"limit": "100", "fieldSelector": "status.phase=Pending"})


def test_a_page_is_asked_for_when_the_one_before_is_used_up() -> None:
    answers = iter([pods(obj("p0", 1), obj("p1", 2), token="t"), pods(obj("p2", 3))])
    with scripted(lambda request: request.json(next(answers))) as script:
        found = ClusterPods(script.client()).list(soon())
        assert [next(found)["metadata"]["name"] for _ in range(2)] == ["p0", "p1"]
        assert len(script.requests) == 1
        assert [pod["metadata"]["name"] for pod in found] == ["p2"]
        assert [request.query.get("continue") for request in script.requests] == [None, "t"]


def test_a_continuation_that_expired_begins_the_list_again() -> None:
    names, requests = listed([pods(obj("p0", 1), token="t"), 410, pods(obj("p0", 1)), pods()])
    assert names == ["p0", "p0"]
    assert [request.query.get("continue") for request in requests] == [None, "t", None]


def test_a_second_expiry_is_an_error() -> None:
    with pytest.raises(Expired):
        listed([pods(obj("p0", 1), token="t"), 410, pods(obj("p0", 1), token="t"), 410])


def test_the_stand_in_expires_a_continuation_as_the_real_one_does() -> None:
    with ApiServer(admission=None, controllers=None) as api:
        api.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("ghcr", "a")])
        for index in range(3):
            api.load([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{index}", "namespace": "a"}}])
        world = StandIn(api)
        found = world.pods.list(soon())
        names = [next(found)["metadata"]["name"] for _ in range(2)]
        api.load([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p3", "namespace": "a"}}])
        api.expire_history()
        names += [pod["metadata"]["name"] for pod in found]
        assert set(names) == {"p0", "p1", "p2", "p3"}
        world.cluster.close()


def test_an_empty_page_in_the_middle_is_no_end() -> None:
    names, _ = listed([pods(obj("p0", 1), token="t"), pods(token="u"), pods(obj("p1", 2))])
    assert names == ["p0", "p1"]


def test_a_missing_permission_is_said() -> None:
    with pytest.raises(Forbidden):
        listed(403)


def test_a_list_of_null_is_an_empty_one() -> None:
    assert listed([{"metadata": {"resourceVersion": "1"}, "items": None}])[0] == []


@pytest.mark.parametrize("body", [[], {"items": []}, {"metadata": {}, "items": [7]}, {"metadata": {}, "items": {}}])
def test_what_is_no_list_is_not_from_an_api_server(body: object) -> None:
    with pytest.raises(Unavailable):
        listed([body])


LARGE = "x" * OBJECT_BYTES


@pytest.mark.parametrize("place", [0, KEPT_NAMES - 1, KEPT_NAMES, 10_000])
def test_of_many_pull_secrets_the_first_are_kept_and_always_ours(place: int) -> None:
    names = [f"s{number}" for number in range(20_000)]
    names.insert(place, SECRET_NAME)
    [pod] = decoded(obj("p", 1) | {"spec": {"imagePullSecrets": [{"name": name} for name in names]}})
    kept = [entry["name"] for entry in pod["spec"]["imagePullSecrets"]]
    assert kept == names[:KEPT_NAMES] + ([SECRET_NAME] if place >= KEPT_NAMES else [])


def test_a_pod_is_what_a_decision_reads_of_it_and_no_more() -> None:
    [pod] = decoded(
        obj("p", 1, namespace="a", annotations={"note": "x", "ghcr-pull-secrets.io/inject": "false"}, labels={"l": "x"})
        | {
            "spec": {
                "serviceAccountName": "builder",
                "nodeName": "n",
                "imagePullSecrets": [{"name": "s"}, None, {}, {"name": "s"}],
                "containers": [
                    {"name": "c", "image": "i", "imagePullPolicy": "Never", "env": [{"name": "TOKEN", "value": "x"}]},
                    None,
                ],
                "initContainers": [{"name": "d", "image": "j"}],
                "ephemeralContainers": [{"name": "e", "image": "k"}],
                "volumes": [
                    {"name": "v", "image": {"reference": "r", "pullPolicy": "Always"}},
                    {"name": "w", "emptyDir": {}},
                ],
            },
            "status": {
                "phase": "Pending",
                "hostIP": "10.0.0.1",
                "startTime": "2026-05-04T12:00:00Z",
                "conditions": [{"type": "ContainersReady", "status": "False", "lastTransitionTime": "x"}],
                "initContainerStatuses": [{"name": "d", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "c", "imageID": "", "state": {"running": {"startedAt": "x"}}}, None],
            },
        }
    )
    assert pod == {
        "metadata": {"name": "p", "namespace": "a", "annotations": {"ghcr-pull-secrets.io/inject": "false"}},
        "spec": {
            "serviceAccountName": "builder",
            "nodeName": "n",
            "imagePullSecrets": [{"name": "s"}],
            "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Never"}],
            "initContainers": [{"name": "d", "image": "j"}],
            "ephemeralContainers": [{"name": "e", "image": "k"}],
            "volumes": [{"name": "v", "image": {"reference": "r", "pullPolicy": "Always"}}],
        },
        "status": {"phase": "Pending"},
    }


def test_of_a_pod_whose_containers_do_not_run_is_kept_what_says_why_and_since_when() -> None:
    ready = {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2026-05-04T12:00:03Z", "reason": "x"}
    ended = {
        "name": "c",
        "state": {"terminated": {"exitCode": 1, "message": "x"}},
        "lastState": {"terminated": {"exitCode": 1}},
    }
    pulling = {
        "name": "d",
        "image": "x",
        "ready": False,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "m"}},
    }
    owners = [
        {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True},
    ]
    made = obj("p", 1, namespace="a", ownerReferences=owners, creationTimestamp="2026-05-04T11:59:59Z")

    [pod] = decoded(made | {"status": {
        "phase": "Running", "startTime": "2026-05-04T12:00:00Z", "conditions": [{"type": "Ready", "status": "False"}, ready],
        "initContainerStatuses": [pulling], "containerStatuses": [ended],
    }})  # fmt: skip

    assert pod["metadata"] == {
        "name": "p",
        "namespace": "a",
        "creationTimestamp": "2026-05-04T11:59:59Z",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}],
    }
    assert pod["status"] == {
        "phase": "Running",
        "startTime": "2026-05-04T12:00:00Z",
        "conditions": [{"type": "ContainersReady", "status": "False", "lastTransitionTime": "2026-05-04T12:00:03Z"}],
        "initContainerStatuses": [{"name": "d", "state": {"waiting": {"reason": "ErrImagePull", "message": "m"}}}],
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}, "lastState": {"terminated": {}}}],
    }


def test_of_a_pod_that_waits_is_kept_that_another_container_of_it_runs() -> None:
    runs = {"name": "c", "imageID": "x", "state": {"running": {"startedAt": "x"}}}
    waits = {"name": "w", "state": {"waiting": {"reason": "ErrImagePull"}}}

    [pod] = decoded(obj("p", 1) | {"status": {
        "containerStatuses": [runs, waits, runs | {"name": "d"}], "ephemeralContainerStatuses": [runs],
    }})  # fmt: skip

    one = {"name": "c", "state": {"running": {}}}
    assert pod["status"]["containerStatuses"] == [waits, one]
    assert pod["status"]["ephemeralContainerStatuses"] == [one]


def test_the_words_of_a_kubelet_and_the_containers_they_are_of_have_bounds() -> None:
    waiting = {"waiting": {"reason": "r" * 10_000, "message": "m" * 100_000}}
    [pod] = decoded(
        obj("p", 1)
        | {"status": {"containerStatuses": [{"name": f"c{n}", "state": waiting} for n in range(MAX_WAITING + 9)]}}
    )

    kept = pod["status"]["containerStatuses"]
    assert len(kept) == MAX_WAITING
    assert {len(kept[-1]["state"]["waiting"][field]) for field in ("reason", "message")} == {MAX_REASON, MAX_MESSAGE}


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": {"containers": None, "volumes": [None]}}])
def test_a_pod_without_a_list_has_none(spec: Json) -> None:
    assert decoded(obj("p", 1) | spec) == [{"metadata": {"name": "p"}, "spec": {}}]


def test_a_pod_that_is_too_large_is_passed_over_and_named_in_the_log() -> None:
    def respond(request: Request) -> None:
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        every = [obj("p0", 1), obj("p1", 2, namespace="a"), obj("p2", 3)]
        if request.headers["Accept"] != METADATA_ONLY:
            every[1] |= {"spec": {"x": LARGE}}
        end = start + limit
        request.json(pods(*every[start:end], token=str(end) if end < 3 else ""))

    with scripted(respond) as script, capture_logs() as logs:
        found = [pod["metadata"]["name"] for pod in ClusterPods(script.client()).list(soon())]
    assert found == ["p0", "p2"]
    assert [(log["event"], log["namespace"], log["name"]) for log in logs] == [("pod_too_large", "a", "p1")]
