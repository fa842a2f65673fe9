"""When a certificate has to be replaced, and why."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import assert_never

from certs.facts import CertificateFacts, Inspected, RotationState, Unreadable, fingerprint_of, fingerprints_of


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

    One third is cert-manager's rule: early enough to fail for days before anyone is hurt.
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
