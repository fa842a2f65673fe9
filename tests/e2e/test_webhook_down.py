"""What goes on while no server answers, with `failurePolicy: Fail`: all but workloads that are new or pull other images."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, pod_spec_of, workload

pytestmark = pytest.mark.xdist_group("webhook-down")

NAMESPACE = "auth"
DOWN = "failed calling webhook"


@pytest.fixture(scope="module")
def down() -> Iterator[Kube]:
    """A Deployment of three and a Job that runs, admitted by a server that is there no more."""
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane)
        try:
            installation.install()
            installation.namespace(NAMESPACE)
            deployment = workload("Deployment", name="api", namespace=NAMESPACE)
            deployment["spec"] |= {"replicas": 3, "selector": {"matchLabels": {"app": "api"}}}
            job = workload("Job", name="once", namespace=NAMESPACE)
            pod_spec_of(job)["restartPolicy"] = "Never"
            installation.kube.apply(deployment, job)
            until(lambda: replicas(installation.kube) == 3, "there are three")
            until(lambda: pods_of(installation.kube, "once"), "the Job has its Pod")
            for server in installation.servers:
                assert server.stop() == 0
            yield installation.kube
        finally:
            installation.uninstall()
    finally:
        plane.close()


def replicas(kube: Kube) -> int:
    (found,) = [each for each in kube.get("replicasets", "", NAMESPACE)["items"] if each["spec"]["replicas"]]
    return int(found["status"].get("replicas", 0))


def pods_of(kube: Kube, job: str) -> list[str]:
    return kube("get", "pods", "-n", NAMESPACE, "-l", f"job-name={job}", "-o", "name").out.split()


def test_a_deployment_is_scaled_both_ways(down: Kube) -> None:
    # Up, its Pods are new; that they are refused must not keep the count from being asked for.
    for count in (1, 2):
        down("scale", "deployment/api", f"--replicas={count}", "-n", NAMESPACE)
        until(
            lambda count=count: (
                [  # type: ignore[misc]
                    each["spec"]["replicas"] for each in down.get("replicasets", "", NAMESPACE)["items"]
                ]
                == [count]
            ),
            f"the ReplicaSet is asked for {count}",
        )
        if count == 1:
            until(lambda: replicas(down) == 1, "there is one")


def test_a_job_ends(down: Kube) -> None:
    # A real control plane has no kubelet; on the stand-in it has ended by now.
    (pod,) = pods_of(down, "once")
    status = {"status": {"phase": "Succeeded", "containerStatuses": []}}
    down("patch", pod, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", json.dumps(status))

    until(lambda: down.get("job", "once", NAMESPACE)["status"].get("succeeded") == 1, "the Job has ended")
    until(lambda: not down.get(*pod.split("/"), NAMESPACE)["metadata"].get("finalizers"), "its Pod is let go")


@pytest.mark.parametrize("what", ["deployment/api", "job/once"])
def test_labels_and_annotations_are_changed(what: str, down: Kube) -> None:
    down("label", what, "a=b", "-n", NAMESPACE)
    down("annotate", what, "a=b", "-n", NAMESPACE)


def test_an_unchanged_manifest_is_applied_again(down: Kube) -> None:
    manifest = down.get("deployment", "api", NAMESPACE)
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"):
        manifest["metadata"].pop(field, None)
    manifest.pop("status", None)

    down.apply(manifest, args=["--server-side", "--force-conflicts"])


def test_what_pulls_again_is_refused(down: Kube) -> None:
    changed = down("set", "image", "deployment/api", "*=ghcr.io/sesacthon/auth-api:2", "-n", NAMESPACE, ok=False)
    made = down.apply(workload("Pod", name="new", namespace=NAMESPACE, images=[IMAGE]), ok=False)

    assert DOWN in changed.err
    assert DOWN in made.err


def test_what_pulls_from_elsewhere_is_admitted(down: Kube) -> None:
    down.apply(workload("Pod", name="elsewhere", namespace=NAMESPACE, images=["quay.io/a/b:1"]))
