"""The API in-process, as one user: what controllers and tests use where a connection would add nothing."""

import copy

from standin import selectors
from standin.deletion import delete
from standin.errors import not_found
from standin.interfaces import Json, Patch, User
from standin.registry import Registry
from standin.writes import RuleTarget, WriteOptions


class InProcessClient:
    """Calls the registry as a user; authorization is skipped, everything else is as in a request."""

    def __init__(self, registry: Registry, user: User) -> None:
        self._registry = registry
        self._user = user

    def _target(
        self, resource: str, namespace: str, name: str = "", *, subresource: str = "", dry_run: bool = False
    ) -> RuleTarget:
        options = WriteOptions(
            manager=self._user.name.rpartition(":")[2] or "unknown", dry_run=dry_run, validation="Ignore"
        )
        info = self._registry.table.by_key(resource)
        return RuleTarget(
            user=self._user, resource=info, namespace=namespace, name=name, subresource=subresource, options=options
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
        written = self._registry.create(self._target(resource, namespace, dry_run=dry_run), obj)
        return copy.deepcopy(written.obj)

    def update(self, resource: str, namespace: str, obj: Json, *, subresource: str = "", dry_run: bool = False) -> Json:
        """Replace an object (or its status, or finalize) and return a copy of what was stored."""
        name = obj["metadata"]["name"]
        target = self._target(resource, namespace, name, subresource=subresource, dry_run=dry_run)
        return copy.deepcopy(self._registry.update(target, obj).obj)

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
        target = self._target(resource, namespace, name, subresource=subresource, dry_run=dry_run)
        return copy.deepcopy(self._registry.patch(target, patch_type, patch).obj)

    def delete(
        self, resource: str, namespace: str, name: str, *, propagation: str = "Background", uid: str = ""
    ) -> None:
        """Delete an object; with `uid`, only that one (409 otherwise)."""
        options: Json = {"propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        delete(self._registry, self._target(resource, namespace, name), options)
