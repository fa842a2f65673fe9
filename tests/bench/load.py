"""A load generator that costs little: prepared bytes over keep-alive TLS connections, a thread each.

Run as a process of its own, so that its interpreter does not slow the server's: `python -m tests.bench.load …`.
Prints one JSON object: requests per second, and latencies in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Worker:
    """One connection and what it measured."""

    address: tuple[str, int]
    ca_file: str
    request: bytes
    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0

    def run(self, until: float) -> None:
        """Send the request again and again."""
        connection = self._connect()
        with connection:
            while time.perf_counter() < until:
                begun = time.perf_counter()
                connection.sendall(self.request)
                if not self._read(connection).startswith(b"HTTP/1.1 200"):
                    self.errors += 1
                self.latencies_s.append(time.perf_counter() - begun)

    def _connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.ca_file)
        plain = socket.create_connection(self.address, 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname="localhost")

    @staticmethod
    def _read(connection: ssl.SSLSocket) -> bytes:
        data = connection.recv(65536)
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
                while len(body) < length:
                    body += connection.recv(65536)
        return data


def http_request(path: str, body: bytes) -> bytes:
    """The bytes of a call as an API server makes it."""
    head = (
        f"POST {path}?timeout=5s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\n"
        f"Content-Length: {len(body)}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True, help="HOST:PORT")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--path", default="/mutate")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    request = http_request(options.path, options.body.read_bytes())
    host, _, port = options.address.rpartition(":")
    workers = [Worker((host, int(port)), options.ca, request) for _ in range(options.connections)]
    begun = time.perf_counter()
    threads = [threading.Thread(target=worker.run, args=(begun + options.seconds,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    latencies = sorted(latency for worker in workers for latency in worker.latencies_s)
    json.dump(
        {
            "rps": len(latencies) / elapsed,
            "p50_ms": statistics.median(latencies) * 1000,
            "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
            "errors": sum(worker.errors for worker in workers),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
