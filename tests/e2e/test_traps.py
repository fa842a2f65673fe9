"""Every trap of FACTS.md: each has bitten another injector."""

import json
import time
from typing import Any

import pytest

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.manifests import deployment, in_namespace, listed
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, pod_spec_of, workload

pytestmark = pytest.mark.xdist_group("installation")


def settle(kube: Kube, namespace: str, name: str = "auth-api") -> dict[str, Any]:
    """Wait until the Deployment's controller has seen its newest generation, and a moment more."""

    def seen() -> bool:
        found = kube.get("deployment", name, namespace)
        return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

    until(seen, "the Deployment was seen by its controller")
    time.sleep(0.7)
    return kube.get("deployment", name, namespace)


def replicasets(kube: Kube, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kube.get("replicasets", "", namespace)["items"]
    return found


def old_deployment(installation: Installation, name: str) -> str:
    """A namespace with a Deployment from the time before the add-on."""
    off = {"ghcr-pull-secrets.io/inject": "false", "ghcr-pull-secrets.io/enforce": "off"}
    installation.namespace(name, off)
    installation.kube.apply(deployment("auth-api", name))
    assert not listed(installation.kube.get("deployment", "auth-api", name))
    installation.kube("label", "namespace", name, *(f"{label}-" for label in off))
    time.sleep(0.5)  # for the caches to see it
    return name


def service_account(kube: Kube, namespace: str) -> None:
    kube.apply(
        secret_manifest(namespace, name="sa-secret"),
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "puller", "namespace": namespace},
            "imagePullSecrets": [{"name": "sa-secret"}],
        },
    )
    time.sleep(0.5)  # for the caches to see it


def test_a_deployment_before_its_service_account_leaves_the_accounts_secrets_to_its_pods(
    kube: Kube, namespace: str
) -> None:
    early = deployment("early", namespace)
    pod_spec_of(early)["serviceAccountName"] = "puller"
    kube.apply(early)
    assert not listed(kube.get("deployment", "early", namespace))

    service_account(kube, namespace)
    # Its controller tries again after pauses that double.
    until(lambda: kube.get("pods", "", namespace)["items"], "there is a Pod", timeout_s=60)
    (pod,) = kube.get("pods", "", namespace)["items"]
    assert listed(pod) == ["sa-secret", "ghcr-secret"]


def test_1_a_pod_keeps_the_secrets_of_its_service_account(kube: Kube, namespace: str) -> None:
    service_account(kube, namespace)
    kube.apply(workload(namespace=namespace, service_account="puller"))
    assert listed(kube.get("pod", "auth-api", namespace)) == ["sa-secret", "ghcr-secret"]


def test_1_a_template_whose_service_account_has_secrets_is_left_to_its_pods(kube: Kube, namespace: str) -> None:
    service_account(kube, namespace)
    kube.apply(deployment("auth-api", namespace, service_account="puller"))
    assert listed(kube.get("deployment", "auth-api", namespace)) == []
    pods = until(lambda: kube.get("pods", "", namespace)["items"], "a Pod was made")
    assert [listed(pod) for pod in pods] == [["sa-secret", "ghcr-secret"]]


def test_1_an_empty_list_that_is_there_is_appended_to(kube: Kube, namespace: str) -> None:
    kube.apply(workload(namespace=namespace, secrets=[]))
    assert listed(kube.get("pod", "auth-api", namespace)) == ["ghcr-secret"]


def test_2_one_image_change_makes_one_replicaset(kube: Kube, namespace: str) -> None:
    kube.apply(deployment("auth-api", namespace))
    settle(kube, namespace)
    assert len(replicasets(kube, namespace)) == 1
    kube("set", "image", "deployment/auth-api", "c0=ghcr.io/sesacthon/auth-api:v2", "-n", namespace)
    found = settle(kube, namespace)
    time.sleep(1)
    assert len(replicasets(kube, namespace)) == 2
    assert "collisionCount" not in found["status"]
    assert all(listed(each) == ["ghcr-secret"] for each in replicasets(kube, namespace))


def test_3_an_annotation_on_an_old_deployment_starts_no_rollout(installation: Installation, kube: Kube) -> None:
    name = old_deployment(installation, "old-annotated")
    before = settle(kube, name)
    kube("annotate", "deployment", "auth-api", "a=b", "-n", name)
    kube("scale", "deployment", "auth-api", "--replicas=2", "-n", name)
    after = settle(kube, name)
    assert after["spec"]["template"] == before["spec"]["template"]
    assert len(replicasets(kube, name)) == 1


def test_3_a_restart_of_an_old_deployment_brings_the_secret(installation: Installation, kube: Kube) -> None:
    name = old_deployment(installation, "old-restarted")
    kube("rollout", "restart", "deployment/auth-api", "-n", name)
    assert listed(kube.get("deployment", "auth-api", name)) == ["ghcr-secret"]
    assert kube.exists("secret", "ghcr-secret", name)


def test_4_labels_of_a_pod_and_a_job_without_the_secret_can_be_edited(installation: Installation, kube: Kube) -> None:
    off = {"ghcr-pull-secrets.io/inject": "false", "ghcr-pull-secrets.io/enforce": "off"}
    name = installation.namespace("old-pods", off)
    kube.apply(workload(namespace=name, name="p"), {**in_namespace("Job", name)})
    kube("label", "namespace", name, *(f"{label}-" for label in off))
    time.sleep(0.5)  # for the caches to see it
    kube("label", "pod", "p", "a=b", "-n", name)
    kube("label", "job", "auth-api", "a=b", "-n", name)
    kube("annotate", "pod", "p", "a=b", "-n", name)
    # What changes the pull is judged: it would be pulled without credentials.
    said = kube("set", "image", "pod/p", "c0=ghcr.io/sesacthon/auth-api:v9", "-n", name, ok=False).err
    assert "denied the request: Pod old-pods/p would pull ghcr.io/sesacthon/auth-api:v9" in said


def test_5_a_dry_run_shows_the_patch_and_writes_nothing(kube: Kube, namespace: str) -> None:
    manifest = deployment("auth-api", namespace)
    shown = json.loads(kube.apply(manifest, args=["--dry-run=server", "-o", "json"]).out)
    assert listed(shown) == ["ghcr-secret"]
    pod = workload(namespace=namespace, name="dry")
    assert listed(json.loads(kube.apply(pod, args=["--dry-run=server", "-o", "json"]).out)) == ["ghcr-secret"]
    assert not kube.exists("secret", "ghcr-secret", namespace)
    assert kube("diff", "-f", "-", stdin=json.dumps(manifest), ok=None).code == 1
    assert not kube.exists("secret", "ghcr-secret", namespace)


def test_6_applying_again_changes_nothing(kube: Kube, namespace: str) -> None:
    manifest = deployment("auth-api", namespace)
    assert "created" in kube.apply(manifest).out
    for _ in range(3):
        assert "unchanged" in kube.apply(manifest).out
    assert kube("diff", "-f", "-", stdin=json.dumps(manifest)).code == 0
    before = settle(kube, namespace)
    kube("replace", "-f", "-", stdin=json.dumps(manifest))
    assert listed(kube.get("deployment", "auth-api", namespace)) == ["ghcr-secret"]
    settle(kube, namespace)
    assert len(replicasets(kube, namespace)) == 1
    assert kube.get("deployment", "auth-api", namespace)["spec"]["template"] == before["spec"]["template"]


def test_6_server_side_apply_again_leaves_the_resource_version(kube: Kube, namespace: str) -> None:
    # Without replicas no controller writes a status in between.
    manifest: dict[str, Any] = deployment("auth-api", namespace)
    manifest["spec"]["replicas"] = 0
    kube.apply(manifest, args=["--server-side"])
    before = settle(kube, namespace)["metadata"]["resourceVersion"]
    for _ in range(3):
        kube.apply(manifest, args=["--server-side"])
    assert kube.get("deployment", "auth-api", namespace)["metadata"]["resourceVersion"] == before


def test_7_pods_with_generated_names_and_without_a_namespace_of_their_own(kube: Kube, namespace: str) -> None:
    manifest = workload(namespace=namespace)
    manifest["metadata"] = {"generateName": "auth-api-"}
    made = kube("create", "-f", "-", "-n", namespace, "-o", "json", stdin=json.dumps(manifest))
    assert listed(json.loads(made.out)) == ["ghcr-secret"]


def test_10_subresources_and_deletion_are_left_alone(kube: Kube, namespace: str) -> None:
    kube.apply(deployment("auth-api", namespace))
    kube("scale", "deployment", "auth-api", "--replicas=3", "-n", namespace)
    kube("delete", "deployment", "auth-api", "-n", namespace)


def test_10_an_ephemeral_container_is_judged_by_its_own_image(installation: Installation, kube: Kube) -> None:
    off = {"ghcr-pull-secrets.io/inject": "false", "ghcr-pull-secrets.io/enforce": "off"}
    name = installation.namespace("debugged", off)
    kube.apply(workload(namespace=name, name="p"))
    kube("label", "namespace", name, *(f"{label}-" for label in off))
    time.sleep(0.5)  # for the caches to see it

    def debug(image: str, ok: bool) -> str:
        container = {"name": f"d{abs(hash(image)) % 1000}", "image": image, "targetContainerName": "c0"}
        body = {"spec": {"ephemeralContainers": [container]}}
        return kube(
            "patch",
            "pod",
            "p",
            "-n",
            name,
            "--subresource=ephemeralcontainers",
            "--type=strategic",
            "-p",
            json.dumps(body),
            ok=ok,
        ).text

    debug("busybox:1", ok=True)
    assert "would pull ghcr.io/sesacthon/debug:1" in debug("ghcr.io/sesacthon/debug:1", ok=False)


def test_a_quota_is_named_in_the_rejection(kube: Kube, namespace: str) -> None:
    kube("create", "quota", "q", "--hard=secrets=0", "-n", namespace)
    cause = "could not be made (a ResourceQuota of the namespace forbids another Secret)"
    # A real quota forbids everything, in other words, until its controller has counted for the first time.
    until(lambda: cause in kube.apply(deployment("auth-api", namespace), ok=False).err, "the quota is named")


def test_rbac_lets_the_server_read_no_other_secret(installation: Installation, kube: Kube, namespace: str) -> None:
    kube.apply(secret_manifest(namespace, name="other"))
    deployments = [each for each in installation.manifests if each["kind"] == "Deployment"]
    account = deployments[0]["spec"]["template"]["spec"]["serviceAccountName"]
    user = f"--as=system:serviceaccount:ghcr-pull-secrets:{account}"
    assert kube("auth", "can-i", "get", "secrets/other", "-n", namespace, user, ok=None).out.strip() == "no"
    assert kube("auth", "can-i", "list", "secrets", "-A", user, ok=None).out.strip() == "no"
    assert kube("auth", "can-i", "get", "secrets/ghcr-secret", "-n", namespace, user, ok=None).out.strip() == "yes"
    assert kube("auth", "can-i", "create", "secrets", "-n", namespace, user, ok=None).out.strip() == "yes"


def test_an_image_that_is_never_pulled_needs_nothing(kube: Kube, namespace: str) -> None:
    kube.apply(workload(namespace=namespace, images=[IMAGE], pull_policy="Never"))
    assert listed(kube.get("pod", "auth-api", namespace)) == []
    assert not kube.exists("secret", "ghcr-secret", namespace)


DEBUGGER = "ghcr.io/nicolaka/netshoot:latest"


@pytest.mark.parametrize("out", [False, True], ids=["in", "opted out"])
def test_what_a_debug_container_is_told_can_be_done(kube: Kube, installation: Installation, out: bool) -> None:
    labels = {"ghcr-pull-secrets.io/inject": "false"} if out else {}
    namespace = installation.namespace(f"debugged-{out}".lower(), labels)
    kube.apply(workload("Pod", name="web", namespace=namespace, images=["docker.io/library/nginx:1.27"]))
    debug = ["debug", "web", "--namespace", namespace, f"--image={DEBUGGER}"]
    told = kube(*debug, "--target=c0", "--", "sh", ok=False).err
    if out:
        assert "--copy-to" not in told
        assert "images.exclude" in told
        kube("label", "namespace", namespace, "ghcr-pull-secrets.io/enforce=off")
        until(lambda: kube(*debug, "--target=c0", "--", "sh", ok=None).code == 0, "it can be debugged")
    else:
        command = told.partition("debug a copy of the Pod: kubectl ")[2].strip().removesuffix(".")
        kube(*command.split(), "--", "sh")
        assert listed(kube.get("pod", "web-debug", namespace)) == ["ghcr-secret"]
