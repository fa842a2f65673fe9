"""State machine of one connection, and the count of those dropped.

Nothing here waits: it works on bytes that are there.
"""

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final

import structlog

from webhook.core.vocabulary import DropCause

HEAD_BYTES: Final = 16 * 1024
"""Longest head of a request; an API server's has some 300 bytes."""

_READ: Final = 64 * 1024
_PLAIN: Final = 16 * 1024
"""Of a TLS record, at most."""

_MOST_UNSENT: Final = 64 * 1024
"""That TLS itself answers, to a peer that does not read it: a request to update keys is answered each time."""


class State(Enum):
    """Where a connection is, and how many seconds it may be there.

    Two seconds are many round trips between machines of one cluster. An API server closes an idle connection after
    90 s; if we did so first, now and then a call would be lost.
    """

    HANDSHAKE = "handshake", 2.0, DropCause.HANDSHAKE
    IDLE = "idle", 120.0, None
    READING = "request", 2.0, DropCause.REQUEST
    BUSY = "busy", float("inf"), None
    WRITING = "answer", 2.0, DropCause.ANSWER
    LINGERING = "close", 2.0, None

    def __init__(self, _label: str, seconds: float, late: DropCause | None) -> None:
        self.seconds = seconds
        self.late = late


class Ended(Exception):
    """The peer is gone, or what it sends is no TLS.

    Attributes:
        cause: OpenSSL's word for it, empty if it just left.
    """

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause


class Connection:
    """A connection in the event loop; used by one thread at a time, the one that has claimed it.

    Args:
        sock: Connected and non-blocking.
        address: Of the peer, as `accept` gives it.
        context: Of TLS; without it what is read is plain.
    """

    def __init__(
        self, sock: socket.socket, address: tuple[Any, ...], context: ssl.SSLContext | None, now: float
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.state = State.HANDSHAKE if context else State.IDLE
        self.since = now
        self.proven = context is None
        self.heard = context is None
        self.closed = False
        self.close_after = False
        self.half_closed = False
        self.buffer = bytearray()
        self.counted = 0
        self.request: Any = None
        self.needed = 0
        self._searched = 0
        self._unsent = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None

    @property
    def peer(self) -> str:
        """Host of the peer."""
        return str(self.address[0])

    def enter(self, state: State, now: float) -> None:
        """Change the state."""
        self.state = state
        self.since = now

    def receive(self) -> bool:
        """Take what is there from the socket; `False` if nothing is.

        Raises:
            Ended: The peer has closed.
        """
        try:
            data = self.sock.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            raise Ended from None
        if not data:
            raise Ended
        self.heard = True
        if self._tls is None:
            self.buffer += data
        else:
            self._incoming.write(data)
        return True

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what was received allows; `True` when it is done.

        Raises:
            Ended: It failed; the peer was sent the reason.
        """
        assert self._tls is not None  # noqa: S101 (for the type checker)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            with suppress(Ended):
                self._flush()
            raise Ended(error.reason or "") from None
        self._flush()
        return True

    def decrypt(self) -> None:
        """Move what was received to the buffer.

        A peer that says it will send no more may still wait for an answer: then the connection is half closed.

        Raises:
            Ended: The peer sent what is no TLS, or has asked too much of TLS without reading.
        """
        if self._tls is None:
            return
        try:
            while data := self._tls.read(_PLAIN):
                self.buffer += data
                if not self._incoming.pending and not self._tls.pending():
                    break
            else:
                self.half_closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise Ended(error.reason or "") from None
        if self._outgoing.pending and not self._flush() and len(self._unsent) > _MOST_UNSENT:
            raise Ended

    def head(self) -> bytes | None:
        """Give the head of the request in the buffer, up to and with its empty line; `None` if it is not all there."""
        end = self.buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._searched = len(self.buffer)
            return None
        self._searched = 0
        return bytes(self.buffer[: end + 4])

    def take(self, head: int, body: int) -> bytes:
        """Remove a request from the buffer and give its body."""
        content = bytes(memoryview(self.buffer)[head : head + body])
        del self.buffer[: head + body]
        return content

    def send(self, data: bytes) -> bool:
        """Send; `False` if a part of it has to wait for the peer.

        Raises:
            Ended: The peer is gone.
        """
        if self._tls is None:
            self._unsent += data
        else:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                raise Ended(error.reason or "") from None
        return self._flush()

    def go_on_sending(self) -> bool:
        """Send what had to wait; `False` if some of it still has to."""
        return self._flush()

    def say_goodbye(self) -> None:
        """Say that no more will come."""
        with suppress(ssl.SSLError, OSError, Ended):
            if self._tls is not None:
                with suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                self._flush()
            self.sock.shutdown(socket.SHUT_WR)

    def discard(self) -> None:
        """Throw away what comes after the goodbye.

        Raises:
            Ended: The peer has closed too.
        """
        try:
            if self.sock.recv(_READ):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        raise Ended

    def _flush(self) -> bool:
        data = self._unsent + self._outgoing.read() if self._outgoing.pending else self._unsent
        if not data:
            return True
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise Ended from None
        self._unsent = data[sent:]
        return not self._unsent


Contexts = Callable[[], ssl.SSLContext | None]
"""Gives the context to shake hands with, `None` while there is no certificate."""


_REPORT_SECONDS: Final = 10.0
"""Between two lines about dropped connections; anybody could fill the log otherwise."""


class Drops:
    """Counts the connections that the server closed before they were done, by cause, and logs them now and then.

    Args:
        clock: Monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._totals: dict[str, int] = dict.fromkeys(DropCause, 0)
        self._unreported: Counter[str] = Counter()
        self._reported = 0.0

    def count(self, cause: DropCause) -> None:
        """Count one."""
        with self._lock:
            self._totals[cause] += 1
            self._unreported[cause] += 1

    def count_tls(self, peer: str, word: str) -> None:
        """Count a handshake that failed, and log the first: a port scan, or an API server that does not trust us.

        Args:
            peer: Host of the peer.
            word: OpenSSL's for what went wrong; one of a fixed list, which is no label of a metric all the same.
        """
        with self._lock:
            self._totals[DropCause.TLS] += 1
            first = not self._unreported[f"handshake_{word}"]
            self._unreported[f"handshake_{word}"] += 1
        if first:
            structlog.get_logger().info("handshake_failed", peer=peer, cause=word)

    def totals(self) -> Mapping[str, int]:
        """Give the number of each cause since the start."""
        with self._lock:
            return dict(self._totals)

    def report(self) -> None:
        """Log how many there were since the last line, unless that was a moment ago."""
        now = self._clock()
        with self._lock:
            if not self._unreported or now - self._reported <= _REPORT_SECONDS:
                return
            self._reported = now
            unreported, self._unreported = self._unreported, Counter()
        structlog.get_logger().warning("connections_dropped", **unreported)
