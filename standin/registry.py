"""What requests do to objects: create, update, patch and apply, each through defaults, admission and validation."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from standin import apply, decode, errors, namespaces, patches, quota, strategies, validation
from standin.admit import Admit
from standin.defaults import set_defaults
from standin.errors import ApiError, FieldError
from standin.interfaces import Json, Operation, ResourceInfo
from standin.resources import ResourceTable
from standin.schema import Node, Schemas
from standin.store import MemoryStore, Record, json_equal
from standin.writes import RuleTarget, WriteOptions, Written, now_text, random_suffix

# An update that names no resourceVersion is tried again when another came between.
ATTEMPTS = 16
_MAX_PREFIX = 58
_SET_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "deletionGracePeriodSeconds")


class Registry:
    """Writes to the store as the API server does. Thread-safe; the store's lock is held only to commit.

    Attributes:
        admit: The admission chain.
        after_create: Called with resource and name of what was created.
    """

    def __init__(self, store: MemoryStore, table: ResourceTable, schemas: Schemas) -> None:
        self.store = store
        self.table = table
        self.schemas = schemas
        self.admit = Admit()
        self.after_create: Callable[[ResourceInfo, str], None] | None = None

    # --- reading bodies ---

    def schema(self, resource: ResourceInfo) -> Node:
        """Return the schema of a resource's kind."""
        return self.schemas.of(resource.group, resource.version, resource.kind)

    def is_custom(self, resource: ResourceInfo) -> bool:
        """Tell whether a CustomResourceDefinition made a resource."""
        return self.table.version_of_crd(resource) is not None

    def read(self, resource: ResourceInfo, body: Any, options: WriteOptions, warnings: list[str]) -> Json:
        """Return a body as its kind holds it, with defaults; a copy, never shared with `body`. Raises ApiError(400)."""
        if not isinstance(body, dict):
            raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
        kind, api_version = body.get("kind", resource.kind), body.get("apiVersion", resource.api_version)
        if (kind, api_version) != (resource.kind, resource.api_version):
            raise errors.bad_request(
                f"{kind} in version {api_version} does not match the expected {resource.kind} in {resource.api_version}"
            )
        obj = {"kind": kind, "apiVersion": api_version, **self._known(resource, body, options, warnings)}
        metadata = obj.setdefault("metadata", {})
        for name in ("labels", "annotations"):
            if metadata.get(name) == {}:
                del metadata[name]
        if resource.key == "secrets":
            obj = decode.secret_data(obj, resource)
        if not self.is_custom(resource):
            set_defaults(resource.key, obj)
        return obj

    def _known(self, resource: ResourceInfo, body: Json, options: WriteOptions, warnings: list[str]) -> Json:
        obj, unknown = decode.normalise(body, self.schema(resource), resource)
        if unknown and options.validation == "Strict":
            listed = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise decode.cannot_be_handled(resource, f"strict decoding error: {listed}")
        if options.validation != "Ignore":
            warnings += [f'unknown field "{path}"' for path in unknown]
        return obj

    def _mutate(
        self,
        target: RuleTarget,
        operation: Operation,
        obj: Json,
        old: Json | None,
        warnings: list[str],
        *,
        kind: str = "",
    ) -> Json:
        """Run mutating admission; what it changed is read again, so that defaults hold for it too."""
        after = self.admit.mutate(target, operation, obj, old, warnings, kind=kind)
        if after is None or after is obj:
            return obj
        return self.read(target.resource, after, WriteOptions(validation="Ignore"), [])

    # --- create ---

    def create(self, target: RuleTarget, body: Any) -> Written:
        """POST to a collection. Raises ApiError."""
        warnings: list[str] = []
        obj = self.read(target.resource, body, target.options, warnings)
        return self._create(target, obj, warnings, managed=False)

    def _create(self, target: RuleTarget, obj: Json, warnings: list[str], *, managed: bool) -> Written:
        resource, options = target.resource, target.options
        metadata = obj["metadata"]
        _match_namespace(metadata, target.namespace)
        target = target.named(metadata.get("name") or target.name)
        for key in _SET_BY_SERVER:
            metadata.pop(key, None)
        if metadata.pop("resourceVersion", None):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        prefix = metadata.get("generateName", "")
        if not target.name and not prefix:
            text = "Required value: name or generateName is required"
            found = FieldError(reason="FieldValueRequired", message=text, field="metadata.name")
            raise errors.invalid(resource.kind, resource.group, "", [found])
        now = now_text()
        if not managed:
            metadata["managedFields"] = apply.track_update(
                None, obj, self.schema(resource), manager=options.manager, now=now
            )
        namespaces.check_create(self.store, resource, target.namespace, target.name)
        obj = self._mutate(target, Operation.CREATE, obj, None, warnings)
        target = target.named(target.name or prefix[:_MAX_PREFIX] + random_suffix())
        obj["metadata"] |= {"name": target.name, "uid": str(uuid.uuid4()), "creationTimestamp": now}
        strategies.prepare_create(resource, obj, custom=self.is_custom(resource))
        if faults := validation.create_errors(resource, obj):
            raise errors.invalid(resource.kind, resource.group, target.name, faults)
        warnings += validation.warnings(resource, obj)
        self.admit.validate(target, Operation.CREATE, obj, None, warnings)
        return Written(obj=self._insert(target, obj), created=True, warnings=warnings)

    def _insert(self, target: RuleTarget, obj: Json) -> Json:
        resource, namespace, name = target.resource, target.namespace, target.name
        with self.store.lock:
            if self.store.record(resource.key, namespace, name) is not None:
                raise errors.already_exists(resource.plural, resource.group, name)
            quota.check_create(self.store, resource, namespace, name)
            # Again under the lock: its namespace may have gone meanwhile.
            namespaces.check_create(self.store, resource, namespace, name)
            if target.options.dry_run:
                return obj
            stored = self.store.put(resource, obj).obj
        if self.after_create is not None:
            self.after_create(resource, name)
        return stored

    # --- update ---

    def update(self, target: RuleTarget, body: Any) -> Written:
        """PUT of an object or one of its subresources. Raises ApiError."""
        resource = target.resource

        def change(_: Json, warnings: list[str]) -> Json:
            obj = self.read(resource, body, target.options, warnings)
            metadata = obj["metadata"]
            _match_namespace(metadata, target.namespace)
            if metadata.get("name", target.name) != target.name:
                raise errors.bad_request(
                    f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
                )
            metadata["name"] = target.name
            conditional = resource.key in strategies.CONDITIONAL_ONLY or self.is_custom(resource)
            if conditional and not metadata.get("resourceVersion"):
                text = "Invalid value: 0: must be specified for an update"
                found = FieldError(reason="FieldValueInvalid", message=text, field="metadata.resourceVersion")
                raise errors.invalid(resource.kind, resource.group, target.name, [found])
            return obj

        return self.modify(target, change)

    def patch(self, target: RuleTarget, patch_type: str, patch: Any) -> Written:
        """PATCH of an object or one of its subresources, server-side apply included. Raises ApiError."""
        resource = target.resource
        if patch_type == patches.APPLY_PATCH:
            return self._apply(target, patch)
        if patch_type == patches.STRATEGIC_PATCH and self.is_custom(resource):
            raise errors.unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
            )

        def change(old: Json, warnings: list[str]) -> Json:
            patched = patches.apply(patch_type, old, patch, self.schema(resource))
            return self.read(resource, patched, target.options, warnings)

        return self.modify(target, change, kind="PatchOptions")

    def _apply(self, target: RuleTarget, config: Any) -> Written:
        resource, options = target.resource, target.options
        warnings: list[str] = []
        clean = self._applied(target, config, warnings)
        schema = self.schema(resource)

        def change(old: Json | None, _: list[str]) -> Json:
            made = apply.apply(
                old, clean, schema, manager=options.manager, force=options.force, now=now_text(),
                subresource=target.subresource,
            )  # fmt: skip
            return self.read(resource, made, options, [])

        if self.store.record(resource.key, target.namespace, target.name) is None and not target.subresource:
            try:
                return self._create(target, change(None, []), warnings, managed=True)
            except ApiError as error:
                # Another was faster: then this is an update.
                if error.reason != "AlreadyExists":
                    raise
        written = self.modify(target, change, kind="PatchOptions", managed=True)
        return Written(obj=written.obj, warnings=warnings + written.warnings)

    def _applied(self, target: RuleTarget, config: Any, warnings: list[str]) -> Json:
        """Return the configuration that is applied, without defaults: only what it names is managed."""
        resource = target.resource
        if not target.options.named_manager:
            text = "Required value: is required for apply patch"
            found = FieldError(reason="FieldValueRequired", message=text, field="fieldManager")
            raise errors.invalid("PatchOptions", "meta.k8s.io", "", [found])
        named = (config.get("kind"), config.get("apiVersion")) if isinstance(config, dict) else None
        if named != (resource.kind, resource.api_version):
            raise errors.bad_request("the apply patch must name the apiVersion and kind of the object")
        clean = self._known(resource, config, target.options, warnings)
        metadata = clean.setdefault("metadata", {})
        if metadata.pop("managedFields", None):
            raise errors.bad_request("metadata.managedFields must be nil")
        _match_namespace(metadata, target.namespace)
        metadata["name"] = target.name
        return clean

    def modify(
        self, target: RuleTarget, change: Callable[[Json, list[str]], Json], *, kind: str = "", managed: bool = False
    ) -> Written:
        """Read, change, admit, validate and write an object; again from the start if it changed meanwhile.

        Args:
            change: Makes the wanted object of the stored one, which it must not change.
            kind: Of the options that admission sees, if not UpdateOptions.
            managed: `change` keeps `managedFields` itself.
        """
        resource, name = target.resource, target.name
        for _ in range(ATTEMPTS):
            record = self.store.record(resource.key, target.namespace, name)
            if record is None:
                raise errors.not_found(resource.plural, resource.group, name)
            warnings: list[str] = []
            old = record.obj
            if old["apiVersion"] != resource.api_version:
                old = {**old, "apiVersion": resource.api_version}
            asked = change(old, warnings)
            _check_identity(resource, name, old, asked)
            new = self._build(target, old, asked, warnings, kind=kind, managed=managed)
            if new is None:
                return Written(obj=old, warnings=warnings)
            if target.options.dry_run:
                return Written(obj=new, warnings=warnings)
            stored = self._commit(resource, record, new)
            if stored is not None:
                return Written(obj=stored, warnings=warnings)
        raise errors.conflict(resource.plural, resource.group, name)

    def _build(
        self, target: RuleTarget, old: Json, asked: Json, warnings: list[str], *, kind: str, managed: bool
    ) -> Json | None:
        """Return the new state, None if nothing changes."""
        resource, subresource = target.resource, target.subresource
        custom = self.is_custom(resource)
        new = strategies.keep_system_metadata(old, asked)
        if not managed:
            new["metadata"]["managedFields"] = self._managed(target, old, new)
        new = self._mutate(target, Operation.UPDATE, new, old, warnings, kind=kind)
        new = strategies.prepare_update(resource, old, new, subresource, custom=custom)
        found = validation.create_errors(resource, new) if not custom and subresource != "finalize" else []
        found += validation.update_errors(resource, old, new, subresource)
        if found:
            raise errors.invalid(resource.kind, resource.group, target.name, found)
        warnings += validation.warnings(resource, new)
        self.admit.validate(target, Operation.UPDATE, new, old, warnings, kind=kind)
        return None if json_equal(new, old) else new

    def _managed(self, target: RuleTarget, old: Json, new: Json) -> list[Json]:
        return apply.track_update(
            old, new, self.schema(target.resource), manager=target.options.manager, now=now_text(),
            subresource=target.subresource if target.subresource in {"status", "scale"} else "",
        )  # fmt: skip

    def replace(self, target: RuleTarget, record: Record, new: Json) -> Json | None:
        """Write a changed object that admission has seen in another form; None if another write came between."""
        old = record.obj
        new = strategies.keep_system_metadata(old, new)
        new["metadata"]["managedFields"] = self._managed(target, old, new)
        custom = self.is_custom(target.resource)
        new = strategies.prepare_update(target.resource, old, new, target.subresource, custom=custom)
        if target.options.dry_run or json_equal(new, old):
            return new
        return self._commit(target.resource, record, new)

    def _commit(self, resource: ResourceInfo, record: Record, new: Json) -> Json | None:
        """Write unless another write came between: then None."""
        metadata = new["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        with self.store.lock:
            if self.store.record(resource.key, namespace, name) is not record:
                return None
            if metadata.get("deletionTimestamp") and not strategies.finalizers(resource, new):
                return self.store.remove(resource, namespace, name, new).obj
            return self.store.put(resource, new).obj

    # --- in bulk ---

    def load(self, objects: Iterable[Json]) -> None:
        """Store objects with defaults, but without admission, validation, quota or managed fields."""
        options = WriteOptions(validation="Ignore")
        for body in objects:
            resource = self.table.by_kind(body["apiVersion"], body["kind"])
            obj = self.read(resource, body, options, [])
            obj["metadata"] = {"uid": str(uuid.uuid4()), "creationTimestamp": now_text(), **obj["metadata"]}
            strategies.prepare_create(resource, obj, custom=self.is_custom(resource))
            self.store.put(resource, obj)


def _check_identity(resource: ResourceInfo, name: str, old: Json, asked: Json) -> None:
    version = asked["metadata"].get("resourceVersion")
    if version and version != old["metadata"]["resourceVersion"]:
        raise errors.conflict(resource.plural, resource.group, name)
    uid = asked["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        raise errors.conflict(resource.plural, resource.group, name, why)


def _match_namespace(metadata: Json, namespace: str) -> None:
    if namespace:
        if metadata.get("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
