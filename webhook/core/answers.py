"""Answers of both halves: patches and responses made of decisions and verdicts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from webhook.core import coverage, judging, policy, texts
from webhook.core.display import escaped
from webhook.core.judging import UNNAMED, Judgement, Verdict
from webhook.core.names import SECRET_NAME
from webhook.core.policy import Decision
from webhook.core.review import Json, Response, allowed, denied, patched
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.subjects import Subject
from webhook.core.vocabulary import Outcome, Provisioning, Reason
from webhook.core.workloads import Workload


def append_pull_secrets(workload: Workload, names: Sequence[str]) -> tuple[Json, ...]:
    """Make the JSON Patch operations (RFC 6902) that append names to `imagePullSecrets`, after whatever is there.

    An absent or null list is added whole. A list that is there, even an empty one, is appended to: a Pod's list holds
    what the API server has copied from its ServiceAccount, and replacing it would throw those secrets away.
    """
    if not names:
        return ()
    path = _pointer((*workload.spec_path, "imagePullSecrets"))
    if workload.listed is None:
        return ({"op": "add", "path": path, "value": [{"name": name} for name in names]},)
    return tuple({"op": "add", "path": f"{path}/-", "value": {"name": name}} for name in names)


def _pointer(tokens: Iterable[str | int]) -> str:
    return "".join(f"/{escaped(str(token))}" for token in tokens)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """How provisioning ended; where it failed, with its cause for people."""

    result: Provisioning
    cause: str = ""


def unconcerned(reason: Reason) -> Answer:
    """Admit an object that no half decides on."""
    return Answer(response=allowed(audit={"reason": str(reason)}), reason=reason)


def mutated(
    subject: Subject,
    namespace: Namespace,
    decisions: Sequence[Decision],
    *,
    provisioned: Provisioned | None = None,
    covered: bool = False,
) -> Answer:
    """Answer for the mutating half.

    Args:
        subject: What the review is about.
        namespace: Where it is.
        decisions: One on each of its parts.
        provisioned: Outcome of making the copy, if one was to be made.
        covered: The Pod gets the label that spares it the validating half.
    """
    decision = policy.leading(decisions)
    workloads = [each.workload for each in subject.parts]
    audit = {"reason": str(decision.reason)}
    warnings = texts.unknown_settings(namespace, workloads) if subject.needs_copy else []
    if decision.provision:
        audit["secret"] = f"{namespace.name}/{SECRET_NAME}"
    if provisioned is not None:
        audit["secret"] += f" {provisioned.result}"
        if not provisioned.result.has_secret:
            warnings.append(texts.not_provisioned(namespace.name, provisioned.cause))
    operations = tuple(
        operation
        for workload, each in zip(workloads, decisions, strict=True)
        for operation in append_pull_secrets(workload, each.add)
    )
    if covered:
        operations += coverage.add_covered_label(subject.metadata)
    return Answer(
        response=patched(operations, warnings=warnings, audit=audit),
        reason=decision.reason,
        outcome=Outcome.PATCHED if operations else Outcome.ALLOWED,
        provisioning=provisioned.result if provisioned else "",
    )


def judged(
    subject: Subject, namespace: Namespace, judgements: Sequence[Judgement], rules: Rules, *, authenticated: bool
) -> Answer:
    """Answer for the validating half.

    Args:
        subject: What the review is about.
        namespace: Where it is.
        judgements: One on each of its parts that was to be judged.
        rules: The installation's settings.
        authenticated: The caller has shown who it is, so that a text may name every Secret the verdict rests on.

    | problems | enforcement there | answer |
    |---|---|---|
    | none | any | admitted |
    | some | off | admitted |
    | some | warn | admitted, with the refusal as a warning |
    | some | deny | rejected |
    """
    if not judgements:
        return unconcerned(subject.exemption)
    verdicts = [each.verdict for each in judgements]
    if not authenticated:
        verdicts = [discreet(each.verdict, each.part.workload.pull_secrets) for each in judgements]
    verdict = combined(verdicts)
    first = next((each for each in judgements if each.verdict.problems), judgements[0])
    audit = {"reason": str(verdict.reason), "secret": f"{namespace.name}/{SECRET_NAME}"}
    enforcement = rules.enforcement_in(namespace)
    warnings = texts.unknown_settings(namespace, [each.workload for each in subject.parts])
    if verdict.unverifiable or (verdict.reason is Reason.TOO_LARGE and not verdict.problems):
        warnings.append(texts.unverified(first.part.workload, verdict))
    if not verdict.problems or enforcement is Enforcement.OFF:
        return Answer(response=allowed(warnings=warnings, audit=audit), reason=verdict.reason)
    refusal = judging.refused(first.part, namespace=namespace, decision=first.decision, rules=rules)
    text = texts.denial(refusal, verdict)
    if enforcement is Enforcement.WARN:
        response = allowed(warnings=[text, *warnings], audit=audit)
        return Answer(response=response, reason=verdict.reason, outcome=Outcome.WARNED)
    response = denied(text, warnings=warnings, audit=audit)
    return Answer(response=response, reason=verdict.reason, outcome=Outcome.DENIED)


def discreet(verdict: Verdict, listed: Collection[str]) -> Verdict:
    """Take the names of Secrets out of a verdict that its reader may not know.

    Args:
        verdict: On a pod spec.
        listed: Names that it lists itself. The others come from its ServiceAccount, and anybody can send a review of
            an object that uses it.
    """
    if not (verdict.problems or verdict.unverifiable):
        return verdict
    known = {"", SECRET_NAME, *listed}
    problems = tuple(
        problem if problem.secret in known else replace(problem, secret=UNNAMED, found=None)
        for problem in verdict.problems
    )
    unverifiable = tuple(dict.fromkeys(name if name in known else UNNAMED for name in verdict.unverifiable))
    return replace(verdict, problems=problems, unverifiable=unverifiable)


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """Make one verdict on an object of those on its pod specs; problems of the first that has any come first."""
    if len(verdicts) == 1:
        return verdicts[0]
    reasons = [each.reason for each in verdicts if each.problems] or [each.reason for each in verdicts]
    return Verdict(
        reason=next((reason for reason in reasons if reason is not Reason.COVERED), Reason.COVERED),
        problems=tuple(problem for each in verdicts for problem in each.problems),
        unverifiable=tuple(dict.fromkeys(name for each in verdicts for name in each.unverifiable)),
    )
