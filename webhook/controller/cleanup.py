"""Removal of every copy of a release, with a report."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhook.core.ownership import Owner, Secret, owner_of
from webhook.ports import ClusterError, Conflict, Deadline, DeadlineExceeded, Facts, NotFound, SecretWriter, Unavailable

_CALL_S: Final = 10.0
_TRIES: Final = 5
_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_WORKERS: Final = 8
"""Deletions under way at once; the API server has other work."""


class Outcome(StrEnum):
    """What became of a `ghcr-secret`."""

    REMOVED = "removed"
    CENTRAL = "central"
    FOREIGN = "foreign"
    OWNED = "owned"
    GIVEN_AWAY = "given_away"
    OTHER_RELEASE = "other_release"
    DELETING = "deleting"
    CHANGED = "changed"
    FAILED = "failed"

    @property
    def done(self) -> bool:
        """Return whether nothing that is ours remains there."""
        return self not in (Outcome.CHANGED, Outcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What became of one namespace's `ghcr-secret`; `detail` says more of a failure, never content."""

    namespace: str
    outcome: Outcome
    detail: str = ""


def sort(secrets: Iterable[Secret], *, release_namespace: str) -> tuple[tuple[Secret, ...], tuple[Removal, ...]]:
    """Part what is to be removed from what is left.

    Returns:
        Our copies, and a removal on each of the others.
    """
    ours, left = [], []
    for secret in sorted(secrets, key=lambda each: each.namespace):
        outcome = _kept_as(secret, release_namespace)
        if outcome is None:
            ours.append(secret)
        else:
            left.append(Removal(namespace=secret.namespace, outcome=outcome))
    return tuple(ours), tuple(left)


def _kept_as(secret: Secret, release_namespace: str) -> Outcome | None:
    if secret.namespace == release_namespace:
        return Outcome.CENTRAL
    owner = owner_of(secret, release_namespace)
    if owner is not Owner.OURS:
        return _KEPT[owner]
    return Outcome.DELETING if secret.deleting else None


_KEPT: Final = {
    Owner.FOREIGN: Outcome.FOREIGN,
    Owner.OWNED: Outcome.OWNED,
    Owner.GIVEN_AWAY: Outcome.GIVEN_AWAY,
    Owner.OTHER_RELEASE: Outcome.OTHER_RELEASE,
}


class Remover:
    """Deletes copies, each only if it is still the one that was read.

    Args:
        facts: Reads a copy again that was changed meanwhile.
        writer: Deletes.
        release_namespace: Home of the central secret, which is no copy.
        sleep: Waits before another try.
    """

    def __init__(
        self,
        facts: Facts,
        writer: SecretWriter,
        *,
        release_namespace: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._facts = facts
        self._writer = writer
        self._release_namespace = release_namespace
        self._sleep = sleep

    def remove_all(self, copies: Iterable[Secret], on_removal: Callable[[Removal], None]) -> tuple[Removal, ...]:
        """Remove copies, some at once; `on_removal` hears of each in order."""
        removals = []
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for removal in pool.map(self.remove, copies):
                on_removal(removal)
                removals.append(removal)
        return tuple(removals)

    def remove(self, copy: Secret) -> Removal:
        """Remove one copy. What was changed meanwhile is read again, and removed only if it still is ours."""
        wanted: Secret | None = copy
        backoff = _BACKOFF_S
        last: ClusterError | None = None
        for attempt in range(_TRIES):
            try:
                if attempt > 0:
                    wanted = self._facts.copy(copy.namespace, Deadline.after(_CALL_S), fresh=True)
                if wanted is None:
                    return Removal(namespace=copy.namespace, outcome=Outcome.REMOVED)
                outcome = _kept_as(wanted, self._release_namespace)
                if outcome is not None:
                    return Removal(namespace=copy.namespace, outcome=outcome)
                self._writer.delete(wanted, Deadline.after(_CALL_S))
                return Removal(namespace=copy.namespace, outcome=Outcome.REMOVED)
            except NotFound:
                return Removal(namespace=copy.namespace, outcome=Outcome.REMOVED)
            except Conflict as error:
                last = error
            except (Unavailable, DeadlineExceeded) as error:
                last = error
                if attempt + 1 < _TRIES:
                    self._sleep(min(max(backoff, error.retry_after), _MAX_BACKOFF_S))
                    backoff *= 2
            except ClusterError as error:
                return Removal(namespace=copy.namespace, outcome=Outcome.FAILED, detail=error.cause)
        outcome = Outcome.CHANGED if isinstance(last, Conflict) else Outcome.FAILED
        return Removal(namespace=copy.namespace, outcome=outcome, detail=last.cause if last else "")
