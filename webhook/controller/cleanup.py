"""Removal of every copy of a release, with a report."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from webhook.applying import Tried, apply
from webhook.core import copies
from webhook.core.copies import Delete, Leave, LeaveReason, Secret, Step
from webhook.ports import ClusterError, Deadline, DeadlineExceeded, Facts, SecretWriter, Unavailable

_CALL_S: Final = 10.0
_TRIES: Final = 5
_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_WORKERS: Final = 8
"""Deletions under way at once; the API server has other work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Outcome for one namespace's `ghcr-secret`: removed, left, or remaining.

    Attributes:
        left: Why it is not ours to remove.
        error: Why it remains; a `Conflict` if somebody changed it again and again.
    """

    namespace: str
    left: LeaveReason | None = None
    error: ClusterError | None = None

    @property
    def removed(self) -> bool:
        """Return whether there is none any more."""
        return self.left is None and self.error is None


def why_left(reason: LeaveReason) -> str:
    """Say for people why a `ghcr-secret` is left."""
    match reason:
        case LeaveReason.CENTRAL:
            return "the central secret is no copy"
        case LeaveReason.FOREIGN:
            return "not ours: made by hand or by another tool, or its managed-by label was taken off"
        case LeaveReason.GIVEN_AWAY:
            return "not ours: somebody applied their own over our copy"
        case LeaveReason.OTHER_RELEASE:
            return "not ours: another release of the add-on keeps it"
        case LeaveReason.OWNED:
            return "not ours: it has an owner, such as an ExternalSecret"
        case LeaveReason.DELETING:
            return "is being deleted already"
        case _:
            # Reasons to make or to keep a copy; no removal ends with one.
            return reason.replace("_", " ")


def sort(secrets: Iterable[Secret], *, release_namespace: str) -> tuple[tuple[Secret, ...], tuple[Removal, ...]]:
    """Part what is to be removed from what is left.

    Returns:
        Our copies, and a removal on each of the others.
    """
    ours, left = [], []
    for secret in sorted(secrets, key=lambda each: each.namespace):
        match copies.plan_removal(secret, release_namespace):
            case Delete(copy=copy):
                ours.append(copy)
            case Leave(reason=reason):
                left.append(Removal(namespace=secret.namespace, left=reason))
    return tuple(ours), tuple(left)


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

    def remove_all(self, found: Iterable[Secret], on_removal: Callable[[Removal], None]) -> tuple[Removal, ...]:
        """Remove copies, some at once; `on_removal` hears of each in order."""
        removals = []
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for removal in pool.map(self.remove, found):
                on_removal(removal)
                removals.append(removal)
        return tuple(removals)

    def remove(self, copy: Secret) -> Removal:
        """Remove one copy. What was changed meanwhile is read again, and removed only if it still is ours."""
        known: Secret | None = copy
        backoff = _BACKOFF_S

        def plan(tried: Tried) -> Step:
            nonlocal known
            if tried.again or known is None:
                known = self._facts.copy(copy.namespace, Deadline.after(_CALL_S), fresh=True)
            return copies.plan_removal(known, self._release_namespace)

        tries = 0
        while True:
            tries += 1
            try:
                applied = apply(plan, self._facts, self._writer, copy.namespace, Deadline.after(_CALL_S))
            except (Unavailable, DeadlineExceeded) as error:
                if tries == _TRIES:
                    return Removal(namespace=copy.namespace, error=error)
                known = None
                self._sleep(min(max(backoff, error.retry_after), _MAX_BACKOFF_S))
                backoff *= 2
            except ClusterError as error:
                return Removal(namespace=copy.namespace, error=error)
            else:
                reason = applied.step.reason if isinstance(applied.step, Leave) else LeaveReason.ABSENT
                return Removal(namespace=copy.namespace, left=None if reason is LeaveReason.ABSENT else reason)
