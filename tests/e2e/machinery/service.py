"""A Service as kube-proxy makes one: an address in front of servers that come and go."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Collection
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TypeAlias

_CHUNK = 1 << 16
_CONNECT_S = 5.0

Address: TypeAlias = tuple[str, int]


class Service:
    """Forwards each new connection to one of the endpoints there are then; those that exist stay where they are.

    An endpoint that does not listen is not passed over: its connections fail, as they would in a cluster. With no
    endpoint at all connections are closed at once.

    Args:
        address: Where it listens.
    """

    def __init__(self, address: Address) -> None:
        self._endpoints: frozenset[Address] = frozenset()
        self._server = _Server(address, self._forward)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def set_endpoints(self, endpoints: Collection[Address]) -> None:
        """Say where new connections go."""
        self._endpoints = frozenset(endpoints)

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _forward(self, client: socket.socket) -> None:
        if not (endpoints := sorted(self._endpoints)):
            return
        with socket.create_connection(random.choice(endpoints), timeout=_CONNECT_S) as server:
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: Address, forward: Callable[[socket.socket], None]) -> None:
        super().__init__(address, BaseRequestHandler)
        self._forward = forward

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        # What fails here fails for the two ends: the caller closes the connection.
        with contextlib.suppress(OSError):
            self._forward(request)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy one direction until its end, and pass the end on; the other direction may go on."""
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
