"""What a cluster must look like when everything has settled; said without a word of any Secret's content."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

_TYPE = "kubernetes.io/dockerconfigjson"
_MANAGED_BY = ("app.kubernetes.io/managed-by", "ghcr-pull-secrets")
_ANNOTATIONS = {
    "ghcr-pull-secrets.io/source": "ghcr-pull-secrets/ghcr-secret",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false",
}
_SYSTEM = ("default", "kube-node-lease", "kube-public", "kube-system", "ghcr-pull-secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must hold.

    Attributes:
        central: Content of the central secret.
        foreign: Namespace to its foreign secret, byte for byte as the API server told it.
        excluded: Namespaces that are never touched.
    """

    central: bytes = field(repr=False)
    foreign: Mapping[str, str] = field(repr=False)
    excluded: AbstractSet[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is there: Namespaces, every `ghcr-secret`, Pods, and the text of each foreign secret (empty if it is gone)."""

    namespaces: Sequence[Json]
    secrets: Sequence[Json] = field(repr=False)
    pods: Sequence[Json]
    foreign: Mapping[str, str] = field(repr=False)


def differences(expected: Expected, observed: Observed) -> tuple[str, ...]:
    """Name what is not as it must be."""
    return tuple(_differences(expected, observed))


def _differences(expected: Expected, observed: Observed) -> Iterator[str]:
    secrets = {secret["metadata"]["namespace"]: secret for secret in observed.secrets}
    users = {pod["metadata"]["namespace"] for pod in observed.pods if _lists_it(pod)}
    for name, before in expected.foreign.items():
        if observed.foreign.get(name) != before:
            yield f"{name}: the foreign secret was touched"
    for namespace in observed.namespaces:
        name = namespace["metadata"]["name"]
        terminating = namespace.get("status", {}).get("phase") == "Terminating"
        if name in _SYSTEM or name in expected.foreign or terminating:
            continue
        secret = secrets.get(name)
        out = namespace["metadata"].get("labels", {}).get("ghcr-pull-secrets.io/inject") == "false"
        if name in expected.excluded or out:
            if secret is not None:
                yield f"{name}: a copy in a namespace that is {'opted out' if out else 'excluded'}"
        elif secret is not None:
            yield from (f"{name}: {fault}" for fault in _faults(secret, expected.central))
        elif name in users:
            yield f"{name}: no copy, and Pods that wait for one"


def _faults(secret: Json, central: bytes) -> Iterator[str]:
    metadata, data = secret["metadata"], secret.get("data", {})
    if secret["type"] != _TYPE:
        yield "the copy has a wrong type"
    if base64.b64decode(data.get(".dockerconfigjson", "")) != central:
        yield "the copy is not equal to the central secret"
    if set(data) != {".dockerconfigjson"}:
        yield "the copy has other keys"
    if metadata.get("labels", {}).get(_MANAGED_BY[0]) != _MANAGED_BY[1] or metadata.get("ownerReferences"):
        yield "the copy is not marked as ours"
    if not _ANNOTATIONS.items() <= metadata.get("annotations", {}).items():
        yield "the copy lacks annotations"


def _lists_it(pod: Json) -> bool:
    return any(entry.get("name") == "ghcr-secret" for entry in pod["spec"].get("imagePullSecrets", ()))
