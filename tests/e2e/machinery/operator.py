"""What the External Secrets Operator leaves in a cluster; the operator itself is not there."""

from __future__ import annotations

import copy
from typing import Any

from tests.e2e.machinery.cluster import Cluster, secret_manifest

CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "externalsecrets.external-secrets.io"},
    "spec": {
        "group": "external-secrets.io",
        "scope": "Namespaced",
        "names": {"kind": "ExternalSecret", "plural": "externalsecrets", "singular": "externalsecret"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            part: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                            for part in ("spec", "status")
                        },
                    }
                },
            }
        ],
    },
}


def external_secret(cluster: Cluster, namespace: str, content: bytes, **target: str) -> dict[str, Any]:
    """Make an ExternalSecret, and the Secret that the operator would have made of it; returns the Secret."""
    cluster.kube.apply(external_secret_manifest(namespace, **target))
    return plays_operator(cluster, namespace, content)


def definition(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of another kind of the operator."""
    made = copy.deepcopy(CRD)
    made["metadata"]["name"] = f"{kind.lower()}s.external-secrets.io"
    made["spec"]["names"] = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    if kind == "ClusterSecretStore":
        made["spec"]["scope"] = "Cluster"
    return made


def external_secret_manifest(namespace: str, **target: str) -> dict[str, Any]:
    """An ExternalSecret as one stands in each namespace of the old set-up."""
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "ghcr-secret", "namespace": namespace},
        "spec": {"refreshInterval": "24h", "target": {"name": "ghcr-secret", **target}},
    }


def plays_operator(cluster: Cluster, namespace: str, content: bytes) -> dict[str, Any]:
    """Do what the operator does about the ExternalSecret of a namespace; returns the Secret."""
    made = cluster.kube.get("externalsecret", "ghcr-secret", namespace)
    owner = {
        "apiVersion": made["apiVersion"],
        "kind": made["kind"],
        "name": "ghcr-secret",
        "uid": made["metadata"]["uid"],
    }
    secret = secret_manifest(namespace, content)
    secret["metadata"] |= {
        "labels": {"reconcile.external-secrets.io/managed": "true"},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    manager = "--field-manager=externalsecrets.external-secrets.io/ghcr-secret"
    cluster.kube.apply(secret, args=["--server-side", "--force-conflicts", manager])
    ready = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    what = ["externalsecret", "ghcr-secret", "-n", namespace, "--subresource=status", "--type=merge", "-p", ready]
    cluster.kube("patch", *what)
    return cluster.secret_of(namespace)
