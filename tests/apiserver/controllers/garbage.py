"""Deletion along ownerReferences: background, foreground and orphan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from tests.apiserver.controllers.objects import Acts, delete_if_there, is_deleting
from tests.apiserver.controllers.workqueue import Key
from tests.apiserver.interfaces import Change, ChangeType, Json, ResourceInfo

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class GarbageCollector:
    """Deletes what has lost all its owners; carries out the two finalizers of deletion."""

    def __init__(self, acts: Acts, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        self._acts = acts
        self._resources = resources

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        resource, namespace = change.resource.key, metadata.get("namespace", "")
        if change.type is ChangeType.DELETED:
            # Its own dependents, and its owners, which may be waiting for it to be gone.
            owners = [
                ("object", owner.key, namespace if owner.namespaced else "", reference["name"])
                for reference in metadata.get("ownerReferences") or ()
                if (owner := self._resource_of(reference)) is not None
            ]
            return [("dependents", namespace, metadata["uid"]), *owners]
        finalizers = set(metadata.get("finalizers") or ())
        if is_deleting(change.object):
            return [("object", resource, namespace, metadata["name"])] if {FOREGROUND, ORPHAN} & finalizers else []
        if change.type is ChangeType.ADDED and metadata.get("ownerReferences"):
            return [("object", resource, namespace, metadata["name"])]
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
                    self._finalize(resource, found)
        return None

    def _collect(self, resource: str, obj: Json) -> None:
        """Delete `obj` if none of its owners is there any more."""
        owners = obj["metadata"].get("ownerReferences") or ()
        namespace = obj["metadata"].get("namespace", "")
        if owners and not is_deleting(obj) and not any(self._is_there(owner, namespace) for owner in owners):
            delete_if_there(self._acts.client, resource, obj)

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

    def _finalize(self, resource: str, obj: Json) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if not is_deleting(obj) or not {FOREGROUND, ORPHAN} & set(finalizers):
            return
        namespace, uid = metadata.get("namespace", ""), metadata["uid"]
        dependents = list(self._dependents(namespace, uid))
        if ORPHAN in finalizers:
            for kind, dependent in dependents:
                body = copy.deepcopy(dependent)
                owners = body["metadata"]["ownerReferences"]
                body["metadata"]["ownerReferences"] = [owner for owner in owners if owner["uid"] != uid]
                self._acts.client.update(kind, dependent["metadata"].get("namespace", ""), body)
        elif dependents:
            for kind, dependent in dependents:
                if not is_deleting(dependent):
                    delete_if_there(self._acts.client, kind, dependent, propagation="Foreground")
            return
        body = copy.deepcopy(obj)
        body["metadata"]["finalizers"] = [item for item in finalizers if item not in {FOREGROUND, ORPHAN}]
        self._acts.client.update(resource, namespace, body)

    def _dependents(self, namespace: str, uid: str) -> Iterable[tuple[str, Json]]:
        """Yield what names `uid` as an owner: in its namespace, or anywhere if it has none."""
        for resource in self._resources():
            for obj in self._acts.store.list(resource.key, namespace if namespace and resource.namespaced else None):
                if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ()):
                    yield resource.key, obj
