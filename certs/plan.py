"""Plan of a certificate rotation: what is replaced, when and in which order.

A keeper reads, asks `plan`, applies the actions in order, stops at the first that fails, and begins again; it keeps
nothing that a crash could lose. The rotation of a CA is then this walk, each line one call of `plan`:

| seen                                                  | actions                                  |
|-------------------------------------------------------|------------------------------------------|
| the CA is missing, damaged, or old                    | `CreateCA`, the old CA retained          |
| a webhook trusts anything but new + old CA            | `PublishBundle`                          |
| all trust both, but not yet for `settle`              | `Wait`                                   |
| all trust both, the leaf is the old CA's              | `IssueLeaf`                              |
| the leaf is the new CA's, but not yet for `overlap`   | `Wait`                                   |
| the overlap is over                                   | `DropPreviousCA`, `PublishBundle`        |
| all as it should be                                   | none                                     |

Installation is the same walk with no old CA: there is nothing to wait for. Damage is any of these lines met out of
turn. What a webhook should trust is exactly the CA Secret's bundle: an entry of anybody else is taken out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from certs.facts import (
    CLOCK_SKEW,
    CertificateFacts,
    Inspected,
    Publication,
    RotationState,
    Unreadable,
    WebhookTrust,
    fingerprint_of,
    fingerprints_of,
)

SETTLE: Final = timedelta(seconds=10)
"""How long a bundle has to be published before a leaf relies on it.

API servers learn of a changed webhook configuration by watch, which takes milliseconds; ten seconds also cover one that
has to open its watch again.
"""

OVERLAP: Final = timedelta(hours=1)
"""How long the old CA stays trusted after the new leaf was issued, unless the caller knows better.

It has to exceed what the slowest server needs to serve the new leaf: seconds by watch, about two minutes for files that
the kubelet projects. The rest is for a server that was cut off from the API server.
"""


class RenewalReason(StrEnum):
    """Why a certificate has to be replaced."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    NOT_A_CA = "not_a_ca"
    KEY_MISMATCH = "key_mismatch"
    NOT_SIGNED_BY_CA = "not_signed_by_ca"
    WRONG_USAGE = "wrong_usage"
    WRONG_NAMES = "wrong_names"
    WRONG_CA_FILE = "wrong_ca_file"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    RENEWAL_DUE = "renewal_due"


def renewal_due(not_before: datetime, not_after: datetime, *, now: datetime) -> bool:
    """Return whether the last third of a certificate's life has begun.

    Args:
        not_before: Beginning of the validity, timezone-aware, from the certificate.
        not_after: End of the validity, timezone-aware too.
        now: The caller's clock; never read here.

    One third is cert-manager's rule: early enough for renewal to fail for days before anything expires.
    """
    return now >= not_after - (not_after - not_before) / 3


def authority_fault(authority: Inspected | None, *, now: datetime) -> RenewalReason | None:
    """Say why a CA has to be replaced; None if it need not be."""
    match authority:
        case None:
            return RenewalReason.MISSING
        case Unreadable():
            return RenewalReason.UNREADABLE
        case CertificateFacts():
            if not authority.is_ca:
                return RenewalReason.NOT_A_CA
            if not authority.key_matches:
                return RenewalReason.KEY_MISMATCH
            return _age_fault(authority, now=now)
        case _:
            assert_never(authority)


def leaf_fault(state: RotationState, *, now: datetime) -> RenewalReason | None:
    """Say why the leaf has to be replaced; None if it need not be."""
    leaf = state.leaf
    match leaf:
        case None:
            return RenewalReason.MISSING
        case Unreadable():
            return RenewalReason.UNREADABLE
        case CertificateFacts():
            if not leaf.key_matches:
                return RenewalReason.KEY_MISMATCH
            if fingerprint_of(state.authority) not in leaf.signed_by:
                return RenewalReason.NOT_SIGNED_BY_CA
            if leaf.is_ca or not leaf.is_server:
                return RenewalReason.WRONG_USAGE
            if {name.lower() for name in leaf.dns_names} != {name.lower() for name in state.dns_names}:
                return RenewalReason.WRONG_NAMES
            if fingerprints_of(state.leaf_authorities) != (fingerprint_of(state.authority),):
                return RenewalReason.WRONG_CA_FILE
            return _age_fault(leaf, now=now)
        case _:
            assert_never(leaf)


def _age_fault(certificate: CertificateFacts, *, now: datetime) -> RenewalReason | None:
    if now < certificate.not_before:
        return RenewalReason.NOT_YET_VALID
    if now >= certificate.not_after:
        return RenewalReason.EXPIRED
    if renewal_due(certificate.not_before, certificate.not_after, now=now):
        return RenewalReason.RENEWAL_DUE
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCA:
    """Make a CA, and store it with a bundle of itself and the retained ones. Look again before anything else.

    Attributes:
        retain: Fingerprints of the CAs that stay trusted for the overlap.
    """

    reason: RenewalReason
    retain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBundle:
    """Rewrite the bundle in the CA's Secret: it was edited, or holds a CA that has expired."""

    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPreviousCA:
    """Rewrite the bundle in the CA's Secret without the CAs whose overlap is over.

    Attributes:
        authorities: Fingerprints of what stays, in order.
        dropped: Fingerprints of what goes.
    """

    authorities: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishBundle:
    """Make the `caBundle` of these webhooks exactly these CAs, in order."""

    authorities: tuple[str, ...]
    webhooks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueLeaf:
    """Have the current CA issue a leaf, and store it."""

    reason: RenewalReason
    dns_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """There is more to do, but not before this time."""

    until: datetime


Action = CreateCA | StoreBundle | DropPreviousCA | PublishBundle | IssueLeaf | Wait


def observe_publication(
    earlier: Publication | None, *, authority: Inspected | None, webhooks: tuple[WebhookTrust, ...], now: datetime
) -> Publication | None:
    """Carry on, begin or forget the time since which every webhook trusts the current CA.

    A keeper that has just started has no `earlier` and counts from now: it waits once more, which is always safe. So
    does one whose clock was set back.
    """
    if not isinstance(authority, CertificateFacts):
        return None
    if not all(authority.fingerprint in fingerprints_of(webhook.authorities) for webhook in webhooks):
        return None
    if earlier is not None and earlier.authority == authority.fingerprint and earlier.since <= now:
        return earlier
    return Publication(authority=authority.fingerprint, since=now)


def plan(state: RotationState, *, now: datetime, overlap: timedelta, settle: timedelta = SETTLE) -> tuple[Action, ...]:
    """Say what to do now, in order; nothing if all is as it should be.

    Args:
        state: What there is.
        now: The caller's clock, timezone-aware.
        overlap: How long the old CA stays trusted after the new leaf was issued. See `OVERLAP`.
        settle: How long the new CA has to be trusted everywhere before a leaf of it is served. See `SETTLE`.

    Raises:
        ValueError: `overlap` is not longer than `settle`.
    """
    if overlap <= settle:
        raise ValueError("overlap must be longer than settle")
    retained = _retained(state, now=now)
    fault = authority_fault(state.authority, now=now)
    if fault is not None:
        return (CreateCA(reason=fault, retain=retained),)

    current = fingerprint_of(state.authority)
    fault = leaf_fault(state, now=now)
    # With a sound leaf the overlap counts from its issue, which is in the certificate and so survives a restart.
    overlap_end = _issued(state.leaf) + overlap if fault is None and isinstance(state.leaf, CertificateFacts) else None
    dropped = retained if overlap_end is not None and now >= overlap_end else ()
    wanted = (current,) if dropped else (current, *retained)

    actions: list[Action] = []
    if dropped:
        actions.append(DropPreviousCA(authorities=wanted, dropped=dropped))
    elif fingerprints_of(state.stored) != wanted:
        actions.append(StoreBundle(authorities=wanted))
    stale = tuple(webhook.name for webhook in state.webhooks if fingerprints_of(webhook.authorities) != wanted)
    if stale:
        actions.append(PublishBundle(authorities=wanted, webhooks=stale))

    if fault is not None:
        issue = IssueLeaf(reason=fault, dns_names=state.dns_names)
        # No other CA is trusted, so no server serves anything that a new leaf could be worse than.
        settled = now if len(wanted) == 1 else _settled_at(state, current, settle)
        if settled is not None:
            actions.append(issue if now >= settled else Wait(until=settled))
        elif not stale:
            actions.append(Wait(until=now + settle))
    elif overlap_end is not None and len(wanted) > 1:
        actions.append(Wait(until=overlap_end))
    return tuple(actions)


def _settled_at(state: RotationState, current: str, settle: timedelta) -> datetime | None:
    if state.publication is None or state.publication.authority != current:
        return None
    return state.publication.since + settle


def _issued(leaf: CertificateFacts) -> datetime:
    return leaf.not_before + CLOCK_SKEW


def _retained(state: RotationState, *, now: datetime) -> tuple[str, ...]:
    """Give the CAs beside the current one that a served leaf may still need.

    Those the CA's Secret says. Where it was lost or edited, the webhooks' bundles say it: nothing comes from there that
    the API servers do not already trust, and it is dropped after the overlap as any other.
    """
    current = fingerprint_of(state.authority)
    replaced = authority_fault(state.authority, now=now) is not None
    published = tuple(ca for webhook in state.webhooks for ca in webhook.authorities)
    candidates = state.stored
    if state.authority is None:
        candidates += published
    else:
        candidates = (state.authority, *candidates)
        if isinstance(state.leaf, CertificateFacts) and current not in state.leaf.signed_by:
            signers = state.leaf.signed_by
            candidates += tuple(ca for ca in published if fingerprint_of(ca) in signers)
    trusted = dict.fromkeys(
        ca.fingerprint for ca in candidates if isinstance(ca, CertificateFacts) and ca.is_ca and now < ca.not_after
    )
    return tuple(fingerprint for fingerprint in trusted if replaced or fingerprint != current)
