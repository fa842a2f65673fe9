"""A cluster that comes up from nothing: what it needs to come up starts with no server and no central secret."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import KubectlFailed
from tests.e2e.machinery.manifests import deployment, listed
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, payload, pod_spec_of, workload

OPERATOR = "ghcr.io/external-secrets/external-secrets:v1.0.0"
NETWORK = "ghcr.io/flannel-io/flannel:v0.27.4"


@pytest.fixture
def nothing() -> Iterator[Installation]:
    """The chart's objects, and nothing that runs: no server, no central secret."""
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane, central=None)
        try:
            yield installation.install(servers=0)
        finally:
            installation.uninstall()
    finally:
        plane.close()


def daemonset(name: str, namespace: str, image: str) -> dict[str, Any]:
    made = workload("DaemonSet", name=name, namespace=namespace, images=[image])
    made["spec"]["selector"] = {"matchLabels": {"app": name}}
    made["spec"]["template"]["metadata"] = {"labels": {"app": name}}
    return made


def operator(namespace: str) -> dict[str, Any]:
    made = deployment("external-secrets", namespace)
    pod_spec_of(made)["containers"][0]["image"] = OPERATOR
    return made


def test_a_cluster_comes_up_and_then_its_workloads_are_given_their_secret(nothing: Installation) -> None:
    kube = nothing.kube
    network, secrets, shop = (nothing.namespace(name) for name in ("kube-flannel", "external-secrets", "shop"))

    kube.apply(daemonset("kube-flannel-ds", network, NETWORK), operator(secrets))
    until(lambda: kube.get("pods", "", secrets)["items"], "the operator has its Pod")
    kube.apply(workload("Pod", name="kube-flannel-ds-x", namespace=network, images=[NETWORK]))
    with pytest.raises(KubectlFailed, match="failed calling webhook"):
        kube.apply(workload("Pod", name="early", namespace=shop, images=[IMAGE]))

    nothing.start_server()
    nothing.set_central(payload())
    until(
        lambda: kube.apply(workload("Pod", name="web", namespace=shop, images=[IMAGE]), ok=None).code == 0,
        "the server answers and knows the central secret",
    )

    assert listed(kube.get("pod", "web", shop)) == ["ghcr-secret"]
    assert kube.exists("secret", "ghcr-secret", shop)
    for kind, name, namespace in (
        ("daemonset", "kube-flannel-ds", network),
        ("deployment", "external-secrets", secrets),
        ("pod", "kube-flannel-ds-x", network),
    ):
        assert listed(kube.get(kind, name, namespace)) == []
        assert not kube.exists("secret", "ghcr-secret", namespace)
