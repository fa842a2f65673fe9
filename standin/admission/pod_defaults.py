"""Two more plugins that touch every Pod on creation: Priority and DefaultTolerationSeconds."""

from __future__ import annotations

import copy

from standin.errors import forbidden
from standin.interfaces import Attributes, Json, Operation, Store

TOLERATION_SECONDS = 300
_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_PREEMPTS = "PreemptLowerPriority"


def admit(attributes: Attributes, obj: Json, store: Store) -> Json:
    """Return the Pod with priority, preemptionPolicy and the two default tolerations.

    Raises:
        ApiError: 403 for an unknown priorityClassName.
    """
    if attributes.operation is not Operation.CREATE or attributes.resource.key != "pods" or attributes.subresource:
        return obj
    pod = copy.deepcopy(obj)
    spec = pod["spec"]
    priority, policy = _priority(attributes, spec.get("priorityClassName") or "", obj, store)
    spec["priority"] = priority
    spec.setdefault("preemptionPolicy", policy)
    tolerations = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
            )
    spec["tolerations"] = tolerations
    return pod


def _priority(attributes: Attributes, name: str, obj: Json, store: Store) -> tuple[int, str]:
    if not name:
        return 0, _PREEMPTS
    if name in _SYSTEM_CLASSES:
        return _SYSTEM_CLASSES[name], _PREEMPTS
    found = store.get("priorityclasses.scheduling.k8s.io", "", name)
    if found is None:
        pod_name = attributes.name or obj["metadata"].get("generateName") or "Unknown"
        raise forbidden("pods", "", pod_name, f"no PriorityClass with name {name} was found")
    return int(found["value"]), str(found.get("preemptionPolicy") or _PREEMPTS)


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key") in {None, "", key} and toleration.get("effect") in {None, "", "NoExecute"}
