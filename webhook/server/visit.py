"""State of one request, shared by event loop and app."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from webhook.core.review import Review
from webhook.ports import Deadline

KEY: Final = "ghcr_pull_secrets.visit"
"""Of the WSGI environ."""


@dataclass(slots=True)
class Visit:
    """A request that may have to wait for its turn without holding a thread.

    Attributes:
        may_wait: The event loop can come back to it: the app may put it off by setting `turn`, and what it answers then
            is thrown away.
        turn: Set while it waits: takes its turn if it can. The app is then called again with the same visit.
        overdue: It has waited long enough.
        no_room: Its body could not be received, for want of memory.
        quiet: Our own look at ourselves: not counted and not logged.
        started: When its head was read, by `time.perf_counter`.
        cost: What it takes of the budget of parsed bytes.
        taken, entered: The app has the memory, and the thread, for it.
        share: Whose part of the threads it has entered by.
        review, deadline: What the app has found out so far.
        log_line: Writes the log line of the answer. The event loop calls `write_log_line` once the answer is out: a
            line wakes the thread that writes it, and an answer that lets go of the interpreter's lock waits for it.
    """

    may_wait: bool = False
    turn: Callable[[], bool] | None = None
    overdue: bool = False
    no_room: bool = False
    quiet: bool = False
    started: float = field(default_factory=perf_counter)
    cost: int = 0
    taken: bool = False
    entered: bool = False
    share: str = ""
    review: Review | None = field(default=None, repr=False)
    deadline: Deadline | None = None
    log_line: Callable[[], None] | None = field(default=None, repr=False)

    def write_log_line(self) -> None:
        """Write the log line, if there is one and it has not been written."""
        if self.log_line is not None:
            write, self.log_line = self.log_line, None
            write()
