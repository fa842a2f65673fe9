"""Kubernetes Events about copies and the central secret."""

import threading
from dataclasses import dataclass
from typing import Final

from webhook.core import concerns, texts
from webhook.core.concerns import Concern
from webhook.core.contest import LIMIT, MAX_PAUSE_S
from webhook.core.copies import LeaveReason, Secret
from webhook.core.names import SECRET_NAME
from webhook.core.ownership import Owner, give_away, not_ours
from webhook.core.vocabulary import CentralFault
from webhook.ports import ClusterError, Conflict, EventReason, Events, ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralState:
    """Whether the central secret can be spread; `fault` is empty if it can, `concerns` need not be."""

    present: bool
    fault: CentralFault | None = None
    concerns: tuple[Concern, ...] = ()

    @property
    def usable(self) -> bool:
        """Return whether it is there and good."""
        return self.present and self.fault is None


class CentralReports:
    """Emits the Events about the central secret: each when it becomes true, and once."""

    def __init__(self, events: Events, release_namespace: str) -> None:
        self._events = events
        self._absent = ObjectRef(kind="Secret", name=SECRET_NAME, namespace=release_namespace)
        self._last: CentralState | None = None

    def report(self, state: CentralState, secret: Secret | None) -> None:
        """Report what is new about the central secret, `None` if it does not exist."""
        last, self._last = self._last, state
        where = about(secret) if secret else self._absent
        for concern in state.concerns:
            if last is None or concern not in last.concerns:
                text = concerns.text(concern)
                self._events.emit(EventReason.CENTRAL_SECRET_DOUBTFUL, where, text, warning=True)
        if last is not None and (state.present, state.fault) == (last.present, last.fault):
            return
        if not state.present:
            text = "the central secret does not exist; the copies stay as they are"
            self._events.emit(EventReason.CENTRAL_SECRET_MISSING, where, text, warning=True)
        elif state.fault is not None:
            text = f"not spread, the last good copies stay: {texts.central_fault(state.fault)}"
            self._events.emit(EventReason.CENTRAL_SECRET_UNUSABLE, where, text, warning=True)
        elif last is not None:
            self._events.emit(EventReason.CENTRAL_SECRET_USABLE, where, "usable again, and spread to every copy")


class CopyReports:
    """Emits the Events about copies.

    A copy that became foreign is reported once, by whoever leads when it is next looked at; until then it is noted.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._became_foreign: dict[str, tuple[ObjectRef, str]] = {}
        self._of_other_releases: set[str] = set()

    def note_foreign(self, secret: Secret, owner: Owner) -> None:
        """Take note of a copy of ours that is somebody else's from now on."""
        with self._lock:
            self._became_foreign[secret.namespace] = (about(secret), not_ours(secret, owner))

    def forget(self, namespace: str) -> None:
        """Forget what is noted of a namespace."""
        with self._lock:
            self._became_foreign.pop(namespace, None)
            self._of_other_releases.discard(namespace)

    def left(self, namespace: str, existing: Secret | None, reason: LeaveReason) -> None:
        """Report why a Secret is not touched, where people would wonder; once each."""
        with self._lock:
            note = self._became_foreign.pop(namespace, None) if reason in _SETTLED else None
            if reason is not LeaveReason.OTHER_RELEASE:
                self._of_other_releases.discard(namespace)
            elif namespace not in self._of_other_releases and existing is not None:
                self._of_other_releases.add(namespace)
                note = about(existing), not_ours(existing, Owner.OTHER_RELEASE)
        if note is not None and reason is not LeaveReason.CURRENT:
            self._events.emit(EventReason.COPY_FOREIGN, *note, warning=True)

    def created(self, copy: Secret, *, again: bool) -> None:
        """Report a new copy; where there had been one, somebody may have wanted their own."""
        text = f"created again from the central secret; {give_away(copy.namespace)}" if again else _CREATED
        self._events.emit(EventReason.COPY_CREATED, about(copy), text)

    def updated(self, copy: Secret, *, adopts: bool) -> None:
        """Report a copy that was changed."""
        text = _ADOPTED if adopts else f"{_UPDATED}; {give_away(copy.namespace)}"
        self._events.emit(EventReason.COPY_UPDATED, about(copy), text)

    def deleted(self, namespace: str) -> None:
        """Report a copy that went, since its namespace opted out."""
        self._events.emit(EventReason.COPY_DELETED, _namespace(namespace), "the namespace opted out")

    def contested(self, copy: Secret) -> None:
        """Report that somebody else rewrites or deletes a copy again and again."""
        text = (
            f"somebody else changed or deleted {SECRET_NAME} more than {LIMIT} times in a minute; it is repaired after "
            f"pauses now, which grow to {MAX_PAUSE_S / 60:.0f} minutes; {give_away(copy.namespace)}"
        )
        self._events.emit(EventReason.COPY_CONTESTED, about(copy), text, warning=True)

    def refused(self, namespace: str, error: ClusterError) -> None:
        """Report a copy that could not be written."""
        if not isinstance(error, Conflict):
            text = f"{SECRET_NAME} could not be written: {error.cause}"
            self._events.emit(EventReason.COPY_REFUSED, _namespace(namespace), text, warning=True)


_CREATED: Final = "created from the central secret"
_UPDATED: Final = "brought to what the central secret says"
_ADOPTED: Final = "taken over, as its annotation asked"
_SETTLED: Final = frozenset({LeaveReason.FOREIGN, LeaveReason.OTHER_RELEASE, LeaveReason.CURRENT})
"""Whose the Secret is, is known by now, and a note of it has served."""


def about(secret: Secret) -> ObjectRef:
    """Refer to a Secret."""
    return ObjectRef(kind="Secret", name=secret.name, namespace=secret.namespace, uid=secret.uid)


def _namespace(name: str) -> ObjectRef:
    return ObjectRef(kind="Namespace", name=name)
