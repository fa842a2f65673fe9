"""Stations as they are made: codes of faults, and the words that all of them share."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from webhook.core.display import shown
from webhook.doctor.evidence import Unread
from webhook.doctor.model import Station, StationState
from webhook.telemetry.redaction import redact_text

NAMED: Final = 5
"""Most names of a list that are shown; the rest is counted."""


class Code(StrEnum):
    """What is wrong with a station; part of the JSON, explained in docs/doctor.md."""

    NOT_INSTALLED = "not_installed"
    STORE_MISSING = "store_missing"
    STORE_NOT_READY = "store_not_ready"
    SYNC_FAILED = "sync_failed"
    SYNC_NOT_BEGUN = "sync_not_begun"
    SYNC_STALE = "sync_stale"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_INSUFFICIENT = "credential_insufficient"
    CREDENTIAL_NO_ACCESS = "credential_no_access"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    COPIES_STALE = "copies_stale"
    COPIES_CONTESTED = "copies_contested"
    COPIES_ORPHANED = "copies_orphaned"
    WEBHOOKS_MISSING = "webhooks_missing"
    CA_BUNDLE_MISSING = "ca_bundle_missing"
    CA_BUNDLE_MISMATCH = "ca_bundle_mismatch"
    NO_ENDPOINTS = "no_endpoints"
    POLICY_MISSING = "policy_missing"
    POLICY_UNBOUND = "policy_unbound"
    SERVERS_NOT_READY = "servers_not_ready"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NEAR_EXPIRY = "certificate_near_expiry"
    CONTROLLER_NOT_READY = "controller_not_ready"
    NO_LEADER = "no_leader"


def ok(name: str, text: str) -> Station:
    """Make a station with nothing to fix."""
    return Station(name=name, state=StationState.OK, text=text)


def fault(name: str, code: Code, text: str, remedy: str, *commands: str) -> Station:
    """Make a station that is broken."""
    return Station(name=name, state=StationState.FAULT, text=text, code=code, remedy=remedy, commands=commands)


def skipped(name: str, unread: Unread) -> Station:
    """Make a station that was not looked at."""
    return Station(name=name, state=StationState.SKIPPED, text=f"not looked at: {unread.why}")


def foreign_text(text: str) -> str:
    """Cut what somebody else wrote to one line that can be shown, and blot out what looks like a credential."""
    return redact_text(shown(" ".join(text.split())))


def names(of: Iterable[str]) -> str:
    """List a few names, and count the others."""
    listed = list(of)
    rest = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def count(number: int, noun: str) -> str:
    """Say how many."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(length: timedelta) -> str:
    """Say how long, in one unit that is not too fine: `12 min`, `3 h`, `61 d`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 2 * 60:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} d"


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago."""
    return f"{span(now - then)} ago"
