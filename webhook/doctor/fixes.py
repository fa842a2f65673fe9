"""Harmless fixes for findings, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from webhook.core.copies import Create, Place, Secret, plan
from webhook.core.names import SECRET_NAME
from webhook.core.vocabulary import Reason
from webhook.doctor.evidence import Evidence, Source, Unread
from webhook.doctor.model import Code, Diagnosis

RESTARTABLE: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
"""Kinds whose Pods are replaced when an annotation of their template changes, and their resource in `apps/v1`."""

_SYNCABLE: Final = frozenset({Code.SYNC_FAILED, Code.SYNC_STALE})


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCopy:
    """Make a copy that is missing."""

    copy: Secret

    def __str__(self) -> str:
        """Say what it does."""
        return f"make Secret {self.copy.namespace}/{SECRET_NAME} from the central secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Restart an owner, as `kubectl rollout restart` does; `kind` is one of `RESTARTABLE`."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        """Say what it does."""
        return f"restart {self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacePods:
    """Delete Pods of which nothing runs; their controller recreates them.

    Attributes:
        kind, name: Of the owner, for people.
        pods: Names.
        of: How many of the owner's Pods have this cause.
    """

    namespace: str
    kind: str
    name: str
    pods: tuple[str, ...]
    of: int

    def __str__(self) -> str:
        """Say what it does."""
        number = f"{len(self.pods)} of {self.of}" if len(self.pods) < self.of else f"{self.of}"
        pods = "Pod" if self.of == 1 else "Pods"
        return f"delete {number} {pods} of {self.kind} {self.namespace}/{self.name}, to be made again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceSync:
    """Have the operator read an ExternalSecret at once; `api` is the path of its API."""

    namespace: str
    name: str
    api: str

    def __str__(self) -> str:
        """Say what it does."""
        return f"have ExternalSecret {self.namespace}/{self.name} read again (annotation force-sync)"


Fix = MakeCopy | Restart | ReplacePods | ForceSync


def harmless(evidence: Evidence, diagnosis: Diagnosis) -> tuple[Fix, ...]:
    """List the fixes of a diagnosis, in the order in which they are to be done, each once."""
    return (*_syncs(evidence, diagnosis), *_copies(evidence, diagnosis), *dict.fromkeys(_restarts(diagnosis)))


def _syncs(evidence: Evidence, diagnosis: Diagnosis) -> Iterator[ForceSync]:
    source = evidence.source
    if not isinstance(source, Source) or source.external is None:
        return
    if any(station.code in _SYNCABLE for station in diagnosis.faults):
        yield ForceSync(namespace=evidence.release.namespace, name=source.external.metadata.name, api=source.api)


def _copies(evidence: Evidence, diagnosis: Diagnosis) -> Iterator[MakeCopy]:
    """Name the copies that `webhook.core.copies` would create where a Pod waits for one."""
    central, secrets, spaces = evidence.central, evidence.secrets, evidence.namespaces
    if not isinstance(central, Secret) or isinstance(secrets, Unread) or isinstance(spaces, Unread):
        return
    there = {secret.namespace: secret for secret in secrets}
    known = {each.metadata.name: each.known for each in spaces}
    rules = evidence.release.rules
    waiting = dict.fromkeys(group.namespace for group in diagnosis.unable if group.cause == Reason.SECRET_MISSING)
    for namespace in waiting:
        space = known.get(namespace)
        if space is None:
            continue
        place = Place(
            namespace=namespace,
            release_namespace=rules.release_namespace,
            opted_out=not rules.may_have_copy(space),
            terminating=space.terminating,
        )
        step = plan(place, central, there.get(namespace), rules.patterns)
        if isinstance(step, Create):
            yield MakeCopy(copy=step.copy)


def _restarts(diagnosis: Diagnosis) -> Iterator[Restart | ReplacePods]:
    """Name the owners to restart, or the Pods to delete, where new Pods are all it takes.

    | Pods of | fix |
    |---|---|
    | a Deployment, StatefulSet or DaemonSet | restart |
    | a ReplicaSet without Deployment (an Argo Rollout's too), a ReplicationController | Pending ones deleted |
    | a Job, another kind, nobody | none: it counts as failed, or nobody makes it again |
    """
    for group in diagnosis.unable:
        if not group.restart:
            continue
        where, kind, name = group.namespace, group.owner_kind, group.owner_name
        if kind in RESTARTABLE:
            yield Restart(namespace=where, kind=kind, name=name)
        elif group.replaced:
            yield ReplacePods(namespace=where, kind=kind, name=name, pods=group.replaced, of=group.pods)
