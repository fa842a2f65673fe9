"""Event loop that reads requests and answers complete ones.

All threads wait on one `epoll`. A connection is armed for one event, so the thread that wakes has it for itself: it
reads what is there and, once a request is complete, answers it and writes the answer, with no handing over in between.
No thread ever waits for a peer, and each goes back to wait after one request, so that no connection keeps it.
`tick`, called by the main thread, closes what has been silent for too long; it never answers, for that may take long.
"""

import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from webhook.server.accepting import Acceptor
from webhook.server.connection import HEAD_BYTES, Connection, Contexts, Drops, Ended, State
from webhook.server.connections import Connections, Parked, Waiting
from webhook.server.limits import SPARE_THREADS, Limits
from webhook.server.request import BadHead, Http, Request, Visit

_IN: Final = select.EPOLLIN | select.EPOLLONESHOT
_OUT: Final = select.EPOLLOUT | select.EPOLLONESHOT

_HANDSHAKES: Final = 2
"""At the same time: each is a millisecond of a processor, and anybody can ask for one."""

_READ_AGAIN: Final = 64 * 1024
"""Longest request whose rest is looked for at once, as long as what one look takes: of a longer one there must be room
for what has come before more is taken."""

_LINGER_SECONDS: Final = 2.0
"""How long a stopping server keeps an idle connection, for a request that may be on its way."""


_END_SECONDS: Final = 1.0
"""How long a stopping loop waits for its threads: each needs a millisecond, unless a review has taken too long."""


class Loop:
    """See the module.

    Args:
        limits: How much to take on.
        listeners: Listening, non-blocking.
        contexts: Gives the TLS context of a new connection.
        http: What to do with requests.
        drops: Counts the connections that are closed before they are done.
    """

    def __init__(
        self, limits: Limits, listeners: Sequence[socket.socket], contexts: Contexts, http: Http, drops: Drops
    ) -> None:
        self._threads = limits.threads + SPARE_THREADS
        self._http = http
        self._epoll = select.epoll()
        self._drops = drops
        self._open = Connections(limits, drops)
        self._acceptor = Acceptor(listeners, self._epoll, contexts, self._open.make_room, self._add)
        self._waiting = Waiting()
        self._lock = threading.Lock()
        self._handshaking = 0
        self._handshakes: deque[Connection] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._running: list[threading.Thread] = []
        self._over = False
        self._stopping = False

    def start(self) -> None:
        """Begin to serve."""
        self._epoll.register(self._wake, select.EPOLLIN)
        self._acceptor.start()
        for number in range(self._threads):
            thread = threading.Thread(target=self._work, name=f"server-{number}", daemon=True)
            thread.start()
            self._running.append(thread)

    def inside(self) -> socket.socket:
        """Open a connection from within, without TLS, and give the other end."""
        ours, theirs = socket.socketpair()
        self._add(ours, ("", 0), None)
        return theirs

    def drain(self) -> None:
        """Take no more connections, and keep idle ones for a moment only."""
        self._stopping = True
        self._acceptor.close()

    def connections(self) -> int:
        """Count the connections from outside."""
        return self._open.from_outside()

    def stop(self) -> None:
        """End the threads as soon as each has answered what it works on, and wait a moment for them: for log lines."""
        self._over = True
        os.eventfd_write(self._wake, 1)
        end = time.monotonic() + _END_SECONDS
        for thread in self._running:
            thread.join(max(0.0, end - time.monotonic()))

    def tick(self) -> None:
        """Close what has been silent for too long, and have refused what has waited for too long."""
        self._acceptor.listen_again()
        self._open.drop_silent(self._silence_allowed)
        if self._waiting.overdue():
            os.eventfd_write(self._wake, 1)
        self._drops.report()

    def _silence_allowed(self, connection: Connection) -> float:
        if self._stopping and connection.state is State.IDLE:
            return _LINGER_SECONDS
        return connection.state.seconds

    def _work(self) -> None:
        poll, listeners = self._epoll.poll, self._acceptor.listeners
        while not self._over:
            for fd, _ in poll(-1, 1):
                if fd in listeners:
                    self._acceptor.accept(fd)
                elif fd == self._wake:
                    self._woken()
                elif (connection := self._open.claim_by(fd)) is not None:
                    self._guarded(connection, self._advance, connection)
                while (parked := self._waiting.next()) is not None:
                    self._guarded(parked.connection, self._resume, parked)

    def _woken(self) -> None:
        if not self._over:
            # Left unread at the end, it wakes every thread.
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)

    def _guarded(self, connection: Connection, act: Callable[[Any], None], argument: Any) -> None:
        try:
            act(argument)
        except Ended as end:
            if end.cause:
                self._drops.count_tls(connection.peer, end.cause)
            self._open.close(connection)
        except Exception:  # noqa: BLE001 (a fault of ours ends a connection, not a thread)
            structlog.get_logger().exception("connection_failed", peer=connection.peer)
            self._open.close(connection)

    def _add(self, sock: socket.socket, address: tuple[Any, ...], context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        connection = Connection(sock, address, context, time.monotonic())
        self._open.add(connection)
        try:
            # For nothing yet: a stale event of another that had the same descriptor must find it known to the poller.
            self._epoll.register(connection.fd, select.EPOLLONESHOT)
        except OSError:
            self._open.close(connection)
            raise
        self._arm(connection)

    def _arm(self, connection: Connection, events: int = _IN) -> None:
        self._open.release(connection)
        try:
            self._epoll.modify(connection.fd, events)
        except OSError:
            # It was closed for being silent just now.
            self._open.close(connection)

    # What a connection goes through

    def _advance(self, connection: Connection) -> None:
        match connection.state:
            case State.WRITING:
                if connection.go_on_sending():
                    self._sent(connection)
                else:
                    self._arm(connection, _OUT)
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
        following: Connection | None = connection
        while following is not None:
            self._guarded(following, self._shake_hands_now, following)
            with self._lock:
                following = self._handshakes.popleft() if self._handshakes else None
                if following is None:
                    self._handshaking -= 1

    def _shake_hands_now(self, connection: Connection) -> None:
        if time.monotonic() - connection.since > connection.state.seconds:
            self._open.drop(connection, connection.state.late)
        elif not connection.shake_hands():
            self._arm(connection)
        else:
            connection.enter(State.IDLE, time.monotonic())
            # Perhaps with a first request already: whoever is free answers it, woken at once since there is always room
            # to write. Who shakes hands does not, or nobody else could meanwhile.
            self._arm(connection, _OUT)

    def _serve(self, connection: Connection) -> None:
        """Answer a request if it is complete, and wait for more."""
        if connection.request is None and not self._read_head(connection):
            return
        request: Request = connection.request
        if len(connection.buffer) < request.head + request.length <= _READ_AGAIN and connection.receive():
            # An API server writes 4 KiB at a time: mostly the rest has come while the head was read.
            connection.decrypt()
        visit = Visit(may_wait=True, quiet=not connection.peer)
        body = b""
        if len(connection.buffer) >= request.head + request.length:
            body = connection.take(request.head, request.length)
        elif connection.half_closed:
            raise Ended
        elif self._open.has_room(connection):
            self._arm(connection)
            return
        else:
            visit.no_room = True
        if connection.buffer or connection.half_closed:
            # An API server sends one request at a time. Who sends several gets one answer, and the rest is not kept.
            connection.buffer.clear()
            request.force_close()
        connection.enter(State.BUSY, time.monotonic())
        self._answer(connection, body, visit)

    def _read_head(self, connection: Connection) -> bool:
        head = connection.head()
        if head is None and len(connection.buffer) <= HEAD_BYTES:
            if connection.half_closed:
                raise Ended
            if connection.buffer and connection.state is State.IDLE:
                connection.enter(State.READING, time.monotonic())
            self._arm(connection)
            return False
        if connection.state is State.IDLE:
            connection.enter(State.READING, time.monotonic())
        try:
            connection.request = self._http.read_head(head or bytes(connection.buffer), connection.address)
        except BadHead as bad:
            connection.buffer.clear()
            self._finish(connection, bad.answer, close=True)
            return False
        if connection.request.expects_continue:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _answer(self, connection: Connection, body: bytes, visit: Visit) -> None:
        answer, close = self._http.answer(connection.request, body, visit)
        if visit.turn is not None:
            if self._waiting.add(connection, body, visit):
                return
            visit.turn, visit.overdue = None, True
            answer, close = self._http.answer(connection.request, body, visit)
        connection.request = None
        self._open.forget_body(connection)
        connection.proven = connection.proven or answer.startswith(b"HTTP/1.1 200")
        try:
            self._finish(connection, answer, close=close or visit.no_room)
        finally:
            self._write_log_line(visit)

    @staticmethod
    def _write_log_line(visit: Visit) -> None:
        try:
            visit.write_log_line()
        except Exception:  # noqa: BLE001 (the answer is out, and its connection may be another thread's by now)
            structlog.get_logger().exception("log_line_failed")

    def _resume(self, parked: Parked) -> None:
        parked.visit.turn = None
        self._answer(parked.connection, parked.body, parked.visit)

    def _finish(self, connection: Connection, answer: bytes, *, close: bool) -> None:
        connection.close_after = close
        if connection.send(answer):
            self._sent(connection)
        else:
            connection.enter(State.WRITING, time.monotonic())
            self._arm(connection, _OUT)

    def _sent(self, connection: Connection) -> None:
        if connection.close_after:
            connection.say_goodbye()
        connection.enter(State.LINGERING if connection.close_after else State.IDLE, time.monotonic())
        self._arm(connection)
