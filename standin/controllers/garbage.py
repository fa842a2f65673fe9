"""Deletion along ownerReferences, in the background.

Orphaning is the core's: it takes the references away before it deletes. Foreground deletion ends like background
deletion here, only not in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from standin.controllers.objects import Acts, delete_if_there, is_deleting
from standin.controllers.workqueue import Key
from standin.interfaces import Change, ChangeType, Json, ResourceInfo


class GarbageCollector:
    """Deletes what has lost all its owners."""

    def __init__(self, acts: Acts, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        self._acts = acts
        self._resources = resources

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        namespace = metadata.get("namespace", "")
        if change.type is ChangeType.DELETED:
            return [("dependents", namespace, metadata["uid"])]
        if change.type is ChangeType.ADDED and metadata.get("ownerReferences"):
            # Its owner may have gone while it was being made.
            return [("object", change.resource.key, namespace, metadata["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        match key:
            case ("dependents", namespace, uid):
                for resource, obj in self._dependents(namespace, uid):
                    self._collect(resource, obj)
            case ("object", resource, namespace, name):
                found = self._acts.store.get(resource, namespace, name)
                if found is not None:
                    self._collect(resource, found)
        return None

    def _collect(self, resource: str, obj: Json) -> None:
        """Delete `obj` if none of its owners is there any more."""
        owners = obj["metadata"].get("ownerReferences") or ()
        namespace = obj["metadata"].get("namespace", "")
        if owners and not is_deleting(obj) and not any(self._is_there(owner, namespace) for owner in owners):
            delete_if_there(self._acts.client, resource, obj)

    def _dependents(self, namespace: str, uid: str) -> Iterable[tuple[str, Json]]:
        """Yield what names `uid` as an owner: in its namespace, or anywhere if it has none."""
        for resource in self._resources():
            for obj in self._acts.store.list(resource.key, namespace if namespace and resource.namespaced else None):
                if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ()):
                    yield resource.key, obj

    def _is_there(self, reference: Json, namespace: str) -> bool:
        resource = self._resource_of(reference)
        if resource is None:
            # An unknown kind says nothing about its objects: leave it alone.
            return True
        owner = self._acts.store.get(resource.key, namespace if resource.namespaced else "", reference["name"])
        return owner is not None and owner["metadata"]["uid"] == reference["uid"]

    def _resource_of(self, reference: Json) -> ResourceInfo | None:
        group = reference["apiVersion"].rpartition("/")[0]
        return next((item for item in self._resources() if (item.group, item.kind) == (group, reference["kind"])), None)
