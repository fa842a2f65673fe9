"""The objects of a release, as an API server has them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from standin import ApiServer
from tests.doctor.builders import CA, NAME, NOW, condition, copy, leaf
from tests.e2e.machinery.cluster import secret_manifest
from tests.objects import RELEASE_NAMESPACE
from webhook.cluster.secrets import encode
from webhook.core.names import FIELD_MANAGER
from webhook.doctor.evidence import COMPONENT, PART_OF, VERSION

Json = dict[str, Any]

_WITH_STATUS = {"Deployment": "deployments.apps", "Pod": "pods"}
_APIS = {
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "Deployment": "apps/v1",
    "Lease": "coordination.k8s.io/v1",
    "ExternalSecret": "external-secrets.io/v1",
    "ClusterSecretStore": "external-secrets.io/v1",
}


def obj(kind: str, name: str, namespace: str = "", **fields: Any) -> Json:
    """An object of ours."""
    labels = {PART_OF: FIELD_MANAGER, VERSION: "0.1.0", **fields.pop("labels", {})}
    metadata = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": _APIS.get(kind, "v1"), "kind": kind, "metadata": metadata, **fields}


def configuration(kind: str, name: str = NAME, namespace: str = RELEASE_NAMESPACE) -> Json:
    """A webhook configuration."""
    client = {
        "caBundle": base64.b64encode(CA.certificate_pem).decode(),
        "service": {"name": NAME, "namespace": namespace},
    }
    webhook = {"name": "pods.ghcr-pull-secrets.io", "clientConfig": client, "failurePolicy": "Fail"}
    return obj(kind, name, webhooks=[webhook])


def deployment(component: str, *args: str, env: Mapping[str, str] | None = None) -> Json:
    """A Deployment of the release."""
    labels = {COMPONENT: component}
    container = {
        "name": component,
        "image": "ghcr.io/sesacthon/ghcr-pull-secrets:0.1.0",
        "args": [component, *args],
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
    }
    return obj(
        "Deployment",
        f"{NAME}-{component}",
        RELEASE_NAMESPACE,
        labels=labels,
        spec={
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        status={"replicas": 1, "readyReplicas": 1},
    )


def certificate(name: str = f"{NAME}-webhook-tls", *, now: datetime = NOW) -> Json:
    """The Secret with the certificate."""
    data = {"tls.crt": base64.b64encode(leaf(now=now)).decode(), "tls.key": base64.b64encode(b"PRIVATE").decode()}
    return obj("Secret", name, RELEASE_NAMESPACE, data=data)


def copied(namespace: str) -> Json:
    """A copy of ours."""
    return {"kind": "Secret", **encode(copy(namespace))}


def contested(namespace: str, at: str) -> Json:
    """The Event of a contested copy."""
    involved = {"kind": "Secret", "namespace": namespace}
    return obj("Event", f"e-{namespace}", namespace, reason="CopyContested", involvedObject=involved, lastTimestamp=at)


def operator() -> list[Json]:
    """The operator's API, its store, and the ExternalSecret of the central secret."""
    spec = {
        "refreshInterval": "1h",
        "secretStoreRef": {"name": "aws-ssm-store", "kind": "ClusterSecretStore"},
        "target": {"name": "ghcr-secret"},
    }
    other = obj("ExternalSecret", "another", RELEASE_NAMESPACE, spec=spec | {"target": {"name": "x"}})
    return [
        obj("APIGroup", "external-secrets.io", preferredVersion={"groupVersion": "external-secrets.io/v1"}),
        obj("ClusterSecretStore", "aws-ssm-store", status=condition("True")),
        other,
        obj("ExternalSecret", "ghcr", RELEASE_NAMESPACE, spec=spec, status=condition("True", "SecretSynced")),
    ]


def release(now: datetime = NOW) -> list[Json]:
    """A healthy release with one copy."""
    lease = {
        "holderIdentity": "pod-1",
        "leaseDurationSeconds": 15,
        "acquireTime": now.isoformat(timespec="microseconds"),
        # Nobody renews it, and a test may take its time.
        "renewTime": (now + timedelta(hours=1)).isoformat(timespec="microseconds"),
    }
    return [
        *(obj("Namespace", name) for name in ("auth", "my", RELEASE_NAMESPACE)),
        secret_manifest(RELEASE_NAMESPACE),
        copied("auth"),
        configuration("MutatingWebhookConfiguration"),
        configuration("MutatingWebhookConfiguration", f"zz-{NAME}"),
        configuration("ValidatingWebhookConfiguration"),
        deployment("server", "--images-include=ghcr.io/*"),
        deployment("controller"),
        certificate(now=now),
        obj(
            "Service",
            NAME,
            RELEASE_NAMESPACE,
            spec={"selector": {COMPONENT: "server"}, "clusterIP": "127.77.0.9", "ports": [{"port": 8443}]},
        ),
        obj(
            "Pod",
            "server-1",
            RELEASE_NAMESPACE,
            labels={COMPONENT: "server"},
            spec={"containers": [{"name": "server", "image": "ghcr.io/sesacthon/ghcr-pull-secrets:0.1.0"}]},
            status={"phase": "Running", **condition("True")},
        ),
        obj("Lease", f"{NAME}-controller", RELEASE_NAMESPACE, spec=lease),
    ]


def load(api: ApiServer, objects: Iterable[Json]) -> None:
    """Put objects on the stand-in; it takes a status apart from the rest, as an API server does."""
    every = list(objects)
    api.load(every)
    for each in every:
        if "status" in each:
            metadata, resource = each["metadata"], _WITH_STATUS[each["kind"]]
            status = {"status": each["status"]}
            api.admin.patch(resource, metadata["namespace"], metadata["name"], status, subresource="status")
