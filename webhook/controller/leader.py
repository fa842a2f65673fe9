"""Leader election by Lease, so that one controller writes.

The rules are client-go's `leaderelection`: clocks of two machines are never compared. A candidate notes by its own
clock when it saw the Lease change, and may take it over only after a whole lease duration without a change.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog

from webhook.ports import AlreadyExists, ClusterError, Conflict, Deadline, LeaderLease, Leases, NotFound, NotLeading


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take, in seconds.

    A standby may see a renewal up to `retry_s` late, then waits out `lease_s`, and looks again within `retry_s`: after
    a killed leader another takes over within 12 + 2 × 2 = 16 s, below the 20 s that are asked for. The leader stops
    writing `renew_s` after its last good renewal; a write that was under way then has half of `lease_s - renew_s` to
    end in, and the other half is for clocks that do not run equally fast.
    """

    lease_s: int = 12
    renew_s: float = 8.0
    retry_s: float = 2.0

    @property
    def last_write_s(self) -> float:
        """Longest time a write may take that was begun at the very end of a leadership."""
        return (self.lease_s - self.renew_s) / 2


DEFAULT_TIMING: Final = Timing()
_FIRST_RETRY_S: Final = 0.5
"""Pause while the Lease has never been read: the API server could not be reached yet."""


class Elector:
    """Holds, or waits for, the Lease. One thread campaigns (`run`); any may write meanwhile (`writing`)."""

    def __init__(
        self,
        leases: Leases,
        *,
        identity: str,
        timing: Timing = DEFAULT_TIMING,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._leases = leases
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._utc = utc
        self._log = structlog.get_logger()
        self._seen: LeaderLease | None = None
        self._seen_at = 0.0
        self._valid_until = float("-inf")
        self._leads = False
        self._writes = threading.Condition()
        self._writing = 0

    @property
    def leading(self) -> bool:
        """Return whether writing is allowed right now."""
        return self._clock() < self._valid_until

    @contextmanager
    def writing(self, deadline: Deadline) -> Iterator[Deadline]:
        """Write within this, by the deadline it gives: ended, well or not, before another may begin to lead.

        Raises:
            NotLeading: Writing is not allowed.
        """
        with self._writes:
            left = self._valid_until - self._clock()
            if left <= 0:
                raise NotLeading("write", "leases")
            self._writing += 1
        try:
            yield Deadline(min(deadline.at, time.monotonic() + left + self._timing.last_write_s))
        finally:
            with self._writes:
                self._writing -= 1
                self._writes.notify_all()

    def run(self, stop: threading.Event, on_change: Callable[[bool], None]) -> None:
        """Campaign until stopped. The Lease is still held then, for work that is to be finished; then call `resign`.

        Args:
            stop: Ends it.
            on_change: Called with `True` when leading begins and `False` when it ends.
        """
        while not stop.is_set():
            self.step()
            self._report(on_change)
            stop.wait(self._timing.retry_s if self._seen else min(_FIRST_RETRY_S, self._timing.retry_s))

    def step(self) -> None:
        """Try once to take or to renew the Lease."""
        begun = self._clock()
        deadline = Deadline.after(self._timing.retry_s)
        try:
            held = self._renew(deadline) or self._take(deadline)
        except ClusterError as error:
            # Not renewed, but not lost either: the last renewal is good for `renew_s`.
            self._log.warning(
                "lease_not_renewed", error=type(error).__name__, code=error.code, failure=str(error.failure or "")
            )
            return
        # Counted from before the request was sent: others may count from when it arrived.
        self._end_at(begun + self._timing.renew_s if held else float("-inf"))

    def resign(self) -> None:
        """Allow no more writes, let those under way end, and release the Lease."""
        last = self._valid_until + self._timing.last_write_s
        self._end_at(float("-inf"))
        with self._writes:
            idle = self._writes.wait_for(lambda: not self._writing, max(0.0, last - self._clock()))
        lease = self._seen
        if lease is None or lease.holder != self._identity:
            return
        if not idle:
            # Others must wait until the Lease runs out, as after a kill.
            self._log.warning("lease_not_released", error="writes_under_way", code=0)
            return
        try:
            # Empty holder: whoever waits need not wait out the duration. As client-go does on a clean stop.
            released = replace(lease, holder="", duration_s=1)
            self._seen = self._leases.update(released, Deadline.after(self._timing.retry_s))
        except ClusterError as error:
            self._log.warning(
                "lease_not_released", error=type(error).__name__, code=error.code, failure=str(error.failure or "")
            )

    def _end_at(self, moment: float) -> None:
        with self._writes:
            self._valid_until = moment

    def _renew(self, deadline: Deadline) -> bool:
        """Renew what we hold, without reading it first; half the requests of a leader that idles."""
        seen = self._seen
        if seen is None or seen.holder != self._identity or not self.leading:
            return False
        try:
            now = self._clock()
            self._note(self._leases.update(replace(seen, renewed_at=self._stamp()), deadline), now)
        except (Conflict, NotFound):
            return False
        return True

    def _take(self, deadline: Deadline) -> bool:
        lease = self._leases.get(deadline)
        now = self._clock()
        stamp = self._stamp()
        mine = LeaderLease(holder=self._identity, duration_s=self._timing.lease_s, acquired_at=stamp, renewed_at=stamp)
        try:
            if lease is None:
                self._note(self._leases.create(mine, deadline), now)
                return True
            if lease != self._seen:
                self._note(lease, now)
            if lease.holder == self._identity:
                mine = replace(mine, acquired_at=lease.acquired_at or stamp, transitions=lease.transitions)
            elif lease.holder and now < self._seen_at + lease.duration_s:
                return False
            else:
                mine = replace(mine, transitions=lease.transitions + 1)
            self._note(self._leases.update(replace(mine, resource_version=lease.resource_version), deadline), now)
        except (AlreadyExists, Conflict, NotFound):
            # Somebody else wrote it first. If it was ours, the next step finds out whose it is now.
            return False
        return True

    def _note(self, lease: LeaderLease, now: float) -> None:
        self._seen = lease
        self._seen_at = now

    def _stamp(self) -> str:
        return self._utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _report(self, on_change: Callable[[bool], None]) -> None:
        if self.leading != self._leads:
            self._leads = not self._leads
            self._log.info("leading" if self._leads else "not_leading", identity=self._identity)
            on_change(self._leads)
