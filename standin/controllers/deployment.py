"""Deployment → ReplicaSets.

The way a ReplicaSet is found is the point of it: by a template equal to the Deployment's, not by its name. A webhook
that patches ReplicaSets makes the search fail for ever, and a new ReplicaSet for each try (trap 2 of the project's
facts).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable

from standin.controllers import deployment_status, rolling
from standin.controllers.deployment_status import replica_count
from standin.controllers.objects import (
    HASH_LABEL,
    Acts,
    controlled_by,
    controller_of,
    delete_if_there,
    is_deleting,
    owner_reference,
    same_template,
    template_hash,
    with_condition,
    write_status,
)
from standin.controllers.workqueue import Key
from standin.errors import ApiError
from standin.interfaces import Change, Json

DEPLOYMENTS, REPLICA_SETS = "deployments.apps", "replicasets.apps"
REVISION = "deployment.kubernetes.io/revision"
DESIRED, MAXIMUM = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAXIMUM})
# After a name collision, so that a Deployment that collides for ever costs some writes a second and not a processor.
# The real controller is held to about four a second by its client's rate limit (recorded: 23 in 6 s).
COLLISION_PAUSE_SECONDS = 0.1


class DeploymentController:
    """Rolls Deployments out."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._paused_until: dict[Key, float] = {}

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if change.resource.key == DEPLOYMENTS:
            return [(metadata["namespace"], metadata["name"])]
        if change.resource.key == REPLICA_SETS and (owner := controller_of(change.object)):
            return [(metadata["namespace"], owner["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        deployment = self._acts.store.get(DEPLOYMENTS, *key)
        if deployment is None or is_deleting(deployment):
            self._paused_until.pop(key, None)
            return None
        if (pause := self._paused_until.get(key, 0.0) - time.monotonic()) > 0:
            return pause
        owned = controlled_by(self._acts.store, REPLICA_SETS, deployment)
        new = _find_new(deployment, owned)
        olds = [item for item in owned if item is not new]
        if not deployment["spec"].get("paused"):
            new = self._adopt_revision(deployment, new, olds) if new else self._create(deployment, olds, key)
            if new is None:
                return COLLISION_PAUSE_SECONDS
        self._scale(deployment, new, olds)
        self._sync_status(deployment)
        return None

    def _create(self, deployment: Json, olds: list[Json], key: Key) -> Json | None:
        """Create the ReplicaSet for the current template; None if its name is taken by another template."""
        namespace, name = key
        count = (deployment.get("status") or {}).get("collisionCount")
        digest = template_hash(deployment["spec"]["template"], count)
        template = copy.deepcopy(deployment["spec"]["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = digest
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
        revision = str(_last_revision(olds) + 1)
        size = (
            0 if _recreates(deployment) else rolling.new_size(_counts(deployment, None, olds), self._surge(deployment))
        )
        replica_set: Json = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{name}-{digest}",
                "namespace": namespace,
                "labels": dict(template["metadata"]["labels"]),
                "annotations": {**_inherited(deployment), REVISION: revision, **_sizes(deployment)},
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": size,
                "selector": selector,
                "template": template,
                **({"minReadySeconds": ready} if (ready := deployment["spec"].get("minReadySeconds")) else {}),
            },
        }
        try:
            created = self._acts.client.create(REPLICA_SETS, namespace, replica_set)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                self._count_collision(deployment, key)
                return None
            self._report_failure(deployment, error)
            raise
        if size:
            self._acts.event(deployment, "ScalingReplicaSet", f"Scaled up replica set {name}-{digest} from 0 to {size}")
        self._set_revision(deployment, revision)
        return created

    def _count_collision(self, deployment: Json, key: Key) -> None:
        self._paused_until[key] = time.monotonic() + COLLISION_PAUSE_SECONDS
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        write_status(self._acts.client, DEPLOYMENTS, deployment, status)

    def _report_failure(self, deployment: Json, error: ApiError) -> None:
        self._acts.event(
            deployment, "ReplicaSetCreateError", f"Failed to create new replica set: {error.message}", kind="Warning"
        )
        status = copy.deepcopy(deployment.get("status") or {})
        status["observedGeneration"] = deployment["metadata"].get("generation", 0)
        status["conditions"] = with_condition(
            status.get("conditions") or [],
            "Progressing",
            "False",
            "ReplicaSetCreateError",
            f"Failed to create new replica set: {error.message}",
        )
        write_status(self._acts.client, DEPLOYMENTS, deployment, status)

    def _adopt_revision(self, deployment: Json, new: Json, olds: list[Json]) -> Json:
        """Give a ReplicaSet that is current (again) the highest revision, as `kubectl rollout undo` expects."""
        annotations = new["metadata"].get("annotations") or {}
        revision = max(_last_revision(olds) + 1, int(annotations.get(REVISION, "0")))
        wanted = {**annotations, **_inherited(deployment), REVISION: str(revision), **_sizes(deployment)}
        if wanted != annotations:
            body = copy.deepcopy(new)
            body["metadata"]["annotations"] = wanted
            new = self._acts.client.update(REPLICA_SETS, new["metadata"]["namespace"], body)
        self._set_revision(deployment, str(revision))
        return new

    def _set_revision(self, deployment: Json, revision: str) -> None:
        metadata = deployment["metadata"]
        if (metadata.get("annotations") or {}).get(REVISION) != revision:
            patch = {"metadata": {"annotations": {REVISION: revision}}}
            self._acts.client.patch(DEPLOYMENTS, metadata["namespace"], metadata["name"], patch)

    def _scale(self, deployment: Json, new: Json | None, olds: list[Json]) -> None:
        counts = _counts(deployment, new, olds)
        _, unavailable = rolling.bounds(deployment["spec"].get("strategy") or {}, counts.desired)
        if new is None:
            # Paused before its first ReplicaSet.
            return
        if _recreates(deployment):
            keep = 0
            running = any(replica_count(old, "replicas") for old in olds)
            size = counts.new if counts.old or running else counts.desired
        else:
            keep = rolling.old_size(counts, unavailable)
            size = rolling.new_size(counts, self._surge(deployment))
        if deployment["spec"].get("paused"):
            keep, size = counts.old, counts.new
        self._resize(deployment, new, size)
        excess = counts.old - keep
        for old in olds:
            cut = min(excess, old["spec"].get("replicas", 0))
            self._resize(deployment, old, old["spec"].get("replicas", 0) - cut)
            excess -= cut
        if (
            counts.new == counts.desired
            and counts.old == 0
            and replica_count(new, "availableReplicas") >= counts.desired
        ):
            self._clean_up(deployment, olds)

    def _resize(self, deployment: Json, replica_set: Json, size: int) -> None:
        now = replica_set["spec"].get("replicas", 0)
        if now == size:
            return
        metadata = replica_set["metadata"]
        body = copy.deepcopy(replica_set)
        body["spec"]["replicas"] = size
        body["metadata"].setdefault("annotations", {}).update(_sizes(deployment))
        self._acts.client.update(REPLICA_SETS, metadata["namespace"], body)
        direction = "up" if size > now else "down"
        self._acts.event(
            deployment, "ScalingReplicaSet", f"Scaled {direction} replica set {metadata['name']} from {now} to {size}"
        )

    def _clean_up(self, deployment: Json, olds: list[Json]) -> None:
        """Delete the oldest empty ReplicaSets beyond revisionHistoryLimit."""
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        empty = [
            old
            for old in olds
            if not old["spec"].get("replicas") and not replica_count(old, "replicas") and not is_deleting(old)
        ]
        empty.sort(key=_revision)
        for old in empty[: max(0, len(olds) - limit)]:
            delete_if_there(self._acts.client, REPLICA_SETS, old)

    def _surge(self, deployment: Json) -> int:
        return rolling.bounds(deployment["spec"].get("strategy") or {}, deployment["spec"].get("replicas", 1))[0]

    def _sync_status(self, deployment: Json) -> None:
        # What was just written counts, not what the round began with.
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        current = self._acts.store.get(DEPLOYMENTS, namespace, name)
        if current is not None and current["metadata"]["uid"] == deployment["metadata"]["uid"]:
            owned = controlled_by(self._acts.store, REPLICA_SETS, current)
            new = _find_new(current, owned)
            write_status(self._acts.client, DEPLOYMENTS, current, deployment_status.status_of(current, new, owned))


def _find_new(deployment: Json, owned: list[Json]) -> Json | None:
    """Return the oldest ReplicaSet whose template is the Deployment's; its name does not matter."""
    template = deployment["spec"]["template"]
    return next((item for item in owned if same_template(item["spec"]["template"], template)), None)


def _counts(deployment: Json, new: Json | None, olds: list[Json]) -> rolling.ReplicaCounts:
    return rolling.ReplicaCounts(
        desired=deployment["spec"].get("replicas", 1),
        new=new["spec"].get("replicas", 0) if new else 0,
        new_available=replica_count(new, "availableReplicas") if new else 0,
        old=sum(old["spec"].get("replicas", 0) for old in olds),
        old_available=sum(min(replica_count(old, "availableReplicas"), old["spec"].get("replicas", 0)) for old in olds),
    )


def _recreates(deployment: Json) -> bool:
    return (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"


def _revision(replica_set: Json) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))


def _last_revision(replica_sets: list[Json]) -> int:
    return max(map(_revision, replica_sets), default=0)


def _inherited(deployment: Json) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in _NOT_COPIED}


def _sizes(deployment: Json) -> dict[str, str]:
    desired = deployment["spec"].get("replicas", 1)
    surge = 0 if _recreates(deployment) else rolling.bounds(deployment["spec"].get("strategy") or {}, desired)[0]
    return {DESIRED: str(desired), MAXIMUM: str(desired + surge)}
