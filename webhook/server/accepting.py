"""Acceptance of new connections from listening sockets."""

import errno
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from webhook.server.connection import Contexts

_IN: Final = select.EPOLLIN | select.EPOLLONESHOT

_ACCEPTED: Final = 16
"""Connections taken in one go, before anything else is looked at."""

_BACKLOG: Final = 128
"""Connections looked for when no more are taken."""


class Acceptor:
    """Accepts connections. Each listener is used by one thread at a time, which its event has woken.

    Args:
        listeners: Listening, non-blocking.
        poller: Says when somebody has connected.
        contexts: Gives the TLS context of a new connection.
        has_room: Whether one more from that host may be taken; may close another for it.
        take: Takes a connection with its address and context. What it raises closes the connection.

    Attributes:
        listeners: By file descriptor; none any more once it has been closed.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        poller: select.epoll,
        contexts: Contexts,
        has_room: Callable[[str], bool],
        take: Callable[[socket.socket, tuple[Any, ...], ssl.SSLContext], None],
    ) -> None:
        self.listeners = {listener.fileno(): listener for listener in listeners}
        self._poller = poller
        self._contexts = contexts
        self._has_room = has_room
        self._take = take
        self._deaf: set[int] = set()
        self._closed = False

    def start(self) -> None:
        """Begin to listen."""
        for fd in self.listeners:
            self._poller.register(fd, _IN)

    def accept(self, fd: int) -> None:
        """Accept the connections that wait at a listener, and listen on."""
        listener = self.listeners.get(fd)
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
                # Out of file descriptors, say. `listen_again` is for that.
                structlog.get_logger().warning("accept_failed", cause=errno.errorcode.get(error.errno or 0, ""))
                self._deaf.add(fd)
                return
            self._receive(sock, address)
        self._listen(fd)

    def listen_again(self) -> None:
        """Listen where accepting failed a while ago."""
        for fd in [*self._deaf]:
            self._deaf.discard(fd)
            self._listen(fd)

    def close(self) -> None:
        """Accept the connections that wait, and none after them."""
        self._closed = True
        for fd in self.listeners:
            self._poller.unregister(fd)
            # Whoever the kernel has connected by now would be cut off when the listener is closed.
            for _ in range(_BACKLOG // _ACCEPTED):
                self.accept(fd)
        self.listeners.clear()

    def _receive(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        try:
            context = self._contexts()
            if context is None or not self._has_room(str(address[0])):
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(sock, address, context)
        except OSError:
            sock.close()
        except Exception:  # noqa: BLE001 (whatever it is, the next connection has to be taken)
            structlog.get_logger().exception("connection_failed", peer=address[0])
            sock.close()

    def _listen(self, fd: int) -> None:
        if fd in self.listeners and not self._closed:
            try:
                self._poller.modify(fd, _IN)
            except OSError:
                # `close` was faster, and the listener perhaps closed since; else `listen_again` is for that.
                self._deaf.add(fd)
