"""One look at a review: its pod specs, and the facts that decide on each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from webhook.core import judging, policy
from webhook.core.before import Before
from webhook.core.judging import PullFacts, SecretFact, Verdict
from webhook.core.names import SECRET_NAME
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.review import Review
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload
from webhook.ports import Deadline, Facts
from webhook.provisioning import Provisioner, ProvisioningFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One pod spec of a review's object.

    Attributes:
        before: On UPDATE, what stood where its path leads.
        images: The selected images to be judged.
    """

    workload: Workload
    before: Before
    images: tuple[PodImage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a review is about.

    Attributes:
        parts: A Pod or template; of a kind with several pod templates as many as the object has, none too.
        images, repositories: Of all parts.
    """

    review: Review
    parts: tuple[Part, ...]
    images: tuple[PodImage, ...]
    repositories: tuple[str, ...]

    @property
    def update(self) -> bool:
        """Return whether the object is there already."""
        return self.review.operation == "UPDATE"

    @property
    def needs_copy(self) -> bool:
        """Return whether the namespace needs its copy for it."""
        return bool(self.images) or (not self.update and any(policy.mounts_copy(each.workload) for each in self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What both halves decide on one pod spec."""

    part: Part
    decision: Decision
    verdict: Verdict


@dataclass(kw_only=True)
class Inquiry:
    """Decides on each pod spec of one review; each fact is asked for once, however many of them rest on it.

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
        workload = part.workload
        account = ServiceAccount()
        if part.images and not workload.is_pod and policy.needs_service_account(workload):
            account = self._account(workload.service_account)
        return policy.decide(
            workload,
            update=self.subject.update,
            before=part.before,
            namespace=self.namespace,
            service_account=account,
            rules=self.rules,
        )

    def judge(self, part: Part) -> Judgement:
        """Say whether it has usable credentials for what it pulls."""
        decision = self.decide(part)
        inherited = ServiceAccount()
        if policy.needs_service_account(part.workload):
            inherited = self._account(part.workload.service_account)
        listed = policy.secrets_in_effect(part.workload, inherited, decision)
        read = judging.secrets_to_read(listed)
        secrets = {name: self._secret(name) if name in read else judging.UnreadableSecret() for name in listed}
        why = ProvisioningFault(reason=Reason.SECRET_MISSING)
        if policy.may_be_made(decision) and SECRET_NAME in secrets:
            would_be_made = decision.provision and self.subject.review.dry_run
            if would_be_made and not isinstance(secrets[SECRET_NAME], judging.UnreadableSecret):
                secrets[SECRET_NAME] = self._preview
            if secrets[SECRET_NAME] is None and self.fresh:
                why = self._diagnosis
        facts = PullFacts(
            listed=listed,
            secrets=secrets,
            missing_because=why.reason,
            central_fault=why.central_fault,
            detail=why.cause,
        )
        verdict = judging.verdict(part.images, facts, self.rules, self.deadline.check, among=self.subject.images)
        return Judgement(part=part, decision=decision, verdict=verdict)

    def _account(self, name: str) -> ServiceAccount:
        if name not in self._accounts:
            self._accounts[name] = self.facts.service_account(
                self.namespace.name, name, self.deadline, fresh=self.fresh
            )
        return self._accounts[name]

    def _secret(self, name: str) -> SecretFact:
        if name not in self._secrets:
            if name != SECRET_NAME and len(self._secrets) > judging.MAX_SECRETS:
                return judging.UnreadableSecret()
            self._secrets[name] = self.facts.secret(self.namespace.name, name, self.deadline, fresh=self.fresh)
        return self._secrets[name]

    @cached_property
    def _preview(self) -> SecretFact:
        existing = self._secret(SECRET_NAME)
        assert not isinstance(existing, judging.UnreadableSecret)  # noqa: S101 - who asks has looked
        return self.provisioner.preview(
            self.namespace, self.subject.repositories, existing, self.deadline, fresh=self.fresh
        )

    @cached_property
    def _diagnosis(self) -> ProvisioningFault:
        return self.provisioner.diagnose(self.namespace, self.subject.repositories, self.deadline)


def exempt(subject: Subject, part: Part, rules: Rules) -> Reason | None:
    """Say why a pod spec need not be judged at all, if so."""
    reason = policy.exempt(
        part.workload, namespace=subject.review.namespace, update=subject.update, before=part.before, rules=rules
    )
    return Reason.NO_SELECTED_IMAGE if reason is None and not part.images else reason


def combined(judgements: Sequence[Judgement]) -> Verdict:
    """Make one verdict on an object of those on its pod specs; problems of the first that has any come first."""
    if len(judgements) == 1:
        return judgements[0].verdict
    reasons = [each.verdict.reason for each in judgements if each.verdict.problems] or [
        each.verdict.reason for each in judgements
    ]
    reason = next((reason for reason in reasons if reason is not Reason.COVERED), Reason.COVERED)
    return Verdict(
        reason=reason,
        problems=tuple(problem for each in judgements for problem in each.verdict.problems),
        unverifiable=tuple(dict.fromkeys(name for each in judgements for name in each.verdict.unverifiable)),
    )
