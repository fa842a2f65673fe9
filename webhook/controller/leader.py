"""Leader election by Lease: one controller writes at a time.

The rules are client-go's `leaderelection`: clocks of two machines are never compared. A candidate notes by its own
clock when it saw the Lease change, and may take it over only after a whole lease duration without a change.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from webhook.ports import AlreadyExists, ClusterError, Conflict, Deadline, Lease, Leases


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take, in seconds.

    A standby may see a renewal up to `retry_s` late, then waits out `lease_s`, and looks again within `retry_s`: after
    a killed leader another takes over within 12 + 2 × 2 = 16 s, below the 20 s that are asked for. The leader stops
    writing `renew_s` after its last good renewal; a write that was under way then has `lease_s - renew_s` to end in.
    """

    lease_s: int = 12
    renew_s: float = 8.0
    retry_s: float = 2.0

    @property
    def last_write_s(self) -> float:
        """Longest time a write may take that was begun at the very end of a leadership."""
        return (self.lease_s - self.renew_s) / 2


DEFAULT_TIMING: Final = Timing()


class NotLeading(ClusterError):
    """A write was asked for by a controller that does not hold the Lease."""

    cause = "this controller does not lead"


class Elector:
    """Holds, or waits for, the Lease."""

    def __init__(
        self,
        leases: Leases,
        *,
        identity: str,
        timing: Timing = DEFAULT_TIMING,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        log: structlog.typing.FilteringBoundLogger | None = None,
    ) -> None:
        self._leases = leases
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._utc = utc
        self._log = log or structlog.get_logger()
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._valid_until = float("-inf")
        self._leads = False

    @property
    def leading(self) -> bool:
        """Tell whether writing is allowed right now."""
        return self._clock() < self._valid_until

    def write_deadline(self, deadline: Deadline) -> Deadline:
        """Bound a write so that it has ended, well or not, before another may begin to lead.

        Raises:
            NotLeading: Writing is not allowed.
        """
        until = self._valid_until
        if self._clock() >= until:
            raise NotLeading("write", "secrets")
        return Deadline(min(deadline.at, until + self._timing.last_write_s))

    def run(self, stop: threading.Event, on_change: Callable[[bool], None]) -> None:
        """Campaign until stopped, then release the Lease.

        Args:
            stop: Ends it.
            on_change: Called with `True` when leading begins and `False` when it ends.
        """
        while not stop.is_set():
            self.step()
            self._tell(on_change)
            stop.wait(self._timing.retry_s if self._leads or self._seen else min(0.5, self._timing.retry_s))
        self._valid_until = float("-inf")
        self._tell(on_change)
        self._release()

    def step(self) -> None:
        """Try once to take or to renew the Lease."""
        begun = self._clock()
        deadline = Deadline(time.monotonic() + self._timing.retry_s)
        try:
            held = self._take(deadline)
        except ClusterError as error:
            # Not renewed, but not lost either: the last renewal is good for `renew_s`.
            self._log.warning("lease_not_renewed", error=type(error).__name__, code=error.code)
            return
        if held:
            # Counted from before the request was sent: others may count from when it arrived.
            self._valid_until = begun + self._timing.renew_s
        else:
            self._valid_until = float("-inf")

    def _take(self, deadline: Deadline) -> bool:
        lease = self._leases.get(deadline)
        now = self._clock()
        stamp = self._utc().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = Lease(holder=self._identity, duration_s=self._timing.lease_s, acquired_at=stamp, renewed_at=stamp)
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
        except (AlreadyExists, Conflict):
            # Somebody else wrote it first. If it was ours, the next step finds out whose it is now.
            return False
        return True

    def _note(self, lease: Lease, now: float) -> None:
        self._seen = lease
        self._seen_at = now

    def _tell(self, on_change: Callable[[bool], None]) -> None:
        if self.leading != self._leads:
            self._leads = not self._leads
            self._log.info("leading" if self._leads else "not_leading", identity=self._identity)
            on_change(self._leads)

    def _release(self) -> None:
        lease = self._seen
        if lease is None or lease.holder != self._identity:
            return
        try:
            # Empty holder: whoever waits need not wait out the duration. As client-go does on a clean stop.
            self._leases.update(replace(lease, holder="", duration_s=1), Deadline.after(self._timing.retry_s))
        except ClusterError as error:
            self._log.warning("lease_not_released", error=type(error).__name__, code=error.code)
