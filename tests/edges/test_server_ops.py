"""Probes: what makes us unready, what only shows, and the form of it."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.edges.server_double import Authority, write_pair
from webhook.config import Address
from webhook.server import ops
from webhook.server.certificate import CertificateFiles
from webhook.server.ops import Check, report
from webhook.server.serve import checks


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    answer = response.status, response.headers["Content-Type"], response.read().decode()
    connection.close()
    return answer


@pytest.fixture
def state() -> list[Check]:
    return [Check(name="certificate", ok=True)]


@pytest.fixture
def port(state: list[Check]) -> Iterator[int]:
    def render() -> bytes:
        if not state:
            raise RuntimeError("no figures")
        return b"figures 1\n"

    listener = ops.listen(Address("127.0.0.1", 0))
    ops.serve(listener, lambda: state, render)
    yield int(listener.getsockname()[1])
    listener.close()


def test_the_three_paths_and_no_other(port: int) -> None:
    assert get(port, "/healthz") == (200, "text/plain; charset=utf-8", "ok")
    assert get(port, "/readyz")[::2] == (200, "ok")
    assert get(port, "/metrics") == (200, "text/plain; version=0.0.4; charset=utf-8", "figures 1\n")
    assert get(port, "/debug")[0] == 404
    assert get(port, "/readyz", "HEAD")[::2] == (200, "")


def test_verbose_lists_every_check(port: int, state: list[Check]) -> None:
    state.append(Check(name="watch-secrets", ok=False, detail="HTTP 403", required=False))
    assert get(port, "/readyz")[0] == 200
    assert get(port, "/readyz?verbose")[2] == (
        "[+]certificate ok\n[-]watch-secrets failed: HTTP 403 (does not make it unready)\nreadyz check passed\n"
    )


def test_a_check_that_fails_is_named_without_being_asked_for(port: int, state: list[Check]) -> None:
    state[0] = Check(name="certificate", ok=False, detail="not there")
    assert get(port, "/readyz")[::2] == (503, "[-]certificate failed: not there\nreadyz check failed\n")


def test_a_scrape_that_fails_leaves_the_listener_alive(port: int, state: list[Check]) -> None:
    state.clear()
    with pytest.raises(http.client.RemoteDisconnected):
        get(port, "/metrics")
    assert get(port, "/healthz")[0] == 200


def test_a_client_that_says_nothing_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops._Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
        assert silent.recv(1) == b""


def test_whoever_opens_many_connections_closes_only_their_own(port: int) -> None:
    def connect(source: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))

    with ExitStack() as stack:
        kept = stack.enter_context(connect("127.0.0.2"))
        flood = [stack.enter_context(connect("127.0.0.3")) for _ in range(ops._MOST_OF_ONE_ADDRESS + 1)]
        assert flood[0].recv(1) == b""
        for each in (kept, flood[-1]):
            each.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert each.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_when_many_addresses_open_some_the_one_that_has_been_open_longest_goes(port: int) -> None:
    def connect(number: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(f"127.0.1.{number + 1}", 0))

    with ExitStack() as stack:
        held = [stack.enter_context(connect(number // 4)) for number in range(ops._MOST_CONNECTIONS + 1)]
        assert held[0].recv(1) == b""
        for each in (held[1], held[-1]):
            each.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert each.recv(64).startswith(b"HTTP/1.1 200")


def test_all_is_well_only_if_everything_required_is() -> None:
    well, ill = Check(name="a", ok=True), Check(name="b", ok=False)
    assert report([well], verbose=False)[0] == 200
    assert report([well, ill], verbose=False)[0] == 503
    assert report([], verbose=False)[0] == 200


class Cluster:
    """As much of `webhook.cluster.Cluster` as readiness looks at."""

    def __init__(self) -> None:
        self.filled = True
        self.error = ""
        self.caches = self

    def synced(self) -> bool:
        return self.filled

    def health(self) -> tuple[Any, ...]:
        return (SimpleNamespace(resource="secrets", error=self.error, last_event_age_s=3.2),)


@pytest.mark.parametrize("broken", ["", "certificate", "caches", "shutdown"])
def test_each_thing_readiness_rests_on_can_fail_it(tmp_path: Path, broken: str) -> None:
    authority, cluster, stopping = Authority(), Cluster(), threading.Event()
    cluster.filled = broken != "caches"
    if broken != "certificate":
        leaf = authority.leaf()
        write_pair(tmp_path, leaf.certificate_pem, leaf.key_pem)
    if broken == "shutdown":
        stopping.set()
    found = checks(cluster, CertificateFiles(tmp_path), stopping)  # type: ignore[arg-type]
    assert {check.name for check in found if not check.ok} == ({broken} if broken else set())
    assert report(found, verbose=False)[0] == (503 if broken else 200)


def test_a_broken_watch_shows_and_does_not_make_it_unready(tmp_path: Path) -> None:
    authority, cluster = Authority(), Cluster()
    leaf = authority.leaf()
    write_pair(tmp_path, leaf.certificate_pem, leaf.key_pem)
    cluster.error = "forbidden"
    code, text = report(checks(cluster, CertificateFiles(tmp_path), threading.Event()), verbose=True)  # type: ignore[arg-type]
    assert code == 200
    assert "[-]watch-secrets failed: forbidden, last heard of 3 s ago (does not make it unready)" in text
