"""The event loop: threads that wait together for connections with something to read, and answer what is complete.

All threads wait on one `epoll`. A connection is armed for one event, so the thread that wakes has it for itself: it
reads what is there and, once a request is complete, answers it and writes the answer, with no handing over in between.
No thread ever waits for a peer. `tick`, called by the main thread, closes what has been silent for too long.
"""

import errno
import os
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import structlog

from webhook.server.connection import HEAD_BYTES, Connection, Contexts, Ended, State
from webhook.server.limits import FREE_BYTES, SPARE_THREADS, WAIT_SECONDS, WAITING, Limits
from webhook.server.visit import Visit

_IN: Final = select.EPOLLIN | select.EPOLLONESHOT
_OUT: Final = select.EPOLLOUT | select.EPOLLONESHOT

_HANDSHAKES: Final = 2
"""At the same time: each is a millisecond of a processor, and anybody can ask for one."""

_ACCEPTED: Final = 16
"""Connections taken in one go, before anything else is looked at."""

_BACKLOG: Final = 128
"""Connections looked for when no more are taken."""

_LINGER_SECONDS: Final = 2.0
"""How long a stopping server keeps an idle connection, for a request that may be on its way."""

_TELL_SECONDS: Final = 10.0
"""Between two lines about dropped connections; anybody could fill the log otherwise."""


class Request(Protocol):
    """The head of a request, read."""

    head: int
    length: int
    expects_continue: bool


class BadHead(Exception):
    """What came is no HTTP request that we answer.

    Attributes:
        answer: Its refusal, ready to send.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__("bad head")
        self.answer = answer


class Http(Protocol):
    """Reads heads and answers requests."""

    def read_head(self, head: bytes, address: Any) -> Request:
        """Read a head; `BadHead` if it is none. A `length` of 0 also stands for a body that is not to be received."""
        ...

    def answer(self, request: Any, body: bytes, visit: Visit) -> tuple[bytes, bool]:
        """Answer; and say whether the connection is to be closed after it."""
        ...


@dataclass(slots=True)
class _Parked:
    connection: Connection
    body: bytes = field(repr=False)
    visit: Visit
    since: float


class Loop:
    """See the module.

    Args:
        limits: How much to take on.
        listeners: Listening, non-blocking.
        contexts: Gives the TLS context of a new connection.
        http: What to do with requests.
    """

    def __init__(self, limits: Limits, listeners: Sequence[socket.socket], contexts: Contexts, http: Http) -> None:
        self._limits = limits
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._contexts = contexts
        self._http = http
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        # Those that no thread works on. To take one out is to claim it; a dict does that in one step.
        self._free: dict[int, Connection] = {}
        self._peers: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._buffered = 0
        self._handshaking = 0
        self._handshakes: deque[Connection] = deque()
        self._parked: list[_Parked] = []
        self._deaf: set[int] = set()
        self._dropped: Counter[str] = Counter()
        self._told = 0.0
        self._wake = os.pipe()
        self._over = False
        self._stopping = False

    def start(self) -> None:
        """Begin to serve."""
        self._epoll.register(self._wake[0], select.EPOLLIN)
        for fd in self._listeners:
            self._epoll.register(fd, _IN)
        for number in range(self._limits.threads + SPARE_THREADS):
            threading.Thread(target=self._work, name=f"server-{number}", daemon=True).start()

    def inside(self) -> socket.socket:
        """Open a connection from within, without TLS, and give the other end."""
        ours, theirs = socket.socketpair()
        self._add(ours, ("", 0), inside=True)
        return theirs

    def drain(self) -> None:
        """Take no more connections, and keep idle ones for a moment only."""
        self._stopping = True
        for fd in self._listeners:
            self._epoll.unregister(fd)
            # Whoever the kernel has connected by now would be cut off when the listener is closed.
            for _ in range(_BACKLOG // _ACCEPTED):
                self._accept(fd)
        self._listeners = {}

    def connections(self) -> int:
        """Count the connections from outside."""
        return sum(peer != "" for peer in self._peers.elements())

    def stop(self) -> None:
        """End the threads as soon as each has answered what it works on."""
        self._over = True
        os.write(self._wake[1], b"x")

    def tick(self) -> None:
        """Close what has been silent for too long, and refuse what has waited for too long."""
        now = time.monotonic()
        for fd in [*self._deaf]:
            self._deaf.discard(fd)
            self._arm_listener(fd)
        for fd, connection in list(self._free.items()):
            if now - connection.since > self._patience(connection) and self._free.pop(fd, None) is connection:
                self._drop(connection, connection.state.label)
        for parked in [each for each in self._parked if now - each.since > WAIT_SECONDS]:
            with self._lock:
                if parked not in self._parked:
                    continue
                self._parked.remove(parked)
            parked.visit.overdue = True
            self._guarded(parked.connection, self._resume, parked)
        if self._dropped and now - self._told > _TELL_SECONDS:
            self._told = now
            dropped, self._dropped = self._dropped, Counter()
            structlog.get_logger().warning("connections_dropped", **dropped)

    def _patience(self, connection: Connection) -> float:
        if self._stopping and connection.state is State.IDLE:
            return _LINGER_SECONDS
        return connection.state.seconds

    def _work(self) -> None:
        poll = self._epoll.poll
        while not self._over:
            for fd, _ in poll(-1, 1):
                if fd in self._listeners:
                    self._accept(fd)
                    continue
                connection = self._free.pop(fd, None)
                if connection is not None:
                    self._guarded(connection, self._advance, connection)
                while self._parked and (parked := self._next_parked()):
                    self._guarded(parked.connection, self._resume, parked)

    def _guarded(self, connection: Connection, act: Callable[[Any], None], argument: Any) -> None:
        try:
            act(argument)
        except Ended as end:
            if end.cause:
                self._tell_failure(connection, end.cause)
            self._close(connection)
        except Exception:  # noqa: BLE001 (a fault of ours ends a connection, not a thread)
            structlog.get_logger().exception("connection_failed", peer=connection.peer)
            self._close(connection)

    # Taking and closing connections

    def _accept(self, fd: int) -> None:
        listener = self._listeners.get(fd)
        if listener is None:
            return
        for _ in range(_ACCEPTED):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Out of file descriptors, say. `tick` listens again.
                structlog.get_logger().warning("accept_failed", cause=errno.errorcode.get(error.errno or 0, ""))
                self._deaf.add(fd)
                return
            try:
                self._add(sock, address)
            except OSError:
                sock.close()
        self._arm_listener(fd)

    def _arm_listener(self, fd: int) -> None:
        if fd in self._listeners and not self._stopping:
            self._epoll.modify(fd, _IN)

    def _add(self, sock: socket.socket, address: tuple[Any, ...], *, inside: bool = False) -> None:
        context = None if inside else self._contexts()
        if context is None and not inside:
            sock.close()
            return
        if not inside:
            self._make_room(str(address[0]))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = Connection(sock, address, context, time.monotonic())
        with self._lock:
            self._peers[connection.peer] += 1
        self._connections[connection.fd] = connection
        self._free[connection.fd] = connection
        self._epoll.register(connection.fd, _IN)

    def _make_room(self, peer: str) -> None:
        """Close the longest idle connection when there are too many: one that never said a thing, or got no answer."""
        if self._peers[peer] >= self._limits.peer_connections:
            self._evict([each for each in list(self._free.values()) if each.peer == peer])
        elif len(self._connections) >= self._limits.connections:
            self._evict([each for each in list(self._free.values()) if each.peer])

    def _evict(self, candidates: list[Connection]) -> None:
        for connection in sorted(candidates, key=lambda each: (each.proven, each.heard, each.since)):
            if self._free.pop(connection.fd, None) is connection:
                self._drop(connection, "full")
                return

    def _drop(self, connection: Connection, cause: str) -> None:
        if cause not in (State.IDLE.label, State.LINGERING.label):
            self._dropped[cause] += 1
        self._close(connection)

    def _tell_failure(self, connection: Connection, cause: str) -> None:
        # A probe of the port, or an API server that does not trust our certificate: then this line is what explains it.
        if not self._dropped[f"handshake_{cause}"]:
            structlog.get_logger().info("handshake_failed", peer=connection.peer, cause=cause)
        self._dropped[f"handshake_{cause}"] += 1

    def _close(self, connection: Connection) -> None:
        with self._lock:
            if connection.closed:
                return
            connection.closed = True
            self._buffered -= connection.counted
            connection.counted = 0
            self._peers[connection.peer] -= 1
            if not self._peers[connection.peer]:
                del self._peers[connection.peer]
        self._free.pop(connection.fd, None)
        self._connections.pop(connection.fd, None)
        connection.sock.close()

    def _arm(self, connection: Connection, events: int = _IN) -> None:
        self._free[connection.fd] = connection
        try:
            self._epoll.modify(connection.fd, events)
        except OSError:
            # It was closed for being silent just now.
            self._close(connection)

    # What a connection goes through

    def _advance(self, connection: Connection) -> None:
        match connection.state:
            case State.WRITING:
                if not connection.go_on_sending():
                    self._arm(connection, _OUT)
                elif self._sent(connection):
                    self._serve(connection)
            case State.LINGERING:
                connection.discard()
                self._arm(connection)
            case State.HANDSHAKE:
                if connection.receive():
                    self._shake_hands(connection)
                else:
                    self._arm(connection)
            case _:
                connection.receive()
                connection.decrypt()
                self._serve(connection)

    def _shake_hands(self, connection: Connection) -> None:
        with self._lock:
            if self._handshaking >= _HANDSHAKES:
                self._handshakes.append(connection)
                return
            self._handshaking += 1
        done: list[Connection] = []
        following: Connection | None = connection
        while following is not None:
            self._guarded(following, partial(self._shake_hands_now, done), following)
            with self._lock:
                following = self._handshakes.popleft() if self._handshakes else None
                if following is None:
                    self._handshaking -= 1
            while done:
                # Perhaps with a first request already, and nobody waits for a handshake while that is answered: if
                # somebody would, another thread answers it, woken at once since there is always room to write.
                ready = done.pop()
                if following is None:
                    self._guarded(ready, self._serve, ready)
                else:
                    self._arm(ready, _OUT)

    def _shake_hands_now(self, done: list[Connection], connection: Connection) -> None:
        if time.monotonic() - connection.since > connection.state.seconds:
            self._drop(connection, connection.state.label)
        elif not connection.shake_hands():
            self._arm(connection)
        else:
            connection.enter(State.IDLE, time.monotonic())
            connection.decrypt()
            done.append(connection)

    def _serve(self, connection: Connection) -> None:
        """Answer what is complete of what was received, and wait for more."""
        while True:
            if connection.request is None and not self._read_head(connection):
                return
            request = connection.request
            visit = Visit(may_wait=True, quiet=not connection.peer)
            if len(connection.buffer) < request.head + request.length:
                if self._has_room(connection):
                    self._arm(connection)
                    return
                visit.no_room = True
            body = b"" if visit.no_room else connection.take(request.head, request.length)
            connection.enter(State.BUSY, time.monotonic())
            if not self._answer(connection, body, visit):
                return

    def _read_head(self, connection: Connection) -> bool:
        if not connection.buffer:
            self._arm(connection)
            return False
        if connection.state is State.IDLE:
            connection.enter(State.READING, time.monotonic())
        head = connection.head()
        if head is None and len(connection.buffer) <= HEAD_BYTES:
            self._arm(connection)
            return False
        try:
            connection.request = self._http.read_head(head or bytes(connection.buffer), connection.address)
        except BadHead as bad:
            self._finish(connection, bad.answer, close=True)
            return False
        if connection.request.expects_continue:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _answer(self, connection: Connection, body: bytes, visit: Visit) -> bool:
        answer, close = self._http.answer(connection.request, body, visit)
        if visit.turn is not None:
            self._park(_Parked(connection, body, visit, time.monotonic()))
            return False
        connection.request = None
        self._uncount(connection)
        connection.proven = connection.proven or answer.startswith(b"HTTP/1.1 200")
        return self._finish(connection, answer, close=close or visit.no_room)

    def _finish(self, connection: Connection, answer: bytes, *, close: bool) -> bool:
        connection.close_after = close
        if connection.send(answer):
            return self._sent(connection)
        connection.enter(State.WRITING, time.monotonic())
        self._arm(connection, _OUT)
        return False

    def _sent(self, connection: Connection) -> bool:
        if connection.close_after:
            connection.say_goodbye()
            connection.enter(State.LINGERING, time.monotonic())
            self._arm(connection)
            return False
        connection.enter(State.IDLE, time.monotonic())
        return True

    # Reviews that wait for their turn

    def _park(self, parked: _Parked) -> None:
        with self._lock:
            full = len(self._parked) >= WAITING
            if not full:
                self._parked.append(parked)
        if full:
            parked.visit.overdue = True
            self._resume(parked)

    def _next_parked(self) -> _Parked | None:
        with self._lock:
            for index, parked in enumerate(self._parked):
                if parked.visit.turn is not None and parked.visit.turn():
                    return self._parked.pop(index)
        return None

    def _resume(self, parked: _Parked) -> None:
        parked.visit.turn = None
        if self._answer(parked.connection, parked.body, parked.visit):
            self._serve(parked.connection)

    # Memory of bodies that are being received

    def _has_room(self, connection: Connection) -> bool:
        more = max(0, len(connection.buffer) - FREE_BYTES) - connection.counted
        if more <= 0:
            return True
        while True:
            with self._lock:
                if self._buffered + more <= self._limits.buffered_bytes:
                    self._buffered += more
                    connection.counted += more
                    return True
            # An API server sends a body at once: whoever began before us and is not done is none, or a slow one.
            begun_before = [
                each
                for each in list(self._free.values())
                if each.state is State.READING and each.counted and each.since < connection.since
            ]
            if not begun_before:
                return False
            oldest = min(begun_before, key=lambda each: each.since)
            if self._free.pop(oldest.fd, None) is oldest:
                self._drop(oldest, "memory")

    def _uncount(self, connection: Connection) -> None:
        if connection.counted:
            with self._lock:
                self._buffered -= connection.counted
                connection.counted = 0
