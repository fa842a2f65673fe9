"""One diagnosis: read, ask, judge every station."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from webhook.core.copies import Secret
from webhook.core.review import Json
from webhook.core.vocabulary import CredentialState
from webhook.doctor import chain_admission, chain_central, chain_copies, chain_credential, chain_processes
from webhook.doctor.asking import Asks, forbidden
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.model import Code, Diagnosis, PodFindings, Question, Station, StationState, names, skipped
from webhook.doctor.reading import Reading
from webhook.ports import Forbidden, Registry

_ALONE: Final = "of a release that is not there"


def judge(evidence: Evidence, credential: Station) -> tuple[Station, ...]:
    """Judge every station, in the order in which a credential passes through it.

    Args:
        evidence: What was read.
        credential: The station of the credential itself, which only the registry can judge.

    Where no release was found at all, that is the one thing to fix: what hangs on it is skipped.
    """
    source, sync = chain_central.judge_source(evidence)
    central = chain_central.judge_central(evidence)
    copies = chain_copies.judge(evidence)
    webhooks = chain_admission.judge_webhooks(evidence)
    if webhooks.code == Code.NOT_INSTALLED:
        return webhooks, *_nothing_else(
            ("source", "sync", "central", chain_credential.NAME, "copies", "servers", "controller")
        )
    servers, certificate, controller = chain_processes.judge(evidence)
    policies = chain_admission.judge_policies(evidence)
    return (
        *_settings(evidence),
        source,
        sync,
        central,
        credential,
        copies,
        webhooks,
        policies,
        servers,
        certificate,
        controller,
    )


def _settings(evidence: Evidence) -> tuple[Station, ...]:
    unread = evidence.release.rules_unread
    if unread is None or evidence.server is None:
        return ()
    selected = names(evidence.release.rules.patterns.include)
    return (skipped("settings", Unread(f"{unread.why}; {selected} is taken as selected")),)


def _nothing_else(stations: Sequence[str]) -> tuple[Station, ...]:
    return tuple(Station(name=each, state=StationState.SKIPPED, text=f"not looked at: {_ALONE}") for each in stations)


FindPods = Callable[[Question], PodFindings]
"""`pods.find_pod_groups`, with its client, deadline and progress."""

ListPods = Callable[[str], Iterable[Json]]
"""Yields the Pods of a namespace, or of all for "", those that wait first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be looked at.

    Attributes:
        namespace: Whose Pods and copies; "" for those of every namespace.
        release_namespace: Of the release that is meant; "" to look for it.
    """

    namespace: str = ""
    release_namespace: str = ""


class Doctor:
    """Looks at a cluster, and changes nothing.

    Args:
        asks: The API server.
        find_pods: Finds the Pods that cannot pull; `None` not to look at Pods.
        registry: Asked about the credential; `None` not to ask.
        list_pods: Where the images come from that it is asked about.
    """

    def __init__(
        self,
        asks: Asks,
        *,
        find_pods: FindPods | None = None,
        registry: Registry | None = None,
        list_pods: ListPods = lambda _: (),
    ) -> None:
        self._asks = asks
        self._find_pods = find_pods
        self._registry = registry
        self._list_pods = list_pods

    def look(self, wanted: Wanted, now: datetime) -> tuple[Evidence, Diagnosis]:
        """Look once.

        Raises:
            ClusterError: The API server cannot be asked at all.
        """
        reading = Reading(self._asks, namespace=wanted.namespace, release_namespace=wanted.release_namespace)
        evidence = reading.evidence(now)
        credential, words = self._credential(evidence, wanted)
        stations = judge(evidence, credential)
        found = PodFindings()
        if self._find_pods is not None:
            central = evidence.central if isinstance(evidence.central, Secret) else None
            question = Question(
                namespace=wanted.namespace, rules=evidence.release.rules, central=central, now=now, words=words
            )
            try:
                found = self._find_pods(question)
            except Forbidden as error:
                found = PodFindings(skipped=(skipped("pods", Unread(forbidden(error))),))
        diagnosis = Diagnosis(stations=stations, groups=found.groups, counts=found.counts, skipped=found.skipped)
        return evidence, diagnosis

    def _credential(self, evidence: Evidence, wanted: Wanted) -> tuple[Station, Mapping[str, CredentialState]]:
        if self._registry is None:
            return chain_credential.NOT_ASKED, {}
        if isinstance(evidence.central, Unread):
            return skipped(chain_credential.NAME, evidence.central), {}
        keyring = chain_central.keyring_of(evidence.central)
        try:
            pods = self._list_pods(wanted.namespace)
            answers = chain_credential.ask_registries(self._registry, keyring, pods, evidence.release.rules)
        except Forbidden as error:
            return skipped(chain_credential.NAME, Unread(forbidden(error))), {}
        return chain_credential.judge(answers, evidence.now), answers.words


HEALTHY: Final = 0
FINDINGS: Final = 1
NOT_LOOKED: Final = 2


def exit_code(diagnosis: Diagnosis) -> int:
    """Say how the command ends: 2 where nothing at all could be looked at, which is no finding."""
    if not diagnosis.looked:
        return NOT_LOOKED
    return HEALTHY if diagnosis.healthy else FINDINGS
