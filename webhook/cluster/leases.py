"""Leader election Leases read and written."""

from typing import Any, Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.cluster.wire import Content
from webhook.core.names import MANAGED_BY_LABEL, MANAGED_BY_VALUE
from webhook.ports import Conflict, Deadline, LeaderLease

COORDINATION_V1: Final = "/apis/coordination.k8s.io/v1"


class ClusterLeases:
    """One Lease.

    RBAC: `create` on leases (which cannot be limited by name), `get` and `patch` with `resourceNames: [<name>]`.

    Times go as they are: `MicroTime` is RFC 3339 with exactly six digits of a second.
    """

    def __init__(self, client: Client, *, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    def get(self, deadline: Deadline) -> LeaderLease | None:
        """Read it; `None` if it does not exist."""
        return self._client.find(self._target(Verb.GET), deadline, _decode)

    def create(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        """Create it; `AlreadyExists` if somebody was faster."""
        target = Target(
            verb=Verb.CREATE, resource="leases", namespace=self._namespace, about=self._name, api=COORDINATION_V1
        )
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "labels": {MANAGED_BY_LABEL: MANAGED_BY_VALUE}},
            "spec": {key: value for key, value in _spec(lease).items() if value is not None},
        }
        return self._client.read(target, deadline, _decode, body=body)

    def update(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        """Bring it to this if it still has the lease's resourceVersion, else `Conflict`; labels of others stay."""
        target = self._target(Verb.PATCH)
        if not lease.resource_version:
            # A patch without one would be applied to whatever is there.
            raise target.error(Conflict)
        patch = {"metadata": {"resourceVersion": lease.resource_version}, "spec": _spec(lease)}
        return self._client.read(target, deadline, _decode, body=patch, patch_type=PatchType.MERGE)

    def _target(self, verb: Verb) -> Target:
        return Target(verb=verb, resource="leases", namespace=self._namespace, name=self._name, api=COORDINATION_V1)


def _spec(lease: LeaderLease) -> dict[str, Any]:
    """Write a spec; `None` for a field that is to be absent, as a merge patch says it."""
    return {
        "holderIdentity": lease.holder or None,
        "leaseDurationSeconds": lease.duration_s,
        "acquireTime": lease.acquired_at or None,
        "renewTime": lease.renewed_at or None,
        "leaseTransitions": lease.transitions,
    }


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec | None = None


def _decode(content: Content) -> LeaderLease:
    read = wire.read(content, _Lease)
    spec = read.spec or _Spec()
    return LeaderLease(
        holder=spec.holder_identity or "",
        duration_s=spec.lease_duration_seconds or 0,
        acquired_at=spec.acquire_time or "",
        renewed_at=spec.renew_time or "",
        transitions=spec.lease_transitions or 0,
        resource_version=read.metadata.resource_version,
    )
