"""Secrets as JSON to `webhook.core.copies.Secret` and back, and the three writes."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from webhook.cluster.client import Client
from webhook.cluster.errors import decoded
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.core.names import FIELD_MANAGER, LAST_APPLIED_ANNOTATION, MANAGED_BY_LABEL, PULL_SECRET_KEYS
from webhook.core.ownership import MARKS, Secret
from webhook.ports import Deadline

LABEL_MARKS: Final = frozenset({MANAGED_BY_LABEL})
"""Those of `MARKS` that are labels; the others are annotations. One in the wrong place means nothing."""

ANNOTATION_MARKS: Final = MARKS - LABEL_MARKS

_DATA: Final = frozenset({"f:data", "f:stringData"})
"""A manifest with `stringData` owns that field, though what it says lies in `data`."""


def decode(obj: Mapping[str, Any]) -> Secret:
    """Read a `v1` Secret.

    Lists leave out `kind` and `apiVersion` of their items; neither is looked at.

    Raises:
        KeyError, TypeError, AttributeError: It has not the shape of a Secret.
    """
    metadata = obj["metadata"]
    kind = obj.get("type") or "Opaque"
    data = obj.get("data") or {}
    key = PULL_SECRET_KEYS.get(kind)
    return Secret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        type=kind,
        payload=_value(data.get(key)) if key else None,
        extra_keys=any(other != key for other in data),
        marks={
            **_only(metadata.get("labels"), LABEL_MARKS),
            **_only(metadata.get("annotations"), ANNOTATION_MARKS),
        },
        owned=bool(metadata.get("ownerReferences")),
        owner=_owner(metadata),
        given_away=_given_away(metadata),
        written_by_us=any(entry.get("manager") == FIELD_MANAGER for entry in metadata.get("managedFields") or ()),
        immutable=bool(obj.get("immutable")),
        deleting="deletionTimestamp" in metadata,
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
    )


def encode(secret: Secret) -> dict[str, Any]:
    """Write a `v1` Secret, without what only the API server sets.

    Raises:
        KeyError: Of a type that holds no registry credentials; we make none of those.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "namespace": secret.namespace,
            "labels": _only(secret.marks, LABEL_MARKS),
            "annotations": _only(secret.marks, ANNOTATION_MARKS),
        },
        "type": secret.type,
        "data": _data(secret),
    }


class ClusterSecretWriter:
    """`webhook.ports.SecretWriter` by the API server; one call each.

    RBAC: `create` (which cannot be limited by name), `patch` and `delete` with `resourceNames: [ghcr-secret]`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, secret: Secret, deadline: Deadline, *, dry_run: bool = False) -> Secret:
        """Create a Secret; a dry run asks the API server whether it would be let in."""
        target = Target(verb=Verb.CREATE, resource="secrets", namespace=secret.namespace, about=secret.name)
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return decoded(target, decode, self._client.request(target, deadline, query=query, body=encode(secret)))

    def update(self, secret: Secret, deadline: Deadline) -> Secret:
        """Bring a Secret to this content and these marks; labels and annotations of others stay.

        A strategic-merge patch can replace a map as a whole (`$patch: replace`), so that keys we do not know of go
        without having been read; and one that names a resourceVersion is refused with 409 if it is no longer that
        one. (A failing `test` of a JSON patch gives a 422 like any other mistake in a patch.)
        """
        target = _target(Verb.PATCH, secret)
        wanted = encode(secret)
        patch = {
            "metadata": {
                "resourceVersion": secret.resource_version,
                "labels": wanted["metadata"]["labels"],
                "annotations": wanted["metadata"]["annotations"],
            },
            "type": secret.type,
            "data": {"$patch": "replace", **wanted["data"]},
        }
        query = {"fieldManager": FIELD_MANAGER}
        changed = self._client.request(target, deadline, query=query, body=patch, patch_type=PatchType.STRATEGIC)
        return decoded(target, decode, changed)

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        """Delete a Secret if it is still this one."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": secret.uid, "resourceVersion": secret.resource_version},
        }
        self._client.request(_target(Verb.DELETE, secret), deadline, body=options)


def _given_away(metadata: Mapping[str, Any]) -> bool:
    """Tell whether somebody else applied the Secret, on the client's side or the server's.

    `edit`, `patch` and `create` leave neither trace, nor does server-side apply of labels only.
    """
    if LAST_APPLIED_ANNOTATION in (metadata.get("annotations") or {}):
        return True
    return any(
        entry.get("operation") == "Apply"
        and entry.get("manager") != FIELD_MANAGER
        and not _DATA.isdisjoint(entry.get("fieldsV1") or ())
        for entry in metadata.get("managedFields") or ()
    )


def _target(verb: Verb, secret: Secret) -> Target:
    return Target(verb=verb, resource="secrets", namespace=secret.namespace, name=secret.name)


def _data(secret: Secret) -> dict[str, str]:
    if secret.payload is None:
        return {}
    return {PULL_SECRET_KEYS[secret.type]: base64.b64encode(secret.payload).decode("ascii")}


def _only(values: Mapping[str, str] | None, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (values or {}).items() if key in keys}


def _owner(metadata: Mapping[str, Any]) -> str:
    """Name the first owner."""
    for owner in metadata.get("ownerReferences") or ():
        return f"{owner['kind']} {owner['name']}"
    return ""


def _value(encoded: object) -> bytes | None:
    # The API server lets nothing else than base64 in; what is not counts as absent rather than stop a watch for good.
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
