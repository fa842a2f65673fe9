"""Fixes written to the cluster; nothing else of `webhook.doctor` writes."""

from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

import msgspec

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.hooks import APPS_V1
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.cluster.secrets import ClusterSecretWriter
from webhook.doctor.asking import CALL_S
from webhook.doctor.fixes import RESTARTABLE, Fix, ForceSync, MakeCopy, ReplacePods, Restart
from webhook.doctor.waiting_pods import REPLACING
from webhook.ports import ClusterError, Conflict, Deadline, NotFound

_MANAGER: Final = "ghcr-pull-secrets-doctor"


class _Owner(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str
    deletion_timestamp: str | None = None
    owner_references: list[_Owner] | None = None


class _State(msgspec.Struct):
    running: dict[str, object] | None = None


class _Container(msgspec.Struct):
    state: _State | None = None


class _Status(msgspec.Struct, rename="camel"):
    phase: str = ""
    init_container_statuses: list[_Container] | None = None
    container_statuses: list[_Container] | None = None
    ephemeral_container_statuses: list[_Container] | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def to_replace(self) -> bool:
        """Return whether nothing of it runs and it is made again; `WaitingPod.replaced`, of a Pod as it is now.

        One that was parted from its controller meanwhile, for somebody to look at, would be gone for good.
        """
        metadata, status = self.metadata, self.status
        owners = metadata.owner_references or ()
        lists = (status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses)
        return (
            not metadata.deletion_timestamp
            and status.phase == "Pending"
            and any(each.controller and (each.api_version, each.kind) in REPLACING for each in owners)
            and not any(each.state and each.state.running is not None for part in lists for each in part or ())
        )


class Fixer:
    """Writes what a fix says, with the rights of the kubeconfig's user.

    Args:
        client: The API server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def do(self, fix: Fix, now: datetime) -> str:
        """Do it.

        Returns:
            What differs from the fix that was announced, for people; mostly nothing.

        Raises:
            ClusterError: Nothing was done.
        """
        match fix:
            case MakeCopy():
                ClusterSecretWriter(self._client).create(fix.copy, Deadline.after(CALL_S))
            case Restart():
                resource = RESTARTABLE[fix.kind]
                target = Target(verb=Verb.PATCH, resource=resource, namespace=fix.namespace, name=fix.name, api=APPS_V1)
                stamp = {"kubectl.kubernetes.io/restartedAt": now.isoformat(timespec="seconds")}
                self._patch(target, {"spec": {"template": {"metadata": {"annotations": stamp}}}})
            case ReplacePods():
                return self._replace(fix)
            case ForceSync():
                target = Target(
                    verb=Verb.PATCH, resource="externalsecrets", namespace=fix.namespace, name=fix.name, api=fix.api
                )
                self._patch(target, {"metadata": {"annotations": {"force-sync": str(int(now.timestamp()))}}})
            case _:
                assert_never(fix)
        return ""

    def _replace(self, fix: ReplacePods) -> str:
        deleted, changed = 0, 0
        for name in fix.pods:
            try:
                gone = self._delete_pending(fix.namespace, name)
            except ClusterError as error:
                if not deleted:
                    raise
                return f"{len(fix.pods) - deleted} of them were left: {error.cause}"
            deleted, changed = deleted + gone, changed + (not gone)
        return f"{changed} of them are gone or have changed, and were left" if changed else ""

    def _delete_pending(self, namespace: str, name: str) -> bool:
        """Delete a Pod of which nothing runs; return whether it was still one."""
        target = Target(verb=Verb.GET, resource="pods", namespace=namespace, name=name)
        found = self._client.find(target, Deadline.after(CALL_S), lambda content: wire.read(content, _Pod))
        if found is None or not found.to_replace:
            return False
        # A person may have thought for a while, and a kubelet does not wait for that: only as it is now.
        only = {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": only}
        try:
            self._client.request(replace(target, verb=Verb.DELETE), Deadline.after(CALL_S), body=options)
        except (Conflict, NotFound):
            return False
        return True

    def _patch(self, target: Target, patch: object) -> None:
        query = {"fieldManager": _MANAGER}
        self._client.request(target, Deadline.after(CALL_S), query=query, body=patch, patch_type=PatchType.MERGE)
