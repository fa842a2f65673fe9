"""Empties a namespace that is being deleted, then lets it go."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from standin.controllers.objects import Acts, delete_if_there, is_deleting
from standin.controllers.workqueue import Key
from standin.interfaces import Change, ChangeType, Json, ResourceInfo

RETRY_SECONDS = 0.05


class NamespaceController:
    """Finalizes namespaces."""

    def __init__(self, acts: Acts, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        self._acts = acts
        self._resources = resources

    def keys(self, change: Change) -> Iterable[Key]:
        if change.resource.key != "namespaces" or change.type is ChangeType.DELETED:
            return []
        return [(change.object["metadata"]["name"],)] if is_deleting(change.object) else []

    def reconcile(self, key: Key) -> float | None:
        (name,) = key
        namespace = self._acts.store.get("namespaces", "", name)
        if namespace is None or not is_deleting(namespace):
            return None
        for resource, obj in self._contents(name):
            if not is_deleting(obj):
                delete_if_there(self._acts.client, resource, obj)
        if any(self._contents(name)):
            # Something holds on by a finalizer of its own.
            return RETRY_SECONDS
        body = copy.deepcopy(namespace)
        body["spec"] = {**(body.get("spec") or {}), "finalizers": []}
        self._acts.client.update("namespaces", "", body, subresource="finalize")
        return None

    def _contents(self, name: str) -> Iterable[tuple[str, Json]]:
        for resource in self._resources():
            if resource.namespaced:
                for obj in self._acts.store.list(resource.key, name):
                    yield resource.key, obj
