"""Objects and reviews for tests, as small as the API allows."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from webhook.core import copies
from webhook.core.names import MANAGED_BY_LABEL, MANAGED_BY_VALUE, SECRET_NAME, SECRET_TYPE
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules

RELEASE_NAMESPACE = "ghcr-pull-secrets"
IMAGE = "ghcr.io/sesacthon/auth-api:latest"
CANARY = "ghp_CANARYcanary0123456789canaryCANARY42"
"""The token of every Secret in these tests; it must not be found anywhere but in Secrets."""

CANARY_PREFIX = CANARY[:16]
"""Of this token and of every other one the tests rotate to."""

RULES = Rules(patterns=ImagePatterns(include=("ghcr.io/*",), exclude=()), release_namespace=RELEASE_NAMESPACE)

TEMPLATE_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Rollout": ("spec", "template"),
}
RESOURCES: Mapping[str, tuple[str, str, str]] = {
    "Pod": ("", "v1", "pods"),
    "Deployment": ("apps", "v1", "deployments"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "DaemonSet": ("apps", "v1", "daemonsets"),
    "ReplicaSet": ("apps", "v1", "replicasets"),
    "ReplicationController": ("", "v1", "replicationcontrollers"),
    "Job": ("batch", "v1", "jobs"),
    "CronJob": ("batch", "v1", "cronjobs"),
    "Rollout": ("argoproj.io", "v1alpha1", "rollouts"),
}


def payload(*, token: str = CANARY, user: str = "robot", registry: str = "ghcr.io") -> bytes:
    """Content of a pull secret with one entry."""
    return json.dumps({"auths": {registry: {"username": user, "password": token}}}).encode()


def secret(namespace: str = RELEASE_NAMESPACE, *, ours: bool = False, **changes: Any) -> copies.Secret:
    """A good pull secret; ours or not."""
    fields: dict[str, Any] = {"namespace": namespace, "name": SECRET_NAME, "type": SECRET_TYPE, "payload": payload()}
    if ours:
        fields["marks"] = {MANAGED_BY_LABEL: MANAGED_BY_VALUE}
    return copies.Secret(**{**fields, **changes})


def workload(
    kind: str = "Pod",
    *,
    images: Iterable[str] = (IMAGE,),
    secrets: Iterable[str] | None = None,
    service_account: str = "",
    annotations: Mapping[str, str] | None = None,
    owner: str = "",
    name: str = "auth-api",
    namespace: str = "auth",
    pull_policy: str = "",
) -> dict[str, Any]:
    """A manifest of any kind that has a pod spec."""
    containers = []
    for index, image in enumerate(images):
        container = {"name": f"c{index}", "image": image}
        if pull_policy:
            container["imagePullPolicy"] = pull_policy
        containers.append(container)
    pod_spec: dict[str, Any] = {"containers": containers}
    if secrets is not None:
        pod_spec["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    if service_account:
        pod_spec["serviceAccountName"] = service_account
    group, version, _ = RESOURCES[kind]
    document: dict[str, Any] = {
        "apiVersion": f"{group}/{version}" if group else version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    }
    if annotations:
        document["metadata"]["annotations"] = dict(annotations)
    if owner:
        document["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u", "controller": True}
        ]
    holder = document
    for token in TEMPLATE_PATHS[kind]:
        holder = holder.setdefault(token, {})
    if TEMPLATE_PATHS[kind]:
        holder["metadata"] = {"labels": {"app": name}}
    holder["spec"] = pod_spec
    return document


def pod_spec_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The pod spec inside a manifest."""
    holder: Any = document
    for token in TEMPLATE_PATHS[document["kind"]]:
        holder = holder[token]
    spec: dict[str, Any] = holder["spec"]
    return spec


def review(
    document: Mapping[str, Any] | None,
    *,
    operation: str = "CREATE",
    old: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    subresource: str = "",
    **changes: Any,
) -> dict[str, Any]:
    """The AdmissionReview an API server sends for a manifest."""
    subject = document or old
    assert subject is not None
    group, version, resource = RESOURCES[subject["kind"]]
    request: dict[str, Any] = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": subject["kind"]},
        "resource": {"group": group, "version": version, "resource": resource},
        "name": subject["metadata"].get("name", ""),
        "namespace": subject["metadata"].get("namespace", ""),
        "operation": operation,
        "userInfo": {"username": "admin"},
        "object": copy.deepcopy(document),
        "oldObject": copy.deepcopy(old),
        "dryRun": dry_run,
    }
    if subresource:
        request["subResource"] = subresource
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, **changes}}


def decode_patch(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations of an AdmissionReview's answer."""
    if "patch" not in response:
        return []
    operations: list[dict[str, Any]] = json.loads(base64.b64decode(response["patch"]))
    return operations
