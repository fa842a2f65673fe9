"""Reads around Pods that cannot pull, each done once."""

from dataclasses import dataclass
from typing import Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.certificates import ADMISSION_V1, MUTATING
from webhook.cluster.client import Client
from webhook.cluster.hooks import APPS_V1
from webhook.cluster.objects import decode_namespace, find_account, find_namespace
from webhook.cluster.paging import whole_list
from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import decode as decode_secret
from webhook.cluster.wire import Content
from webhook.core.copies import Secret
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.ports import Deadline

_BATCH_V1: Final = "/apis/batch/v1"

_MADE_BY: Final = {"ReplicaSet": (APPS_V1, "replicasets"), "Job": (_BATCH_V1, "jobs")}
"""Controllers of Pods that mostly have a controller of their own, and where they are served."""

_METADATA_OF_ONE: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""An API server answers 406 if the media type of a list comes first and it is one object that is asked for."""

_WEBHOOKS: Final = ".ghcr-pull-secrets.io"
"""The end of the names of our webhooks, whatever the release is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSecret:
    """A Secret, and when its content was written last, as the API server has it; "" if that is not known."""

    secret: Secret
    written_at: str = ""


class ClusterSurroundings:
    """Reads what is around Pods; every method raises `ClusterError`, `Forbidden` where a permission is missing.

    RBAC, each only if it is there: `get` on secrets, serviceaccounts, replicasets and jobs, `get` or `list` on
    namespaces, `list` on nodes and mutatingwebhookconfigurations.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def namespace(self, name: str, deadline: Deadline) -> Namespace:
        """Read a Namespace; one that does not exist has no labels."""
        return find_namespace(self._client, name, deadline)

    def namespaces(self, deadline: Deadline) -> dict[str, Namespace]:
        """Read every Namespace, by name."""
        target = Target(verb=Verb.LIST, resource="namespaces")
        found, _ = whole_list(
            self._client, target, lambda item, _: decode_namespace(item), query={}, deadline=lambda: deadline
        )
        return {each.name: each for each in found}

    def account(self, namespace: str, name: str, deadline: Deadline) -> ServiceAccount:
        """Read a ServiceAccount's pull secrets, or that it does not exist."""
        return find_account(self._client, namespace, name, deadline)

    def secret(self, namespace: str, name: str, deadline: Deadline) -> WrittenSecret | None:
        """Read a Secret; `None` if it does not exist."""
        target = Target(verb=Verb.GET, resource="secrets", namespace=namespace, name=name)
        return self._client.find(target, deadline, _decode_written)

    def owner(self, namespace: str, kind: str, name: str, deadline: Deadline) -> tuple[str, str]:
        """Name what is edited to change the Pods of a controller: the Deployment of a ReplicaSet, the CronJob of a Job.

        It is the controller itself if it has no controller of its own, or is of another kind.
        """
        if kind not in _MADE_BY:
            return kind, name
        api, resource = _MADE_BY[kind]
        target = Target(verb=Verb.GET, resource=resource, namespace=namespace, name=name, api=api)
        return self._client.find(target, deadline, _decode_controller, accept=_METADATA_OF_ONE) or (kind, name)

    def lost_nodes(self, deadline: Deadline) -> frozenset[str]:
        """Name the nodes whose kubelet is not heard of: their condition `Ready` is `Unknown`."""
        target = Target(verb=Verb.LIST, resource="nodes")
        found, _ = whole_list(self._client, target, _decode_lost, query={}, deadline=lambda: deadline)
        return frozenset(name for name in found if name)

    def registered_at(self, deadline: Deadline) -> str:
        """Say since when the mutating webhook has been there, as the API server has it; "" if it is not."""
        target = Target(verb=Verb.LIST, resource=MUTATING, api=ADMISSION_V1)
        found, _ = whole_list(self._client, target, _decode_registered, query={}, deadline=lambda: deadline)
        return min((created for created in found if created), default="")


_NULL: Final = msgspec.Raw(b"null")


class _OwnedFields(msgspec.Struct):
    data: msgspec.Raw = msgspec.field(name="f:data", default=_NULL)
    string_data: msgspec.Raw = msgspec.field(name="f:stringData", default=_NULL)


class _Managed(msgspec.Struct):
    time: str | None = None
    fields: _OwnedFields | None = msgspec.field(name="fieldsV1", default=None)


class _OwnerReference(msgspec.Struct):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    creation_timestamp: str | None = None
    managed_fields: list[_Managed] | None = None
    owner_references: list[_OwnerReference] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


class _Webhook(msgspec.Struct):
    name: str = ""


class _Configuration(msgspec.Struct):
    metadata: _Metadata
    webhooks: list[_Webhook] | None = None


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _NodeStatus(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Node(msgspec.Struct):
    metadata: _Metadata
    status: _NodeStatus | None = None


def _decode_written(content: Content) -> WrittenSecret:
    metadata = wire.read(content, _Object).metadata
    # The API server notes a time for each field manager, and moves it when that one changes anything.
    times = [
        entry.time
        for entry in metadata.managed_fields or ()
        if entry.time and entry.fields is not None and not (entry.fields.data == entry.fields.string_data == _NULL)
    ]
    return WrittenSecret(
        secret=decode_secret(content), written_at=max(times, default=metadata.creation_timestamp or "")
    )


def _decode_controller(content: Content) -> tuple[str, str] | None:
    owners = wire.read(content, _Object).metadata.owner_references or ()
    return next(((owner.kind, owner.name) for owner in owners if owner.controller), None)


def _decode_lost(content: Content, whole: bool) -> str:
    node = wire.read(content, _Node)
    conditions = (node.status.conditions if node.status is not None else None) or ()
    lost = whole and any(each.type == "Ready" and each.status == "Unknown" for each in conditions)
    return node.metadata.name if lost else ""


def _decode_registered(content: Content, _: bool) -> str:
    configuration = wire.read(content, _Configuration)
    ours = any(webhook.name.endswith(_WEBHOOKS) for webhook in configuration.webhooks or ())
    return configuration.metadata.creation_timestamp or "" if ours else ""
