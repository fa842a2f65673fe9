"""StatefulSet → Pods with ordinals."""

from __future__ import annotations

from collections.abc import Iterable

from standin.controllers.objects import (
    REVISION_HASH_LABEL,
    Acts,
    controlled_by,
    controller_of,
    delete_if_there,
    is_active,
    is_deleting,
    is_ready,
    pod_from_template,
    template_hash,
    write_status,
)
from standin.controllers.workqueue import Key
from standin.errors import ApiError
from standin.interfaces import Change, Json

STATEFUL_SETS = "statefulsets.apps"


class StatefulSetController:
    """Makes name-0, name-1, … in order, and replaces outdated ones from the last to the first."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if change.resource.key == STATEFUL_SETS:
            return [(metadata["namespace"], metadata["name"])]
        if change.resource.key == "pods":
            owner = controller_of(change.object)
            if owner and owner["kind"] == "StatefulSet":
                return [(metadata["namespace"], owner["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        owner = self._acts.store.get(STATEFUL_SETS, *key)
        if owner is None:
            return None
        if not is_deleting(owner):
            self._step(owner)
        self._sync_status(key)
        return None

    def _step(self, owner: Json) -> None:
        spec = owner["spec"]
        pods = {_ordinal(pod): pod for pod in controlled_by(self._acts.store, "pods", owner)}
        desired = spec.get("replicas", 1)
        in_order = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        for ordinal in range(desired):
            pod = pods.get(ordinal)
            if pod is None:
                self._create(owner, ordinal)
            elif not is_active(pod):
                delete_if_there(self._acts.client, "pods", pod)
            if in_order and (pod is None or not is_ready(pod)):
                return
        for ordinal in sorted((ordinal for ordinal in pods if ordinal >= desired), reverse=True):
            self._delete(owner, pods[ordinal])
            if in_order:
                return
        if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "OnDelete":
            return
        revision = _revision(owner)
        partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0)
        for ordinal in sorted(pods, reverse=True):
            pod = pods[ordinal]
            if partition <= ordinal < desired and pod["metadata"]["labels"].get(REVISION_HASH_LABEL) != revision:
                self._delete(owner, pod)
                return

    def _create(self, owner: Json, ordinal: int) -> None:
        name = f"{owner['metadata']['name']}-{ordinal}"
        pod = pod_from_template(
            owner,
            owner["spec"]["template"],
            name=name,
            labels={
                "apps.kubernetes.io/pod-index": str(ordinal),
                REVISION_HASH_LABEL: _revision(owner),
                "statefulset.kubernetes.io/pod-name": name,
            },
        )
        pod["spec"]["hostname"] = name
        if service := owner["spec"].get("serviceName"):
            pod["spec"]["subdomain"] = service
        try:
            self._acts.client.create("pods", owner["metadata"]["namespace"], pod)
        except ApiError as error:
            text = f"create Pod {name} in StatefulSet {owner['metadata']['name']} failed error: {error.message}"
            self._acts.event(owner, "FailedCreate", text, kind="Warning")
            raise
        text = f"create Pod {name} in StatefulSet {owner['metadata']['name']} successful"
        self._acts.event(owner, "SuccessfulCreate", text)

    def _delete(self, owner: Json, pod: Json) -> None:
        delete_if_there(self._acts.client, "pods", pod)
        name = pod["metadata"]["name"]
        text = f"delete Pod {name} in StatefulSet {owner['metadata']['name']} successful"
        self._acts.event(owner, "SuccessfulDelete", text)

    def _sync_status(self, key: Key) -> None:
        owner = self._acts.store.get(STATEFUL_SETS, *key)
        if owner is None:
            return
        pods = [pod for pod in controlled_by(self._acts.store, "pods", owner) if is_active(pod)]
        revision = _revision(owner)
        updated = sum(pod["metadata"]["labels"].get(REVISION_HASH_LABEL) == revision for pod in pods)
        ready = sum(map(is_ready, pods))
        desired = owner["spec"].get("replicas", 1)
        done = updated == len(pods) == desired == ready
        old = owner.get("status") or {}
        current = revision if done else old.get("currentRevision", revision)
        counts = {
            "readyReplicas": ready,
            "currentReplicas": updated if current == revision else len(pods) - updated,
            "updatedReplicas": updated,
        }
        status: Json = {
            "observedGeneration": owner["metadata"].get("generation", 0),
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
            "availableReplicas": ready,
        }
        write_status(self._acts.client, STATEFUL_SETS, owner, status)


def _revision(owner: Json) -> str:
    return f"{owner['metadata']['name']}-{template_hash(owner['spec']['template'])}"


def _ordinal(pod: Json) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])
