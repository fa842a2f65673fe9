"""One admission review: facts, policy, provisioning and the answer."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from webhook import inquiry as inquiries
from webhook.core import covering, patch, policy, remedies, texts, workloads
from webhook.core.before import Before
from webhook.core.discretion import discreet
from webhook.core.kinds import TemplatePath, WorkloadKind, find_kind
from webhook.core.names import SECRET_NAME
from webhook.core.review import BadReview, Response, Review, allowed, denied, patched
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.vocabulary import Outcome, Provisioning, Reason
from webhook.core.workloads import MalformedObject, Workload
from webhook.inquiry import Inquiry, Judgement, Part, Subject
from webhook.ports import Deadline, Facts
from webhook.provisioning import Provisioned, Provisioner
from webhook.settling import Settling


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, and what the log and the metrics say of it.

    Attributes:
        provisioning: How provisioning ended (`Provisioning`), empty if there was none to do.
    """

    response: Response
    reason: Reason
    outcome: Outcome = Outcome.ALLOWED
    provisioning: str = ""


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
        inquiry = self._inquiry(subject, namespace, deadline)
        decisions = [inquiry.decide(part) for part in subject.parts]
        decision = policy.leading(decisions)
        warnings = texts.unknown_settings(namespace, _workloads(subject)) if subject.needs_copy else []
        audit = {"reason": str(decision.reason)}
        provisioned = None
        if decision.provision:
            audit["secret"] = f"{namespace.name}/{SECRET_NAME}"
            if not review.dry_run:
                provisioned = self._provisioner.ensure(namespace, subject.repositories, deadline)
                audit["secret"] += f" {provisioned.result}"
                warnings += _provisioning_warnings(namespace, provisioned)
        operations = tuple(
            operation
            for part, each in zip(subject.parts, decisions, strict=True)
            for operation in patch.append_pull_secrets(part.workload, each.add)
        )
        if provisioned is not None and self._covered(subject, namespace, provisioned, deadline):
            operations += covering.add_label(review.object.get("metadata") or {} if review.object else {})
        return Answer(
            response=patched(operations, warnings=warnings, audit=audit),
            reason=decision.reason,
            outcome=Outcome.PATCHED if operations else Outcome.ALLOWED,
            provisioning=provisioned.result if provisioned else "",
        )

    def _covered(self, subject: Subject, namespace: Namespace, provisioned: Provisioned, deadline: Deadline) -> bool:
        """Return whether our other half is not needed: every API server knows the copy, and it covers everything."""
        if self._settling is None or provisioned.result is not Provisioning.CURRENT:
            return False
        secret = self._facts.copy(namespace.name, deadline)
        return (
            secret is not None
            and self._settling.settled(namespace.name, secret.resource_version)
            and covering.covers(secret, self._rules)
            and all(covering.coverable(part.workload, namespace, self._rules) for part in subject.parts)
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
        exemptions = [inquiries.exempt(subject, part, self._rules) for part in subject.parts]
        to_judge = [part for part, reason in zip(subject.parts, exemptions, strict=True) if reason is None]
        if not to_judge:
            selected = (reason for reason in exemptions if reason not in (None, Reason.NO_SELECTED_IMAGE))
            return _allow(next(selected, None) or Reason.NO_SELECTED_IMAGE)
        namespace = self._namespace(subject, deadline)
        enforcement = self._rules.enforcement_in(namespace)
        inquiry = self._inquiry(subject, namespace, deadline)
        judgements = [inquiry.judge(part) for part in to_judge]
        if enforcement is not Enforcement.OFF and any(each.verdict.problems for each in judgements):
            namespace = self._facts.namespace(namespace.name, deadline, fresh=True)
            enforcement = self._rules.enforcement_in(namespace)
            inquiry = self._inquiry(subject, namespace, deadline, fresh=True)
            judgements = [inquiry.judge(each.part) if each.verdict.problems else each for each in judgements]
        return self._answer(subject, namespace, enforcement, judgements)

    def _subject(self, review: Review, *, subresource: str = "") -> Subject | None:
        """Read the workload of a review; `None` if there is none to decide on."""
        if review.operation not in ("CREATE", "UPDATE") or review.object is None:
            return None
        if review.subresource and (review.subresource != subresource or review.resource != "pods"):
            return None
        kind = find_kind(self._kinds, group=review.group, version=review.version, resource=review.resource)
        if kind is None:
            return None
        if not review.namespace:
            raise BadReview("request.namespace", "must not be empty for a workload", uid=review.uid)
        before = _before(kind, review)
        parts = []
        for workload in workloads.read_all(kind, review.object):
            images = policy.selected_images(workload, self._rules)
            if review.subresource:
                # The other containers run already; only what is added now can be kept out. An image that the Pod has,
                # but never pulls, is no less new.
                images = tuple(image for image in images if image.image not in before[workload.path].pulled)
            parts.append(Part(workload=workload, before=before[workload.path], images=images))
        selected = tuple(image for part in parts for image in part.images)
        return Subject(review=review, parts=tuple(parts), images=selected, repositories=policy.repositories(selected))

    def _namespace(self, subject: Subject, deadline: Deadline) -> Namespace:
        name = subject.review.namespace
        if not subject.needs_copy or self._rules.untouchable(name):
            return Namespace(name=name)
        return self._facts.namespace(name, deadline)

    def _inquiry(self, subject: Subject, namespace: Namespace, deadline: Deadline, *, fresh: bool = False) -> Inquiry:
        return Inquiry(
            subject=subject,
            namespace=namespace,
            deadline=deadline,
            rules=self._rules,
            facts=self._facts,
            provisioner=self._provisioner,
            fresh=fresh,
        )

    def _answer(
        self, subject: Subject, namespace: Namespace, enforcement: Enforcement, judgements: Sequence[Judgement]
    ) -> Answer:
        if not self._authenticated:
            judgements = [
                replace(each, verdict=discreet(each.verdict, each.part.workload.pull_secrets))
                if each.verdict.names_secrets
                else each
                for each in judgements
            ]
        verdict = inquiries.combined(judgements)
        first = next((each for each in judgements if each.verdict.problems), judgements[0])
        workload = first.part.workload
        audit = {"reason": str(verdict.reason), "secret": f"{namespace.name}/{SECRET_NAME}"}
        warnings = texts.unknown_settings(namespace, _workloads(subject))
        if verdict.unverifiable or (verdict.reason is Reason.TOO_LARGE and not verdict.problems):
            warnings.append(texts.unverified(workload, verdict))
        if not verdict.problems or enforcement is Enforcement.OFF:
            return Answer(response=allowed(warnings=warnings, audit=audit), reason=verdict.reason)
        refusal = remedies.refused(
            workload,
            namespace=namespace,
            selected=first.part.images,
            update=subject.update,
            decision=first.decision,
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


def _workloads(subject: Subject) -> list[Workload]:
    return [part.workload for part in subject.parts]


def _before(kind: WorkloadKind, review: Review) -> dict[TemplatePath, Before]:
    """Read what stood where each path leads."""
    old: tuple[Workload, ...] = ()
    if review.operation == "UPDATE" and review.old_object is not None:
        # Malformed, it was stored by a laxer schema than today's. Its successor is judged as if it were new.
        with contextlib.suppress(MalformedObject):
            old = workloads.read_all(kind, review.old_object)
    if not old:
        return dict.fromkeys(kind.templates, policy.NOTHING_BEFORE)
    return {path: Before(each for each in old if each.path == path) for path in kind.templates}


def _provisioning_warnings(namespace: Namespace, provisioned: Provisioned) -> list[str]:
    if provisioned.result.has_secret:
        return []
    return [texts.not_provisioned(namespace.name, provisioned.cause)]
