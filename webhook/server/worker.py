"""gunicorn's threaded worker, made safe against peers that stall, and stopped without losing a request.

What is changed, and why it matters for a webhook whose outage blocks Pods:

- A connection takes a thread only when there is something to read: before the handshake, and again before the first
  request (a Go client may open a connection that it then does not need). Otherwise as many silent connections as there
  are threads would hold every thread for seconds.
- A handshake and the reading of a request have a deadline. Otherwise a peer that sends half of either would hold a
  thread for ever.
- A connection that is closed lingers, so that its last answer is not cut off, in the event loop's poller and not in the
  loop itself, which would hold up everybody else for up to two seconds each time.
- SIGTERM begins a drain: the server says that it is not ready and goes on serving for a while, since API servers go on
  calling until they have learned of it; every answer meanwhile asks for its connection to be closed. Then it stops.
"""

import errno
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

READ_SECONDS: Final = 10.0
"""For a handshake, and for a request's headers and body together: the API server's default patience with all of it."""

SILENCE_SECONDS: Final = 10.0
"""How long a new connection may say nothing."""

LINGER_SECONDS: Final = 2.0
"""How long a closed connection waits for its peer to close too; gunicorn's own figure."""


class PatientSocket(ssl.SSLSocket):
    """A TLS socket whose blocking mode has an end.

    The worker calls `setblocking(True)` when it begins to work on a connection's next request; what is read from then
    on has to be there within `READ_SECONDS`. A peer that is too slow counts as one that hung up.
    """

    _read_until = 0.0

    def setblocking(self, flag: bool) -> None:
        """Begin a request's reading time, or go back to the poller."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, value: float | None) -> None:
        """Put an end to what would have none."""
        if value is None:
            self._read_until = time.monotonic() + READ_SECONDS
        super().settimeout(READ_SECONDS if value is None else value)

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, in time."""
        try:
            super().do_handshake(block)
        except TimeoutError:
            raise _too_slow() from None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read, in time."""
        if self.gettimeout() == 0:
            return super().recv(buflen, flags)
        remaining = self._read_until - time.monotonic()
        if remaining <= 0:
            raise _too_slow()
        self.settimeout(remaining)
        try:
            return super().recv(buflen, flags)
        except TimeoutError:
            raise _too_slow() from None

    def send(self, data: Any, flags: int = 0) -> int:
        """Write, in time."""
        try:
            return super().send(data, flags)
        except TimeoutError:
            raise _too_slow() from None


def _too_slow() -> ConnectionResetError:
    # The one error that the worker takes for what it is, a peer's doing that needs no traceback.
    return ConnectionResetError(errno.ECONNRESET, "the peer was too slow")


def prepare_context(context: ssl.SSLContext) -> None:
    """Have a context make `PatientSocket`s."""
    context.sslsocket_class = PatientSocket


def _shake_hands(connection: Any) -> bool:
    try:
        connection.sock.setblocking(True)
        connection.init()
    except ssl.SSLError as error:
        # A probe of the port, or an API server that does not trust our certificate: then this line is what explains it.
        structlog.get_logger().info("handshake_failed", peer=connection.client[0], cause=error.reason or "")
        return False
    except OSError:
        return False
    return True


class _Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that lingers in the poller when it is closed."""

    def __init__(self, worker: "Worker", *args: Any) -> None:
        super().__init__(*args)
        self._worker = worker
        self.timeout = time.monotonic() + SILENCE_SECONDS

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._worker.linger(self.sock)
        else:
            super().close()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module. Its application is a `webhook.server.process.Application`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._next_look = 0.0

    def accept(self, listener: Any) -> None:
        """Take a new connection, and wait in the poller for its first byte."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                # Out of file descriptors, say. The event loop takes connections again in its next turn, and does not
                # spin till then.
                structlog.get_logger().warning("accept_failed", cause=errno.errorcode.get(error.errno or 0, ""))
                self.set_accept_enabled(False)
            return
        self.nr_conns += 1
        connection = _Connection(self, self.cfg, client, address, listener.getsockname())
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def linger(self, sock: socket.socket) -> None:
        """Say that no more will come, and wait in the poller for the peer to say so too."""
        try:
            sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            self.poller.register(sock, selectors.EVENT_READ, self._discard)
        except (OSError, ValueError, KeyError):
            sock.close()
            return
        self._lingering.append((time.monotonic() + LINGER_SECONDS, sock))

    def handle(self, connection: Any) -> Any:
        """Work on a connection that has something to read, in a thread."""
        if not connection.initialized:
            if not _shake_hands(connection):
                return False
            if not connection.sock.pending():
                return _DEFER
        return super().handle(connection)

    def murder_pending(self) -> None:
        """Close what has been silent, or has lingered, for too long; called in each turn of the event loop."""
        now = time.monotonic()
        while self._lingering and self._lingering[0][0] <= now:
            _, sock = self._lingering.popleft()
            self._forget(sock)
        if now < self._next_look:
            return
        self._next_look = now + 0.5
        for connection in [pending for pending in self.pending_conns if pending.timeout <= now]:
            self.pending_conns.remove(connection)
            self.nr_conns -= 1
            self._forget(connection.sock)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 (a signal handler's signature)
        """Begin to stop. In a signal handler, so it only puts the work into the event loop's queue."""
        self.method_queue.defer(self._drain)

    def _drain(self) -> None:
        if self.app.stopping.is_set():
            return
        self.app.stopping.set()
        structlog.get_logger().info("draining", seconds=self.app.shutdown_delay)
        timer = threading.Timer(self.app.shutdown_delay, self.method_queue.defer, (self._stop,))
        timer.daemon = True
        timer.start()

    def _stop(self) -> None:
        structlog.get_logger().info("stopping", connections=self.nr_conns)
        # The worker gives its kept connections as long, for a request that may be on its way.
        limit = time.monotonic() + LINGER_SECONDS
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, limit)
        self.alive = False

    def _discard(self, sock: socket.socket) -> None:
        try:
            # After `shutdown` a TLS socket reads as a plain one.
            if sock.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._lingering = deque(entry for entry in self._lingering if entry[1] is not sock)
        self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self.poller.unregister(sock)
        sock.close()
