"""What requests do to objects: create, update, patch, apply, delete, each through defaults, admission and validation."""

import copy
import datetime as dt
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.apiserver import apply, decode, errors, namespaces, patches, quota, strategies, validation
from tests.apiserver.defaults import set_defaults
from tests.apiserver.errors import ApiError
from tests.apiserver.interfaces import Admission, Attributes, Json, Operation, ResourceInfo, User
from tests.apiserver.resources import ResourceTable
from tests.apiserver.schema import Node, Schemas
from tests.apiserver.store import MemoryStore, Record

# An update that names no resourceVersion is tried again when another came between.
ATTEMPTS = 16
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RETURNS_DELETED = frozenset({"pods", "serviceaccounts", "services", "podtemplates", "resourcequotas"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The query of a write. `manager` is never empty."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    named_manager: bool = False
    explicit_validation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write answers."""

    obj: Json
    created: bool = False
    warnings: list[str] = field(default_factory=list)


def now_text() -> str:
    """Return the time as `metav1.Time` is written."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix(length: int = 5) -> str:
    """Return a suffix as `generateName` gets it."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Registry:
    """Writes to the store as the API server does. Thread-safe; the store's lock is held only to commit."""

    def __init__(self, store: MemoryStore, table: ResourceTable, schemas: Schemas) -> None:
        self.store = store
        self.table = table
        self.schemas = schemas
        self.admission: Admission | None = None
        self.after_create: Callable[[ResourceInfo, str], None] | None = None

    # --- reading bodies ---

    def schema(self, resource: ResourceInfo) -> Node:
        """Return the schema of a resource's kind."""
        return self.schemas.of(resource.group, resource.version, resource.kind)

    def _custom(self, resource: ResourceInfo) -> bool:
        return self.table.version_of_crd(resource) is not None

    def read(self, resource: ResourceInfo, body: Any, options: WriteOptions, warnings: list[str]) -> Json:
        """Return a body as its kind holds it, with defaults; a copy, never shared with `body`."""
        if not isinstance(body, dict):
            raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
        kind, api_version = body.get("kind", resource.kind), body.get("apiVersion", resource.api_version)
        if (kind, api_version) != (resource.kind, resource.api_version):
            raise errors.bad_request(
                f"{kind} in version {api_version} does not match the expected {resource.kind} in {resource.api_version}"
            )
        obj, unknown = decode.normalise(body, self.schema(resource), resource)
        if unknown and options.validation != "Ignore":
            if options.validation == "Strict":
                listed = ", ".join(f'unknown field "{path}"' for path in unknown)
                raise decode.cannot_be_handled(resource, f"strict decoding error: {listed}")
            warnings += [f'unknown field "{path}"' for path in unknown]
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        metadata = obj.setdefault("metadata", {})
        for name in ("labels", "annotations"):
            if metadata.get(name) == {}:
                del metadata[name]
        if resource.key == "secrets":
            obj = decode.secret_data(obj, resource)
        if unknown or self._custom(resource):
            return obj
        set_defaults(resource.key, obj)
        return obj

    # --- create ---

    def create(
        self, user: User, resource: ResourceInfo, namespace: str, body: Any, options: WriteOptions, *, name: str = ""
    ) -> Written:
        """POST to a collection. Raises ApiError."""
        warnings: list[str] = []
        obj = self.read(resource, body, options, warnings)
        return self._create(user, resource, namespace, obj, options, warnings, name=name, managed=False)

    def _create(
        self, user: User, resource: ResourceInfo, namespace: str, obj: Json, options: WriteOptions,
        warnings: list[str], *, name: str, managed: bool,
    ) -> Written:  # fmt: skip
        metadata = obj["metadata"]
        _match_namespace(metadata, namespace)
        name = metadata.get("name") or name
        for key in ("uid", "creationTimestamp", "deletionTimestamp", "generation", "deletionGracePeriodSeconds"):
            metadata.pop(key, None)
        if metadata.pop("resourceVersion", None):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        prefix = metadata.get("generateName", "")
        if not name and not prefix:
            text = "Required value: name or generateName is required"
            raise errors.invalid(
                resource.kind, resource.group, "",
                [errors.FieldError(reason="FieldValueRequired", message=text, field="metadata.name")],
            )  # fmt: skip
        now = now_text()
        if not managed:
            fields = apply.track_update(None, obj, self.schema(resource), manager=options.manager, now=now)
            metadata["managedFields"] = fields
        namespaces.check_create(self.store, resource, namespace, name)
        attributes = self._attributes(user, resource, namespace, name, options, Operation.CREATE, obj=obj)
        obj = self._mutate(attributes, options, warnings)
        obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
        if not name:
            name = obj["metadata"]["name"] = prefix[:58] + random_suffix()
        elif "name" not in obj["metadata"]:
            obj["metadata"]["name"] = name
        strategies.prepare_create(resource, obj, custom=self._custom(resource))
        found = validation.create_errors(resource, obj)
        if found:
            raise errors.invalid(resource.kind, resource.group, name, found)
        warnings += validation.warnings(resource, obj)
        final = self._attributes(user, resource, namespace, name, options, Operation.CREATE, obj=obj)
        if self.admission is not None:
            warnings += self.admission.validate(final)
        with self.store.lock:
            if self.store.record(resource.key, namespace, name) is not None:
                raise errors.already_exists(resource.plural, resource.group, name)
            quota.check_create(self.store, resource, namespace, name)
            # Again under the lock: its namespace may have gone meanwhile.
            namespaces.check_create(self.store, resource, namespace, name)
            if options.dry_run:
                return Written(obj=obj, created=True, warnings=warnings)
            stored = self.store.put(resource, obj).obj
        if self.after_create is not None:
            self.after_create(resource, name)
        return Written(obj=stored, created=True, warnings=warnings)

    def _attributes(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, options: WriteOptions,
        operation: Operation, *, obj: Json | None, old: Json | None = None, subresource: str = "", kind: str = "",
    ) -> Attributes:  # fmt: skip
        sent: Json = {"kind": kind or f"{operation.value.title()}Options", "apiVersion": "meta.k8s.io/v1"}
        if options.dry_run:
            sent["dryRun"] = ["All"]
        if options.named_manager:
            sent["fieldManager"] = options.manager
        if options.explicit_validation:
            sent["fieldValidation"] = options.validation
        verb = "patch" if kind == "PatchOptions" else operation.value.lower()
        return Attributes(
            user=user, verb=verb, operation=operation, resource=resource, subresource=subresource, namespace=namespace,
            name=name, object=obj, old_object=old, dry_run=options.dry_run, options=sent,
        )  # fmt: skip

    def _mutate(self, attributes: Attributes, options: WriteOptions, warnings: list[str]) -> Json:
        """Run mutating admission; what it changed is read again, so that defaults hold for it too."""
        before = attributes.object or {}
        if self.admission is None:
            return before
        after, more = self.admission.mutate(attributes)
        warnings += more
        if after is None or after is before:
            return before
        read = WriteOptions(manager=options.manager, validation="Ignore")
        return (
            after
            if attributes.subresource in {"scale", "eviction"}
            else self.read(attributes.resource, after, read, [])
        )

    # --- update ---

    def update(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, body: Any, options: WriteOptions,
        *, subresource: str = "",
    ) -> Written:  # fmt: skip
        """PUT of an object or one of its subresources. Raises ApiError."""

        def change(old: Json, warnings: list[str]) -> Json:
            obj = self.read(resource, body, options, warnings)
            metadata = obj["metadata"]
            _match_namespace(metadata, namespace)
            if metadata.get("name", name) != name:
                raise errors.bad_request(
                    f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
                )
            metadata["name"] = name
            if not metadata.get("resourceVersion") and (
                resource.key in strategies.CONDITIONAL_ONLY or self._custom(resource)
            ):
                text = "Invalid value: 0: must be specified for an update"
                raise errors.invalid(
                    resource.kind, resource.group, name,
                    [errors.FieldError(reason="FieldValueInvalid", message=text, field="metadata.resourceVersion")],
                )  # fmt: skip
            return obj

        return self.modify(user, resource, namespace, name, change, options, subresource=subresource)

    def patch(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, patch_type: str, patch: Any,
        options: WriteOptions, *, subresource: str = "",
    ) -> Written:  # fmt: skip
        """PATCH of an object or one of its subresources, server-side apply included. Raises ApiError."""
        if patch_type == patches.APPLY_PATCH:
            return self._apply(user, resource, namespace, name, patch, options, subresource=subresource)
        if patch_type == patches.STRATEGIC_PATCH and self._custom(resource):
            raise errors.unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
            )

        def change(old: Json, warnings: list[str]) -> Json:
            patched = patches.apply(patch_type, old, patch, self.schema(resource))
            return self.read(resource, patched, options, warnings)

        return self.modify(
            user, resource, namespace, name, change, options, subresource=subresource, kind="PatchOptions"
        )

    def _apply(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, config: Any, options: WriteOptions,
        *, subresource: str,
    ) -> Written:  # fmt: skip
        if not options.named_manager:
            raise errors.invalid(
                "PatchOptions", "meta.k8s.io", "",
                [errors.FieldError(
                    reason="FieldValueRequired", message="Required value: is required for apply patch", field="fieldManager",
                )],
            )  # fmt: skip
        if not isinstance(config, dict) or (config.get("kind"), config.get("apiVersion")) != (
            resource.kind,
            resource.api_version,
        ):
            raise errors.bad_request("the apply patch must name the apiVersion and kind of the object")
        schema = self.schema(resource)
        warnings: list[str] = []
        clean, unknown = decode.normalise(config, schema, resource)
        if unknown and options.validation == "Strict":
            raise decode.cannot_be_handled(
                resource, "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown)
            )
        warnings += [f'unknown field "{path}"' for path in unknown]
        metadata = clean.setdefault("metadata", {})
        if metadata.pop("managedFields", None):
            raise errors.bad_request("metadata.managedFields must be nil")
        _match_namespace(metadata, namespace)
        metadata["name"] = name

        def change(old: Json, _: list[str]) -> Json:
            made = apply.apply(
                old,
                clean,
                schema,
                manager=options.manager,
                force=options.force,
                now=now_text(),
                subresource=subresource,
            )
            return self.read(resource, made, options, [])

        if self.store.record(resource.key, namespace, name) is None and not subresource:
            made = apply.apply(None, clean, schema, manager=options.manager, force=options.force, now=now_text())
            obj = self.read(resource, made, options, [])
            try:
                return self._create(user, resource, namespace, obj, options, warnings, name=name, managed=True)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
        written = self.modify(
            user, resource, namespace, name, change, options, subresource=subresource, kind="PatchOptions", managed=True
        )
        return Written(obj=written.obj, warnings=warnings + written.warnings)

    def modify(
        self,
        user: User,
        resource: ResourceInfo,
        namespace: str,
        name: str,
        change: Callable[[Json, list[str]], Json],
        options: WriteOptions,
        *,
        subresource: str = "",
        kind: str = "",
        managed: bool = False,
    ) -> Written:
        """Read, change, admit, validate and write an object; again from the start if it changed meanwhile."""
        for _ in range(ATTEMPTS):
            record = self.store.record(resource.key, namespace, name)
            if record is None:
                raise errors.not_found(resource.plural, resource.group, name)
            warnings: list[str] = []
            old = (
                record.obj
                if record.obj["apiVersion"] == resource.api_version
                else {**record.obj, "apiVersion": resource.api_version}
            )
            asked = change(old, warnings)
            self._check_identity(resource, name, old, asked)
            new = self._build(
                user, resource, old, asked, options, warnings, subresource=subresource, kind=kind, managed=managed
            )
            if new is None:
                return Written(obj=old, warnings=warnings)
            if options.dry_run:
                return Written(obj=new, warnings=warnings)
            stored = self._commit(resource, record, new)
            if stored is not None:
                return Written(obj=stored, warnings=warnings)
        raise errors.conflict(resource.plural, resource.group, name)

    def _check_identity(self, resource: ResourceInfo, name: str, old: Json, asked: Json) -> None:
        version = asked["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise errors.conflict(resource.plural, resource.group, name)
        uid = asked["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise errors.conflict(
                resource.plural, resource.group, name,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}",
            )  # fmt: skip

    def _build(
        self, user: User, resource: ResourceInfo, old: Json, asked: Json, options: WriteOptions, warnings: list[str],
        *, subresource: str, kind: str, managed: bool,
    ) -> Json | None:  # fmt: skip
        """Return the new state, None if nothing changes."""
        custom = self._custom(resource)
        new = strategies.keep_system_metadata(old, asked)
        if not managed:
            new["metadata"]["managedFields"] = apply.track_update(
                old, new, self.schema(resource), manager=options.manager, now=now_text(),
                subresource=subresource if subresource == "status" else "",
            )  # fmt: skip
        name, namespace = old["metadata"]["name"], old["metadata"].get("namespace", "")
        attributes = self._attributes(
            user,
            resource,
            namespace,
            name,
            options,
            Operation.UPDATE,
            obj=new,
            old=old,
            subresource=subresource,
            kind=kind,
        )
        new = self._mutate(attributes, options, warnings)
        new = strategies.prepare_update(resource, old, new, subresource, custom=custom)
        found = validation.create_errors(resource, new) if not custom and subresource != "finalize" else []
        found += validation.update_errors(resource, old, new, subresource)
        if found:
            raise errors.invalid(resource.kind, resource.group, name, found)
        warnings += validation.warnings(resource, new)
        if self.admission is not None:
            warnings += self.admission.validate(
                self._attributes(
                    user,
                    resource,
                    namespace,
                    name,
                    options,
                    Operation.UPDATE,
                    obj=new,
                    old=old,
                    subresource=subresource,
                    kind=kind,
                )
            )
        same = new == old and orjson.dumps(new, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            old, option=orjson.OPT_SORT_KEYS
        )
        return None if same else new

    def _commit(self, resource: ResourceInfo, record: Record, new: Json) -> Json | None:
        """Write unless another write came between: then None."""
        metadata = new["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        with self.store.lock:
            if self.store.record(resource.key, namespace, name) is not record:
                return None
            if metadata.get("deletionTimestamp") and not _finalizers(resource, new):
                return self.store.remove(resource, namespace, name, new).obj
            return self.store.put(resource, new).obj

    def replace(
        self, resource: ResourceInfo, record: Record, new: Json, options: WriteOptions, *, subresource: str = ""
    ) -> Json | None:
        """Write a changed object that admission has seen in another form; None if another write came between."""
        old = record.obj
        new = strategies.keep_system_metadata(old, new)
        new["metadata"]["managedFields"] = apply.track_update(
            old, new, self.schema(resource), manager=options.manager, now=now_text(), subresource=subresource
        )
        new = strategies.prepare_update(resource, old, new, subresource, custom=self._custom(resource))
        if new == old or options.dry_run:
            return new
        return self._commit(resource, record, new)

    def admit_scale(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, options: WriteOptions,
        *, new: Json, old: Json, patch: bool,
    ) -> tuple[Json, list[str]]:  # fmt: skip
        """Run admission on a Scale."""
        warnings: list[str] = []
        kind = "PatchOptions" if patch else ""
        attributes = self._attributes(
            user, resource, namespace, name, options, Operation.UPDATE, obj=new, old=old, subresource="scale", kind=kind
        )
        admitted = self._mutate(attributes, options, warnings)
        final = self._attributes(
            user,
            resource,
            namespace,
            name,
            options,
            Operation.UPDATE,
            obj=admitted,
            old=old,
            subresource="scale",
            kind=kind,
        )
        if self.admission is not None:
            warnings += self.admission.validate(final)
        return admitted, warnings

    def admit_connect(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, options: WriteOptions, body: Json,
        subresource: str, operation: Operation = Operation.CONNECT,
    ) -> None:  # fmt: skip
        """Run admission on what is posted to a subresource and not stored: an Eviction, PodExecOptions."""
        attributes = self._attributes(
            user, resource, namespace, name, options, operation, obj=body, subresource=subresource
        )
        if self.admission is not None:
            self.admission.mutate(attributes)
            self.admission.validate(attributes)

    # --- delete ---

    def delete(
        self, user: User, resource: ResourceInfo, namespace: str, name: str, body: Json, options: WriteOptions
    ) -> Written:
        """DELETE of an object; `body` are its DeleteOptions. Raises ApiError."""
        warnings: list[str] = []
        for _ in range(ATTEMPTS):
            record = self.store.record(resource.key, namespace, name)
            if record is None:
                raise errors.not_found(resource.plural, resource.group, name)
            old = record.obj
            _check_preconditions(resource, name, old, body.get("preconditions") or {})
            attributes = self._attributes(user, resource, namespace, name, options, Operation.DELETE, obj=None, old=old)
            if self.admission is not None:
                warnings += self.admission.mutate(attributes)[1]
                warnings += self.admission.validate(attributes)
            if resource.key == "namespaces":
                namespaces.check_delete(name)
                if old["metadata"].get("deletionTimestamp"):
                    raise errors.conflict(resource.plural, resource.group, name, namespaces.DELETING)
            if options.dry_run:
                return Written(obj=_deleted(resource, old), warnings=warnings)
            with self.store.lock:
                if self.store.record(resource.key, namespace, name) is not record:
                    continue
                if body.get("propagationPolicy") == "Orphan" or body.get("orphanDependents"):
                    self._orphan(old["metadata"]["uid"])
                if _finalizers(resource, old):
                    if old["metadata"].get("deletionTimestamp"):
                        return Written(obj=old, warnings=warnings)
                    return Written(obj=self.store.put(resource, _marked(resource, old)).obj, warnings=warnings)
                last = self.store.remove(resource, namespace, name).obj
            return Written(obj=_deleted(resource, last), warnings=warnings)
        raise errors.conflict(resource.plural, resource.group, name)

    def _orphan(self, uid: str) -> None:
        """Take the reference to an owner away from its dependents, which then outlive it."""
        for resource in self.table.stored():
            for obj in self.store.list(resource.key):
                owners = obj["metadata"].get("ownerReferences")
                if owners and any(owner.get("uid") == uid for owner in owners):
                    left = [owner for owner in owners if owner.get("uid") != uid]
                    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
                    self.store.put(
                        resource, {**obj, "metadata": metadata | ({"ownerReferences": left} if left else {})}
                    )

    # --- in bulk ---

    def load(self, objects: list[Json]) -> None:
        """Store objects with defaults, but without admission, validation, quota or managed fields."""
        options = WriteOptions(validation="Ignore")
        for body in objects:
            group, _, version = body["apiVersion"].rpartition("/")
            resource = next(info for info in self.table.served(group, version) if info.kind == body["kind"])
            obj = self.read(resource, body, options, [])
            if obj is body:
                obj = copy.copy(body)
            obj["metadata"] = {"uid": str(uuid.uuid4()), "creationTimestamp": now_text(), **obj["metadata"]}
            strategies.prepare_create(resource, obj, custom=self._custom(resource))
            self.store.put(resource, obj)


def _match_namespace(metadata: Json, namespace: str) -> None:
    if namespace:
        if metadata.get("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)


def _finalizers(resource: ResourceInfo, obj: Json) -> list[str]:
    found: list[str] = list(obj["metadata"].get("finalizers") or ())
    if resource.key == "namespaces":
        found += (obj.get("spec") or {}).get("finalizers") or ()
    return found


def _marked(resource: ResourceInfo, obj: Json) -> Json:
    metadata = {**obj["metadata"], "deletionTimestamp": now_text()}
    if resource.key != "namespaces":
        metadata["deletionGracePeriodSeconds"] = 0
        return {**obj, "metadata": metadata}
    return {**obj, "metadata": metadata, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}


def _check_preconditions(resource: ResourceInfo, name: str, obj: Json, wanted: Json) -> None:
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    actual = obj["metadata"]
    # These two texts name the kind, not the resource (`storage/interfaces.go`).
    if uid and uid != actual["uid"]:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({actual['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(resource.kind, resource.group, name, why)
    if version and version != actual["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({actual['resourceVersion']}). The object might have been modified"
        )
        raise errors.conflict(resource.kind, resource.group, name, why)


def _deleted(resource: ResourceInfo, obj: Json) -> Json:
    if resource.key in _RETURNS_DELETED:
        return obj
    details: Json = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
