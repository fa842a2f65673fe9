"""The API server's ServiceAccount admission plugin, for Pods that are created.

It runs *before* mutating webhooks. That it copies the ServiceAccount's imagePullSecrets only into an empty list is
what makes "replace" in a webhook's patch throw secrets away (trap 1 of the project's facts).
"""

from __future__ import annotations

import copy
import random
from typing import Any

from standin.errors import forbidden
from standin.interfaces import Attributes, Json, Operation, Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
# One hour and seven seconds: the kubelet renews before an hour is over (kube-apiserver's own constant).
TOKEN_SECONDS = 3607
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def admit(attributes: Attributes, obj: Json, store: Store) -> Json:
    """Return the Pod with ServiceAccount, its pull secrets and its token volume.

    Raises:
        ApiError: 403 when the ServiceAccount does not exist.
    """
    if attributes.operation is not Operation.CREATE or attributes.resource.key != "pods" or attributes.subresource:
        return obj
    if MIRROR_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        return obj
    pod = copy.deepcopy(obj)
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    account = store.get("serviceaccounts", attributes.namespace, name)
    if account is None:
        raise forbidden(
            "pods",
            "",
            attributes.name or obj["metadata"].get("generateName") or "Unknown",
            f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found',
        )
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    if _automounts(spec, account):
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]
    return pod


def _automounts(spec: Json, account: Json) -> bool:
    for owner in (spec, account):
        if (wanted := owner.get("automountServiceAccountToken")) is not None:
            return bool(wanted)
    return True


def _mount_token(spec: Json) -> None:
    """Mount one token volume where nothing is mounted yet; reuse one that an earlier round added."""
    volumes: list[Json] = spec.get("volumes") or []
    # Validation comes after admission: a name may be missing here.
    names = [volume.get("name", "") for volume in volumes]
    name = next((name for name in names if name.startswith(VOLUME_PREFIX)), None)
    is_new = name is None
    name = name or VOLUME_PREFIX + "".join(random.choices(_SUFFIX_ALPHABET, k=5))
    used = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
        used = True
    if used and is_new:
        spec["volumes"] = [*volumes, _token_volume(name)]


def _token_volume(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
                {
                    "configMap": {
                        "name": "openshift-service-ca.crt",
                        "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}],
                    }
                },
            ],
            "defaultMode": 420,
        },
    }
