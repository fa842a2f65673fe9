"""Open connections and waiting reviews, kept within their limits."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from webhook.core.vocabulary import DropCause
from webhook.server.connection import Connection, Drops, State
from webhook.server.limits import FREE_BYTES, NAMESPACE_WAITING, WAIT_SECONDS, WAITING, Limits
from webhook.server.request import Visit


class Connections:
    """Open connections. One is *claimed* by the thread that works on it, and *free* otherwise.

    Only who has claimed a connection may change or close it, and one step of a dict claims it. The dict has connections
    for keys, not file descriptors: a closed connection's descriptor may already be another's.

    Args:
        limits: How many, and how many bytes of bodies.
        drops: Counts those that are closed before they are done.
    """

    def __init__(self, limits: Limits, drops: Drops) -> None:
        self._limits = limits
        self._drops = drops
        self._lock = threading.Lock()
        self._by_fd: dict[int, Connection] = {}
        self._free: dict[Connection, bool] = {}
        self._peers: Counter[str] = Counter()
        self._buffered = 0

    def from_outside(self) -> int:
        """Count the connections that are not our own look at ourselves."""
        with self._lock:
            return sum(number for peer, number in self._peers.items() if peer)

    def make_room(self, peer: str) -> bool:
        """Close one when there are too many.

        Returns:
            Whether one more from that peer may be taken; not if all are being worked on.
        """
        if self._peers[peer] >= self._limits.peer_connections:
            return self._evict([each for each in list(self._free) if each.peer == peer], DropCause.ADDRESS)
        if len(self._by_fd) >= self._limits.connections:
            return self._evict([each for each in list(self._free) if each.peer], DropCause.FULL)
        return True

    def add(self, connection: Connection) -> None:
        """Take in a new one, claimed by the caller."""
        with self._lock:
            self._peers[connection.peer] += 1
        self._by_fd[connection.fd] = connection

    def release(self, connection: Connection) -> None:
        """Set free."""
        self._free[connection] = True

    def claim(self, connection: Connection) -> bool:
        """Claim, unless somebody else has."""
        return self._free.pop(connection, False)

    def claim_by(self, fd: int) -> Connection | None:
        """Claim the one with that file descriptor."""
        connection = self._by_fd.get(fd)
        return connection if connection is not None and self.claim(connection) else None

    def close(self, connection: Connection) -> None:
        """Close for good; nothing happens the second time."""
        with self._lock:
            if connection.closed:
                return
            connection.closed = True
            self._buffered -= connection.counted
            connection.counted = 0
            self._peers[connection.peer] -= 1
            if not self._peers[connection.peer]:
                del self._peers[connection.peer]
        self._free.pop(connection, None)
        # Before the descriptor is given back, and so before it can be another's.
        self._by_fd.pop(connection.fd, None)
        connection.sock.close()

    def drop(self, connection: Connection, cause: DropCause | None) -> None:
        """Close one that has not ended by itself, and count the cause; none if it was done and just stayed."""
        if cause is not None:
            self._drops.count(cause)
        self.close(connection)

    def drop_silent(self, allowed: Callable[[Connection], float]) -> None:
        """Drop those that have been in their state for too long."""
        now = time.monotonic()
        for connection in list(self._free):
            if now - connection.since > allowed(connection) and self.claim(connection):
                self.drop(connection, connection.state.late)

    def has_room(self, connection: Connection) -> bool:
        """Count what a connection has received of a body; `False` if there is no room for it."""
        more = max(0, len(connection.buffer) - FREE_BYTES) - connection.counted
        if more <= 0:
            return True
        while True:
            with self._lock:
                if self._buffered + more <= self._limits.buffered_bytes:
                    self._buffered += more
                    connection.counted += more
                    return True
            # An API server sends a body at once: whoever began before us and is not done is none, or a slow one.
            begun_before = [
                each
                for each in list(self._free)
                if each.state is State.READING and each.counted and each.since < connection.since
            ]
            if not begun_before:
                return False
            oldest = min(begun_before, key=lambda each: each.since)
            if self.claim(oldest):
                self.drop(oldest, DropCause.MEMORY)

    def forget_body(self, connection: Connection) -> None:
        """Free what `has_room` counted; the body is answered, or thrown away."""
        if connection.counted:
            with self._lock:
                self._buffered -= connection.counted
                connection.counted = 0

    def _evict(self, candidates: list[Connection], cause: DropCause) -> bool:
        for connection in eviction_order(candidates):
            if self.claim(connection):
                self.drop(connection, cause)
                return True
        # The one that comes is dropped then.
        self._drops.count(cause)
        return False


def eviction_order(connections: Iterable[Connection]) -> list[Connection]:
    """Say who goes first when there are too many.

    A connection that has had an answer goes last. Of the others the longest idle goes, first of those that have said
    nothing or of those that have begun something, whichever are more: a flood is of one kind, and whoever comes in
    between, new and not yet read, is not of it.
    """
    silent: list[Connection] = []
    begun: list[Connection] = []
    proven: list[Connection] = []
    for each in sorted(connections, key=lambda each: each.since):
        (proven if each.proven else begun if each.heard else silent).append(each)
    return [*max(silent, begun, key=len), *min(begun, silent, key=len), *proven]


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
    """Queue of reviews that wait without holding a thread, in the order in which they came.

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
