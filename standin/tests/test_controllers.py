"""Controllers make of workloads what a cluster makes of them, and the traps bite."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from standin import interfaces
from standin.admission import AdmissionChain
from standin.controllers import ControllerManager, PullFailure
from standin.controllers.deployment import COLLISION_PAUSE_SECONDS
from standin.controllers.events import EventRecorder
from standin.controllers.objects import fnv32a, same_template, template_hash
from standin.controllers.rolling import ReplicaCounts, bounds, new_size, old_size
from standin.controllers.workqueue import WorkQueue
from standin.errors import forbidden
from standin.interfaces import Attributes, Json, Operation
from standin.server import ApiServer

Mutation = Callable[[Attributes], Json | None]
IMAGE = "ghcr.io/sesacthon/auth-api:latest"


class BadWebhook:
    """The admission chain with a mutation in place of a webhook, and a record of what it was asked."""

    def __init__(self, cluster: interfaces.Cluster) -> None:
        self._chain = AdmissionChain(cluster)
        self.mutation: Mutation = lambda _: None
        self.asked: list[Attributes] = []

    def mutate(self, attributes: Attributes) -> tuple[Json | None, list[str]]:
        self.asked.append(attributes)
        obj, warnings = self._chain.mutate(attributes)
        changed = self.mutation(replace(attributes, object=copy.deepcopy(obj)))
        return (obj if changed is None else changed), warnings

    def validate(self, attributes: Attributes) -> list[str]:
        return self._chain.validate(attributes)


class Cluster:
    """A server that does not listen, and its namespace `auth`."""

    def __init__(self) -> None:
        self.webhook: BadWebhook
        self.api = ApiServer(admission=self._admission, authorizer=None, controllers=None)
        self.admin = self.api.admin
        self.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auth"}})

    def _admission(self, cluster: interfaces.Cluster) -> BadWebhook:
        self.webhook = BadWebhook(cluster)
        return self.webhook

    def all(self, resource: str) -> list[Json]:
        """Return what is in the namespace of these tests."""
        return self.api.store.list(resource, "auth")

    def one(self, resource: str, name: str) -> Json:
        found = self.api.store.get(resource, "auth", name)
        assert found is not None
        return found

    def apply(self, obj: Json) -> Json:
        """Create an object of these tests' namespace."""
        group = obj["apiVersion"].rpartition("/")[0]
        resource = next(item for item in self.api.resources() if (item.group, item.kind) == (group, obj["kind"]))
        return self.admin.create(resource.key, "auth", obj)


class FakeRegistry:
    """Pulls an image when it is public or when `ghcr-secret` is listed and there."""

    def __init__(self) -> None:
        self.public = False

    def pull(self, image: str, secrets: Sequence[Json]) -> PullFailure | None:
        if self.public or any(secret["metadata"]["name"] == "ghcr-secret" for secret in secrets):
            return None
        return PullFailure(message="failed to authorize: failed to fetch anonymous token: 401 Unauthorized")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def manager(cluster: Cluster) -> Iterator[ControllerManager]:
    made = ControllerManager(cluster.api)
    made.start()
    yield made
    made.stop()
    assert made.errors == []


def template(image: str = IMAGE, **spec: Any) -> Json:
    return {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "a", "image": image}], **spec}}


def workload(kind: str, name: str = "api", *, replicas: int | None = 1, **spec: Any) -> Json:
    size = {} if replicas is None else {"replicas": replicas}
    body = {**size, "selector": {"matchLabels": {"app": "api"}}, "template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "auth"}, "spec": body}


def set_image(cluster: Cluster, image: str) -> None:
    containers = [{"name": "a", "image": image}]
    cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"template": {"spec": {"containers": containers}}}})


def creations(cluster: Cluster, kind: str) -> list[Attributes]:
    wanted = [
        item for item in cluster.webhook.asked if item.operation is Operation.CREATE and item.resource.kind == kind
    ]
    return [item for item in wanted if not item.dry_run]


def test_a_change_that_was_just_taken_from_the_queue_is_something_to_do(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on = threading.Event(), threading.Event()

    class Stalling(queue.SimpleQueue[Any]):
        """Hands out an entry late, when the queue is empty already."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            found = super().get(block, timeout)
            taken.set()
            go_on.wait(30)
            return found

    monkeypatch.setattr("standin.controllers.manager.queue.SimpleQueue", Stalling)
    manager = ControllerManager(cluster.api)
    manager.start()
    assert manager.settle()
    cluster.apply(workload("Deployment"))
    assert taken.wait(30)
    assert not manager.settle(0.1)
    go_on.set()
    assert manager.settle()
    assert creations(cluster, "ReplicaSet")
    manager.stop()


class TestDeployment:
    def test_it_makes_a_replica_set_and_pods_that_run(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment", replicas=2))
        assert manager.settle()
        (replica_set,) = cluster.all("replicasets.apps")
        digest = replica_set["metadata"]["labels"]["pod-template-hash"]
        assert replica_set["metadata"]["name"] == f"api-{digest}"
        assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "api", "pod-template-hash": digest}
        assert replica_set["metadata"]["annotations"] == {
            "deployment.kubernetes.io/desired-replicas": "2",
            "deployment.kubernetes.io/max-replicas": "3",
            "deployment.kubernetes.io/revision": "1",
        }
        pods = cluster.all("pods")
        assert len(pods) == 2
        assert all(pod["metadata"]["name"].startswith(f"api-{digest}-") for pod in pods)
        assert all(pod["status"]["phase"] == "Running" for pod in pods)
        status = cluster.one("deployments.apps", "api")["status"]
        assert {key: status[key] for key in ("replicas", "updatedReplicas", "availableReplicas")} == {
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
        }
        assert status["observedGeneration"] == 1
        conditions = {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}
        assert conditions == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }

    def test_children_are_made_by_their_controllers_through_admission(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        (replica_set,) = creations(cluster, "ReplicaSet")
        (pod,) = creations(cluster, "Pod")
        assert replica_set.user.name == "system:serviceaccount:kube-system:deployment-controller"
        assert pod.user.name == "system:serviceaccount:kube-system:replicaset-controller"
        assert pod.user.groups == (
            "system:serviceaccounts",
            "system:serviceaccounts:kube-system",
            "system:authenticated",
        )
        assert pod.name == ""
        assert pod.object is not None
        assert pod.object["metadata"]["generateName"].endswith("-")

    def test_a_changed_template_rolls_out_and_the_old_replica_set_is_emptied(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.apply(workload("Deployment", replicas=3))
        assert manager.settle()
        set_image(cluster, "ghcr.io/sesacthon/auth-api:2")
        assert manager.settle()
        sizes = sorted(item["spec"]["replicas"] for item in cluster.all("replicasets.apps"))
        assert sizes == [0, 3]
        assert {pod["spec"]["containers"][0]["image"] for pod in cluster.all("pods")} == {
            "ghcr.io/sesacthon/auth-api:2"
        }
        annotations = cluster.one("deployments.apps", "api")["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision"] == "2"

    def test_going_back_reuses_the_old_replica_set_under_a_new_revision(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        (first,) = cluster.all("replicasets.apps")
        for image in ("x:2", IMAGE):
            set_image(cluster, image)
            assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == 2
        now = cluster.one("replicasets.apps", first["metadata"]["name"])
        assert now["spec"]["replicas"] == 1
        assert now["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    def test_scaling_starts_no_rollout(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        for size in (3, 0):
            cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"replicas": size}})
            assert manager.settle()
            assert len(cluster.all("pods")) == size
        assert len(cluster.all("replicasets.apps")) == 1

    def test_recreate_empties_the_old_one_first(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment", replicas=2, strategy={"type": "Recreate"}))
        assert manager.settle()
        assert len(cluster.all("pods")) == 2
        set_image(cluster, "x:2")
        assert manager.settle()
        assert {pod["spec"]["containers"][0]["image"] for pod in cluster.all("pods")} == {"x:2"}
        assert len(cluster.all("pods")) == 2

    def test_a_paused_one_waits(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"paused": True}})
        set_image(cluster, "x:2")
        assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == 1
        cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"paused": None}})
        assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == 2

    def test_old_replica_sets_beyond_the_limit_go(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment", revisionHistoryLimit=1))
        for image in ("x:1", "x:2", "x:3"):
            assert manager.settle()
            set_image(cluster, image)
        assert manager.settle()
        images = {
            item["spec"]["template"]["spec"]["containers"][0]["image"] for item in cluster.all("replicasets.apps")
        }
        assert images == {"x:2", "x:3"}

    def test_deleting_it_takes_everything_along(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment", replicas=2))
        assert manager.settle()
        cluster.admin.delete("deployments.apps", "auth", "api")
        assert manager.settle()
        assert cluster.all("replicasets.apps") == cluster.all("pods") == []

    def test_orphans_stay(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        cluster.admin.delete("deployments.apps", "auth", "api", propagation="Orphan")
        assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == len(cluster.all("pods")) == 1


def add_secret(spec: Json) -> None:
    spec["imagePullSecrets"] = [*spec.get("imagePullSecrets", []), {"name": "ghcr-secret"}]


class TestTraps:
    """The traps of the project's FACTS.md, each sprung by a webhook that does the wrong thing."""

    def test_1_replacing_the_list_throws_the_service_accounts_secrets_away(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.admin.patch("serviceaccounts", "auth", "default", {"imagePullSecrets": [{"name": "sa-secret"}]})

        def replace_list(attributes: Attributes) -> Json | None:
            if attributes.resource.key == "pods" and attributes.operation is Operation.CREATE and attributes.object:
                attributes.object["spec"]["imagePullSecrets"] = [{"name": "ghcr-secret"}]
            return attributes.object

        cluster.webhook.mutation = replace_list
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]

    def test_1_a_template_that_got_one_entry_keeps_the_service_accounts_from_being_copied(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.admin.patch("serviceaccounts", "auth", "default", {"imagePullSecrets": [{"name": "sa-secret"}]})
        cluster.webhook.mutation = patch_on("deployments.apps", {Operation.CREATE})
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]

    def test_1_appending_on_the_pod_keeps_both(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.admin.patch("serviceaccounts", "auth", "default", {"imagePullSecrets": [{"name": "sa-secret"}]})

        def append(attributes: Attributes) -> Json | None:
            if attributes.resource.key == "pods" and attributes.operation is Operation.CREATE and attributes.object:
                add_secret(attributes.object["spec"])
            return attributes.object

        cluster.webhook.mutation = append
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["spec"]["imagePullSecrets"] == [{"name": "sa-secret"}, {"name": "ghcr-secret"}]

    def test_2_patching_replica_sets_makes_one_after_the_other(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.webhook.mutation = patch_on("replicasets.apps", {Operation.CREATE})
        began = time.monotonic()
        cluster.apply(workload("Deployment"))
        assert eventually(lambda: len(cluster.all("replicasets.apps")) >= 5)
        status = cluster.one("deployments.apps", "api")["status"]
        assert status["collisionCount"] >= 4
        names = {item["metadata"]["name"] for item in cluster.all("replicasets.apps")}
        assert len(names) >= 5
        # Some a second, as in a real cluster, and not as many as the processor can make.
        assert len(names) <= 2 + (time.monotonic() - began) / COLLISION_PAUSE_SECONDS
        # And it ends as soon as the webhook does the right thing.
        cluster.webhook.mutation = lambda _: None
        assert eventually(
            lambda: cluster.one("deployments.apps", "api")["status"].get("updatedReplicas") == 1, seconds=5
        )

    def test_3_patching_every_update_of_a_template_makes_an_annotation_start_a_rollout(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        cluster.webhook.mutation = patch_on("deployments.apps", {Operation.UPDATE})
        cluster.admin.patch("deployments.apps", "auth", "api", {"metadata": {"annotations": {"note": "x"}}})
        assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == 2

    def test_3_comparing_with_the_old_object_starts_none(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment"))
        assert manager.settle()
        bad = patch_on("deployments.apps", {Operation.UPDATE})

        def careful(attributes: Attributes) -> Json | None:
            old, new = attributes.old_object, attributes.object
            same = old and new and old["spec"].get("template") == new["spec"].get("template")
            return None if same else bad(attributes)

        cluster.webhook.mutation = careful
        cluster.admin.patch("deployments.apps", "auth", "api", {"metadata": {"annotations": {"note": "x"}}})
        assert manager.settle()
        assert len(cluster.all("replicasets.apps")) == 1


def patch_on(resource: str, operations: set[Operation]) -> Mutation:
    """Return a bad webhook: it adds the Secret to every template of one kind."""

    def mutation(attributes: Attributes) -> Json | None:
        if attributes.resource.key != resource or attributes.operation not in operations or attributes.subresource:
            return None
        if attributes.object is None or "ghcr-secret" in str(attributes.object["spec"]["template"]):
            return None
        add_secret(attributes.object["spec"]["template"]["spec"])
        return attributes.object

    return mutation


def eventually(check: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.01)
    return False


class TestRefusedPods:
    def test_a_refused_pod_is_reported_and_tried_again(self, cluster: Cluster, manager: ControllerManager) -> None:
        refused = True

        def refuse(attributes: Attributes) -> Json | None:
            if refused and attributes.resource.key == "pods":
                raise forbidden("pods", "", "p", 'admission webhook "x" denied the request: no credentials')
            return None

        cluster.webhook.mutation = refuse
        cluster.apply(workload("Deployment", replicas=2))
        began = time.monotonic()
        assert eventually(lambda: len(creations(cluster, "Pod")) >= 4)
        # The waits grow: 0.05, 0.1 and 0.2 s.
        assert time.monotonic() - began > 0.3
        (replica_set,) = cluster.all("replicasets.apps")
        (condition,) = replica_set["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
        assert "denied the request: no credentials" in condition["message"]
        assert eventually(
            lambda: any(
                item["type"] == "ReplicaFailure"
                for item in cluster.one("deployments.apps", "api")["status"]["conditions"]
            )
        )
        events = [item for item in cluster.all("events") if item["reason"] == "FailedCreate"]
        assert len(events) == 1
        assert eventually(lambda: cluster.one("events", events[0]["metadata"]["name"])["count"] >= 2)
        assert events[0]["involvedObject"]["kind"] == "ReplicaSet"
        assert events[0]["type"] == "Warning"

        refused = False
        assert eventually(lambda: len(cluster.all("pods")) == 2)
        assert manager.settle()
        assert "conditions" not in cluster.all("replicasets.apps")[0]["status"]


class TestOtherKinds:
    def test_a_replication_controller(self, cluster: Cluster, manager: ControllerManager) -> None:
        spec = {"replicas": 2, "selector": {"app": "api"}, "template": template()}
        cluster.apply({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": spec})
        assert manager.settle()
        assert len(cluster.all("pods")) == 2
        assert cluster.one("replicationcontrollers", "rc")["status"]["readyReplicas"] == 2
        assert {item.user.name for item in creations(cluster, "Pod")} == {
            "system:serviceaccount:kube-system:replication-controller"
        }

    def test_a_stateful_set_counts_its_pods_and_replaces_them_from_the_last(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        cluster.apply(workload("StatefulSet", "db", replicas=2, serviceName="db"))
        assert manager.settle()
        pods = cluster.all("pods")
        assert [pod["metadata"]["name"] for pod in pods] == ["db-0", "db-1"]
        metadata, spec = pods[0]["metadata"], pods[0]["spec"]
        assert metadata["generateName"] == "db-"
        assert metadata["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert metadata["labels"]["apps.kubernetes.io/pod-index"] == "0"
        assert (spec["hostname"], spec["subdomain"]) == ("db-0", "db")
        changed = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}}}
        cluster.admin.patch("statefulsets.apps", "auth", "db", changed)
        assert manager.settle()
        assert [pod["spec"]["containers"][0]["image"] for pod in cluster.all("pods")] == ["x:2"] * 2
        made = [item.name for item in creations(cluster, "Pod")]
        assert made == ["db-0", "db-1", "db-1", "db-0"]
        status = cluster.one("statefulsets.apps", "db")["status"]
        assert status["currentRevision"] == status["updateRevision"]
        assert status["updatedReplicas"] == status["readyReplicas"] == 2
        cluster.admin.patch("statefulsets.apps", "auth", "db", {"spec": {"replicas": 1}})
        assert manager.settle()
        assert [pod["metadata"]["name"] for pod in cluster.all("pods")] == ["db-0"]

    def test_a_daemon_set_has_one_pod_on_the_one_node(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("DaemonSet", "agent", replicas=None))
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert "controller-revision-hash" in pod["metadata"]["labels"]
        assert cluster.one("daemonsets.apps", "agent")["status"]["numberReady"] == 1
        changed = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}}}
        cluster.admin.patch("daemonsets.apps", "auth", "agent", changed)
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["spec"]["containers"][0]["image"] == "x:2"

    def test_a_job_runs_to_its_end(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(job())
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["status"]["phase"] == "Succeeded"
        assert "finalizers" not in pod["metadata"] or not pod["metadata"]["finalizers"]
        status = cluster.one("jobs.batch", "job")["status"]
        assert status["succeeded"] == 1
        assert {item["type"] for item in status["conditions"]} == {"SuccessCriteriaMet", "Complete"}
        cluster.admin.delete("jobs.batch", "auth", "job")
        assert manager.settle()
        assert cluster.all("pods") == []

    def test_pods_of_a_job_that_leaves_them_behind_are_let_go(self, cluster: Cluster) -> None:
        manager = ControllerManager(cluster.api, registry=FakeRegistry())
        manager.start()
        cluster.apply(job())
        assert manager.settle()
        cluster.admin.delete("jobs.batch", "auth", "job", propagation="Orphan")
        assert eventually(lambda: not cluster.all("pods")[0]["metadata"].get("finalizers"))
        manager.stop()

    @pytest.mark.parametrize(("policy", "made"), [("OrderedReady", ["db-0"]), ("Parallel", ["db-0", "db-1"])])
    def test_a_stateful_set_waits_for_one_pod_before_the_next(
        self, cluster: Cluster, policy: str, made: list[str]
    ) -> None:
        manager = ControllerManager(cluster.api, registry=FakeRegistry())
        manager.start()
        cluster.apply(workload("StatefulSet", "db", replicas=2, serviceName="db", podManagementPolicy=policy))
        assert manager.settle()
        manager.stop()
        assert [pod["metadata"]["name"] for pod in cluster.all("pods")] == made

    def test_a_suspended_job_makes_no_pod(self, cluster: Cluster, manager: ControllerManager) -> None:
        obj = job()
        obj["spec"]["suspend"] = True
        cluster.apply(obj)
        assert manager.settle()
        assert cluster.all("pods") == []

    def test_a_job_that_goes_while_it_waits_leaves_no_pod_behind(self, cluster: Cluster) -> None:
        manager = ControllerManager(cluster.api, registry=FakeRegistry())
        manager.start()
        cluster.apply(job())
        assert manager.settle()
        (pod,) = cluster.all("pods")
        assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
        cluster.admin.delete("jobs.batch", "auth", "job")
        assert eventually(lambda: cluster.all("pods") == [])
        manager.stop()
        assert manager.errors == []


def job() -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": "auth"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": IMAGE}]}}},
    }


class TestKubelet:
    @pytest.fixture
    def pulling(self, cluster: Cluster) -> Iterator[ControllerManager]:
        made = ControllerManager(cluster.api, registry=FakeRegistry())
        made.start()
        yield made
        made.stop()
        assert made.errors == []

    def test_a_pod_without_its_secret_waits_and_heals_when_the_secret_comes(
        self, cluster: Cluster, pulling: ControllerManager
    ) -> None:
        listed = template(imagePullSecrets=[{"name": "ghcr-secret"}])
        cluster.apply(workload("Deployment", template=listed))
        assert eventually(lambda: waiting(cluster) == "ImagePullBackOff")
        (pod,) = cluster.all("pods")
        assert pod["status"]["phase"] == "Pending"
        reasons = {item["reason"] for item in cluster.all("events")}
        assert {"Failed", "FailedToRetrieveImagePullSecret"} <= reasons
        status = cluster.one("deployments.apps", "api")["status"]
        assert status["unavailableReplicas"] == 1
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ghcr-secret"}})
        assert eventually(lambda: cluster.all("pods")[0]["status"]["phase"] == "Running", seconds=0.8)
        assert pulling.settle()
        (same,) = cluster.all("pods")
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]

    def test_the_first_attempt_is_named_after_the_pull(self, cluster: Cluster, pulling: ControllerManager) -> None:
        cluster.apply(workload("Deployment"))
        assert pulling.settle()
        assert waiting(cluster) == "ErrImagePull"

    def test_a_rollout_to_an_image_that_cannot_be_pulled_leaves_the_old_pods(
        self, cluster: Cluster, pulling: ControllerManager
    ) -> None:
        never = [{"name": "a", "image": "x", "imagePullPolicy": "Never"}]
        cluster.apply(workload("Deployment", replicas=2, template={**template(), "spec": {"containers": never}}))
        assert pulling.settle()
        assert {pod["status"]["phase"] for pod in cluster.all("pods")} == {"Running"}
        pulled = [{"name": "a", "image": IMAGE, "imagePullPolicy": "Always"}]
        cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"template": {"spec": {"containers": pulled}}}})
        assert pulling.settle()
        assert sorted(pod["status"]["phase"] for pod in cluster.all("pods")) == ["Pending", "Running", "Running"]

    def test_scaling_down_takes_the_pods_first_that_never_worked(self, cluster: Cluster) -> None:
        registry = FakeRegistry()
        registry.public = True
        manager = ControllerManager(cluster.api, registry=registry)
        manager.start()
        cluster.apply(workload("ReplicaSet"))
        assert manager.settle()
        (first,) = cluster.all("pods")
        registry.public = False
        for size in (6, 1):
            cluster.admin.patch("replicasets.apps", "auth", "api", {"spec": {"replicas": size}})
            assert manager.settle()
        manager.stop()
        assert [pod["metadata"]["uid"] for pod in cluster.all("pods")] == [first["metadata"]["uid"]]


def waiting(cluster: Cluster) -> str:
    pods = cluster.all("pods")
    statuses = (pods[0].get("status") or {}).get("containerStatuses") if pods else None
    return str((statuses[0]["state"].get("waiting") or {}).get("reason")) if statuses else ""


class TestNamespaces:
    def test_a_deleted_namespace_is_emptied_and_goes(self, cluster: Cluster, manager: ControllerManager) -> None:
        cluster.apply(workload("Deployment", replicas=2))
        cluster.apply(job())
        assert manager.settle()
        cluster.admin.delete("namespaces", "", "auth")
        assert eventually(lambda: cluster.api.store.get("namespaces", "", "auth") is None)
        assert manager.settle()
        left = [item.key for item in cluster.api.resources() if item.namespaced and cluster.all(item.key)]
        assert left == []

    def test_a_finalizer_of_somebody_else_holds_it(self, cluster: Cluster, manager: ControllerManager) -> None:
        held = {"name": "held", "finalizers": ["example.org/hold"]}
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        cluster.admin.delete("namespaces", "", "auth")
        assert eventually(lambda: len(cluster.all("configmaps")) == 1)
        time.sleep(0.1)
        assert cluster.api.store.get("namespaces", "", "auth") is not None
        cluster.admin.patch("configmaps", "auth", "held", {"metadata": {"finalizers": None}})
        assert eventually(lambda: cluster.api.store.get("namespaces", "", "auth") is None)


class TestGarbage:
    def test_what_has_another_owner_stays(self, cluster: Cluster, manager: ControllerManager) -> None:
        owners = [cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}) for name in "ab"]
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}
            for item in owners
        ]
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "ownerReferences": references}})
        for name, left in (("a", 1), ("b", 0)):
            cluster.admin.delete("configmaps", "auth", name)
            assert manager.settle()
            assert len(cluster.all("secrets")) == left

    def test_what_is_made_for_an_owner_that_is_gone_goes_too(
        self, cluster: Cluster, manager: ControllerManager
    ) -> None:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}
        unknown = {"apiVersion": "x.io/v1", "kind": "Thing", "name": "t", "uid": "2"}
        for name, owner in (("s", reference), ("kept", unknown)):
            cluster.apply(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "ownerReferences": [owner]}}
            )
        assert manager.settle()
        assert [item["metadata"]["name"] for item in cluster.all("secrets")] == ["kept"]


class TestManager:
    def test_it_starts_on_what_is_there_and_again_after_a_stop(self, cluster: Cluster) -> None:
        manager = ControllerManager(cluster.api)
        cluster.apply(workload("Deployment"))
        manager.start()
        manager.start()
        assert manager.settle()
        assert len(cluster.all("pods")) == 1
        manager.stop()
        manager.stop()
        cluster.admin.patch("deployments.apps", "auth", "api", {"spec": {"replicas": 2}})
        assert len(cluster.all("pods")) == 1
        manager.start()
        assert manager.settle()
        manager.stop()
        assert len(cluster.all("pods")) == 2
        assert manager.errors == []

    def test_a_bug_in_a_controller_is_kept_and_does_not_end_it(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = ControllerManager(cluster.api)
        calls: list[object] = []

        def broken(_: object, key: object) -> float | None:
            calls.append(key)
            raise RuntimeError("bug")

        monkeypatch.setattr("standin.controllers.kubelet.Kubelet.reconcile", broken)
        manager.start()
        cluster.apply(workload("Deployment"))
        assert eventually(lambda: len(calls) >= 2)
        manager.stop()
        assert {str(error) for error in manager.errors} == {"bug"}
        assert "controller_failed" in caplog.text


class TestEvents:
    def test_one_that_could_not_be_written_is_created_the_next_time(self, cluster: Cluster) -> None:
        refused = True

        def refuse(attributes: Attributes) -> Json | None:
            if refused and attributes.resource.key == "events":
                raise forbidden("events", "", "e", "quota")
            return None

        cluster.webhook.mutation = refuse
        recorder = EventRecorder(cluster.admin, "test")
        about = cluster.one("serviceaccounts", "default")
        recorder.record(about, "Seen", "it")
        assert cluster.all("events") == []
        refused = False
        for _ in range(3):
            recorder.record(about, "Seen", "it")
        (event,) = cluster.all("events")
        assert (event["reason"], event["count"]) == ("Seen", 3)


class TestPureParts:
    def test_fnv_is_fnv(self) -> None:
        # From the reference vectors of FNV-1a.
        assert fnv32a(b"") == 0x811C9DC5
        assert fnv32a(b"foobar") == 0xBF9CF968

    def test_a_hash_tells_templates_and_collisions_apart(self) -> None:
        first, second = template("a"), template("b")
        hashes = {template_hash(first), template_hash(second), template_hash(first, 1), template_hash(first, 2)}
        assert len(hashes) == 4
        assert template_hash(first) == template_hash(copy.deepcopy(first))

    def test_templates_are_equal_without_the_hash_label_and_without_empty_fields(self) -> None:
        first = template(imagePullSecrets=[])
        second = template()
        second["metadata"]["labels"]["pod-template-hash"] = "x"
        assert same_template(first, second)
        assert not same_template(first, template(imagePullSecrets=[{"name": "a"}]))

    @pytest.mark.parametrize(
        ("strategy", "desired", "expected"),
        [
            ({}, 1, (1, 0)),
            ({}, 10, (3, 2)),
            ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}, 3, (0, 1)),
            ({"rollingUpdate": {"maxSurge": 2, "maxUnavailable": "50%"}}, 3, (2, 1)),
        ],
    )
    def test_bounds_of_a_rolling_update(self, strategy: Json, desired: int, expected: tuple[int, int]) -> None:
        assert bounds(strategy, desired) == expected

    @pytest.mark.parametrize(
        ("counts", "new", "old"),
        [
            # A fresh start, the surge used up, and the new Pod available.
            ((3, 0, 0, 3, 3), 1, 3),
            ((3, 1, 0, 3, 3), 1, 3),
            ((3, 1, 1, 3, 3), 1, 2),
            # Old ones that never worked may go at once.
            ((3, 1, 0, 3, 0), 1, 3),
            ((3, 3, 0, 3, 0), 3, 3),
            ((3, 3, 3, 1, 1), 3, 0),
            ((1, 3, 3, 0, 0), 1, 0),
        ],
    )
    def test_one_step_of_a_rolling_update(self, counts: tuple[int, ...], new: int, old: int) -> None:
        names = ("desired", "new", "new_available", "old", "old_available")
        state = ReplicaCounts(**dict(zip(names, counts, strict=True)))
        assert new_size(state, 1) == new
        assert old_size(state, 0) == old

    def test_a_queue_holds_a_key_once_and_the_earlier_time_wins(self) -> None:
        queue = WorkQueue()
        queue.add(("late",), 60)
        queue.add(("late",), 0)
        queue.add(("late",), 30)
        queue.add(("now",))
        assert not queue.is_idle()
        assert {queue.take(), queue.take()} == {("late",), ("now",)}
        assert not queue.is_idle()
        queue.add(("later",), 60)
        queue.close()
        assert queue.take() is None
        assert queue.is_idle()
