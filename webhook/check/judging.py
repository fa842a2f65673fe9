"""Both webhook decisions for one manifest, by the core rules.

The order is that of `webhook.admission`: the API server's own ServiceAccount plugin, the mutating half, the validating
half on what that made. A test holds both to the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from webhook.check.evidence import Evidence, KnownSecret, assumed
from webhook.core import copies, judging, policy
from webhook.core.copies import Place as CopyPlace
from webhook.core.judging import PullFacts, SecretFact, Verdict
from webhook.core.names import SECRET_NAME
from webhook.core.ownership import Secret
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.remedies import Refusal, refused
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload

ABSENT = "it is in none of these files"
"""Why our Secret is taken to be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is taken for granted.

    Attributes:
        rules: The installation's settings.
        installed: The add-on is in the cluster, with a central secret that is good where no manifest says otherwise.
        entries: The registries its central secret has entries for, if the values say so.
    """

    rules: Rules
    installed: bool = True
    entries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What would become of a workload.

    Attributes:
        namespace: Where it is.
        images: Its selected images.
        decision: Of the mutating half; `not_applicable` without one.
        verdict: Of the validating half; a reason alone if it does not judge it.
        enforcement: What a problem leads to.
        refusal: With what the texts need.
        secrets: The pull secrets in effect that the manifests hold.
        on_trust: It is covered by what nobody here could read.
    """

    namespace: Namespace
    images: tuple[PodImage, ...]
    decision: Decision
    verdict: Verdict
    enforcement: Enforcement
    refusal: Refusal
    secrets: tuple[KnownSecret, ...] = ()
    on_trust: bool = False


def judge(
    workload: Workload,
    namespace: Namespace,
    evidence: Evidence,
    assumptions: Assumptions,
    *,
    among: Sequence[PodImage] = (),
) -> Judgement:
    """Judge a workload that is to be created.

    Args:
        workload: A Pod or pod template.
        namespace: Where it goes.
        evidence: What else is known.
        assumptions: What is taken for granted.
        among: The selected images of its object, if that has other pod templates.
    """
    rules = assumptions.rules
    account = evidence.accounts.get((namespace.name, workload.service_account), ServiceAccount())
    if workload.is_pod and not workload.listed and not workload.mirror:
        # The API server's ServiceAccount plugin; it comes before every webhook.
        workload = replace(workload, pull_secrets=account.secrets, listed=len(account.secrets) or None)
    decided = _decide(workload, namespace, account, assumptions)
    seen = policy.injected(workload, decided)
    decision = _decide(seen, namespace, account, assumptions)
    images = policy.selected_images(seen, rules)
    exemption = policy.exempt(seen, namespace=namespace.name, update=False, rules=rules)
    refusal = refused(seen, namespace=namespace, selected=images, decision=decision, rules=rules)
    if not assumptions.installed:
        refusal = replace(refusal, installed=False)
    if exemption is not None:
        return Judgement(
            namespace=namespace,
            images=images,
            decision=decided,
            verdict=Verdict(reason=exemption),
            enforcement=rules.enforcement_in(namespace),
            refusal=refusal,
        )
    listed = policy.secrets_in_effect(seen, account, decision)
    repositories = policy.repositories(among or images)
    facts = _facts(listed, decision, namespace, repositories, evidence, assumptions)
    verdict = judging.verdict(images, facts, rules, among=among)
    held = tuple(known for name in listed if (known := evidence.secrets.get((namespace.name, name))) is not None)
    on_trust = bool(verdict.unverifiable) or any(known.trusted for known in held)
    return Judgement(
        namespace=namespace,
        images=images,
        decision=decided,
        verdict=verdict,
        enforcement=rules.enforcement_in(namespace),
        refusal=refusal,
        secrets=held,
        on_trust=on_trust and not verdict.problems,
    )


def _decide(workload: Workload, namespace: Namespace, account: ServiceAccount, assumptions: Assumptions) -> Decision:
    if not assumptions.installed:
        return policy.NOT_APPLICABLE
    return policy.decide(
        workload,
        update=False,
        namespace=namespace,
        service_account=account,
        rules=assumptions.rules,
    )


def _facts(
    listed: tuple[str, ...],
    decision: Decision,
    namespace: Namespace,
    repositories: Sequence[str],
    evidence: Evidence,
    assumptions: Assumptions,
) -> PullFacts:
    read = judging.secrets_to_read(listed)
    secrets: dict[str, SecretFact] = {}
    for name in listed:
        known = evidence.secrets.get((namespace.name, name)) if name in read else None
        if known is not None:
            secrets[name] = known.for_images(repositories)
        else:
            # Ours is the one that the webhook may always read; of others nobody can say whether they are there.
            secrets[name] = None if name == SECRET_NAME else judging.UnreadableSecret()
    rules, existing = assumptions.rules, secrets.get(SECRET_NAME)
    copied = decision.provision or (assumptions.installed and rules.provisions_in(namespace))
    if not copied or SECRET_NAME not in listed:
        return PullFacts(listed=listed, secrets=secrets, detail=ABSENT)
    central = _central(repositories, evidence, assumptions)
    assert not isinstance(existing, judging.UnreadableSecret)  # noqa: S101 - `secrets_to_read` has ours first
    place = CopyPlace(namespace=namespace.name, release_namespace=rules.release_namespace)
    secrets[SECRET_NAME] = copies.preview(place, central, existing, rules.patterns, repositories)
    if secrets[SECRET_NAME] is not None:
        return PullFacts(listed=listed, secrets=secrets)
    fault = copies.central_fault(central, rules.patterns, repositories)
    return PullFacts(listed=listed, secrets=secrets, missing_because=Reason.CENTRAL_UNUSABLE, central_fault=fault)


def _central(repositories: Sequence[str], evidence: Evidence, assumptions: Assumptions) -> Secret:
    home = assumptions.rules.release_namespace
    known = evidence.secrets.get((home, SECRET_NAME))
    if known is not None:
        return known.for_images(repositories)
    return assumed(Secret(namespace=home), repositories, assumptions.entries)
