"""The server process: TLS, certificates replaced under it, peers that stall, and stopping without losing a request."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.edges.server_double import HOST, Authority, Process, review, serving, write_pair

pytestmark = pytest.mark.processes

SILENT_CONNECTIONS = 40
"""More than there are threads."""


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls_dir(tmp_path: Path, authority: Authority) -> Path:
    leaf = authority.leaf()
    write_pair(tmp_path, leaf.certificate_pem, leaf.key_pem)
    return tmp_path


@pytest.fixture
def server(tls_dir: Path, authority: Authority) -> Iterator[Process]:
    with serving(tls_dir, authority, "--threads", "4") as process:
        yield process


def serial(process: Process) -> str:
    connection = process.connect()
    peer = connection.sock.getpeercert()
    connection.close()
    assert peer is not None
    return str(peer["serialNumber"])


def test_a_connection_is_kept_for_the_next_review(server: Process) -> None:
    connection = server.connect()
    for uid in ("u-1", "u-2", "u-3"):
        status, answer = server.post(body=review(uid=uid), connection=connection)
        assert (status, answer["response"]["uid"]) == (200, uid)
    connection.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_below_1_2_is_refused(server: Process, authority: Authority) -> None:
    context = authority.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    # What this side's OpenSSL allows by default would refuse it too.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw,
        pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
    ):
        context.wrap_socket(raw, server_hostname=HOST)


def test_a_replaced_certificate_is_served_on_the_next_connection(
    server: Process, tls_dir: Path, authority: Authority
) -> None:
    before, kept = serial(server), server.connect()
    leaf = authority.leaf(days=60)
    write_pair(tls_dir, leaf.certificate_pem, leaf.key_pem)
    assert serial(server) != before
    assert server.post(connection=kept)[0] == 200
    kept.close()


def test_a_broken_pair_leaves_the_old_one_served_and_is_logged_once(
    server: Process, tls_dir: Path, authority: Authority
) -> None:
    before = serial(server)
    (tls_dir / "tls.key").write_bytes(authority.leaf().key_pem)
    assert [serial(server) for _ in range(3)] == [before] * 3
    assert server.ops("/readyz")[0] == 200
    rejected = server.events("certificate_rejected")
    assert [(line["problem"], line["still_served"]) for line in rejected] == [
        ("tls.key is damaged or another certificate's", True)
    ]


def test_without_a_certificate_it_is_not_ready_and_becomes_so_when_one_comes(
    tmp_path: Path, authority: Authority
) -> None:
    with serving(tmp_path, authority) as process:
        assert process.ops("/healthz") == (200, "ok")
        status, text = process.ops("/readyz")
        assert status == 503
        assert "[-]certificate failed: tls.crt and tls.key cannot be read" in text
        with pytest.raises((ConnectionError, ssl.SSLError)):
            process.connect()
        expiry = "\nghcr_pull_secrets_certificate_expiry_timestamp_seconds "
        assert expiry not in process.ops("/metrics")[1]
        leaf = authority.leaf()
        write_pair(tmp_path, leaf.certificate_pem, leaf.key_pem)
        assert process.ops("/readyz") == (200, "ok")
        assert expiry in process.ops("/metrics")[1]
        assert process.post()[0] == 200
        assert not [line for line in process.lines if "exception" in line]


@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half a handshake"])
def test_connections_that_say_nothing_hold_up_nobody(server: Process, beginning: bytes) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SILENT_CONNECTIONS)]
    for connection in silent:
        connection.sendall(beginning)
    started = time.monotonic()
    assert server.post()[0] == 200
    assert time.monotonic() - started < 2
    for connection in silent:
        connection.close()


def test_an_api_server_that_does_not_trust_the_certificate_is_logged(server: Process) -> None:
    stranger = ssl.create_default_context(cadata=Authority().ca.certificate_pem.decode())
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw, pytest.raises(ssl.SSLError):
        stranger.wrap_socket(raw, server_hostname=HOST)
    assert server.wait_for("handshake_failed")["cause"] == "TLSV1_ALERT_UNKNOWN_CA"


def test_idle_kept_connections_take_no_thread(server: Process) -> None:
    kept = [server.connect() for _ in range(SILENT_CONNECTIONS)]
    for connection in kept:
        assert server.post(connection=connection)[0] == 200
    started = time.monotonic()
    assert server.post()[0] == 200
    assert time.monotonic() - started < 2
    for connection in kept:
        connection.close()


def test_a_closed_connection_whose_peer_stays_holds_up_nobody(server: Process) -> None:
    staying = []
    for _ in range(5):
        connection = server.connect()
        connection.request("POST", "/mutate", json.dumps(review()), {"Connection": "close"})
        assert connection.sock is not None
        staying.append(connection.sock)
        connection.sock = None
    time.sleep(0.3)
    started = time.monotonic()
    assert server.post()[0] == 200
    assert time.monotonic() - started < 1
    for sock in staying:
        sock.close()


def test_half_a_request_takes_no_thread_and_is_given_up(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority, "--threads", "1") as process:
        half = process.connect()
        assert half.sock is not None
        half.sock.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        assert process.post()[0] == 200
        half.sock.settimeout(5)
        assert half.sock.recv(1) == b""
        assert process.wait_for("connections_dropped")["request"] == 1
        assert not [line for line in process.lines if "exception" in line]
        half.close()


def test_a_body_over_the_limit_is_refused_also_when_all_of_it_is_sent(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority, "--max-body-bytes", "64Ki") as process:
        body = json.dumps(review(object={"pad": "x" * 4_000_000})).encode()
        for chunked, code in ((False, 413), (True, 411)):
            connection = process.connect()
            content = iter([body[:9], body[9:]]) if chunked else body
            connection.request("POST", "/mutate", content, {"Content-Type": "application/json"}, encode_chunked=chunked)
            response = connection.getresponse()
            status = json.loads(response.read())
            assert (response.status, status["kind"], status["code"]) == (code, "Status", code)
            connection.close()
        assert process.post()[0] == 200


def test_sigterm_ends_readiness_at_once_and_serving_after_the_delay(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority, delay="1.5s") as process:
        kept = process.connect()
        assert process.post(connection=kept)[0] == 200
        process.signal()
        process.wait_for("draining")
        status, text = process.ops("/readyz")
        assert status == 503
        assert "[-]shutdown failed" in text
        # An API server that has not learned of it yet: on the connection it has, and on a new one.
        for connection in (kept, process.connect()):
            connection.request("POST", "/mutate", json.dumps(review()), {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert (response.status, response.headers["Connection"]) == (200, "close")
        assert process.wait() == 0
        with pytest.raises((ConnectionError, ssl.SSLError)):
            process.connect()


def test_what_has_begun_is_finished_after_sigterm(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority) as process:
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(process.post(body=review("slow-1.5"))[0]))
        thread.start()
        time.sleep(0.5)
        process.signal()
        thread.join(10)
        assert answers == [200]
        assert process.wait() == 0


def test_idle_connections_do_not_keep_it_from_stopping(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority) as process:
        kept = process.connect()
        process.post(connection=kept)
        silent = socket.create_connection(("127.0.0.1", process.port))
        started = time.monotonic()
        process.signal()
        assert process.wait() == 0
        assert time.monotonic() - started < 30  # an idle connection may stay for 120 s
        kept.close()
        silent.close()


def test_sigint_stops_at_once(server: Process) -> None:
    server.signal(signal.SIGINT)
    assert server.wait() == 0


def test_a_worker_that_dies_is_replaced_and_probes_go_on(server: Process) -> None:
    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_for("app_loaded", count=2)
    assert server.post()[0] == 200


class GoClient:
    """Calls as Go's transport does: an idle connection found closed is replaced, a request sent in vain is lost."""

    def __init__(self, targets: list[Process]) -> None:
        self.targets = targets
        self.lost: list[str] = []
        self.done = 0
        self._kept: dict[int, http.client.HTTPSConnection] = {}

    def call(self) -> None:
        target = self.targets[0]
        kept = self._kept.pop(target.pid, None)
        if kept is not None and self._closed(kept):
            kept.close()
            kept = None
        try:
            connection = kept or target.connect()
        except ConnectionRefusedError:
            return  # refused before anything was sent: Go dials again
        try:
            connection.request("POST", "/mutate", json.dumps(review()), {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.lost.append(repr(error))
            connection.close()
            return
        self.done += 1
        if response.will_close:
            connection.close()
        else:
            self._kept[target.pid] = connection

    @staticmethod
    def _closed(connection: http.client.HTTPSConnection) -> bool:
        # Go's read loop sees the end of an idle connection at once.
        sock = connection.sock
        assert sock is not None
        sock.setblocking(False)
        try:
            return sock.recv(1) == b""
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(15)

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()


def test_a_rolling_restart_under_load_loses_no_request(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority, delay="1s") as old, serving(tls_dir, authority) as new:
        targets = [old]
        clients = [GoClient(targets) for _ in range(6)]
        over = threading.Event()

        def work(client: GoClient, pause: float) -> None:
            while not over.wait(pause):
                client.call()

        threads = [
            threading.Thread(target=work, args=(client, 0.002 + 0.02 * index)) for index, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        old.signal()
        # The Service's endpoints follow readiness a little later.
        time.sleep(0.6)
        targets[0] = new
        assert old.wait() == 0
        time.sleep(0.3)
        over.set()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        assert [client.lost for client in clients] == [[]] * len(clients)
        assert all(client.done > 3 for client in clients)


def test_it_writes_no_file_but_in_shared_memory(server: Process) -> None:
    server.post()
    written = set()
    for pid in (server.pid, *server.workers()):
        for descriptor in Path(f"/proc/{pid}/fdinfo").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                flags = int(re.findall(r"flags:\t([0-7]+)", descriptor.read_text())[0], 8)
                target = Path(f"/proc/{pid}/fd/{descriptor.name}").readlink()
                if target.is_absolute() and flags & os.O_ACCMODE != os.O_RDONLY:
                    written.add(str(target.parent))
    assert written <= {"/dev", "/dev/shm", "/dev/pts"}
