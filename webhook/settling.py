"""Time since which each namespace's copy is unchanged."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SETTLED_S: Final = 30.0
"""An API server may hear of a write later than we do, and its policy refuses a Pod whose copy it does not know yet. A
watch is milliseconds behind; 30 s is what one may be that has to be opened again."""

_MOST: Final = 20_000
"""Namespaces that are remembered; of more, those asked about longest ago begin once more."""


class Settling:
    """Remembers when each namespace's copy was first seen with its resourceVersion; for many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def settled(self, namespace: str, version: str) -> bool:
        """Return whether a namespace's copy has had this resourceVersion for `SETTLED_S`, as far as we know."""
        now = self._clock()
        with self._lock:
            known = self._since.get(namespace)
            if known is None or known[0] != version:
                known = (version, now)
                self._since[namespace] = known
            self._since.move_to_end(namespace)
            if len(self._since) > _MOST:
                self._since.popitem(last=False)
        return now - known[1] >= SETTLED_S
