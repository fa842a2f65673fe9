"""Faults that can be switched on while the server runs."""

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """A request as faults and the request log see it."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a fault meets: all that is given must hold. Verbs and resources are sets of alternatives.

    `resource` is a key such as `secrets` or `deployments.apps`; `path` a regular expression searched in the path.
    """

    verb: str | tuple[str, ...] = ()
    resource: str | tuple[str, ...] = ()
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    user: str | None = None
    path: str | None = None

    def __call__(self, info: RequestInfo) -> bool:
        """Tell whether a request is meant."""
        verbs = (self.verb,) if isinstance(self.verb, str) else self.verb
        resources = (self.resource,) if isinstance(self.resource, str) else self.resource
        wanted: Mapping[str, str | None] = {
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
            "user": self.user,
        }
        return (
            (not verbs or info.verb in verbs)
            and (not resources or info.resource in resources)
            and all(value is None or getattr(info, key) == value for key, value in wanted.items())
            and (self.path is None or re.search(self.path, info.path) is not None)
        )


Predicate = Callable[[RequestInfo], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a request that matches.

    Attributes:
        latency_s: Wait this long first; alone it leaves the answer as it is.
        status: Answer with this code, `reason` and `message`, without doing anything.
        retry_after: Value of the `Retry-After` header, whole seconds.
        reset: Cut the connection with a TCP reset. A running watch is cut before its next line.
        half_open: Send nothing more and close nothing, as when a peer vanished.
        gone: 410, on a watch as an ERROR event.
        after: Do the work, then fail: the write happened, its answer is lost.
        times: How many requests it meets; None for all.
        probability: Of meeting a request that matches.
    """

    match: Predicate
    latency_s: float = 0.0
    status: int | None = None
    reason: str = ""
    message: str = ""
    retry_after: int | None = None
    reset: bool = False
    half_open: bool = False
    gone: bool = False
    after: bool = False
    times: int | None = None
    probability: float = 1.0
    id: int = field(default=0)


def _everything(_: RequestInfo) -> bool:
    return True


class Faults:
    """The faults that are switched on. Thread-safe.

    Args:
        seed: Of the generator that `probability` draws from.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._active: dict[int, Fault] = {}
        self._left: dict[int, int] = {}
        self._ids = count(1)
        self._random = random.Random(seed)

    def add(
        self,
        *,
        match: Predicate | None = None,
        latency_s: float = 0.0,
        status: int | None = None,
        reason: str = "",
        message: str = "",
        retry_after: int | None = None,
        conflict: bool = False,
        reset: bool = False,
        half_open: bool = False,
        gone: bool = False,
        after: bool = False,
        times: int | None = None,
        probability: float = 1.0,
    ) -> int:
        """Switch a fault on (see `Fault`; `conflict` is a 409) and return the number `remove` takes."""
        if conflict:
            status, reason = 409, "Conflict"
        with self._lock:
            number = next(self._ids)
            self._active[number] = Fault(
                match=match or _everything, latency_s=latency_s, status=status, reason=reason, message=message,
                retry_after=retry_after, reset=reset, half_open=half_open, gone=gone, after=after, times=times,
                probability=probability, id=number,
            )  # fmt: skip
            if times is not None:
                self._left[number] = times
        return number

    def remove(self, number: int) -> None:
        """Switch one fault off."""
        with self._lock:
            self._active.pop(number, None)
            self._left.pop(number, None)

    def clear(self) -> None:
        """Switch all faults off. What already hangs goes on hanging."""
        with self._lock:
            self._active.clear()
            self._left.clear()

    @contextmanager
    def on(self, *, match: Predicate | None = None, status: int = 500, reason: str = "InternalError") -> Iterator[None]:
        """Answer with an error inside a `with`."""
        number = self.add(match=match, status=status, reason=reason)
        try:
            yield
        finally:
            self.remove(number)

    def meet(self, info: RequestInfo) -> Fault | None:
        """Return the first fault that meets a request, and count it."""
        return self._take(info, lambda _: True) if self._active else None

    def meet_stream(self, info: RequestInfo) -> Fault | None:
        """Return a fault that cuts or silences a running watch."""
        return self._take(info, lambda fault: fault.reset or fault.half_open) if self._active else None

    def _take(self, info: RequestInfo, kind: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for number, fault in self._active.items():
                if not kind(fault) or not fault.match(info):
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                if number in self._left:
                    self._left[number] -= 1
                    if self._left[number] <= 0:
                        del self._left[number], self._active[number]
                return fault
        return None
