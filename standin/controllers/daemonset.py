"""DaemonSet → one Pod for the one node of this cluster."""

from __future__ import annotations

from collections.abc import Iterable

from standin.controllers.kubelet import NODE_NAME
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

DAEMON_SETS = "daemonsets.apps"


class DaemonSetController:
    """Runs one Pod of each DaemonSet."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if change.resource.key == DAEMON_SETS:
            return [(metadata["namespace"], metadata["name"])]
        if change.resource.key == "pods":
            owner = controller_of(change.object)
            if owner and owner["kind"] == "DaemonSet":
                return [(metadata["namespace"], owner["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        owner = self._acts.store.get(DAEMON_SETS, *key)
        if owner is None:
            return None
        if not is_deleting(owner):
            self._step(owner)
        self._sync_status(key)
        return None

    def _step(self, owner: Json) -> None:
        revision = template_hash(owner["spec"]["template"])
        pods = controlled_by(self._acts.store, "pods", owner)
        replaces = (owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") != "OnDelete"
        for pod in pods:
            outdated = replaces and pod["metadata"]["labels"].get(REVISION_HASH_LABEL) != revision
            if not is_deleting(pod) and (outdated or not is_active(pod)):
                delete_if_there(self._acts.client, "pods", pod)
                self._acts.event(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
                return
        if pods:
            return
        pod = pod_from_template(
            owner,
            owner["spec"]["template"],
            labels={
                REVISION_HASH_LABEL: revision,
                "pod-template-generation": str(owner["metadata"].get("generation", 1)),
            },
        )
        pod["spec"]["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE_NAME]}]}
                    ]
                }
            }
        }
        try:
            created = self._acts.client.create("pods", owner["metadata"]["namespace"], pod)
        except ApiError as error:
            self._acts.event(owner, "FailedCreate", f"Error creating: {error.message}", kind="Warning")
            raise
        self._acts.event(owner, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

    def _sync_status(self, key: Key) -> None:
        owner = self._acts.store.get(DAEMON_SETS, *key)
        if owner is None:
            return
        revision = template_hash(owner["spec"]["template"])
        pods = [pod for pod in controlled_by(self._acts.store, "pods", owner) if is_active(pod)]
        ready = sum(map(is_ready, pods))
        updated = sum(pod["metadata"]["labels"].get(REVISION_HASH_LABEL) == revision for pod in pods)
        optional = {"updatedNumberScheduled": updated, "numberAvailable": ready, "numberUnavailable": 1 - ready}
        status: Json = {
            "currentNumberScheduled": len(pods),
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 1,
            "numberReady": ready,
            "observedGeneration": owner["metadata"].get("generation", 0),
            **{name: count for name, count in optional.items() if count},
        }
        write_status(self._acts.client, DAEMON_SETS, owner, status)
