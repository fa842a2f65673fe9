"""One diagnosis: read, ask, judge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from webhook.core.copies import Secret
from webhook.core.review import Json
from webhook.core.vocabulary import CredentialState
from webhook.doctor import chain, chain_central, chain_credential
from webhook.doctor.asking import Asks, forbidden
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.model import Diagnosis, PodFindings, Question, Station
from webhook.doctor.reading import Reading
from webhook.doctor.stations import skipped
from webhook.ports import Forbidden, Registry

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
        stations = chain.judge(evidence, credential)
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
