"""The server: how fast next to a bare route, how large, how soon ready, and how it takes broken reviews."""

from __future__ import annotations

import json
import random
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.harness import filled, measure, namespace_name, resident_mb
from tests.bench.load import Worker, http_request
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.processes import free_port
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY, review, workload

ROUNDS = 5


_WORKERS = {"stock": "gunicorn's own worker", "ours": "the server's event loop"}


def speed() -> Iterator[tuple[str, str, str]]:
    """`/mutate` on a warm cache against a bare Flask route that only decodes and encodes the same review.

    The one on gunicorn's own worker is what anybody would have without us, and what is to be reached. The one on the
    server's event loop tells what deciding costs, and has no bound: a faster loop makes that ratio worse.
    """
    body = json.dumps(review(workload("Deployment", namespace=namespace_name(7)))).encode()
    with filled(100) as installation, ExitStack() as stack:
        installation.log_file = installation.path / "log"
        server = installation.start_server()
        addresses = {"server": installation.address}
        for worker in _WORKERS:
            addresses[worker] = ("127.0.0.1", stack.enter_context(bare_route(installation.path / "tls", worker)))
        ca = installation.path / "tls" / "ca.crt"
        for connections, what, bound in ((8, "rps", "≥ 0.8"), (1, "p50_ms", "≤ 1.4")):
            found: dict[str, list[float]] = {name: [] for name in addresses}
            for address in addresses.values():
                measure(address, ca, body, connections=connections, seconds=1)
            for _ in range(ROUNDS):
                for name, address in addresses.items():
                    result = measure(address, ca, body, connections=connections, seconds=2)
                    assert result["errors"] == 0, f"{name}: {result['errors']} errors"
                    found[name].append(result[what])
            middle = {name: statistics.median(values) for name, values in found.items()}
            for worker, words in _WORKERS.items():
                yield (
                    f"/mutate, {connections} connection(s), {what}, to a bare route on {words}",
                    f"{middle['server']:.2f} / {middle[worker]:.2f} = {middle['server'] / middle[worker]:.2f}",
                    bound if worker == "stock" else "",
                )
        assert server.ops("/healthz")[0] == 200


@contextmanager
def bare_route(tls_dir: Path, worker: str) -> Iterator[int]:
    """A process with the routes of `tests.bench.bare`; gives its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare", str(port), str(tls_dir), worker],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _listens(port), "the bare route listens")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


def size() -> Iterator[tuple[str, str, str]]:
    """Resident memory with 10,000 namespaces, ServiceAccounts and copies cached."""
    with filled(10_000) as installation:
        server = installation.start_server()
        largest, proportional = resident_mb(server)
        yield (
            "resident, 10,000 namespaces and copies",
            f"{largest:.0f} MB (all processes, shared pages counted once: {proportional:.0f} MB)",
            "≤ 150 MB",
        )


def start() -> Iterator[tuple[str, str, str]]:
    """From process start to ready, with 1,000 namespaces."""
    with filled(1_000) as installation:
        begun = time.perf_counter()
        installation.start_server()
        yield "ready after its start, 1,000 namespaces", f"{time.perf_counter() - begun:.2f} s", "≤ 3 s"


def broken(count: int = 50_000, seed: int | None = None) -> Iterator[tuple[str, str, str]]:
    """Mutated reviews: bytes flipped, fields of other types, deep nesting, huge lists, foreign Unicode."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    with filled(10) as installation:
        server = installation.start_server()
        codes: dict[int, int] = {}
        slowest = 0.0
        before = 0.0
        sender = _Sender(installation)
        for index, body in enumerate(mutants(random.Random(seed), count)):
            begun = time.perf_counter()
            code = sender.send("/mutate" if index % 2 else "/validate", body)
            slowest = max(slowest, time.perf_counter() - begun)
            codes[code] = codes.get(code, 0) + 1
            if index == count // 10:
                before = resident_mb(server)[0]
        after = resident_mb(server)[0]
        printed = server.output + server.ops("/metrics")[1]
        assert CANARY not in printed, "the canary was printed"
        bad = {code: number for code, number in codes.items() if code >= 500}
        yield f"{count} mutated reviews, seed {seed}: answers by code", str(dict(sorted(codes.items()))), "no 5xx"
        yield "… slowest answer", f"{slowest:.2f} s", "no hang"
        yield "… resident after a tenth and at the end", f"{before:.0f} → {after:.0f} MB", "no growth"
        assert not bad, f"5xx: {bad}"


class _Sender:
    """Sends over a keep-alive connection, and makes a new one when the server closed it."""

    def __init__(self, installation: Installation) -> None:
        self._address = installation.address
        self._ca = str(installation.path / "tls" / "ca.crt")
        self._connection: ssl.SSLSocket | None = None

    def send(self, path: str, body: bytes) -> int:
        for _ in range(2):
            try:
                if self._connection is None:
                    self._connection = Worker(self._address, self._ca, b"")._connect()
                    self._connection.settimeout(30)
                self._connection.sendall(http_request(path, body))
                answer = Worker._read(self._connection)
                if b"connection: close" in answer.lower():
                    self._connection.close()
                    self._connection = None
                return int(answer[9:12])
            except (OSError, ValueError, IndexError):
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
        raise AssertionError("no answer")


_STRANGE: list[Any] = [
    None, True, 0, -1, 1e308, "", "x", "ghcr.io/" + "a" * 300, "ghcr.io/\u202e\U0001f40b", "\x00", [], {}, [[]], [None], {"a": {}},
    "ghcr.io/a/b:1", "GHCR.IO/x/y", "İ" * 40, "-" * 5000, 2**70,
]  # fmt: skip


def mutants(rng: random.Random, count: int) -> Iterator[bytes]:
    """Make broken reviews."""
    kinds = ["Pod", "Deployment", "CronJob", "Job", "StatefulSet"]
    for _ in range(count):
        namespace = namespace_name(rng.randrange(10))
        document = review(
            workload(rng.choice(kinds), namespace=namespace, secrets=rng.choice([None, [], ["a"], ["ghcr-secret"]])),
            operation=rng.choice(["CREATE", "UPDATE"]),
            old=workload("Pod", namespace=namespace) if rng.random() < 0.2 else None,
            dry_run=rng.random() < 0.5,
        )
        way = rng.randrange(5)
        if way in (0, 1, 2):
            for _ in range(rng.randrange(1, 4)):
                _disturb(rng, document)
        if way == 3:
            pod = document["request"]["object"]
            shape = rng.randrange(3)
            if shape == 0:
                nest: Any = "x"
                for _ in range(rng.randrange(10, 900)):
                    nest = [nest] if rng.random() < 0.5 else {"spec": nest}
                pod["spec"] = nest
            elif shape == 1:
                pod.setdefault("spec", {})["containers"] = [{"name": "c", "image": "ghcr.io/a/b"}] * rng.randrange(
                    1, 2000
                )
            else:
                pod["metadata"]["annotations"] = {
                    f"k{n}": rng.choice(["v", "\u05d0", "\U0001f600"]) for n in range(500)
                }
        try:
            body = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            body = b"{"
        if way == 4:
            flipped = bytearray(body)
            for _ in range(rng.randrange(1, 20)):
                flipped[rng.randrange(len(flipped))] = rng.randrange(256)
            body = bytes(flipped[: rng.randrange(1, len(flipped) + 1)] if rng.random() < 0.2 else flipped)
        yield body


def _disturb(rng: random.Random, document: Any) -> None:
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = document[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.85:
            document = inner
            continue
        if rng.random() < 0.3 and isinstance(document, dict):
            del document[key]
        else:
            document[key] = rng.choice(_STRANGE)
        return
