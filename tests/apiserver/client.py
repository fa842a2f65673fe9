"""The API in-process, as one user: what controllers and tests use where a connection would add nothing."""

import copy

from tests.apiserver import selectors
from tests.apiserver.errors import not_found
from tests.apiserver.interfaces import Json, Patch, User
from tests.apiserver.registry import Registry, WriteOptions


class InProcessClient:
    """Calls the registry as a user; authorization is skipped, everything else is as in a request."""

    def __init__(self, registry: Registry, user: User) -> None:
        self._registry = registry
        self._user = user

    def _options(self, *, dry_run: bool = False) -> WriteOptions:
        return WriteOptions(
            manager=self._user.name.rpartition(":")[2] or "unknown", dry_run=dry_run, validation="Ignore"
        )

    def get(self, resource: str, namespace: str, name: str) -> Json:
        """Return a copy of an object. Raises ApiError(404)."""
        info = self._registry.table.by_key(resource)
        found = self._registry.store.get(resource, namespace, name)
        if found is None:
            raise not_found(info.plural, info.group, name)
        return copy.deepcopy(found)

    def list(self, resource: str, namespace: str | None = None, label_selector: str = "") -> list[Json]:
        """Return copies of objects, in the order of namespace and name."""
        matches = selectors.labels(label_selector)
        found = self._registry.store.list(resource, namespace)
        return [copy.deepcopy(obj) for obj in found if matches is None or matches(obj)]

    def create(self, resource: str, namespace: str, obj: Json, *, dry_run: bool = False) -> Json:
        """Create an object and return a copy of what was stored."""
        info = self._registry.table.by_key(resource)
        written = self._registry.create(self._user, info, namespace, obj, self._options(dry_run=dry_run))
        return copy.deepcopy(written.obj)

    def update(self, resource: str, namespace: str, obj: Json, *, subresource: str = "", dry_run: bool = False) -> Json:
        """Replace an object (or its status, or finalize) and return a copy of what was stored."""
        info = self._registry.table.by_key(resource)
        written = self._registry.update(
            self._user,
            info,
            namespace,
            obj["metadata"]["name"],
            obj,
            self._options(dry_run=dry_run),
            subresource=subresource,
        )
        return copy.deepcopy(written.obj)

    def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Patch,
        *,
        patch_type: str = "application/merge-patch+json",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Json:
        """Patch an object and return a copy of what was stored."""
        info = self._registry.table.by_key(resource)
        written = self._registry.patch(
            self._user,
            info,
            namespace,
            name,
            patch_type,
            patch,
            self._options(dry_run=dry_run),
            subresource=subresource,
        )
        return copy.deepcopy(written.obj)

    def delete(
        self, resource: str, namespace: str, name: str, *, propagation: str = "Background", uid: str = ""
    ) -> None:
        """Delete an object; with `uid`, only that one (409 otherwise)."""
        info = self._registry.table.by_key(resource)
        body: Json = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        self._registry.delete(self._user, info, namespace, name, body, self._options())
