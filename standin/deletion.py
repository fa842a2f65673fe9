"""Deleting objects: preconditions, finalizers, what becomes of dependents."""

from standin import errors, namespaces
from standin.interfaces import Json, Operation, ResourceInfo
from standin.registry import ATTEMPTS, Registry
from standin.strategies import finalizers
from standin.writes import RuleTarget, Written, now_text

_RETURNS_DELETED = frozenset({"pods", "serviceaccounts", "services", "podtemplates", "resourcequotas"})


def delete(registry: Registry, target: RuleTarget, options: Json) -> Written:
    """DELETE of an object; `options` are its DeleteOptions.

    Dependents of what is deleted are left to the garbage collector of the controllers, `Foreground` being treated as
    `Background`; `Orphan` takes their reference away at once.

    Raises:
        ApiError: 404; 409 for a precondition that fails; whatever admission answers.
    """
    resource, namespace, name = target.resource, target.namespace, target.name
    store = registry.store
    for _ in range(ATTEMPTS):
        record = store.record(resource.key, namespace, name)
        if record is None:
            raise errors.not_found(resource.plural, resource.group, name)
        old = record.obj
        _check_preconditions(resource, name, old, options.get("preconditions") or {})
        warnings: list[str] = []
        registry.admit.run(target, Operation.DELETE, None, old, warnings)
        if resource.key == "namespaces":
            namespaces.check_delete(old)
        if target.options.dry_run:
            return Written(obj=_answer(resource, old), warnings=warnings)
        with store.lock:
            if store.record(resource.key, namespace, name) is not record:
                continue
            if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents"):
                _orphan(registry, old["metadata"]["uid"])
            if not finalizers(resource, old):
                return Written(obj=_answer(resource, store.remove(resource, namespace, name).obj), warnings=warnings)
            if old["metadata"].get("deletionTimestamp"):
                return Written(obj=old, warnings=warnings)
            return Written(obj=store.put(resource, _marked(resource, old)).obj, warnings=warnings)
    raise errors.conflict(resource.plural, resource.group, name)


def _check_preconditions(resource: ResourceInfo, name: str, obj: Json, wanted: Json) -> None:
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    actual = obj["metadata"]
    # These two texts name the kind, not the resource (recorded).
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


def _orphan(registry: Registry, uid: str) -> None:
    for resource in registry.table.stored():
        for obj in registry.store.list(resource.key):
            owners = obj["metadata"].get("ownerReferences")
            if owners and any(owner.get("uid") == uid for owner in owners):
                left = [owner for owner in owners if owner.get("uid") != uid]
                metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
                registry.store.put(
                    resource, {**obj, "metadata": metadata | ({"ownerReferences": left} if left else {})}
                )


def _marked(resource: ResourceInfo, obj: Json) -> Json:
    metadata = {**obj["metadata"], "deletionTimestamp": now_text()}
    if resource.key != "namespaces":
        metadata["deletionGracePeriodSeconds"] = 0
        return {**obj, "metadata": metadata}
    return {**obj, "metadata": metadata, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}


def _answer(resource: ResourceInfo, obj: Json) -> Json:
    if resource.key in _RETURNS_DELETED:
        return obj
    details: Json = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
