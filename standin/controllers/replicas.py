"""ReplicaSet and ReplicationController → Pods."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

from standin.controllers.objects import (
    Acts,
    controlled_by,
    controller_of,
    delete_if_there,
    is_active,
    is_deleting,
    is_ready,
    pod_from_template,
    with_condition,
    write_status,
)
from standin.controllers.workqueue import Key
from standin.errors import ApiError
from standin.interfaces import Change, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaKind:
    """What tells the two kinds apart."""

    resource: str
    kind: str


REPLICA_SETS = ReplicaKind(resource="replicasets.apps", kind="ReplicaSet")
REPLICATION_CONTROLLERS = ReplicaKind(resource="replicationcontrollers", kind="ReplicationController")


class ReplicaController:
    """Keeps as many Pods as asked for."""

    def __init__(self, acts: Acts, what: ReplicaKind) -> None:
        self._acts = acts
        self._what = what

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if change.resource.key == self._what.resource:
            return [(metadata["namespace"], metadata["name"])]
        if change.resource.key == "pods":
            owner = controller_of(change.object)
            if owner and owner["kind"] == self._what.kind:
                return [(metadata["namespace"], owner["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        owner = self._acts.store.get(self._what.resource, *key)
        if owner is None:
            return None
        failure: ApiError | None = None
        if not is_deleting(owner):
            failure = self._scale(owner)
        self._sync_status(key, failure)
        if failure is not None:
            raise failure
        return None

    def _scale(self, owner: Json) -> ApiError | None:
        pods = [pod for pod in controlled_by(self._acts.store, "pods", owner) if is_active(pod)]
        desired = owner["spec"].get("replicas", 1)
        for _ in range(desired - len(pods)):
            try:
                pod = self._acts.client.create(
                    "pods", owner["metadata"]["namespace"], pod_from_template(owner, owner["spec"]["template"])
                )
            except ApiError as error:
                # The rest would fail for the same reason: the real one starts slowly, with a batch of one.
                self._acts.event(owner, "FailedCreate", f"Error creating: {error.message}", kind="Warning")
                return error
            self._acts.event(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        # Those that never worked go first, then the youngest.
        by_worth = pods[::-1]
        by_worth.sort(key=is_ready)
        for pod in by_worth[: max(0, len(pods) - desired)]:
            delete_if_there(self._acts.client, "pods", pod)
            self._acts.event(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        return None

    def _sync_status(self, key: Key, failure: ApiError | None) -> None:
        owner = self._acts.store.get(self._what.resource, *key)
        if owner is None:
            return
        pods = [pod for pod in controlled_by(self._acts.store, "pods", owner) if is_active(pod)]
        ready = sum(map(is_ready, pods))
        labels = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
        labelled = sum(labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in pods)
        counts = {"fullyLabeledReplicas": labelled, "readyReplicas": ready, "availableReplicas": ready}
        status: Json = {"replicas": len(pods), **{name: count for name, count in counts.items() if count}}
        if self._what is REPLICA_SETS:
            status["terminatingReplicas"] = 0
        status["observedGeneration"] = owner["metadata"].get("generation", 0)
        conditions = copy.deepcopy((owner.get("status") or {}).get("conditions") or [])
        conditions = [condition for condition in conditions if failure or condition["type"] != "ReplicaFailure"]
        if failure is not None:
            conditions = with_condition(conditions, "ReplicaFailure", "True", "FailedCreate", failure.message)
        if conditions:
            status["conditions"] = conditions
        write_status(self._acts.client, self._what.resource, owner, status)
