"""What all controllers need of objects: owners, templates, hashes, conditions, status."""

from __future__ import annotations

import copy
import datetime as dt
import json
from typing import Any, Protocol

from standin.admission.equality import semantically_equal
from standin.errors import ApiError
from standin.interfaces import Client, Json, Store, User

HASH_LABEL = "pod-template-hash"
REVISION_HASH_LABEL = "controller-revision-hash"
_SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


class Acts(Protocol):
    """What a controller works with; `manager.ControllerManager` makes one for each."""

    @property
    def store(self) -> Store: ...

    @property
    def client(self) -> Client: ...

    def event(self, obj: Json, reason: str, message: str, *, kind: str = "Normal") -> None: ...


def controller_user(name: str) -> User:
    """Return the user kube-controller-manager's controller `name` acts as (``--use-service-account-credentials``)."""
    return User(
        name=f"system:serviceaccount:kube-system:{name}",
        uid=f"00000000-0000-4000-8000-{fnv32a(name.encode()):012x}",
        groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
    )


def fnv32a(data: bytes) -> int:
    """32-bit FNV-1a, the hash behind ``pod-template-hash``."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def template_hash(template: Json, collision_count: int | None = None) -> str:
    """Hash a pod template into the alphabet of names.

    Same inputs, same form as the real one, but not the same value: that one hashes a dump of Go structures.
    """
    data = json.dumps(template, sort_keys=True)
    if collision_count is not None:
        data += str(collision_count)
    return "".join(_SAFE_ALPHABET[ord(digit) % len(_SAFE_ALPHABET)] for digit in str(fnv32a(data.encode())))


def same_template(first: Json, second: Json) -> bool:
    """Compare two pod templates as the Deployment controller does: without the hash label."""
    return semantically_equal(_without_hash(first), _without_hash(second))


def _without_hash(template: Json) -> Json:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def owner_reference(owner: Json) -> Json:
    """Return the controller reference children of `owner` carry."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Json) -> Json | None:
    """Return the owner reference with ``controller: true``, or None."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def controlled_by(store: Store, resource: str, owner: Json) -> list[Json]:
    """Return the objects `owner` controls, oldest first."""
    uid = owner["metadata"]["uid"]
    found = [
        obj
        for obj in store.list(resource, owner["metadata"]["namespace"])
        if (reference := controller_of(obj)) is not None and reference["uid"] == uid
    ]
    return sorted(found, key=lambda obj: (obj["metadata"].get("creationTimestamp", ""), obj["metadata"]["name"]))


def is_deleting(obj: Json) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_active(pod: Json) -> bool:
    """Tell whether a Pod still counts as a replica."""
    return not is_deleting(pod) and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}


def is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def pod_from_template(owner: Json, template: Json, **metadata: Any) -> Json:
    """Return the Pod that a controller creates for `owner`: template metadata, owner, `metadata` on top."""
    given = template.get("metadata") or {}
    kept = {key: copy.deepcopy(given[key]) for key in ("labels", "annotations", "finalizers") if given.get(key)}
    labels = {**kept.pop("labels", {}), **metadata.pop("labels", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": owner["metadata"]["namespace"],
            "generateName": f"{owner['metadata']['name']}-",
            **kept,
            **({"labels": labels} if labels else {}),
            "ownerReferences": [owner_reference(owner)],
            **metadata,
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def now() -> str:
    """Return the time as metav1.Time prints it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_condition(conditions: list[Json], type_: str, status: str, reason: str, message: str) -> list[Json]:
    """Set one condition; the transition time moves only when the status does."""
    old = next((condition for condition in conditions if condition["type"] == type_), None)
    if old is not None and (old["status"], old["reason"], old["message"]) == (status, reason, message):
        return conditions
    moved = now()
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else moved
    new = {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    return [condition for condition in conditions if condition["type"] != type_] + [new]


def write_status(client: Client, resource: str, obj: Json, status: Json) -> None:
    """Write `status` if it says anything new."""
    if not semantically_equal(obj.get("status"), status):
        client.update(
            resource,
            obj["metadata"].get("namespace", ""),
            {**copy.deepcopy(obj), "status": status},
            subresource="status",
        )


def delete_if_there(client: Client, resource: str, obj: Json, *, propagation: str = "Background") -> None:
    """Delete exactly this object; somebody else having been faster is fine."""
    metadata = obj["metadata"]
    try:
        client.delete(
            resource, metadata.get("namespace", ""), metadata["name"], propagation=propagation, uid=metadata["uid"]
        )
    except ApiError as error:
        if error.code not in {404, 409}:
            raise
