"""One request: its state and deadline, shared by loop and app."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Protocol
from urllib.parse import unquote

from webhook.core.review import Review
from webhook.ports import Deadline

ENVIRON_KEY: Final = "ghcr_pull_secrets.visit"
"""Where the WSGI environ holds the visit."""


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


class Request(Protocol):
    """The head of a request, read."""

    head: int
    length: int
    expects_continue: bool

    def force_close(self) -> None:
        """Close the connection after the answer, and say so in it."""
        ...


class BadHead(Exception):
    """What came is no HTTP request that we answer.

    Attributes:
        answer: Its refusal, ready to send.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__("bad head")
        self.answer = answer


class Http(Protocol):
    """The HTTP application as the event loop sees it: reads heads and answers requests."""

    def read_head(self, head: bytes, address: Any) -> Request:
        """Read a head; `BadHead` if it is none. A `length` of 0 also stands for a body that is not to be received."""
        ...

    def answer(self, request: Any, body: bytes, visit: Visit) -> tuple[bytes, bool]:
        """Answer; and say whether the connection is to be closed after it."""
        ...


DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""`timeoutSeconds` of a webhook configuration that does not say (admissionregistration.k8s.io/v1)."""

MAX_TIMEOUT_SECONDS: Final = 30.0
"""The longest `timeoutSeconds` the API server accepts."""

RESERVED_SHARE: Final = 0.1
"""Share of the time kept back: an answer has to be rendered and to travel, and one that is late is no answer."""

_PARAMETER: Final = re.compile(r"(?:^|&)timeout=([^&]*)")
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_go_duration(text: str) -> float | None:
    """Read a positive duration as Go's `time.Duration` writes it, such as `1m30s` or `1.5s`.

    Returns:
        Seconds, or `None` for anything else. Signs are not taken: no timeout is negative.
    """
    seconds, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    return seconds if end == len(text) and seconds > 0 else None


def review_seconds(query: str) -> tuple[float, bool]:
    """Say how long work on a review may take, by the API server's `?timeout=`.

    Args:
        query: The URL's query string.

    Returns:
        Seconds, the reserve taken off; and whether the query could be understood. A timeout that is absent is the
        default; one that cannot be read is too, since an answer under a guess beats an error over a detail.
    """
    found = _PARAMETER.search(query)
    if found is None:
        return DEFAULT_TIMEOUT_SECONDS * (1 - RESERVED_SHARE), True
    text = found[1]
    seconds = parse_go_duration(unquote(text) if "%" in text else text)
    return min(seconds or DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS) * (1 - RESERVED_SHARE), seconds is not None
