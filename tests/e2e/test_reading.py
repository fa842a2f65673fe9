"""What the tests read without kubectl is what kubectl shows."""

import json
from pathlib import Path

import pytest

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.planes import ControlPlane, write_kubeconfig
from tests.e2e.machinery.reading import ReadFailed

pytestmark = pytest.mark.xdist_group("installation")

NAMESPACE = "read"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "shelves.reading.example.com"},
    "spec": {
        "group": "reading.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Shelf", "plural": "shelves", "singular": "shelf", "listKind": "ShelfList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def kube(plane: ControlPlane) -> Kube:
    plane.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    plane.kube.apply(secret_manifest(NAMESPACE), secret_manifest(NAMESPACE, name="other"), args=["--server-side"])
    return plane.kube


def test_an_object_and_a_list_are_as_kubectl_shows_them(kube: Kube) -> None:
    for kind, name, namespace in (
        ("namespace", NAMESPACE, ""),
        ("ns", NAMESPACE, ""),
        ("secret", "ghcr-secret", NAMESPACE),
        ("secrets", "", NAMESPACE),
        ("deployments", "", NAMESPACE),
        ("events", "", NAMESPACE),
        ("namespace", NAMESPACE, NAMESPACE),
        ("configmaps", "", ""),
    ):
        where = ["-n", namespace] if namespace else []
        shown = json.loads(kube("get", kind, *filter(None, [name]), *where, "-o", "json").out)
        read = kube.get(kind, name, namespace)
        if not name:
            shown, read = shown["items"], read["items"]
        assert read == shown, (kind, name)


def test_what_is_there_is_told_from_what_is_not_and_from_what_nobody_serves(kube: Kube, tmp_path: Path) -> None:
    assert kube.exists("secret", "other", NAMESPACE)
    assert not kube.exists("secret", "none", NAMESPACE)
    assert not kube.exists("secret", "none", "no-such-namespace")
    with pytest.raises(ReadFailed, match="the API server has no shelf"):
        kube.exists("shelf", "x", NAMESPACE)
    kube.apply(CRD)
    kube("wait", "--for=condition=Established", "crd/shelves.reading.example.com", "--timeout=30s")
    assert not kube.exists("shelf", "x", NAMESPACE)
    kube("delete", "crd", "shelves.reading.example.com")

    stranger = write_kubeconfig(tmp_path / "x", server="https://127.0.0.1:1", token="t", ca_pem=b"")
    with pytest.raises(ReadFailed, match="was not reached"):
        Kube(stranger).exists("secret", "x", NAMESPACE)
