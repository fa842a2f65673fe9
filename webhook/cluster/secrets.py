"""Secret JSON decoded and encoded, and the three Secret writes."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.cluster.wire import Content
from webhook.core.keyring import MAX_BYTES
from webhook.core.names import FIELD_MANAGER, LAST_APPLIED_ANNOTATION, MANAGED_BY_LABEL, PULL_SECRET_KEYS, SECRET_KEY
from webhook.core.ownership import MARKS, Secret
from webhook.ports import Deadline

LABEL_MARKS: Final = frozenset({MANAGED_BY_LABEL})
"""Those of `MARKS` that are labels; the others are annotations. One in the wrong place means nothing."""

ANNOTATION_MARKS: Final = MARKS - LABEL_MARKS


_DATA_BYTES: Final = 4 * MAX_BYTES
"""`data` up to this size is read as a whole: the credentials in base64 are a third of it."""


_NULL: Final = msgspec.Raw(b"null")

_MARK_LENGTH: Final = 512
"""A namespace and a name with a slash between them have 317 characters, and no mark we obey is longer."""

_TYPE_LENGTH: Final = 253
"""The API server does not limit a Secret's type."""


def _reader_of(keys: Iterable[str]) -> type[msgspec.Struct]:
    """Make a type that reads these labels or annotations and passes over all others."""
    fields: list[tuple[str, Any, Any]] = [
        (f"mark_{number}", str | None, msgspec.field(name=key, default=None)) for number, key in enumerate(sorted(keys))
    ]
    return msgspec.defstruct("Marks", fields, omit_defaults=True)


_LABELS: Final = _reader_of(LABEL_MARKS)
_ANNOTATIONS: Final = _reader_of(ANNOTATION_MARKS)


class _Fields(msgspec.Struct, gc=False):
    """A manifest with `stringData` owns that field, though what it says lies in `data`."""

    data: msgspec.Raw = msgspec.field(name="f:data", default=_NULL)
    string_data: msgspec.Raw = msgspec.field(name="f:stringData", default=_NULL)


class _Managed(msgspec.Struct, gc=False):
    manager: str = ""
    operation: str = ""
    fields: _Fields | None = msgspec.field(name="fieldsV1", default=None)


class _Applied(msgspec.Struct):
    last: msgspec.Raw = msgspec.field(name=LAST_APPLIED_ANNOTATION, default=_NULL)


class _Metadata(msgspec.Struct, rename="camel"):
    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    labels: msgspec.Raw = _NULL
    annotations: msgspec.Raw = _NULL
    owner_references: msgspec.Raw = _NULL
    managed_fields: list[_Managed] | None = None
    deletion_timestamp: str | None = None


class _Secret(msgspec.Struct):
    metadata: _Metadata
    type: str = ""
    immutable: bool | None = None
    data: msgspec.Raw = _NULL


class _PullData(msgspec.Struct):
    json: msgspec.Raw = msgspec.field(name=SECRET_KEY, default=_NULL)
    cfg: msgspec.Raw = msgspec.field(name=".dockercfg", default=_NULL)


def decode(content: Content, whole: bool = True) -> Secret:
    """Read a `v1` Secret; of one whose credentials are beyond `MAX_BYTES` everything else.

    Lists leave out `kind` and `apiVersion` of their items; neither is looked at.

    Args:
        content: The Secret's JSON, or its metadata alone.
        whole: It is not the metadata alone.

    Raises:
        ValueError: It has not the shape of a Secret.
    """
    read = wire.read(content, _Secret)
    metadata = read.metadata
    kind = read.type[:_TYPE_LENGTH] or "Opaque"
    payload, extra_keys, too_large = _read_data(kind, read.data)
    owners, more_owners = wire.entries(metadata.owner_references, 1)
    return Secret(
        namespace=metadata.namespace,
        name=metadata.name,
        type=kind,
        payload=payload,
        extra_keys=extra_keys,
        too_large=too_large or not whole,
        marks={
            **_read_marks(metadata.labels, _LABELS),
            **_read_marks(metadata.annotations, _ANNOTATIONS),
        },
        owned=bool(owners or more_owners),
        owner=_owner(owners),
        given_away=_given_away(metadata),
        written_by_us=any(entry.manager == FIELD_MANAGER for entry in metadata.managed_fields or ()),
        immutable=bool(read.immutable),
        deleting=metadata.deletion_timestamp is not None,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )


def _read_marks(values: msgspec.Raw, kind: type[msgspec.Struct]) -> dict[str, str]:
    if values == _NULL:
        return {}
    marks: dict[str, str] = msgspec.to_builtins(wire.read(values, kind))
    return {key: value[:_MARK_LENGTH] for key, value in marks.items()}


def _read_data(kind: str, data: msgspec.Raw) -> tuple[bytes | None, bool, bool]:
    """Read the credentials, whether there are other keys, and whether the credentials are too large to be read."""
    key = PULL_SECRET_KEYS.get(kind)
    if len(memoryview(data)) <= _DATA_BYTES:
        values = {} if data == _NULL else wire.read(data, dict[str, Any])
        payload = _value(values.get(key)) if key else None
        if payload is not None and len(payload) > MAX_BYTES:
            return None, len(values) > 1, True
        return payload, any(other != key for other in values), False
    pull = wire.read(data, _PullData)
    value = {SECRET_KEY: pull.json, None: _NULL}.get(key, pull.cfg)
    if len(memoryview(value)) > _DATA_BYTES // 2:
        return None, False, True
    # The credentials are less than half of it, so there is more.
    return _value(wire.read(value, object)), True, False


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
        """Create a Secret; a dry run asks the API server whether it would be admitted."""
        target = Target(verb=Verb.CREATE, resource="secrets", namespace=secret.namespace, about=secret.name)
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return self._client.read(target, deadline, decode, query=query, body=encode(secret))

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
                # A mark that is no longer true goes with the write that makes it so.
                "labels": {**dict.fromkeys(LABEL_MARKS), **wanted["metadata"]["labels"]},
                "annotations": {**dict.fromkeys(ANNOTATION_MARKS), **wanted["metadata"]["annotations"]},
            },
            "type": secret.type,
            "data": {"$patch": "replace", **wanted["data"]},
        }
        query = {"fieldManager": FIELD_MANAGER}
        return self._client.read(target, deadline, decode, query=query, body=patch, patch_type=PatchType.STRATEGIC)

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        """Delete a Secret if it is still this one."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": secret.uid, "resourceVersion": secret.resource_version},
        }
        self._client.request(_target(Verb.DELETE, secret), deadline, body=options)


def _given_away(metadata: _Metadata) -> bool:
    if metadata.annotations != _NULL and wire.read(metadata.annotations, _Applied).last != _NULL:
        return True
    return any(
        entry.operation == "Apply"
        and entry.manager != FIELD_MANAGER
        and entry.fields is not None
        and not (entry.fields.data == entry.fields.string_data == _NULL)
        for entry in metadata.managed_fields or ()
    )


def _target(verb: Verb, secret: Secret) -> Target:
    return Target(verb=verb, resource="secrets", namespace=secret.namespace, name=secret.name)


def _data(secret: Secret) -> dict[str, str]:
    if secret.payload is None:
        return {}
    return {PULL_SECRET_KEYS[secret.type]: base64.b64encode(secret.payload).decode("ascii")}


def _only(values: Mapping[str, str] | None, keys: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (values or {}).items() if key in keys}


def _owner(owners: Sequence[Any]) -> str:
    """Name the first owner."""
    return f"{owners[0]['kind']} {owners[0]['name']}" if owners else ""


def _value(encoded: object) -> bytes | None:
    # The API server lets nothing else than base64 in; what is not counts as absent rather than stop a watch for good.
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
