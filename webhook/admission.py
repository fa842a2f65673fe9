"""One admission review: read, decide, provision, answer."""

from collections.abc import Sequence

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
from webhook.settling import Settling


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
