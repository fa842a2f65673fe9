"""`reinvocationPolicy`: which mutating webhooks one request still owes a second call."""

from __future__ import annotations

import copy

from standin.interfaces import Json


class Reinvocation:
    """Which webhooks one request still owes a second call."""

    def __init__(self) -> None:
        self.round = 0
        self.wanted = False
        self._eligible: set[str] = set()
        self._due: set[str] = set()
        self._last_output: Json | None = None

    def begin(self, obj: Json | None) -> None:
        """Start a round; if plugins changed the object since the webhooks' last one, all eligible are due."""
        if self.round and obj != self._last_output:
            self._require()

    def skips(self, hook_uid: str) -> bool:
        """In the second round only those are called that ran in the first and whose result may be outdated."""
        return bool(self.round) and hook_uid not in self._due

    def ran(self, hook_uid: str, *, changed: bool, eligible: bool) -> None:
        if changed:
            self._require()
            self.wanted = True
        if eligible:
            self._eligible.add(hook_uid)

    def end(self, obj: Json | None) -> None:
        self._last_output = copy.deepcopy(obj)

    def _require(self) -> None:
        self._due |= self._eligible
