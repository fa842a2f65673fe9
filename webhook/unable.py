"""Counts the Pods that cannot pull, by cause, while a sweep lists them.

Nothing of a Pod is kept but the number it goes into, and while the sweep lasts its name. What there is to pull with
comes from the caches that the controller has anyway: of Secrets those named `ghcr-secret` alone, so that a Pod with
another one may count as `unverifiable`.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from webhook.core import diagnosing, waiting, workloads
from webhook.core.causes import UNABLE, Cause, Surroundings
from webhook.core.copies import Secret
from webhook.core.judging import SecretFact, UnreadableSecret
from webhook.core.kinds import POD
from webhook.core.names import SECRET_NAME
from webhook.core.policy import ServiceAccount
from webhook.core.review import Json
from webhook.core.scope import Rules
from webhook.core.workloads import MalformedObject, Workload
from webhook.ports import ClusterError, Deadline, Facts

_PENDING: Final = "Pending"


class UnableToPull:
    """The numbers of the last sweep that was finished; safe to read from any thread."""

    def __init__(self, rules: Rules, facts: Facts) -> None:
        self._rules = rules
        self._facts = facts
        self._lock = threading.Lock()
        self._counts: Counter[Cause] = Counter()

    @property
    def counts(self) -> Mapping[Cause, int]:
        """Say how many Pending Pods cannot pull, for every cause there is."""
        with self._lock:
            return {cause: self._counts[cause] for cause in UNABLE}

    def begin(self, deadline: Deadline) -> "Count":
        """Begin to count the Pods of a sweep, which has until then."""
        return Count(self, self._rules, self._facts, deadline)

    def counted(self, counts: Counter[Cause]) -> None:
        """Take the numbers of a sweep that is finished."""
        with self._lock:
            self._counts = counts


class Count:
    """Counts the Pods of one sweep.

    Only Pending ones count: a first sweep lists all Pods, the others only those.
    """

    def __init__(self, total: UnableToPull, rules: Rules, facts: Facts, deadline: Deadline) -> None:
        self._total = total
        self._rules = rules
        self._facts = facts
        self._deadline = deadline
        self._counts: Counter[Cause] = Counter()
        self._seen: set[tuple[str, str]] = set()

    def look(self, pod: Json) -> None:
        """Count a Pod (as `webhook.ports.Pods` gives it) if it cannot pull."""
        namespace = pod.get("metadata", {}).get("namespace", "")
        if (pod.get("status") or {}).get("phase") != _PENDING or self._rules.untouchable(namespace):
            return
        if not (said := waiting.read(pod)):
            return
        try:
            workload = workloads.read(POD, pod)
            stuck = diagnosing.find_stuck(workload, said, self._rules)
            if stuck is None or workload.mirror:
                return
            around = self._around(namespace, workload)
        except (MalformedObject, ClusterError):
            return
        cause = diagnosing.diagnose(workload, stuck, around, self._rules).cause
        # A list that has to be begun again gives Pods twice.
        if (where := (namespace, workload.name)) not in self._seen:
            self._seen.add(where)
            self._counts[cause] += 1

    def finish(self) -> None:
        """Make the numbers those of the last sweep."""
        self._total.counted(self._counts)

    def _around(self, namespace: str, workload: Workload) -> Surroundings:
        facts, deadline = self._facts, self._deadline
        account = facts.service_account(namespace, workload.service_account, deadline)
        secrets: dict[str, SecretFact] = dict.fromkeys(diagnosing.names_to_read(workload, account), UnreadableSecret())
        secrets[SECRET_NAME] = self._copy(namespace)
        return Surroundings(
            namespace=facts.namespace(namespace, deadline),
            account=ServiceAccount(secrets=account.secrets),
            secrets=secrets,
            central=self._copy(self._rules.release_namespace),
        )

    def _copy(self, namespace: str) -> Secret | None:
        return self._facts.copy(namespace, self._deadline)
