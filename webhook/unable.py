"""Count of Pods that cannot pull, by cause, during a sweep.

Nothing of a Pod is kept but the number it goes into, and while the sweep lasts its name. What there is to pull with
comes from the caches that the controller has anyway: of Secrets those named `ghcr-secret` alone, so that a Pod with
another one may count as `unverifiable`.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from webhook.core import diagnosing, kubelet_words, workloads
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
        self._pending: Counter[Cause] = Counter()
        self._others: Counter[Cause] = Counter()

    @property
    def counts(self) -> Mapping[Cause, int]:
        """Say how many Pods cannot pull, for every cause there is."""
        with self._lock:
            return {cause: self._pending[cause] + self._others[cause] for cause in UNABLE}

    def begin(self, deadline: Deadline, *, pending: bool) -> "Count":
        """Begin to count the Pods of a sweep.

        Args:
            deadline: What the sweep has to be done by.
            pending: It lists Pending Pods only; of the others the numbers of the last one that listed all stay.
        """
        return Count(self, self._rules, self._facts, deadline, pending=pending)

    def counted(self, pending: Counter[Cause], others: Counter[Cause] | None) -> None:
        """Take the numbers of a sweep that is finished; `None` for what it did not list."""
        with self._lock:
            self._pending = pending
            self._others = self._others if others is None else others


class Count:
    """Counts the Pods of one sweep.

    A Pod of which something runs may wait for an image too: that of a container that was added to it, or that ended and
    is not on the node any more. It is counted by a sweep that lists all.
    """

    def __init__(self, total: UnableToPull, rules: Rules, facts: Facts, deadline: Deadline, *, pending: bool) -> None:
        self._total = total
        self._rules = rules
        self._facts = facts
        self._deadline = deadline
        self._only_pending = pending
        self._pending: Counter[Cause] = Counter()
        self._others: Counter[Cause] = Counter()
        self._seen: set[tuple[str, str]] = set()

    def look(self, pod: Json) -> None:
        """Count a Pod (as `webhook.ports.Pods` gives it) if it cannot pull."""
        namespace = pod.get("metadata", {}).get("namespace", "")
        pending = (pod.get("status") or {}).get("phase") == _PENDING
        if self._rules.untouchable(namespace) or (self._only_pending and not pending):
            return
        if not (said := kubelet_words.read(pod)):
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
            (self._pending if pending else self._others)[cause] += 1

    def finish(self) -> None:
        """Make the numbers those of the last sweep."""
        self._total.counted(self._pending, None if self._only_pending else self._others)

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
