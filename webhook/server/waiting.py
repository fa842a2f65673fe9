"""Queue of reviews that wait without holding a thread."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from webhook.server.connection import Connection
from webhook.server.limits import NAMESPACE_WAITING, WAIT_SECONDS, WAITING
from webhook.server.visit import Visit


@dataclass(slots=True, eq=False)
class Parked:
    """A review that waits.

    Attributes:
        connection: Claimed.
        since: By the clock.
        share: Whose part of the waiting it takes.
    """

    connection: Connection
    body: bytes = field(repr=False)
    visit: Visit
    since: float
    share: str


class Waiting:
    """Keeps them in the order in which they came.

    Args:
        clock: Monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._parked: list[Parked] = []
        self._shares: Counter[str] = Counter()

    def add(self, connection: Connection, body: bytes, visit: Visit) -> bool:
        """Take one in; `False` if there are too many, in all or of its namespace."""
        with self._lock:
            if len(self._parked) >= WAITING or self._shares[visit.share] >= NAMESPACE_WAITING:
                return False
            self._shares[visit.share] += 1
            self._parked.append(Parked(connection, body, visit, self._clock(), visit.share))
            return True

    def next(self) -> Parked | None:
        """Give the first whose turn it is, or one that has waited for too long and is marked so."""
        if not self._parked:
            return None
        now = self._clock()
        with self._lock:
            for index, parked in enumerate(self._parked):
                parked.visit.overdue = now - parked.since > WAIT_SECONDS
                if parked.visit.overdue or (parked.visit.turn is not None and parked.visit.turn()):
                    # As it was when it came: by now a review may have been read, and its namespace be known.
                    self._shares[parked.share] -= 1
                    if not self._shares[parked.share]:
                        del self._shares[parked.share]
                    return self._parked.pop(index)
        return None

    def overdue(self) -> bool:
        """Return whether one has waited for too long."""
        with self._lock:
            return bool(self._parked) and self._clock() - self._parked[0].since > WAIT_SECONDS
