"""Self-check by a review through the event loop."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import orjson
import structlog

from webhook.core.review import API_VERSION, KIND
from webhook.server.ops import Check

PAUSE_SECONDS: Final = 1.0

READY_SECONDS: Final = 5.0
"""The chart's `timeoutSeconds`: whoever takes longer answers nobody."""

ALIVE_SECONDS: Final = 60.0
"""Twice the longest `timeoutSeconds` there is: whatever was under way at first is over, and still nothing moves."""

_UID: Final = "self-check"

_BODY: Final = orjson.dumps(
    {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "request": {
            "uid": _UID,
            "kind": {"group": "ghcr-pull-secrets.io", "version": "v1", "kind": "SelfCheck"},
            "resource": {"group": "ghcr-pull-secrets.io", "version": "v1", "resource": "selfchecks"},
            "operation": "CONNECT",
        },
    }
)
_REQUEST: Final = (
    b"POST /validate HTTP/1.1\r\nHost: self-check\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_BODY), _BODY)
)


class SelfCheck:
    """Asks again and again, and reports how long the present answer has been waited for.

    Args:
        pause: Seconds between two questions.
        timeout: Seconds without a good answer after which none is hoped for any more.
        clock: Monotonic.
    """

    def __init__(
        self,
        *,
        pause: float = PAUSE_SECONDS,
        timeout: float = ALIVE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._timeout = timeout
        self._clock = clock
        self._asked: float | None = None
        self._problem = ""

    def start(self, connect: Callable[[], socket.socket]) -> None:
        """Begin to ask.

        Args:
            connect: Opens a connection to the event loop, on which no TLS is spoken.
        """
        threading.Thread(target=self._run, args=(connect,), name="self-check", daemon=True).start()

    def waiting(self) -> float:
        """Say how many seconds the last question has been without a good answer; 0 if it has one."""
        asked = self._asked
        return 0.0 if asked is None else self._clock() - asked

    def alive(self) -> bool:
        """Return whether answers can still be hoped for."""
        return self.waiting() < self._timeout

    def check(self) -> Check:
        """Return whether answers come in time."""
        waiting = self.waiting()
        detail = self._problem or (f"a review has waited for {waiting:.0f} s" if waiting >= READY_SECONDS else "")
        return Check(name="review-path", ok=waiting < READY_SECONDS, detail=detail)

    def _run(self, connect: Callable[[], socket.socket]) -> None:
        while True:
            if self._asked is None:
                self._asked = self._clock()
            try:
                with connect() as connection:
                    problem = self._ask(connection)
            except OSError as error:
                problem = f"no answer ({type(error).__name__})"
            if not problem:
                self._asked = None
            elif problem != self._problem:
                structlog.get_logger().warning("self_check_failed", problem=problem)
            self._problem = problem
            time.sleep(self._pause)

    @staticmethod
    def _ask(connection: socket.socket) -> str:
        connection.sendall(_REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            part = connection.recv(65536)
            if not part:
                return "the connection was closed"
            answer += part
        first = answer.partition(b"\r\n")[0]
        if first != b"HTTP/1.1 200 OK" or _UID.encode() not in answer:
            return f"the answer was {first.decode('latin-1')[:64]}"
        return ""
