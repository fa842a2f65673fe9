"""The log of requests: who asked what, how often, with which answer. Bodies are never kept."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from standin.faults import Predicate, RequestInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request.

    Attributes:
        at: When it arrived, seconds of the monotonic clock.
        code: HTTP status; 0 if the connection was cut.
    """

    at: float
    info: RequestInfo
    code: int
    user_agent: str


class RequestLog:
    """The last requests, oldest first. Thread-safe.

    Args:
        limit: How many are kept; older ones are dropped.
    """

    def __init__(self, *, limit: int = 200_000) -> None:
        self._lock = threading.Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=limit)

    def add(self, info: RequestInfo, code: int, user_agent: str, at: float | None = None) -> None:
        """Log a request."""
        entry = LoggedRequest(at=time.monotonic() if at is None else at, info=info, code=code, user_agent=user_agent)
        with self._lock:
            self._entries.append(entry)

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def matching(self, match: Predicate) -> list[LoggedRequest]:
        """Return the requests of which a predicate (`faults.Match` is one) holds."""
        return [entry for entry in self if match(entry.info)]

    def permissions_used(self, user: str) -> Counter[tuple[str, str]]:
        """Count a user's requests by verb and resource, subresource included: `("patch", "pods/status")`."""
        return Counter(
            (
                entry.info.verb,
                f"{entry.info.resource}/{entry.info.subresource}" if entry.info.subresource else entry.info.resource,
            )
            for entry in self
            if entry.info.user == user and entry.info.resource
        )

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
