"""One admission review: read, decide, provision, answer."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from webhook.core import answers, coverage, policy, subjects
from webhook.core.answers import Answer, Provisioned
from webhook.core.kinds import WorkloadKind
from webhook.core.review import Review
from webhook.core.scope import Namespace, Rules
from webhook.core.subjects import Subject
from webhook.core.vocabulary import Half, Provisioning, Reason
from webhook.inquiry import Inquirer
from webhook.ports import Deadline, Facts
from webhook.provisioning import Provisioner

SETTLED_S: Final = 30.0
"""An API server may hear of a write later than we do, and its policy refuses a Pod whose copy it does not know yet. A
watch is milliseconds behind; 30 s is what one may be that has to be opened again."""

_MOST_NAMESPACES: Final = 20_000
"""Namespaces that are remembered; of more, those asked about longest ago begin once more."""


class Settling:
    """Remembers when each namespace's copy was first seen with its resourceVersion; for many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def settled(self, namespace: str, version: str) -> bool:
        """Return whether a namespace's copy has had this resourceVersion for `SETTLED_S`, as far as we know."""
        now = self._clock()
        with self._lock:
            known = self._since.get(namespace)
            if known is None or known[0] != version:
                known = (version, now)
                self._since[namespace] = known
            self._since.move_to_end(namespace)
            if len(self._since) > _MOST_NAMESPACES:
                self._since.popitem(last=False)
        return now - known[1] >= SETTLED_S


class Admission:
    """Both halves of the webhook.

    Args:
        authenticated: Callers have shown who they are, so that a text may name every Secret a decision rests on.
        settling: With it, covered Pods get the label that a policy in the API server believes.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        kinds: Sequence[WorkloadKind],
        facts: Facts,
        provisioner: Provisioner,
        authenticated: bool = False,
        settling: Settling | None = None,
    ) -> None:
        self._authenticated = authenticated
        self._rules = rules
        self._kinds = tuple(kinds)
        self._facts = facts
        self._provisioner = provisioner
        self._settling = settling
        self._inquirer = Inquirer(rules=rules, facts=facts, provisioner=provisioner)

    def mutate(self, review: Review, deadline: Deadline) -> Answer:
        """Add what a workload's pull secrets lack, with a copy in place before the answer.

        Raises:
            BadReview, MalformedObject: The request is not what an API server sends.
            ClusterError: A fact is missing and the API server could not be asked.
        """
        subject = subjects.read(review, Half.MUTATE, self._kinds, self._rules)
        if subject is None:
            return answers.unconcerned(Reason.NOT_APPLICABLE)
        namespace, decisions = self._inquirer.decisions(subject, deadline)
        if review.dry_run or not policy.leading(decisions).provision:
            return answers.mutated(subject, namespace, decisions)
        provisioned = self._provisioner.ensure(namespace, subject.repositories, deadline)
        covered = self._covered(subject, namespace, provisioned, deadline)
        return answers.mutated(subject, namespace, decisions, provisioned=provisioned, covered=covered)

    def _covered(self, subject: Subject, namespace: Namespace, provisioned: Provisioned, deadline: Deadline) -> bool:
        """Return whether our other half is not needed: every API server knows the copy, and it covers everything."""
        if self._settling is None or provisioned.result is not Provisioning.CURRENT:
            return False
        secret = self._facts.copy(namespace.name, deadline)
        return (
            secret is not None
            and self._settling.settled(namespace.name, secret.resource_version)
            and coverage.covers(secret, self._rules)
            and all(coverage.coverable(each.workload, namespace, self._rules) for each in subject.parts)
        )

    def validate(self, review: Review, deadline: Deadline) -> Answer:
        """Reject a workload that would pull without credentials.

        Raises:
            BadReview, MalformedObject, ClusterError: As `mutate`.
        """
        subject = subjects.read(review, Half.VALIDATE, self._kinds, self._rules)
        if subject is None:
            return answers.unconcerned(Reason.NOT_APPLICABLE)
        namespace, judgements = self._inquirer.judgements(subject, deadline)
        return answers.judged(subject, namespace, judgements, self._rules, authenticated=self._authenticated)
