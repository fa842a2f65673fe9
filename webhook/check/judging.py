"""Both webhook decisions for one manifest, by the core rules.

The order is that of `webhook.admission`: the API server's own ServiceAccount plugin, the mutating half, the validating
half on what that made. A test holds both to the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from webhook.check.evidence import ManifestEvidence, assumed
from webhook.core import copies, judging, policy
from webhook.core.copies import Place
from webhook.core.judging import PullFacts, Refusal, SecretFact, Verdict, refused
from webhook.core.names import SECRET_NAME
from webhook.core.ownership import Secret
from webhook.core.parts import Part
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.vocabulary import Reason

ABSENT: Final = "it is in none of these files"
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
class Preview:
    """What would become of a workload.

    Attributes:
        decision: Of the mutating half; `not_applicable` without one.
        verdict: Of the validating half; a reason alone if it does not judge it.
        enforcement: What a problem leads to.
        refusal: With what the texts need.
        on_trust: It is covered by what nobody here could read.
    """

    decision: Decision
    verdict: Verdict
    enforcement: Enforcement
    refusal: Refusal
    on_trust: bool = False


def preview(
    part: Part, repositories: Sequence[str], namespace: Namespace, evidence: ManifestEvidence, assumptions: Assumptions
) -> Preview:
    """Say what would become of a workload that is created.

    Args:
        part: A Pod or pod template.
        repositories: What its object as a whole pulls from.
        namespace: Where it goes.
        evidence: What else is known.
        assumptions: What is taken for granted.
    """
    rules, workload = assumptions.rules, part.workload
    account = evidence.accounts.get((namespace.name, workload.service_account), ServiceAccount())
    if workload.is_pod and not workload.listed and not workload.mirror:
        # The API server's ServiceAccount plugin; it comes before every webhook.
        given = replace(workload, pull_secrets=account.secrets, listed=len(account.secrets) or None)
        part = replace(part, workload=given)
    decided = _decide(part, namespace, account, assumptions)
    decision = decided
    if decided.add:
        part = replace(part, workload=policy.injected(part.workload, decided))
        decision = _decide(part, namespace, account, assumptions)
    exemption = policy.exempt(part, namespace=namespace.name, rules=rules)
    if exemption is not None:
        verdict, on_trust = Verdict(reason=exemption), False
    else:
        listed = policy.secrets_in_effect(part.workload, account, decision)
        verdict = judging.verdict(part, _facts(listed, decision, namespace, repositories, evidence, assumptions), rules)
        held = [known for name in listed if (known := evidence.secrets.get((namespace.name, name))) is not None]
        on_trust = bool(verdict.unverifiable) or any(known.trusted for known in held)
    return Preview(
        decision=decided,
        verdict=verdict,
        enforcement=rules.enforcement_in(namespace),
        refusal=refused(part, namespace=namespace, decision=decision, rules=rules, installed=assumptions.installed),
        on_trust=on_trust and not verdict.problems,
    )


def _decide(part: Part, namespace: Namespace, account: ServiceAccount, assumptions: Assumptions) -> Decision:
    if not assumptions.installed:
        return policy.NOT_APPLICABLE
    return policy.decide(part, namespace=namespace, service_account=account, rules=assumptions.rules)


def _facts(
    listed: tuple[str, ...],
    decision: Decision,
    namespace: Namespace,
    repositories: Sequence[str],
    evidence: ManifestEvidence,
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
    place = Place(namespace=namespace.name, release_namespace=rules.release_namespace)
    secrets[SECRET_NAME] = copies.preview(place, central, existing, rules.patterns, repositories)
    if secrets[SECRET_NAME] is not None:
        return PullFacts(listed=listed, secrets=secrets)
    fault = copies.central_fault(central, rules.patterns, repositories)
    return PullFacts(listed=listed, secrets=secrets, missing_because=Reason.CENTRAL_UNUSABLE, central_fault=fault)


def _central(repositories: Sequence[str], evidence: ManifestEvidence, assumptions: Assumptions) -> Secret:
    home = assumptions.rules.release_namespace
    known = evidence.secrets.get((home, SECRET_NAME))
    if known is not None:
        return known.for_images(repositories)
    return assumed(Secret(namespace=home), repositories, assumptions.entries)
