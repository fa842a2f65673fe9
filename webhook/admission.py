"""One admission review: facts, policy, provisioning and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from webhook.core import covering, patch, policy, remedies, texts, workloads
from webhook.core.discretion import discreet
from webhook.core.names import SECRET_NAME
from webhook.core.policy import Decision, PullFacts, SecretFact, ServiceAccount, Verdict
from webhook.core.reasons import Reason
from webhook.core.review import BadReview, Response, Review, allowed, denied, patched
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.workloads import MalformedObject, PodImage, Workload, WorkloadKind
from webhook.ports import Deadline, Facts
from webhook.provisioning import Diagnosis, Provisioned, Provisioner, Result
from webhook.settling import Settling


class Outcome(StrEnum):
    """What became of a review; a metric label."""

    ALLOWED = "allowed"
    PATCHED = "patched"
    WARNED = "warned"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, and what the log and the metrics say of it.

    Attributes:
        provisioning: How provisioning ended (`provisioning.Result`), empty if there was none to do.
    """

    response: Response
    reason: Reason
    outcome: Outcome = Outcome.ALLOWED
    provisioning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """A review's workload, and what it was before an UPDATE."""

    review: Review
    workload: Workload
    old: Workload | None
    images: tuple[PodImage, ...]
    repositories: tuple[str, ...]

    @property
    def update(self) -> bool:
        return self.review.operation == "UPDATE"

    @property
    def needs_copy(self) -> bool:
        return bool(self.images) or (not self.update and policy.mounts_copy(self.workload))


_EPHEMERAL = "ephemeralcontainers"


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

    def mutate(self, review: Review, deadline: Deadline) -> Answer:
        """Add what a workload's pull secrets lack, with a copy in place before the answer.

        Raises:
            BadReview, MalformedObject: The request is not what an API server sends.
            ClusterError: A fact is missing and the API server could not be asked.
        """
        subject = self._subject(review)
        if subject is None:
            return _allow(Reason.NOT_APPLICABLE)
        namespace = self._namespace(subject, deadline)
        decision = self._decide(subject, namespace, deadline)
        warnings = texts.unknown_settings(namespace, subject.workload) if subject.needs_copy else []
        audit = {"reason": str(decision.reason)}
        provisioned = None
        if decision.provision:
            audit["secret"] = f"{namespace.name}/{SECRET_NAME}"
            if not review.dry_run:
                provisioned = self._provisioner.ensure(namespace, subject.repositories, deadline)
                audit["secret"] += f" {provisioned.result}"
                warnings += _provisioning_warnings(namespace, provisioned)
        operations = patch.append_pull_secrets(subject.workload, decision.add)
        if provisioned is not None and self._covered(subject, namespace, provisioned, deadline):
            operations += covering.add_label(review.object.get("metadata") or {} if review.object else {})
        return Answer(
            response=patched(operations, warnings=warnings, audit=audit),
            reason=decision.reason,
            outcome=Outcome.PATCHED if operations else Outcome.ALLOWED,
            provisioning=provisioned.result if provisioned else "",
        )

    def _covered(self, subject: _Subject, namespace: Namespace, provisioned: Provisioned, deadline: Deadline) -> bool:
        """Return whether our other half is not needed: every API server knows the copy, and it covers everything."""
        if self._settling is None or provisioned.result is not Result.CURRENT:
            return False
        secret = self._facts.copy(namespace.name, deadline)
        return (
            secret is not None
            and self._settling.settled(namespace.name, secret.resource_version)
            and covering.covers(secret, self._rules)
            and covering.coverable(subject.workload, namespace, self._rules)
        )

    def validate(self, review: Review, deadline: Deadline) -> Answer:
        """Reject a workload that would pull without credentials.

        What a cache says is good enough to admit. Before it leads to a rejection or a warning everything it rests on
        is read from the API server: the replica that validates is often not the one that has just made the copy.

        Raises:
            BadReview, MalformedObject, ClusterError: As `mutate`.
        """
        subject = self._subject(review, subresource=_EPHEMERAL)
        if subject is None:
            return _allow(Reason.NOT_APPLICABLE)
        exemption = policy.exempt(
            subject.workload, namespace=review.namespace, update=subject.update, old=subject.old, rules=self._rules
        )
        if exemption is None and not subject.images:
            exemption = Reason.NO_SELECTED_IMAGE
        if exemption is not None:
            return _allow(exemption)
        namespace = self._namespace(subject, deadline)
        enforcement = self._rules.enforcement_in(namespace)
        verdict, decision = self._judge(subject, namespace, deadline, fresh=False)
        if verdict.problems and enforcement is not Enforcement.OFF:
            namespace = self._facts.namespace(namespace.name, deadline, fresh=True)
            enforcement = self._rules.enforcement_in(namespace)
            verdict, decision = self._judge(subject, namespace, deadline, fresh=True)
        return self._answer(subject, namespace, enforcement, verdict, decision)

    def _subject(self, review: Review, *, subresource: str = "") -> _Subject | None:
        """Read the workload of a review; `None` if there is none to decide on."""
        if review.operation not in ("CREATE", "UPDATE") or review.object is None:
            return None
        if review.subresource and (review.subresource != subresource or review.resource != "pods"):
            return None
        kind = workloads.find_kind(self._kinds, group=review.group, version=review.version, resource=review.resource)
        if kind is None:
            return None
        if not review.namespace:
            raise BadReview("request.namespace", "must not be empty for a workload", uid=review.uid)
        workload = workloads.read(kind, review.object)
        old = _read_old(kind, review)
        images = policy.selected_images(workload, self._rules)
        if review.subresource:
            # The other containers run already; only what is added now can be kept out. An image that the Pod has, but
            # never pulls, is no less new.
            before = old.pulled if old else frozenset()
            images = tuple(image for image in images if image.image not in before)
        return _Subject(
            review=review,
            workload=workload,
            old=old,
            images=images,
            repositories=policy.repositories(images),
        )

    def _namespace(self, subject: _Subject, deadline: Deadline) -> Namespace:
        name = subject.review.namespace
        if not subject.needs_copy or self._rules.untouchable(name):
            return Namespace(name=name)
        return self._facts.namespace(name, deadline)

    def _decide(self, subject: _Subject, namespace: Namespace, deadline: Deadline, *, fresh: bool = False) -> Decision:
        workload = subject.workload
        service_account = ServiceAccount()
        if subject.images and not workload.is_pod and policy.needs_service_account(workload):
            service_account = self._service_account(subject, deadline, fresh=fresh)
        return policy.decide(
            workload,
            update=subject.update,
            old_template=subject.old.template if subject.old else None,
            namespace=namespace,
            service_account=service_account,
            rules=self._rules,
        )

    def _service_account(self, subject: _Subject, deadline: Deadline, *, fresh: bool) -> ServiceAccount:
        return self._facts.service_account(
            subject.review.namespace, subject.workload.service_account, deadline, fresh=fresh
        )

    def _judge(
        self, subject: _Subject, namespace: Namespace, deadline: Deadline, *, fresh: bool
    ) -> tuple[Verdict, Decision]:
        decision = self._decide(subject, namespace, deadline, fresh=fresh)
        inherited = ServiceAccount()
        if policy.needs_service_account(subject.workload):
            inherited = self._service_account(subject, deadline, fresh=fresh)
        listed = policy.secrets_in_effect(subject.workload, inherited, decision)
        read = policy.secrets_to_read(listed)
        secrets: dict[str, SecretFact] = {
            name: self._facts.secret(namespace.name, name, deadline, fresh=fresh)
            if name in read
            else policy.Unreadable()
            for name in listed
        }
        why = Diagnosis(reason=Reason.SECRET_MISSING)
        if decision.provision and SECRET_NAME in secrets:
            secret = secrets[SECRET_NAME]
            if subject.review.dry_run and not isinstance(secret, policy.Unreadable):
                secrets[SECRET_NAME] = secret = self._provisioner.preview(
                    namespace, subject.repositories, secret, deadline, fresh=fresh
                )
            if secret is None and fresh:
                why = self._provisioner.diagnose(namespace, subject.repositories, deadline)
        facts = PullFacts(
            listed=listed,
            secrets=secrets,
            missing_because=why.reason,
            central_fault=why.central_fault,
            detail=why.cause,
        )
        return policy.verdict(subject.images, facts, self._rules, deadline.check), decision

    def _answer(
        self,
        subject: _Subject,
        namespace: Namespace,
        enforcement: Enforcement,
        verdict: Verdict,
        decision: Decision,
    ) -> Answer:
        if not self._authenticated:
            verdict = discreet(verdict, subject.workload.pull_secrets)
        audit = {"reason": str(verdict.reason), "secret": f"{namespace.name}/{SECRET_NAME}"}
        warnings = texts.unknown_settings(namespace, subject.workload)
        if verdict.unverifiable or (verdict.reason is Reason.TOO_LARGE and not verdict.problems):
            warnings.append(texts.unverified(subject.workload, verdict))
        if not verdict.problems or enforcement is Enforcement.OFF:
            return Answer(response=allowed(warnings=warnings, audit=audit), reason=verdict.reason)
        refusal = remedies.refused(
            subject.workload,
            namespace=namespace.name,
            selected=subject.images,
            update=subject.update,
            decision=decision,
            rules=self._rules,
        )
        text = texts.denial(refusal, verdict)
        if enforcement is Enforcement.WARN:
            response = allowed(warnings=[text, *warnings], audit=audit)
            return Answer(response=response, reason=verdict.reason, outcome=Outcome.WARNED)
        return Answer(
            response=denied(text, warnings=warnings, audit=audit), reason=verdict.reason, outcome=Outcome.DENIED
        )


def _allow(reason: Reason) -> Answer:
    return Answer(response=allowed(audit={"reason": str(reason)}), reason=reason)


def _read_old(kind: WorkloadKind, review: Review) -> Workload | None:
    if review.operation != "UPDATE" or review.old_object is None:
        return None
    try:
        return workloads.read(kind, review.old_object)
    except MalformedObject:
        # It was stored by a laxer schema than today's. Its successor is judged as if it were new.
        return None


def _provisioning_warnings(namespace: Namespace, provisioned: Provisioned) -> list[str]:
    if provisioned.result.has_secret:
        return []
    return [texts.not_provisioned(namespace.name, provisioned.cause)]
