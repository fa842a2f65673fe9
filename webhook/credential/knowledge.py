"""Remembered credential checks and the reports they lead to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from webhook.core.figures import CredentialFigures
from webhook.core.vocabulary import CredentialState
from webhook.credential.judging import CredentialReport
from webhook.credential.probing import Probed
from webhook.ports import EventReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of one credential: the last word on it, its probes, and what was reported of it.

    Attributes:
        answered_at: As in `CredentialFigures`.
        probed_at: Monotonic time of the last probe.
    """

    registry: str
    answered_at: datetime
    usable: bool | None = None
    expires_at: datetime | None = None
    probed: Probed = field(default_factory=Probed)
    probed_at: float = float("-inf")
    reported: EventReason | None = None
    reported_expiry: timedelta | None = None
    problem: str = ""


def learn(known: Known, report: CredentialReport, *, now: datetime) -> Known:
    """Add a report to what is known: only a registry's word replaces its last one."""
    known = replace(known, expires_at=report.expires_at or known.expires_at, problem=problem(report, known.probed))
    match report.state:
        case CredentialState.ACCEPTED | CredentialState.UNREADABLE:
            usable = not report.missing_scope and not known.probed.nothing_readable
            return replace(known, usable=usable, answered_at=now)
        case CredentialState.REJECTED:
            return replace(known, usable=False, answered_at=now)
        case CredentialState.UNREACHABLE | CredentialState.NOT_CHECKED:
            return known
        case _:
            assert_never(report.state)


def problem(report: CredentialReport, probed: Probed) -> str:
    """Say in a few words what is wrong with a credential now, "" for nothing."""
    match report.state:
        case CredentialState.REJECTED:
            return f"rejected (HTTP {report.code})"
        case CredentialState.UNREACHABLE | CredentialState.NOT_CHECKED:
            return f"{report.state} ({report.failure or report.fault or f'HTTP {report.code}'})"
        case CredentialState.ACCEPTED | CredentialState.UNREADABLE:
            if report.missing_scope:
                return f"accepted, but lacks the scope {report.missing_scope}"
            count = len(probed.unreadable)
            return f"accepted, but cannot read {count} of the images in use" if count else ""
        case _:
            assert_never(report.state)


def fault(report: CredentialReport) -> tuple[EventReason | None, str]:
    """Say what is wrong with a credential, as a whole, and what fixes it."""
    if report.state is CredentialState.REJECTED:
        return EventReason.CREDENTIAL_REJECTED, (
            f"{report.registry} does not accept the credential (HTTP {report.code}): it has expired, was revoked or is "
            "mistyped; every pull that is given it fails, of public images too. Put a new token into the central secret"
        )
    if report.missing_scope:
        return EventReason.CREDENTIAL_INSUFFICIENT, (
            f"{report.registry} accepts the credential, but the token lacks the scope {report.missing_scope}: private "
            "images cannot be pulled with it. Add the scope, or put another token into the central secret"
        )
    return None, ""


def denial(report: CredentialReport) -> str:
    """Say that one image cannot be read, and what fixes it."""
    return (
        f"{report.registry} accepts the credential, but does not let it read {report.probed} (HTTP "
        f"{report.probe_code}), which Pods use: there is no such image, or the token's owner has no access to it. "
        "Give the owner read access to the package, or add an entry for it to the central secret"
    )


def expiry_text(registry: str, expires_at: datetime, within: timedelta) -> str:
    """Say that a token ends soon."""
    days = f"{within.days} day{'s' if within.days != 1 else ''}"
    return (
        f"the token for {registry} ends at {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, within {days}; put a new "
        "one into the central secret, the copies follow"
    )


def figures(known: Sequence[Known]) -> tuple[CredentialFigures, ...]:
    """Sum up by registry."""
    return tuple(
        _worst(registry, [each for each in known if each.registry == registry])
        for registry in sorted({each.registry for each in known})
    )


def _worst(registry: str, known: Sequence[Known]) -> CredentialFigures:
    words = [each.usable for each in known if each.usable is not None]
    ends = [each.expires_at.timestamp() for each in known if each.expires_at is not None]
    return CredentialFigures(
        registry=registry,
        accepted=all(words) if words else None,
        expires_at=min(ends) if ends else None,
        answered_at=min(each.answered_at.timestamp() for each in known),
        unreadable=sum(len(each.probed.unreadable) for each in known),
        problem="; ".join(dict.fromkeys(each.problem for each in known if each.problem)),
    )
