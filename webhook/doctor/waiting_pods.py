"""Waiting Pods of a list of any length, in bounded memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from webhook.core import diagnosing, kubelet_words, workloads
from webhook.core.causes import Stuck
from webhook.core.kinds import POD
from webhook.core.review import Json
from webhook.core.workloads import MalformedObject, Workload
from webhook.doctor.model import Counts, Question

MAX_WAITING_PODS: Final = 20_000
"""Pods that wait and are kept; each takes some two kilobytes."""

_KEPT_MESSAGE: Final = 1024
"""Characters of a runtime's message that are kept of each Pod; a real one has some hundred."""

_TELL_EVERY: Final = 100

REPLACING: Final = frozenset({("apps/v1", "ReplicaSet"), ("v1", "ReplicationController")})
"""Controllers that keep a number of Pods, and nothing else. Those of DaemonSets and StatefulSets are rolled out."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPod:
    """What is kept of a Pod that does not run.

    Attributes:
        workload: The Pod, without its spec as it came.
        stuck: The container that says why.
        controller: Kind and name, `("", "")` without one.
        node: Where it runs; "" if nowhere yet.
        created: When it was made, as the API server has it.
        since: Since when it waits; `None` if that is not said.
        replaced: Nothing of it runs, and what made it makes it again once it is deleted, and counts that as nothing. A
            Job counts it as failed (seen on a real one: `backoffLimit: 0` ends it), and of other kinds nobody knows.
    """

    namespace: str
    workload: Workload
    stuck: Stuck
    controller: tuple[str, str]
    node: str
    created: str
    since: datetime | None
    replaced: bool = False


def collect(pods: Iterable[Json], question: Question, progress: Progress) -> tuple[list[WaitingPod], Counts, int]:
    """Keep the Pods that do not run, and count the others and those beyond `MAX_WAITING_PODS`."""
    kept: list[WaitingPod] = []
    selected = cut_off = 0
    # A list that has to be begun again gives Pods twice.
    seen: set[tuple[str, str]] = set()
    for pod in pods:
        where = pod["metadata"].get("namespace", ""), pod["metadata"].get("name", "")
        if where in seen:
            continue
        seen.add(where)
        if len(seen) % _TELL_EVERY == 0:
            progress(len(seen))
        try:
            workload = workloads.read(POD, pod)
        except MalformedObject:
            continue
        selected += any(question.rules.patterns.selects(image.image) for image in workload.images)
        stuck = diagnosing.find_stuck(workload, kubelet_words.read(pod), question.rules)
        if stuck is None or workload.mirror:
            continue
        if len(kept) == MAX_WAITING_PODS:
            cut_off += 1
            continue
        kept.append(_kept(pod, workload, stuck))
    progress(len(seen))
    namespaces = {namespace for namespace, _ in seen}
    return kept, Counts(namespaces=len(namespaces), pods=len(seen), selected=selected), cut_off


def _kept(pod: Json, workload: Workload, stuck: Stuck) -> WaitingPod:
    metadata = pod["metadata"]
    owner: Json = next(iter(metadata.get("ownerReferences") or ()), {})
    said = replace(stuck.waiting, message=stuck.waiting.message[:_KEPT_MESSAGE])
    return WaitingPod(
        namespace=metadata.get("namespace", ""),
        workload=replace(workload, template={}),
        stuck=replace(stuck, waiting=said),
        controller=(owner.get("kind", ""), owner.get("name", "")),
        node=pod["spec"].get("nodeName", ""),
        created=metadata.get("creationTimestamp", ""),
        since=_since(pod),
        replaced=(owner.get("apiVersion"), owner.get("kind")) in REPLACING and _nothing_runs(pod.get("status") or {}),
    )


def _nothing_runs(status: Json) -> bool:
    """Return whether nothing of a Pod runs; it is Pending too while one container runs and another was not started."""
    lists = (
        status.get(name) or () for name in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    )
    return status.get("phase") == "Pending" and not any(
        "running" in (each.get("state") or {}) for entries in lists for each in entries
    )


def _since(pod: Json) -> datetime | None:
    """Say since when a Pod waits: since its containers were not ready, else since its start or its creation."""
    status = pod.get("status") or {}
    not_ready = [
        each.get("lastTransitionTime") for each in status.get("conditions") or () if each.get("status") == "False"
    ]
    for text in (*not_ready, status.get("startTime"), pod["metadata"].get("creationTimestamp")):
        if (moment := parse_time(text)) is not None:
            return moment
    return None


def parse_time(text: str | None) -> datetime | None:
    """Read a time as the API server writes it; `None` for anything else."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
