"""Decisions on one review, and the facts read for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from webhook.core import judging, policy
from webhook.core.judging import Judgement, PullFacts, SecretFact, UnreadableSecret
from webhook.core.names import SECRET_NAME
from webhook.core.parts import Part
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.subjects import Subject
from webhook.core.vocabulary import Reason
from webhook.ports import Deadline, Facts
from webhook.provisioning import Provisioner, ProvisioningFault


class Inquirer:
    """Reads the facts a review is decided on, and has the core decide.

    What a cache says is good enough to admit. Before it leads to a rejection or a warning everything it rests on is
    read from the API server: the replica that validates is often not the one that has just made the copy.
    """

    def __init__(self, *, rules: Rules, facts: Facts, provisioner: Provisioner) -> None:
        self._rules = rules
        self._facts = facts
        self._provisioner = provisioner

    def decisions(self, subject: Subject, deadline: Deadline) -> tuple[Namespace, list[Decision]]:
        """Say what the mutating half does with each part.

        Raises:
            ClusterError: A fact is missing and the API server could not be asked.
        """
        name = subject.review.namespace
        matters = subject.needs_copy and not self._rules.untouchable(name)
        namespace = self._facts.namespace(name, deadline) if matters else Namespace(name=name)
        inquiry = self._inquiry(subject, namespace, deadline)
        return namespace, [inquiry.decide(part) for part in subject.parts]

    def judgements(self, subject: Subject, deadline: Deadline) -> tuple[Namespace, Sequence[Judgement]]:
        """Say of each part that is to be judged whether it has usable credentials for what it pulls.

        Raises:
            ClusterError: As `decisions`.
        """
        namespace = Namespace(name=subject.review.namespace)
        to_judge = subject.to_judge
        judged: dict[int, Judgement] = {}
        for fresh in (False, True) if to_judge else ():
            namespace = self._facts.namespace(namespace.name, deadline, fresh=fresh)
            inquiry = self._inquiry(subject, namespace, deadline, fresh=fresh)
            for index, part in enumerate(to_judge):
                if index not in judged or judged[index].verdict.problems:
                    judged[index] = inquiry.judge(part)
            refused = any(each.verdict.problems for each in judged.values())
            if not refused or self._rules.enforcement_in(namespace) is Enforcement.OFF:
                break
        return namespace, tuple(judged.values())

    def _inquiry(
        self, subject: Subject, namespace: Namespace, deadline: Deadline, *, fresh: bool = False
    ) -> "_Inquiry":
        return _Inquiry(
            subject=subject,
            namespace=namespace,
            deadline=deadline,
            rules=self._rules,
            facts=self._facts,
            provisioner=self._provisioner,
            fresh=fresh,
        )


@dataclass(kw_only=True)
class _Inquiry:
    """Decides on each part of one review; each fact is asked for once, however many of them rest on it.

    Attributes:
        fresh: Facts are read from the API server, whatever a cache says.
    """

    subject: Subject
    namespace: Namespace
    deadline: Deadline
    rules: Rules
    facts: Facts
    provisioner: Provisioner
    fresh: bool = False
    _accounts: dict[str, ServiceAccount] = field(default_factory=dict, init=False)
    _secrets: dict[str, SecretFact] = field(default_factory=dict, init=False)

    def decide(self, part: Part) -> Decision:
        """Say what the mutating half does with it."""
        matters = part.images and not part.workload.is_pod
        account = self._account(part) if matters else ServiceAccount()
        return policy.decide(part, namespace=self.namespace, service_account=account, rules=self.rules)

    def judge(self, part: Part) -> Judgement:
        """Say whether it has usable credentials for what it pulls."""
        account = self._account(part)
        decision = policy.decide(part, namespace=self.namespace, service_account=account, rules=self.rules)
        listed = policy.secrets_in_effect(part.workload, account, decision)
        facts = self._pull_facts(listed, decision)
        verdict = judging.verdict(part, facts, self.rules, self.deadline.check)
        return Judgement(part=part, decision=decision, verdict=verdict)

    def _account(self, part: Part) -> ServiceAccount:
        if not policy.needs_service_account(part.workload):
            return ServiceAccount()
        name = part.workload.service_account
        if name not in self._accounts:
            self._accounts[name] = self.facts.service_account(
                self.namespace.name, name, self.deadline, fresh=self.fresh
            )
        return self._accounts[name]

    def _pull_facts(self, listed: tuple[str, ...], decision: Decision) -> PullFacts:
        read = judging.secrets_to_read(listed)
        secrets = {name: self._secret(name) if name in read else UnreadableSecret() for name in listed}
        why = ProvisioningFault(reason=Reason.SECRET_MISSING)
        if policy.may_be_made(decision) and SECRET_NAME in secrets:
            would_be_made = decision.provision and self.subject.review.dry_run
            if would_be_made and not isinstance(secrets[SECRET_NAME], UnreadableSecret):
                secrets[SECRET_NAME] = self._preview
            if secrets[SECRET_NAME] is None and self.fresh:
                why = self._diagnosis
        return PullFacts(
            listed=listed,
            secrets=secrets,
            missing_because=why.reason,
            central_fault=why.central_fault,
            detail=why.cause,
        )

    def _secret(self, name: str) -> SecretFact:
        if name not in self._secrets:
            if name != SECRET_NAME and len(self._secrets) > judging.MAX_SECRETS:
                return UnreadableSecret()
            self._secrets[name] = self.facts.secret(self.namespace.name, name, self.deadline, fresh=self.fresh)
        return self._secrets[name]

    @cached_property
    def _preview(self) -> SecretFact:
        existing = self._secret(SECRET_NAME)
        assert not isinstance(existing, UnreadableSecret)  # noqa: S101 - who asks has looked
        return self.provisioner.preview(
            self.namespace, self.subject.repositories, existing, self.deadline, fresh=self.fresh
        )

    @cached_property
    def _diagnosis(self) -> ProvisioningFault:
        return self.provisioner.diagnose(self.namespace, self.subject.repositories, self.deadline)
