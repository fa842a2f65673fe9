"""Cause for which a Pod cannot pull, from its kubelet's words.

The rules are those of the webhook: `judging.verdict` says what a Pod's pull secrets are worth, `copies.plan` whether a
copy is as it should be, `ownership` whose a Secret is. Here is only which of their answers explains what the kubelet
met.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, assert_never

from webhook.core import copies, images, judging
from webhook.core.causes import Cause, PodDiagnosis, Stuck, Surroundings, Unused
from webhook.core.copies import Place, Replace, Update
from webhook.core.judging import Problem, PullFacts, UnreadableSecret, Verdict
from webhook.core.kubelet_words import ContainerWaiting, Symptom, failing_image, other_host, symptom
from webhook.core.names import SECRET_NAME
from webhook.core.ownership import Owner, Secret, is_ours, owner_of
from webhook.core.parts import Part, repositories
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Rules
from webhook.core.vocabulary import CentralFault, CredentialState, Reason
from webhook.core.workloads import PodImage, Workload


def find_stuck(workload: Workload, waiting: tuple[ContainerWaiting, ...], rules: Rules) -> Stuck | None:
    """Choose the container that says why a Pod does not run: the first that was not pulled, else the first that was.

    Only containers whose image is selected count; one whose image is never pulled, or has no valid name, counts too.
    """
    pulled = None
    for each in waiting:
        own = next(
            (image for image in workload.images if (image.place, image.name) == (each.place, each.container)), None
        )
        if own is None:
            continue
        text = failing_image(each.message, tuple(image.image for image in workload.images), own.image)
        image = own if text == own.image else next(named for named in workload.images if named.image == text)
        if not rules.patterns.selects(image.image):
            continue
        found = Stuck(waiting=each, symptom=symptom(each, image.image), image=image)
        if found.symptom is Symptom.PULLED:
            pulled = pulled or found
        elif found.symptom is not Symptom.STARTING:
            return found
    return pulled


_AT_ONCE: Final[Mapping[Symptom, Cause]] = {
    Symptom.PULLED: Cause.PULLED,
    Symptom.INVALID_NAME: Cause.INVALID_IMAGE_NAME,
    Symptom.NEVER_PULLED: Cause.NEVER_PULLED,
    Symptom.NOT_FOUND: Cause.IMAGE_NOT_FOUND,
}

_CONNECTION: Final[Mapping[Symptom, Cause]] = {
    Symptom.UNREACHABLE: Cause.REGISTRY_UNREACHABLE,
    Symptom.FAILING: Cause.REGISTRY_FAILING,
}


def diagnose(workload: Workload, stuck: Stuck, around: Surroundings, rules: Rules) -> PodDiagnosis:
    """Say why a Pod cannot pull.

    Args:
        workload: The Pod.
        stuck: Of `find_stuck`.
        around: What there is to pull with.
        rules: The installation's settings.

    First row that fits. "Covered" and "uncovered" are what `judging.verdict` says of the image as things are now:

    | the kubelet met | and | cause |
    |---|---|---|
    | pulled | | pulled |
    | anything else | the node is not heard of | node_unreachable |
    | an invalid name, a pull policy `Never`, no such image | | that |
    | any other | uncovered, and the host is written oddly | host_spelling |
    | a malformed pull secret | a listed Secret is malformed, or may not be read | malformed |
    | | else | back_off |
    | no connection, an error of the registry | of a mirror | registry_mirror |
    | | of the registry itself | registry_unreachable, registry_failing |
    | a refusal, or something unknown | uncovered | see `_uncovered` |
    | | not known, for a Secret may not be read | credential_rejected if it was, else unverifiable, too_large |
    | a refusal | by a mirror | registry_mirror |
    | no credential was sent | covered | back_off |
    | a credential was refused | covered | see `_refused` |
    | something unknown | covered | unknown |
    """
    met = stuck.symptom
    if met is not Symptom.PULLED and around.node_lost:
        return PodDiagnosis(cause=Cause.NODE_UNREACHABLE, stuck=stuck)
    judged = _judge(workload, stuck, listed(workload), around, rules)
    problem = judged.problems[0] if judged.problems else None
    if (cause := _AT_ONCE.get(met)) is not None:
        return PodDiagnosis(cause=cause, stuck=stuck, exposed=problem is not None)
    if problem is not None and _odd_host(stuck.image, problem):
        return PodDiagnosis(cause=Cause.HOST_SPELLING, stuck=stuck, problem=problem, secret=problem.secret)
    host = other_host(stuck.waiting, stuck.image.image)
    if (cause := _CONNECTION.get(met)) is not None:
        cause = Cause.REGISTRY_MIRROR if host else cause
        return PodDiagnosis(cause=cause, stuck=stuck, host=host, exposed=problem is not None)
    if problem is not None:
        return _uncovered(problem, workload, stuck, around, rules)
    unread = judged.unverifiable
    if met is Symptom.MALFORMED_SECRET:
        return PodDiagnosis(
            cause=Cause.MALFORMED if unread else Cause.BACK_OFF, stuck=stuck, secret=next(iter(unread), "")
        )
    if unread:
        cause = Cause.CREDENTIAL_REJECTED if met is Symptom.REJECTED else Cause(judged.reason.value)
        return PodDiagnosis(cause=cause, stuck=stuck, secret=unread[0])
    if met is Symptom.UNKNOWN:
        return PodDiagnosis(cause=Cause.UNKNOWN, stuck=stuck)
    if host:
        return PodDiagnosis(cause=Cause.REGISTRY_MIRROR, stuck=stuck, host=host)
    return _refused(workload, stuck, around, rules)


def listed(workload: Workload) -> tuple[str, ...]:
    """List a Pod's pull secrets: its own, for the API server has copied its ServiceAccount's when it was made."""
    return tuple(dict.fromkeys(workload.pull_secrets))


def names_to_read(workload: Workload, *accounts: ServiceAccount) -> frozenset[str]:
    """Name the Secrets that bear on why a Pod cannot pull, `judging.MAX_SECRETS` at most of each list."""
    lists = [listed(workload), *(account.secrets for account in accounts)]
    return frozenset({SECRET_NAME}).union(*(judging.secrets_to_read(names) for names in lists))


def _judge(workload: Workload, stuck: Stuck, names: tuple[str, ...], around: Surroundings, rules: Rules) -> Verdict:
    """Say what pull secrets are worth for the image, as the validating half would."""
    read = judging.secrets_to_read(names)
    facts = PullFacts(
        listed=names,
        secrets={name: around.secrets.get(name) if name in read else UnreadableSecret() for name in names},
        missing_because=_missing_because(around, rules),
        central_fault=_central_fault(around, rules),
    )
    # What is not known is told apart from what is known to be wrong, whatever the installation takes on trust.
    part = Part(workload=workload, images=(stuck.image,))
    return judging.verdict(part, facts, replace(rules, allow_unverifiable=True))


def _missing_because(around: Surroundings, rules: Rules) -> Reason:
    if isinstance(around.central, UnreadableSecret) or not rules.may_have_copy(around.namespace):
        return Reason.SECRET_MISSING
    if around.central is None:
        return Reason.CENTRAL_MISSING
    return Reason.SECRET_MISSING if _central_fault(around, rules) is None else Reason.CENTRAL_UNUSABLE


def _central_fault(around: Surroundings, rules: Rules) -> CentralFault | None:
    if not isinstance(around.central, Secret):
        return None
    return copies.central_fault(around.central, rules.patterns)


def _odd_host(image: PodImage, problem: Problem) -> bool:
    """Return whether no copy would help: nor is one made, as the central secret has no entry for such a host."""
    return problem.reason is not Reason.MALFORMED and not images.written_plainly(image.image)


def _uncovered(problem: Problem, workload: Workload, stuck: Stuck, around: Surroundings, rules: Rules) -> PodDiagnosis:
    """Say how it came that a Pod has no credential for its image.

    | the pull secrets | cause |
    |---|---|
    | a copy of ours that the controller would change, and then it covers the image | stale |
    | those of the ServiceAccount, or of `default`, would cover it | account_unused |
    | else | the verdict's reason |
    """
    ours = problem.found if problem.secret == SECRET_NAME else None
    owner = _owner(ours, around, rules)
    if ours is not None and owner is Owner.OURS and (fresh := _brought_up_to_date(ours, around, rules)) is not None:
        then = replace(around, secrets={**around.secrets, SECRET_NAME: fresh})
        if _judge(workload, stuck, listed(workload), then, rules).reason is Reason.COVERED:
            return PodDiagnosis(cause=Cause.STALE, stuck=stuck, secret=SECRET_NAME, found=ours, owner=owner)
    unused, name = _unused(problem, workload, stuck, around, rules)
    if unused is not None:
        return PodDiagnosis(cause=Cause.ACCOUNT_UNUSED, stuck=stuck, secret=name, unused=unused, problem=problem)
    return PodDiagnosis(
        cause=Cause(problem.reason.value),
        stuck=stuck,
        secret=problem.secret,
        found=problem.found,
        owner=owner,
        problem=problem,
    )


def _unused(
    problem: Problem, workload: Workload, stuck: Stuck, around: Surroundings, rules: Rules
) -> tuple[Unused | None, str]:
    """Say whether a ServiceAccount lists what the Pod lacks, why that is not the Pod's, and the first Secret of it."""
    reason = Unused.OWN_LIST if workload.listed else Unused.LATER
    candidates = [(around.account, reason)]
    if not workload.listed and workload.service_account != "default":
        candidates.append((around.default_account, Unused.OTHER_ACCOUNT))
    for account, unused in candidates:
        if problem.reason is Reason.MALFORMED or set(account.secrets) <= set(workload.pull_secrets):
            continue
        would = _judge(workload, stuck, account.secrets, around, rules)
        # Of a Pod with a list of its own, what may not be read is no better explanation than what is known.
        if would.reason is Reason.COVERED or (not would.problems and not workload.listed):
            return unused, account.secrets[0]
    return None, ""


def _refused(workload: Workload, stuck: Stuck, around: Surroundings, rules: Rules) -> PodDiagnosis:
    """Say why a registry refuses a Pod that has a credential for its image.

    | the kubelet sent | the Secret it found it in | the registry says now | cause |
    |---|---|---|---|
    | none | | | back_off: the Secret came later |
    | one | is a copy of ours that the controller would change | | stale |
    | one | was written since | | back_off |
    | one | is a foreign `ghcr-secret` unlike the central secret, which could be spread | | foreign |
    | one | is as the central secret | accepted | back_off |
    | one | is as the central secret | rejected, or unreadable | credential_rejected, or credential_no_access |
    | one that was rejected, or for which no token was given | | | credential_rejected |
    | one, perhaps, that was denied | | | credential_no_access |
    """
    name, secret = _covering(workload, stuck, around)
    owner = _owner(secret, around, rules)

    def diagnosis(cause: Cause) -> PodDiagnosis:
        return PodDiagnosis(cause=cause, stuck=stuck, secret=name, found=secret, owner=owner)

    if stuck.symptom is Symptom.ANONYMOUS:
        return diagnosis(Cause.BACK_OFF)
    if secret is not None and owner is Owner.OURS and _brought_up_to_date(secret, around, rules) is not None:
        return diagnosis(Cause.STALE)
    if name in around.rewritten:
        return diagnosis(Cause.BACK_OFF)
    central = around.central if isinstance(around.central, Secret) else None
    same = secret is not None and central is not None and secret.payload == central.payload
    if owner not in (None, Owner.OURS) and central is not None and not same and _central_fault(around, rules) is None:
        return diagnosis(Cause.FOREIGN)
    if same and (said := _said_by_registry(around.word)) is not None:
        return diagnosis(said)
    rejected = stuck.symptom in {Symptom.REJECTED, Symptom.NO_TOKEN}
    return diagnosis(Cause.CREDENTIAL_REJECTED if rejected else Cause.CREDENTIAL_NO_ACCESS)


def _said_by_registry(word: CredentialState | None) -> Cause | None:
    match word:
        case CredentialState.ACCEPTED:
            return Cause.BACK_OFF
        case CredentialState.REJECTED:
            return Cause.CREDENTIAL_REJECTED
        case CredentialState.UNREADABLE:
            return Cause.CREDENTIAL_NO_ACCESS
        case CredentialState.UNREACHABLE | CredentialState.NOT_CHECKED | None:
            return None
        case _:
            assert_never(word)


def _covering(workload: Workload, stuck: Stuck, around: Surroundings) -> tuple[str, Secret | None]:
    """Find the Secret whose credential the kubelet tries first: of those listed, the first that has one."""
    pulled_from = repositories((stuck.image,))
    for name in listed(workload):
        secret = around.secrets.get(name)
        if isinstance(secret, Secret) and copies.fault(secret, pulled_from) is None:
            return name, secret
    return "", None


def _owner(secret: Secret | None, around: Surroundings, rules: Rules) -> Owner | None:
    """Say whose a `ghcr-secret` is; in the release namespace it is the central secret, and nobody's copy."""
    if secret is None or secret.name != SECRET_NAME or around.namespace.name == rules.release_namespace:
        return None
    return owner_of(secret, rules.release_namespace)


def _brought_up_to_date(existing: Secret, around: Surroundings, rules: Rules) -> Secret | None:
    """Say what a copy of ours will be once the controller has come to it; `None` if it is as it should be."""
    central = around.central
    if not isinstance(central, Secret) or not is_ours(existing, rules.release_namespace):
        return None
    place = Place(namespace=around.namespace.name, release_namespace=rules.release_namespace)
    step = copies.plan(place, central, existing, rules.patterns)
    # What a copy is marked with may be old while its credential is not.
    outdated = isinstance(step, Replace) or (isinstance(step, Update) and step.copy.payload != existing.payload)
    return copies.preview(place, central, existing, rules.patterns) if outdated else None
