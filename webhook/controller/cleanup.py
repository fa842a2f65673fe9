"""Removes every copy that is ours, and says what it left and why."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhook.core.copies import Secret
from webhook.ports import ClusterError, Conflict, Deadline, DeadlineExceeded, Facts, NotFound, SecretWriter, Unavailable

_CALL_S: Final = 10.0
_TRIES: Final = 5
_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_WORKERS: Final = 8
"""Deletions under way at once; the API server has other work."""


class Fate(StrEnum):
    """What became of a `ghcr-secret`."""

    REMOVED = "removed"
    CENTRAL = "central"
    FOREIGN = "foreign"
    OWNED = "owned"
    DELETING = "deleting"
    CHANGED = "changed"
    FAILED = "failed"

    @property
    def done(self) -> bool:
        """Tell whether nothing that is ours remains there."""
        return self not in (Fate.CHANGED, Fate.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one namespace's `ghcr-secret`; `detail` says more of a failure, never content."""

    namespace: str
    fate: Fate
    detail: str = ""


def sort(secrets: Iterable[Secret], *, release_namespace: str) -> tuple[tuple[Secret, ...], tuple[Verdict, ...]]:
    """Part what is to be removed from what is left.

    Returns:
        Our copies, and a verdict on each of the others.
    """
    ours, left = [], []
    for secret in sorted(secrets, key=lambda each: each.namespace):
        fate = _left_because(secret, release_namespace)
        if fate is None:
            ours.append(secret)
        else:
            left.append(Verdict(namespace=secret.namespace, fate=fate))
    return tuple(ours), tuple(left)


def _left_because(secret: Secret, release_namespace: str) -> Fate | None:
    if secret.namespace == release_namespace:
        return Fate.CENTRAL
    if secret.owned:
        return Fate.OWNED
    if not secret.ours:
        return Fate.FOREIGN
    return Fate.DELETING if secret.deleting else None


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

    def remove_all(self, copies: Iterable[Secret], on_verdict: Callable[[Verdict], None]) -> tuple[Verdict, ...]:
        """Remove copies, some at once; `on_verdict` hears of each in order."""
        verdicts = []
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for verdict in pool.map(self.remove, copies):
                on_verdict(verdict)
                verdicts.append(verdict)
        return tuple(verdicts)

    def remove(self, copy: Secret) -> Verdict:
        """Remove one copy. What was changed meanwhile is read again, and removed only if it still is ours."""
        wanted: Secret | None = copy
        backoff = _BACKOFF_S
        last: ClusterError | None = None
        for attempt in range(_TRIES):
            try:
                if attempt > 0:
                    wanted = self._facts.copy(copy.namespace, Deadline.after(_CALL_S), fresh=True)
                if wanted is None:
                    return Verdict(namespace=copy.namespace, fate=Fate.REMOVED)
                fate = _left_because(wanted, self._release_namespace)
                if fate is not None:
                    return Verdict(namespace=copy.namespace, fate=fate)
                self._writer.delete(wanted, Deadline.after(_CALL_S))
                return Verdict(namespace=copy.namespace, fate=Fate.REMOVED)
            except NotFound:
                return Verdict(namespace=copy.namespace, fate=Fate.REMOVED)
            except Conflict as error:
                last = error
            except (Unavailable, DeadlineExceeded) as error:
                last = error
                if attempt + 1 < _TRIES:
                    self._sleep(min(max(backoff, error.retry_after), _MAX_BACKOFF_S))
                    backoff *= 2
            except ClusterError as error:
                return Verdict(namespace=copy.namespace, fate=Fate.FAILED, detail=error.cause)
        fate = Fate.CHANGED if isinstance(last, Conflict) else Fate.FAILED
        return Verdict(namespace=copy.namespace, fate=fate, detail=last.cause if last else "")
