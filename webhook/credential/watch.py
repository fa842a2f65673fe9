"""Periodic check of the central secret's credentials."""

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from webhook.core.copies import Secret, read_keyring
from webhook.core.figures import CredentialFigures
from webhook.core.images import ImageReference
from webhook.core.keyring import Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Rules
from webhook.core.vocabulary import CredentialState
from webhook.credential.judging import (
    CredentialReport,
    LoginTarget,
    expiry_warning,
    next_check_s,
    targets,
)
from webhook.credential.knowledge import (
    Known,
    denial,
    expiry_text,
    fault,
    figures,
    learn,
)
from webhook.credential.probing import Rotation, ask, rotate
from webhook.credential.probing import learn as remember
from webhook.ports import LIST_S, ClusterError, Deadline, EventReason, Events, Facts, ObjectRef, Pods, Registry

_READ_S: Final = 10.0
"""Time for reading the central secret, should the cache not have it."""
_CHECK_S: Final = 30.0
"""Time for a whole check; what is not answered by then is unreachable."""
_TARGET_S: Final = 10.0
"""Time for one credential, so that a registry that hangs leaves some for the others."""


class CredentialWatch:
    """Checks the credentials of the central secret that are for selected images.

    One thread at a time calls `keep`; `figures` may be read by any. What it remembers is held under a keyed hash of
    the credential, so that memory and metrics outlive no credential and show none.

    Args:
        pods: Where the images in use are found; `None` not to try any.
        interval_s: Time between two checks of an unchanged credential, and at least between two probes of it.
        count: Called with the state of every credential checked.
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
        pods: Pods | None = None,
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
        self._pods = pods
        self._interval_s = interval_s
        self._count = count
        self._now = now
        self._clock = clock
        self._jitter = jitter
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, Known] = {}
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
        keyring = _keyring(secret)
        found = targets(keyring, self._rules.patterns.include)
        content = self._hash(*(self._identity(target) for target in found))
        if content != self._content:
            self._content = content
            self._failures = 0
        elif self._clock() < self._due:
            return self._due - self._clock()
        before = {target: self._remembered(target) for target in found}
        images = self._probes(keyring, before)
        reports = self._ask(found, images)
        self._note(before, reports, secret)
        states = {report.state for report in reports}
        self._failures = self._failures + 1 if CredentialState.UNREACHABLE in states else 0
        pause = next_check_s(states, interval_s=self._interval_s, failures=self._failures, jitter=self._jitter())
        self._due = self._clock() + pause
        return pause

    def _ask(
        self, found: Sequence[LoginTarget], images: Mapping[LoginTarget, ImageReference]
    ) -> tuple[CredentialReport, ...]:
        whole = Deadline.after(_CHECK_S)
        return tuple(self._ask_one(target, images.get(target), whole) for target in found)

    def _ask_one(self, target: LoginTarget, image: ImageReference | None, whole: Deadline) -> CredentialReport:
        deadline = Deadline(min(whole.at, Deadline.after(_TARGET_S).at))
        return ask(self._registry, target, image, deadline)

    def _remembered(self, target: LoginTarget) -> Known:
        known = self._known.get(self._identity(target))
        if known is not None:
            return known
        # A new token for a registry that has not answered for long does not make that any shorter.
        waiting = [each.answered_at for each in self._known.values() if each.registry == target.registry]
        return Known(registry=target.registry, answered_at=min(waiting, default=self._now()))

    def _probes(self, keyring: Keyring, known: dict[LoginTarget, Known]) -> dict[LoginTarget, ImageReference]:
        """Choose the image to try each credential on that was tried on none for an interval; `known` follows."""
        now = self._clock()
        rotations = {
            target: Rotation(each.probed) for target, each in known.items() if now - each.probed_at >= self._interval_s
        }
        if self._pods is None or not rotations:
            return {}
        try:
            rotate(rotations, keyring, self._pods.list(Deadline.after(LIST_S)), self._rules)
        except ClusterError as error:
            self._log.warning("images_in_use_unknown", error=str(error))
            return {}
        chosen = {}
        for target, rotation in rotations.items():
            image, probed = rotation.choose()
            known[target] = replace(known[target], probed=probed)
            if image is not None:
                chosen[target] = image
        return chosen

    def _note(
        self, before: Mapping[LoginTarget, Known], reports: Sequence[CredentialReport], secret: Secret | None
    ) -> None:
        about = self._about(secret)
        now, clock = self._now(), self._clock()
        known = {}
        for (target, old), report in zip(before.items(), reports, strict=True):
            self._count(report.state)
            new = old
            if report.probe is not None:
                new = replace(old, probed=remember(old.probed, report.probed, report.probe), probed_at=clock)
            new = learn(new, report, now=now)
            known[self._identity(target)] = self._report(old, new, report, about)
            note = self._log.warning if new.problem else self._log.info
            note(
                "credential_checked",
                registry=report.registry,
                state=report.state,
                code=report.code,
                fault=report.fault or "",
                failure=str(report.failure or ""),
                api_failure=str(report.api_failure or ""),
                missing_scope=report.missing_scope,
                expires_at=new.expires_at.isoformat() if new.expires_at else "",
                probed=report.probed,
                probe=report.probe or "",
                probe_code=report.probe_code,
                probe_failure=str(report.probe_failure or ""),
            )
        self._known = known
        self._figures = figures(tuple(known.values()))

    def _report(self, old: Known, new: Known, report: CredentialReport, about: ObjectRef) -> Known:
        """Report what is new, and return what is known with that noted."""
        reason, text = fault(report)
        accepted = report.state in {CredentialState.ACCEPTED, CredentialState.UNREADABLE}
        if reason is not None and reason is not new.reported:
            self._events.emit(reason, about, text, warning=True)
            new = replace(new, reported=reason)
        elif accepted and reason is None:
            new = replace(new, reported=None)
        if report.state is CredentialState.UNREADABLE and report.probed not in old.probed.unreadable:
            self._events.emit(EventReason.CREDENTIAL_CANNOT_READ, about, denial(report), warning=True)
        if not accepted or new.expires_at is None:
            return new
        warning = expiry_warning(new.expires_at, now=self._now(), reported=new.reported_expiry)
        if warning is None:
            return new
        text = expiry_text(report.registry, new.expires_at, warning)
        self._events.emit(EventReason.CREDENTIAL_EXPIRING, about, text, warning=True)
        return replace(new, reported_expiry=warning)

    def _about(self, secret: Secret | None) -> ObjectRef:
        return ObjectRef(
            kind="Secret",
            name=secret.name if secret else SECRET_NAME,
            namespace=self._rules.release_namespace,
            uid=secret.uid if secret else "",
        )

    def _identity(self, target: LoginTarget) -> bytes:
        parts = (target.registry, target.credential.username, target.credential.password)
        return self._hash(*(part.encode("utf-8", "surrogatepass") for part in parts))

    def _hash(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._salt, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


def _keyring(secret: Secret | None) -> Keyring:
    """Read what there is to ask about. Whether the Secret can be used at all is the reconciler's to report."""
    if secret is not None:
        with suppress(MalformedSecret, SecretTooLarge):
            return read_keyring(secret)
    return Keyring(endpoints=(), default=())
