"""Judge the copies: whose each is, and whether it is current."""

from collections.abc import Sequence
from typing import Final

from webhook.core.copies import Delete, Place, Secret, Update, plan
from webhook.core.names import ADOPT_ANNOTATION, SECRET_NAME, SOURCE_ANNOTATION
from webhook.core.ownership import Owner, owner_of
from webhook.core.scope import Namespace, Rules
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.model import Code, Station, fault, names, ok, skipped

NAME: Final = "copies"
_FOREIGN: Final = (Owner.FOREIGN, Owner.OWNED, Owner.GIVEN_AWAY)


def judge(evidence: Evidence) -> Station:
    """Judge all copies; the first row that fits.

    | copies | station |
    |---|---|
    | some that somebody rewrites again and again | fault |
    | some of ours that the controller would change or delete (`copies.plan`) | fault |
    | some of a release that is not there any more | fault: no rotation reaches them |
    | else | ok |

    A central secret that is missing or unusable makes no copy stale: the last good ones stay.
    """
    secrets, release = evidence.secrets, evidence.release
    if isinstance(secrets, Unread):
        return skipped(NAME, secrets)
    by_owner: dict[Owner, list[Secret]] = {owner: [] for owner in Owner}
    for secret in secrets:
        by_owner[owner_of(secret, release.namespace)].append(secret)
    ours = by_owner[Owner.OURS]
    foreign = [secret for owner in _FOREIGN for secret in by_owner[owner]]
    others = by_owner[Owner.OTHER_RELEASE]
    text = _text(ours, foreign, others)
    contested = _contested(evidence, ours)
    if contested:
        said = f"something else rewrites the copy in {names(contested)} again and again"
        look = f"kubectl get secret {SECRET_NAME} --namespace {contested[0]} --output yaml --show-managed-fields"
        return fault(
            NAME,
            Code.COPIES_CONTESTED,
            f"{text}; {said}",
            "stop the other writer, who is among the managed fields, or give it the Secret by taking our label off",
            look,
        )
    if stale := _stale(evidence, ours):
        said = f"{len(stale)} not as the central secret says ({names(stale)})"
        return fault(
            NAME,
            Code.COPIES_STALE,
            f"{text}, {said}",
            "the controller brings them up to date within a second: see the station controller, and its log",
            f"kubectl logs --namespace {release.namespace} --selector app.kubernetes.io/component=controller --tail 50",
        )
    if orphaned := _orphaned(evidence, others):
        said = f"{len(orphaned)} of a release that is not there ({names(orphaned)})"
        return fault(
            NAME,
            Code.COPIES_ORPHANED,
            f"{text}; {said}",
            "no rotation reaches them; have this release take them over",
            *(
                f"kubectl annotate secret {SECRET_NAME} --namespace {each} --overwrite {ADOPT_ANNOTATION}=true"
                for each in orphaned
            ),
        )
    return ok(NAME, f"{text}, none stale" if ours else text)


def _text(ours: Sequence[Secret], foreign: Sequence[Secret], others: Sequence[Secret]) -> str:
    text = f"{len(ours)} ours"
    for what, found in (("foreign", foreign), ("of another release", others)):
        if found:
            text += f", {len(found)} {what} ({names(sorted(secret.namespace for secret in found))})"
    return text


def _contested(evidence: Evidence, ours: Sequence[Secret]) -> list[str]:
    if isinstance(evidence.contested, Unread):
        return []
    where = {secret.namespace for secret in ours}
    return sorted(where.intersection(evidence.contested))


def _stale(evidence: Evidence, ours: Sequence[Secret]) -> list[str]:
    """Name the namespaces whose copy the controller has still to change or delete."""
    central, rules = evidence.central, evidence.release.rules
    if not isinstance(central, Secret) or evidence.release.rules_unread is not None:
        return []
    spaces = evidence.namespaces
    known = {} if isinstance(spaces, Unread) else {each.metadata.name: each.known for each in spaces}
    found = []
    for secret in ours:
        if rules.untouchable(secret.namespace):
            continue
        place = _place(known.get(secret.namespace), secret.namespace, rules)
        if isinstance(plan(place, central, secret, rules.patterns), Update | Delete):
            found.append(secret.namespace)
    return sorted(found)


def _place(known: Namespace | None, name: str, rules: Rules) -> Place:
    return Place(
        namespace=name,
        release_namespace=rules.release_namespace,
        # Of a namespace that may not be read, nothing is held against its copy.
        opted_out=known is not None and not rules.may_have_copy(known),
        terminating=known is not None and known.terminating,
    )


def _orphaned(evidence: Evidence, others: Sequence[Secret]) -> list[str]:
    """Name the namespaces whose copy belongs to a release that is nowhere, if that is known."""
    if isinstance(evidence.mutating, Unread):
        return []
    there = {f"{each}/{SECRET_NAME}" for each in evidence.others}
    return sorted(secret.namespace for secret in others if secret.marks.get(SOURCE_ANNOTATION) not in there)
