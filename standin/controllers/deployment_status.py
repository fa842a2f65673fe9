"""What a Deployment's status says of its ReplicaSets; `kubectl rollout status` waits by it."""

from __future__ import annotations

import copy

from standin.controllers import rolling
from standin.controllers.objects import with_condition
from standin.interfaces import Json


def status_of(deployment: Json, new: Json | None, owned: list[Json]) -> Json:
    """Return the status of a Deployment.

    Args:
        deployment: As stored.
        new: The ReplicaSet of its current template, if there is one.
        owned: All its ReplicaSets.
    """
    desired = deployment["spec"].get("replicas", 1)
    available = sum(replica_count(item, "availableReplicas") for item in owned)
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": sum(replica_count(item, "replicas") for item in owned),
        "updatedReplicas": replica_count(new, "replicas") if new else 0,
        "readyReplicas": sum(replica_count(item, "readyReplicas") for item in owned),
        "availableReplicas": available,
        "unavailableReplicas": max(0, desired - available),
    }
    status: Json = {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = 0
    if (collisions := (deployment.get("status") or {}).get("collisionCount")) is not None:
        status["collisionCount"] = collisions
    status["conditions"] = _conditions(deployment, new, owned, counts)
    return status


def _conditions(deployment: Json, new: Json | None, owned: list[Json], counts: dict[str, int]) -> list[Json]:
    conditions: list[Json] = copy.deepcopy((deployment.get("status") or {}).get("conditions") or [])
    desired = deployment["spec"].get("replicas", 1)
    _, unavailable = rolling.bounds(deployment["spec"].get("strategy") or {}, desired)
    available = counts["availableReplicas"]
    is_available, reason, text = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if available >= desired - unavailable
        else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    )
    conditions = with_condition(conditions, "Available", is_available, reason, text)
    if new is not None:
        name = new["metadata"]["name"]
        complete = counts["updatedReplicas"] == counts["replicas"] == desired <= available
        reason, text = (
            ("NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
            if complete
            else ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        )
        conditions = with_condition(conditions, "Progressing", "True", reason, text)
    failures = [
        condition
        for item in owned
        for condition in (item.get("status") or {}).get("conditions") or ()
        if condition["type"] == "ReplicaFailure"
    ]
    if failures:
        last = failures[-1]
        return with_condition(conditions, "ReplicaFailure", last["status"], last["reason"], last["message"])
    return [condition for condition in conditions if condition["type"] != "ReplicaFailure"]


def replica_count(replica_set: Json, field: str) -> int:
    """Return a number of a ReplicaSet's status; absent means zero."""
    return int((replica_set.get("status") or {}).get(field) or 0)
