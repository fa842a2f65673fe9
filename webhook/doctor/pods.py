"""The Pods that cannot pull, by cause and owner.

Pods are read in pages, and only those that wait are kept. What there is to pull with is read of their namespaces alone,
a namespace at a time, and forgotten with its diagnosis.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from webhook.cluster.client import Client
from webhook.cluster.pods import ClusterPods
from webhook.cluster.surroundings import ClusterSurroundings
from webhook.core import diagnosing, kubelet_words
from webhook.core.advice import StuckPod, advise, pull_times
from webhook.core.causes import Cause, PodDiagnosis, Surroundings
from webhook.core.judging import SecretFact, UnreadableSecret
from webhook.core.kubelet_words import Symptom
from webhook.core.names import SECRET_NAME
from webhook.core.parts import repositories
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.core.vocabulary import CredentialState
from webhook.doctor import waiting_pods
from webhook.doctor.asking import PermittedReads
from webhook.doctor.model import PodFindings, PodGroup, Question, Station, StationState
from webhook.doctor.waiting_pods import Progress, WaitingPod, collect, parse_time
from webhook.ports import Deadline

MAX_REPLACED: Final = 100
"""Pods of one group that a fix deletes at once; the next one finds the others."""

MAX_NAMES: Final = 64
"""Secrets that are read of one namespace; a tenant decides how many its Pods list."""

_AT_ONCE: Final = 8
"""Namespaces that are looked into at the same time."""


def find_pod_groups(
    client: Client, question: Question, deadline: Deadline, progress: Progress = lambda _: None
) -> PodFindings:
    """Find the Pods that cannot pull, and why.

    Args:
        client: The cluster.
        question: Where to look, and by which settings.
        deadline: For all of it.
        progress: Called with the number of Pods looked at so far.

    Raises:
        ClusterError: The Pods could not be listed, or the API server is not available. What is forbidden besides is
            said in `PodFindings.skipped`.
    """
    pods = ClusterPods(client).list(deadline, namespace=question.namespace)
    kept, counts, cut_off = collect(pods, question, progress)
    reads = PermittedReads(ClusterSurroundings(client), deadline)
    found = _Diagnoser(question, reads, kept).groups()
    skipped = reads.skipped()
    if cut_off:
        text = f"no more than {waiting_pods.MAX_WAITING_PODS} Pods that wait were looked at; {cut_off} were not"
        skipped = (*skipped, Station(name="pods", state=StationState.SKIPPED, text=text))
    unable = sum(group.pods for group in found if not group.pulled)
    return PodFindings(groups=found, counts=replace(counts, unable=unable), skipped=skipped)


@dataclass(slots=True)
class _Group:
    """One owner's Pods of one cause, while they are counted."""

    pod: WaitingPod
    diagnosis: PodDiagnosis
    owner: tuple[str, str]
    pods: int = 0
    since: datetime | None = None
    replaced: list[str] = field(default_factory=list)


class _Diagnoser:
    def __init__(self, question: Question, reads: PermittedReads, pods: Sequence[WaitingPod]) -> None:
        self._question = question
        self._ask = reads
        self._pods = pods
        self._lost: frozenset[str] = frozenset()
        self._registered: datetime | None = None
        self._installed = True

    def groups(self) -> tuple[PodGroup, ...]:
        """Diagnose, a namespace at a time."""
        if not self._pods:
            return ()
        by_namespace: dict[str, list[WaitingPod]] = {}
        for pod in self._pods:
            by_namespace.setdefault(pod.namespace, []).append(pod)
        if any(pod.node for pod in self._pods):
            self._lost = self._ask.lost_nodes()
        registered = self._ask.registered_at()
        self._registered, self._installed = parse_time(registered), registered != ""
        self._central = self._central_fact()
        namespaces = self._ask.namespaces(by_namespace.keys())
        places = [(namespaces[name], pods) for name, pods in by_namespace.items()]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="doctor") as pool:
            found = [group for groups in pool.map(self._namespace, places) for group in groups]
        order = list(Cause)
        return tuple(sorted(found, key=lambda each: (order.index(Cause(each.cause)), each.namespace, each.owner_name)))

    def _central_fact(self) -> SecretFact:
        if self._question.central is not None:
            return self._question.central
        if not self._installed:
            return UnreadableSecret()  # nobody would copy it, so that it explains nothing
        found = self._ask.secret(self._question.rules.release_namespace, SECRET_NAME)
        return found if isinstance(found, UnreadableSecret) or found is None else found.secret

    def _namespace(self, place: tuple[Namespace, list[WaitingPod]]) -> list[PodGroup]:
        namespace, pods = place
        name = namespace.name
        unable = [pod for pod in pods if pod.stuck.symptom is not Symptom.PULLED]
        accounts = {account: self._ask.account(name, account) for account in self._accounts(unable)}
        names = sorted({each for pod in unable for each in diagnosing.names_to_read(pod.workload, *accounts.values())})
        # Ours first, should there be more than are read.
        names.sort(key=lambda each: each != SECRET_NAME)
        written = {each: self._ask.secret(name, each) for each in names[:MAX_NAMES]}
        secrets: dict[str, SecretFact] = {
            each: fact if fact is None or isinstance(fact, UnreadableSecret) else fact.secret
            for each in names
            for fact in (written.get(each, UnreadableSecret()),)
        }
        times = {
            each: parse_time(fact.written_at)
            for each, fact in written.items()
            if fact is not None and not isinstance(fact, UnreadableSecret)
        }
        groups: dict[tuple[str, ...], _Group] = {}
        for pod in pods:
            around = Surroundings(
                namespace=namespace,
                account=accounts.get(pod.workload.service_account, ServiceAccount()),
                default_account=accounts.get("default", ServiceAccount()),
                secrets=secrets,
                central=self._central,
                rewritten=self._rewritten(pod, times),
                word=self._word(pod),
                node_lost=pod.node in self._lost,
            )
            diagnosis = diagnosing.diagnose(pod.workload, pod.stuck, around, self._question.rules)
            self._count(groups, pod, diagnosis)
        return [self._told(group, namespace) for group in groups.values()]

    @staticmethod
    def _accounts(pods: Iterable[WaitingPod]) -> set[str]:
        """Name the ServiceAccounts whose pull secrets may explain something."""
        own = {pod.workload.service_account for pod in pods}
        return own | ({"default"} if any(not pod.workload.listed for pod in pods) else set())

    def _rewritten(self, pod: WaitingPod, times: dict[str, datetime | None]) -> frozenset[str]:
        elapsed = self._elapsed(pod)
        if elapsed is None:
            return frozenset()
        since_last, _ = pull_times(elapsed, pod.stuck.symptom)
        now = self._question.now
        return frozenset(
            name for name, moment in times.items() if moment is not None and (now - moment).total_seconds() < since_last
        )

    def _word(self, pod: WaitingPod) -> CredentialState | None:
        pulled_from = repositories((pod.stuck.image,))
        return self._question.words.get(pulled_from[0]) if pulled_from else None

    def _elapsed(self, pod: WaitingPod) -> float | None:
        return None if pod.since is None else max(0.0, (self._question.now - pod.since).total_seconds())

    def _count(self, groups: dict[tuple[str, ...], _Group], pod: WaitingPod, diagnosis: PodDiagnosis) -> None:
        kind, name = pod.controller
        owner = self._ask.owner(pod.namespace, kind, name) if kind else ("Pod", pod.workload.name)
        detail = kubelet_words.after_the_pull(pod.stuck.waiting) if diagnosis.cause is Cause.PULLED else ""
        key = (diagnosis.cause, *owner, diagnosis.secret, diagnosis.host, detail)
        group = groups.setdefault(key, _Group(pod=pod, diagnosis=diagnosis, owner=owner))
        group.pods += 1
        if pod.replaced and len(group.replaced) < MAX_REPLACED:
            group.replaced.append(pod.workload.name)
        if pod.since is not None and (group.since is None or pod.since < group.since):
            group.since = pod.since

    def _told(self, group: _Group, namespace: Namespace) -> PodGroup:
        pod = group.pod
        elapsed = self._elapsed(pod)
        created = parse_time(pod.created)
        stuck = StuckPod(
            workload=pod.workload,
            namespace=namespace,
            rules=self._question.rules,
            owner_kind=group.owner[0],
            owner_name=group.owner[1],
            replaced=tuple(group.replaced),
            node=pod.node,
            installed=self._installed,
            made_before=created is not None and self._registered is not None and created < self._registered,
            next_pull_s=pull_times(elapsed or 0.0, pod.stuck.symptom)[1],
        )
        advice = advise(group.diagnosis, stuck)
        return PodGroup(
            namespace=pod.namespace,
            owner_kind=group.owner[0],
            owner_name=group.owner[1],
            pods=group.pods,
            since=group.since,
            cause=group.diagnosis.cause.value,
            detail=advice.detail,
            remedy=advice.remedy,
            commands=advice.commands,
            pulled=group.diagnosis.cause is Cause.PULLED,
            restart=advice.restart,
            replaced=stuck.replaced,
        )
