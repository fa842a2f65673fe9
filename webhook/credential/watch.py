"""The credential watch: asks about the central secret's credentials, remembers the answers and tells people."""

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

import structlog

from webhook.core.copies import Secret, read_keyring
from webhook.core.keyring import MalformedSecret, SecretTooLarge
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Rules
from webhook.credential.judging import (
    GITHUB_REGISTRY,
    CredentialReport,
    CredentialState,
    Target,
    expiry_from_header,
    expiry_warning,
    judge,
    missing_scope,
    next_check_s,
    scopes_from_header,
    targets,
)
from webhook.ports import Deadline, EventReason, Events, Facts, ObjectRef, Registry

_READ_S: Final = 10.0
"""Time for reading the central secret, should the cache not have it."""
_CHECK_S: Final = 30.0
"""Time for a whole check; what is not answered by then is unreachable."""
_TARGET_S: Final = 10.0
"""Time for one credential, so that a registry that hangs leaves some for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFigures:
    """What the metrics show of a registry; with several credentials, the worst of them.

    Attributes:
        accepted: Whether the registry accepts the credential and it may read packages, as far as that is known; the
            last word, should the registry be unreachable now. `None` if there never was one.
        expires_at: POSIX timestamp, `None` if not known.
    """

    registry: str
    accepted: bool | None
    expires_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is remembered of one credential: the last word on it, and what people were told."""

    registry: str
    usable: bool | None = None
    expires_at: datetime | None = None
    told: EventReason | None = None
    told_expiry: timedelta | None = None


class CredentialWatch:
    """Checks the credentials of the central secret that are for selected images.

    One thread at a time calls `keep`; `figures` may be read by any. What it remembers is held under a keyed hash of
    the credential, so that memory and metrics outlive no credential and show none.

    Args:
        interval_s: Time between two checks of an unchanged credential.
        count: Told the state of every credential checked.
        now: The clock on the wall, for expiry; `clock` is the monotonic one, for the interval.
        jitter: From 0 to 1.
    """

    def __init__(  # noqa: PLR0913 - its ports, and the clocks and chance a test holds still
        self,
        *,
        rules: Rules,
        facts: Facts,
        registry: Registry,
        events: Events,
        interval_s: float,
        count: Callable[[CredentialState], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._rules = rules
        self._facts = facts
        self._registry = registry
        self._events = events
        self._interval_s = interval_s
        self._count = count
        self._now = now
        self._clock = clock
        self._jitter = jitter
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._content = b""
        self._due = float("-inf")
        self._failures = 0
        self._figures: tuple[CredentialFigures, ...] = ()
        self._log = structlog.get_logger()

    @property
    def figures(self) -> tuple[CredentialFigures, ...]:
        """What is known, by registry."""
        return self._figures

    def keep(self) -> float:
        """Check if it is time, or at once if the central secret's content changed.

        Returns:
            Seconds until it is time again.

        Raises:
            ClusterError: The central secret could not be read.
        """
        secret = self._facts.copy(self._rules.release_namespace, Deadline.after(_READ_S))
        found = _targets(secret, self._rules.patterns.include)
        content = self._hash(*(self._identity(target) for target in found))
        if content != self._content:
            self._content = content
            self._failures = 0
        elif self._clock() < self._due:
            return self._due - self._clock()
        reports = self._ask(found)
        self._note(found, reports, secret)
        states = {report.state for report in reports}
        self._failures = self._failures + 1 if CredentialState.UNREACHABLE in states else 0
        pause = next_check_s(states, interval_s=self._interval_s, failures=self._failures, jitter=self._jitter())
        self._due = self._clock() + pause
        return pause

    def check(self, secret: Secret | None) -> tuple[CredentialReport, ...]:
        """Ask about every credential of a Secret that is for selected images; none for a Secret without any.

        Takes half a minute at most. Never raises: what went wrong is in the reports.
        """
        return self._ask(_targets(secret, self._rules.patterns.include))

    def _ask(self, found: Sequence[Target]) -> tuple[CredentialReport, ...]:
        whole = Deadline.after(_CHECK_S)
        return tuple(self._ask_one(target, whole) for target in found)

    def _ask_one(self, target: Target, whole: Deadline) -> CredentialReport:
        deadline = Deadline(min(whole.at, Deadline.after(_TARGET_S).at))
        answer = self._registry.login(target.registry, target.credential, deadline)
        report = CredentialReport(
            registry=target.registry,
            state=judge(answer),
            code=answer.code,
            fault=answer.fault,
            failure=answer.failure,
        )
        if report.state is not CredentialState.ACCEPTED or target.registry != GITHUB_REGISTRY:
            return report
        headers = self._registry.token_headers(target.credential, deadline)
        scopes = scopes_from_header(headers.scopes, token=target.credential.password)
        return replace(
            report,
            scopes=scopes,
            missing_scope=missing_scope(scopes),
            expires_at=expiry_from_header(headers.expiration),
            api_failure=headers.failure,
        )

    def _note(self, found: Sequence[Target], reports: Sequence[CredentialReport], secret: Secret | None) -> None:
        about = ObjectRef(
            kind="Secret",
            name=secret.name if secret else SECRET_NAME,
            namespace=self._rules.release_namespace,
            uid=secret.uid if secret else "",
        )
        known = {}
        for target, report in zip(found, reports, strict=True):
            self._count(report.state)
            identity = self._identity(target)
            before = self._known.get(identity, _Known(registry=target.registry))
            after = _learn(before, report)
            known[identity] = self._tell(after, report, about)
            good = report.state is CredentialState.ACCEPTED and not report.missing_scope
            note = self._log.info if good else self._log.warning
            note(
                "credential_checked",
                registry=report.registry,
                state=report.state,
                code=report.code,
                fault=report.fault or "",
                failure=str(report.failure or ""),
                api_failure=str(report.api_failure or ""),
                missing_scope=report.missing_scope,
                expires_at=after.expires_at.isoformat() if after.expires_at else "",
            )
        self._known = known
        self._figures = tuple(
            _worst(registry, [each for each in known.values() if each.registry == registry])
            for registry in sorted({each.registry for each in known.values()})
        )

    def _tell(self, known: "_Known", report: CredentialReport, about: ObjectRef) -> "_Known":
        """Tell people what is new, and return what is known with that noted."""
        reason, text = _complaint(report)
        if reason is not None and reason is not known.told:
            self._events.emit(reason, about, text, warning=True)
            known = replace(known, told=reason)
        elif report.state is CredentialState.ACCEPTED and reason is None:
            known = replace(known, told=None)
        if report.state is not CredentialState.ACCEPTED or known.expires_at is None:
            return known
        now = self._now()
        warning = expiry_warning(known.expires_at, now=now, told=known.told_expiry)
        if warning is None:
            return known
        self._events.emit(
            EventReason.CREDENTIAL_EXPIRING,
            about,
            f"the token for {report.registry} ends at {known.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, within "
            f"{_days(warning)}; put a new one into the central secret, the copies follow",
            warning=True,
        )
        return replace(known, told_expiry=warning)

    def _identity(self, target: Target) -> bytes:
        parts = (target.registry, target.credential.username, target.credential.password)
        return self._hash(*(part.encode("utf-8", "surrogatepass") for part in parts))

    def _hash(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._salt, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


def _targets(secret: Secret | None, include: Sequence[str]) -> tuple[Target, ...]:
    """Name what there is to ask about. Whether the Secret can be used at all is the reconciler's to tell."""
    if secret is None:
        return ()
    try:
        return targets(read_keyring(secret), include)
    except (MalformedSecret, SecretTooLarge):
        return ()


def _learn(known: _Known, report: CredentialReport) -> _Known:
    """Add a report to what is known: only a registry's word replaces its last one."""
    expires_at = report.expires_at or known.expires_at
    match report.state:
        case CredentialState.ACCEPTED:
            return replace(known, usable=not report.missing_scope, expires_at=expires_at)
        case CredentialState.REJECTED:
            return replace(known, usable=False, expires_at=expires_at)
        case CredentialState.UNREACHABLE | CredentialState.NOT_CHECKED:
            return known
        case _:
            assert_never(report.state)


def _complaint(report: CredentialReport) -> tuple[EventReason | None, str]:
    """Say what is wrong with a credential and what mends it."""
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


def _worst(registry: str, known: Sequence[_Known]) -> CredentialFigures:
    words = [each.usable for each in known if each.usable is not None]
    ends = [each.expires_at.timestamp() for each in known if each.expires_at is not None]
    return CredentialFigures(
        registry=registry, accepted=all(words) if words else None, expires_at=min(ends) if ends else None
    )


def _days(span: timedelta) -> str:
    return f"{span.days} day{'s' if span.days != 1 else ''}"
