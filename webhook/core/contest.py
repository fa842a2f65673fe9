"""Detection of copies that somebody else keeps rewriting."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

LIMIT: Final = 5
WINDOW_S: Final = 60.0
"""A copy that we rewrote more than `LIMIT` times within `WINDOW_S` is contested: something else wants it otherwise."""

FIRST_PAUSE_S: Final = 10.0
MAX_PAUSE_S: Final = 300.0
"""After each write of a contested copy, the pause before the next: the first, doubled each time, up to the last."""


@dataclass(slots=True)
class _Record:
    """The writes of one namespace's copy.

    Attributes:
        content: A hash of what was written last; another content is a rotation, which is no rewriting.
        times: Of the rewrites within the window.
        pause_s: Since the last write; 0 while the copy is not contested.
        until: Before then no further write.
    """

    content: int
    times: list[float] = field(default_factory=list)
    pause_s: float = 0.0
    until: float = float("-inf")
    last: float = float("-inf")

    def over(self, now: float) -> bool:
        """Return whether nothing remembered here matters any more: a whole window without a write that was due."""
        return now - max(self.last, self.until) > WINDOW_S


class Contests:
    """Counts rewrites by namespace, and says how long to hold back.

    All times are seconds of one monotonic clock. A contest ends when the copy has stayed as we wrote it for a window
    after the pause. Records that are over are dropped by later writes, so that they do not outgrow the last window's
    writes.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def pause(self, namespace: str, now: float) -> float:
        """Say in how many seconds the copy may be written again; 0 if now."""
        record = self._records.get(namespace)
        return max(0.0, record.until - now) if record is not None else 0.0

    def wrote(self, namespace: str, content: bytes | None, now: float, *, again: bool = True) -> bool:
        """Take note of a write that succeeded; return whether it makes the copy contested.

        Args:
            namespace: Where.
            content: What was written.
            now: The caller's clock.
            again: There had been a copy of ours. The first one is no rewrite.
        """
        self._drop_old(now)
        written = hash(content)
        record = self._records.get(namespace)
        if record is None or record.over(now):
            record = self._records[namespace] = _Record(content=written)
        rotated, record.content = record.content != written, written
        record.last = now
        self._records.move_to_end(namespace)
        if record.pause_s > 0:
            if not rotated:
                record.pause_s = min(MAX_PAUSE_S, 2 * record.pause_s)
            record.until = now + record.pause_s
            return False
        if rotated:
            record.times.clear()
        elif again:
            record.times = [*(at for at in record.times if now - at < WINDOW_S), now]
        if len(record.times) <= LIMIT:
            return False
        record.pause_s, record.until = FIRST_PAUSE_S, now + FIRST_PAUSE_S
        return True

    def contested(self, now: float) -> int:
        """Count the copies that are contested."""
        return sum(record.pause_s > 0 and not record.over(now) for record in list(self._records.values()))

    def forget(self, namespace: str) -> None:
        """Forget a namespace that went."""
        self._records.pop(namespace, None)

    def _drop_old(self, now: float) -> None:
        # By the time of their last write; one with a long pause may keep others waiting, for minutes at most.
        while self._records and next(iter(self._records.values())).over(now):
            self._records.popitem(last=False)
