"""The real clients are served: kubectl, and the official Python client."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes as untyped
import pytest
import yaml

from standin import ApiServer, Match
from standin.interfaces import User
from standin.tests.http import deployment, secret

# The official client is half typed: as `Any` it can be used without a remark on each line.
kubernetes: Any = untyped
KUBECTL = Path(sys.executable).parent / "kubectl"
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    """A server with controllers."""
    with ApiServer() as server:
        server.load([{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "app"}}])
        server.load(
            [{"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "app"}}]
        )
        yield server


@pytest.fixture
def kubectl(cluster: ApiServer, tmp_path: Path) -> Kubectl:
    """Runs kubectl as the administrator in namespace `app`."""
    config = cluster.kubeconfig_file(namespace="app")

    def run(*arguments: str, given: object = None, fails: bool = False) -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), "--kubeconfig", config, "--cache-dir", str(tmp_path), *arguments]
        text = None if given is None else yaml.safe_dump(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode != 0) is fails, done.stderr
        return done

    return run


def test_kubectl_applies_twice_and_sees_no_difference(kubectl: Kubectl) -> None:
    body = deployment("web")
    assert kubectl("apply", "-f", "-", given=body).stdout == "deployment.apps/web created\n"
    kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    assert kubectl("apply", "-f", "-", given=body).stdout == "deployment.apps/web unchanged\n"
    assert kubectl("diff", "-f", "-", given=body).stdout == ""
    body["spec"]["replicas"] = 2
    assert "+  replicas: 2" in kubectl("diff", "-f", "-", given=body, fails=True).stdout


def test_kubectl_applies_server_side(cluster: ApiServer, kubectl: Kubectl) -> None:
    body = deployment("web")
    kubectl("apply", "--server-side", "-f", "-", given=body)
    kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    before = cluster.admin.get("deployments.apps", "app", "web")["metadata"]["resourceVersion"]
    kubectl("apply", "--server-side", "-f", "-", given=body)
    assert cluster.admin.get("deployments.apps", "app", "web")["metadata"]["resourceVersion"] == before
    kubectl("set", "image", "deployment/web", "main=ghcr.io/a/b:2")
    refused = kubectl("apply", "--server-side", "-f", "-", given=body, fails=True)
    assert 'conflict with "kubectl-set"' in refused.stderr


def test_kubectl_changes_a_deployment(cluster: ApiServer, kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=ghcr.io/a/b:1")
    kubectl("scale", "deployment/web", "--replicas=2")
    kubectl("set", "image", "deployment/web", "b=ghcr.io/a/b:2")
    kubectl("annotate", "deployment/web", "note=x")
    kubectl("label", "deployment/web", "l=x")
    kubectl("patch", "deployment", "web", "-p", '{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"s"}]}}}}')
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    kubectl("replace", "-f", "-", given=yaml.safe_load(kubectl("get", "deployment", "web", "-o", "yaml").stdout))
    stored = cluster.admin.get("deployments.apps", "app", "web")
    spec = stored["spec"]["template"]["spec"]
    assert (stored["spec"]["replicas"], spec["containers"][0]["image"]) == (2, "ghcr.io/a/b:2")
    assert spec["imagePullSecrets"] == [{"name": "s"}]
    assert (stored["metadata"]["labels"]["l"], stored["metadata"]["annotations"]["note"]) == ("x", "x")


def test_kubectl_creates_with_protobuf_bodies(cluster: ApiServer, kubectl: Kubectl) -> None:
    login = ("--docker-server=ghcr.io", "--docker-username=u", "--docker-password=p")
    kubectl("create", "secret", "docker-registry", "ghcr-secret", *login)
    kubectl("create", "quota", "q", "--hard=secrets=1")
    assert (
        "exceeded quota: q" in kubectl("create", "secret", "generic", "more", "--from-literal=a=b", fails=True).stderr
    )
    kubectl("create", "cronjob", "tick", "--image=ghcr.io/a/c:1", "--schedule=*/5 * * * *")
    kubectl("create", "job", "once", "--from=cronjob/tick")
    kubectl("wait", "--for=condition=complete", "job/once", "--timeout=10s")
    assert cluster.admin.get("secrets", "app", "ghcr-secret")["type"] == "kubernetes.io/dockerconfigjson"
    container = cluster.admin.get("cronjobs.batch", "app", "tick")["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert (container["image"], container["imagePullPolicy"]) == ("ghcr.io/a/c:1", "IfNotPresent")
    assert "stdin" not in container


def test_kubectl_prints_tables_and_descriptions(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=ghcr.io/a/b:1")
    kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    listed = kubectl("get", "deployments").stdout.splitlines()
    assert listed[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert listed[1].split()[:4] == ["web", "1/1", "1", "1"]
    assert "ghcr.io/a/b:1" in kubectl("get", "deployments", "-o", "wide").stdout
    described = kubectl("describe", "deployment", "web").stdout
    assert "ScalingReplicaSet" in described
    assert "deployments" in kubectl("api-resources").stdout


def test_kubectl_waits_for_a_namespace_to_go(cluster: ApiServer, kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "short")
    assert cluster.admin.get("serviceaccounts", "short", "default")
    kubectl("create", "configmap", "c", "-n", "short", "--from-literal=a=b")
    kubectl("delete", "namespace", "short", "--timeout=15s")
    assert cluster.store.get("namespaces", "", "short") is None
    assert cluster.store.list("configmaps", "short") == []


def test_kubectl_acts_as_another(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get", "--resource=secrets")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=app:robot")
    as_robot = "--as=system:serviceaccount:app:robot"
    assert kubectl("auth", "can-i", "get", "secrets", as_robot).stdout == "yes\n"
    assert kubectl("auth", "can-i", "delete", "secrets", as_robot, fails=True).stdout == "no\n"
    assert "cannot list resource" in kubectl("get", "secrets", as_robot, fails=True).stderr


def test_kubectl_names_an_unknown_field(kubectl: Kubectl) -> None:
    body = deployment("web", imagePullSecret=[])
    assert (
        'unknown field "spec.template.spec.imagePullSecret"'
        in kubectl("apply", "-f", "-", given=body, fails=True).stderr
    )


def test_a_client_certificate_says_who_asks(cluster: ApiServer, tmp_path: Path) -> None:
    user = User(name="alice", groups=("dev",))
    config = cluster.kubeconfig_file(user=user)
    command = [str(KUBECTL), "--kubeconfig", config, "--cache-dir", str(tmp_path), "get", "secrets", "-n", "app"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert 'User "alice" cannot list resource "secrets"' in done.stderr


@pytest.fixture
def core(cluster: ApiServer) -> Iterator[Any]:
    """The official client's CoreV1Api as the administrator; its types leave most open."""
    config = kubernetes.config.new_client_from_config_dict(yaml.safe_load(cluster.kubeconfig()))
    with config:
        yield kubernetes.client.CoreV1Api(config)


def test_the_python_client_writes_and_watches(cluster: ApiServer, core: Any) -> None:
    core.create_namespaced_secret("app", secret("s"))
    core.patch_namespaced_secret("s", "app", {"metadata": {"labels": {"a": "b"}}})
    listed = core.list_secret_for_all_namespaces(field_selector="metadata.name=s")
    assert [item.metadata.labels for item in listed.items] == [{"a": "b"}]
    cluster.admin.delete("secrets", "app", "s")
    watch = kubernetes.watch.Watch()
    since = listed.metadata.resource_version
    events = watch.stream(core.list_secret_for_all_namespaces, resource_version=since, timeout_seconds=5)
    assert next(iter(events))["type"] == "DELETED"
    watch.stop()


def test_the_python_client_sees_a_fault(cluster: ApiServer, core: Any) -> None:
    cluster.faults.add(match=Match(verb="get", resource="secrets"), status=503, reason="ServiceUnavailable")
    with pytest.raises(kubernetes.client.ApiException) as caught:
        core.read_namespaced_secret("s", "app")
    assert caught.value.status == 503
