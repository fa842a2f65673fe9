"""A neighbour, and a tenant, against a real server process, with an ordinary review beside each attack.

Sizes are ten times those that were seen to work. Times are ratios to the same review with nobody else there, with air
for a machine that has other things to do.
"""

import http.client
import json
import re
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machinery.waiting import until
from tests.edges.pki import client_files
from tests.edges.server_double import HOST, Authority, Process, review, serving, write_pair
from tests.edges.tls_floods import Shaken, key_updates, renegotiations, shake_hands
from webhook.server.limits import CONNECTIONS, MIB

pytestmark = pytest.mark.processes

AIR = 40
"""An ordinary review takes a few milliseconds with its handshake; an attack that works makes it seconds."""


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
    with serving(tls_dir, authority, "--threads", "16") as process:
        process.wait_ready()
        yield process


def ordinary(process: Process, times: int = 9) -> float:
    """Seconds of an ordinary review on a connection of its own, the median."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        assert process.post(body=review(namespace="bystander"))[0] == 200
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


@contextmanager
def flooded(process: Process, open_one: Callable[[], Any], number: int) -> Iterator[None]:
    """Open so many connections, and replace those that the server closes, until the block ends."""
    over = threading.Event()
    with ExitStack() as stack:

        def keep() -> None:
            held: list[socket.socket] = []
            while not over.is_set():
                with suppress(OSError):
                    held.append(open_one())
                if len(held) > number // 4:
                    held.pop(0).close()
            for sock in held:
                sock.close()

        threads = [threading.Thread(target=keep) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            stack.callback(thread.join)
        stack.callback(over.set)
        time.sleep(1)
        yield


def raw(process: Process, beginning: bytes) -> Callable[[], socket.socket]:
    def open_one() -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", process.port), timeout=5)
        sock.sendall(beginning)
        time.sleep(0.02)
        return sock

    return open_one


def half_sent(process: Process, authority: Authority) -> Callable[[], socket.socket]:
    context = authority.client_context()

    def open_one() -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", process.port), timeout=5)
        wrapped = context.wrap_socket(sock, server_hostname=HOST)
        wrapped.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999\r\n\r\n{"
        )
        time.sleep(0.02)
        return wrapped

    return open_one


@pytest.mark.parametrize("attack", ["silent", "half a handshake", "half a body"])
def test_connections_that_say_half_of_something_hold_up_nobody(
    server: Process, authority: Authority, attack: str
) -> None:
    openers = {
        "silent": raw(server, b""),
        "half a handshake": raw(server, b"\x16\x03\x01\x02\x00\x01"),
        "half a body": half_sent(server, authority),
    }
    alone = ordinary(server)
    with flooded(server, openers[attack], 320):
        beside = ordinary(server)
        assert server.ops("/readyz")[0] == 200
    assert beside < max(AIR * alone, 1)
    time.sleep(0.5)
    assert ordinary(server) < max(AIR * alone, 1)
    assert server.ops("/healthz") == (200, "ok")


def test_when_it_is_full_the_longest_idle_connection_goes_and_first_those_never_answered(server: Process) -> None:
    ours = server.connect()
    assert server.post(connection=ours)[0] == 200
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2 * CONNECTIONS)]
    assert server.post(connection=ours)[0] == 200
    assert ordinary(server) < 1
    assert server.post(connection=ours)[0] == 200
    until(lambda: any(line.get("address") for line in server.events("connections_dropped")), "it says so")
    counted = re.search(r'connections_dropped_total{cause="address"} ([0-9.]+)', server.ops("/metrics")[1])
    assert counted is not None
    assert float(counted[1]) > CONNECTIONS
    for sock in held:
        sock.close()
    ours.close()


def test_a_namespace_takes_a_quarter_of_the_threads_and_the_rest_of_its_reviews_are_refused_in_time(
    server: Process,
) -> None:
    alone = ordinary(server)
    answers: list[tuple[int, float, str]] = []

    def ask(connection: http.client.HTTPSConnection) -> None:
        begun = time.monotonic()
        with closing(connection):
            status, answer = server.post(body=review("slow-4", namespace="hog"), connection=connection)
        answers.append((status, time.monotonic() - begun, answer.get("message", "")))

    threads = [threading.Thread(target=ask, args=(server.connect(),)) for _ in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    beside = ordinary(server)
    for thread in threads:
        thread.join()
    assert beside < max(AIR * alone, 1)
    refused = [(seconds, text) for status, seconds, text in answers if status == 500]
    assert len(refused) == 36
    assert all(seconds < 4 and "namespace hog" in text for seconds, text in refused)


def test_a_burst_of_one_namespace_waits_for_its_turn_and_is_answered(server: Process) -> None:
    answers: list[int] = []

    def ask(connection: http.client.HTTPSConnection) -> None:
        with closing(connection):
            answers.append(server.post(body=review("slow-0.01", namespace="burst"), connection=connection)[0])

    threads = [threading.Thread(target=ask, args=(server.connect(),)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40


def test_slow_first_requests_keep_nobody_from_shaking_hands(server: Process, authority: Authority) -> None:
    alone = ordinary(server)
    context = authority.client_context()
    body = json.dumps(review("slow-2", namespace="hog")).encode()
    head = f"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(4):
            # The last flight of a handshake and the first request in one packet, as a client in a hurry sends them.
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
            tls.write(head + body)
            plain.sendall(outgoing.read())
        assert ordinary(server, 5) < max(AIR * alone, 1)


@pytest.mark.parametrize("asked", ["to update keys", "to shake hands again"])
def test_what_tls_can_be_asked_without_a_request_keeps_nobody_waiting(
    server: Process, authority: Authority, tmp_path: Path, asked: str
) -> None:
    alone = ordinary(server)
    body = json.dumps(review(namespace="tenant")).encode()
    head = f"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def shaken_by(context: ssl.SSLContext, number: int) -> Shaken:
        for attempt in range(3):
            with suppress(OSError):
                log = tmp_path / f"{number}-{attempt}.keys"
                return shake_hands(context, ("127.0.0.1", server.port), HOST, log)
        raise AssertionError("no handshake in time")

    def flood(number: int) -> None:
        context = authority.client_context()
        if asked == "to shake hands again":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        shaken = shaken_by(context, number)
        updates = asked == "to update keys"
        records = key_updates(shaken, head + body) if updates else renegotiations(shaken, context)
        with shaken.sock, suppress(OSError):
            shaken.sock.sendall(b"".join(islice(records, 2)))
            # Session tickets come unasked. Then an alert, "no renegotiation", or the answer to the request.
            heard = b""
            while len(heard) < (700 if updates else 31) and (part := shaken.sock.recv(65536)):
                heard += part
            answered.extend([number] if part else [])
            # It reads nothing more of what it makes the server write.
            for _ in range(100):
                shaken.sock.sendall(b"".join(islice(records, 100)))

    answered: list[int] = []
    threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    beside = ordinary(server)
    for thread in threads:
        thread.join()
    assert sorted(answered) == list(range(8))
    assert beside < max(AIR * alone, 1)
    assert peak(server) < 256 * MIB


def test_a_stop_under_attack_ends_as_ever_and_loses_no_review(tls_dir: Path, authority: Authority) -> None:
    # So long that a busy machine is not late with the last of the reviews.
    with serving(tls_dir, authority, "--threads", "4", delay="5s") as process:
        process.wait_ready()
        with flooded(process, half_sent(process, authority), 320):
            process.signal()
            process.wait_for("draining")
            codes = [process.post(body=review(namespace="bystander"))[0] for _ in range(5)]
            assert codes == [200] * 5
            assert process.wait(60) == 0


def peak(process: Process) -> int:
    """The largest memory a worker has had, in bytes."""
    [worker] = process.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.mark.parametrize("shape", ["empty objects", "small objects", "nothing but text", "wide characters"])
def test_bodies_that_swell_do_not_take_more_memory_than_there_is(server: Process, shape: str) -> None:
    pieces: dict[str, Any] = {
        "empty objects": [{}] * 700_000,
        "small objects": [{"": 0}] * 250_000,
        "nothing but text": "x" * 2_700_000,
        "wide characters": "x" * 2_700_000 + "\N{SPOUTING WHALE}",
    }
    alone = ordinary(server)
    # Written once: this process has other things to do, and two seconds for each request.
    body = json.dumps(review(object={"spec": pieces[shape]}, dryRun=True)).encode()
    codes: list[int] = []

    def send(connection: http.client.HTTPSConnection) -> None:
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/mutate", body, {"Content-Type": "application/json"})
            codes.append(connection.getresponse().status)
        connection.close()

    threads = [threading.Thread(target=send, args=(server.connect(),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    beside = ordinary(server, 3)
    for thread in threads:
        thread.join()
    assert codes
    assert set(codes) <= {200, 413, 500}
    assert peak(server) < 256 * MIB
    assert beside < max(AIR * alone, 2)
    assert server.post()[0] == 200


def test_a_uid_that_is_a_trap_for_patterns_costs_nothing(server: Process) -> None:
    alone = ordinary(server)
    begun = time.monotonic()
    assert server.post(body=review(uid="eyj" * 400_000))[0] == 400
    assert time.monotonic() - begun < max(AIR * alone, 1)


def test_a_review_path_that_is_stuck_is_seen_by_readiness_and_over_when_it_is(
    tls_dir: Path, authority: Authority
) -> None:
    with serving(tls_dir, authority, "--threads", "4") as process:
        process.wait_ready()
        threads = [
            threading.Thread(target=process.post, args=("/mutate", review("slow-9", namespace=f"n{number}")))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 9
        while process.ops("/readyz")[0] == 200 and time.monotonic() < end:
            time.sleep(0.2)
        status, text = process.ops("/readyz")
        assert (status, "[-]review-path failed" in text) == (503, True)
        assert process.ops("/healthz") == (200, "ok")
        for thread in threads:
            thread.join()
        process.wait_ready(5)


def test_a_review_path_that_stays_stuck_ends_in_a_liveness_that_fails(tls_dir: Path, authority: Authority) -> None:
    with serving(tls_dir, authority, "--threads", "4", "--patience", "2") as process:
        process.wait_ready()
        assert process.ops("/healthz") == (200, "ok")
        # Every thread of reviews: the look at itself has a share of its own, and no thread to use it with.
        threads = [
            threading.Thread(target=process.post, args=("/mutate", review("slow-9", namespace=f"n{number}")))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        until(
            lambda: process.ops("/healthz") == (503, "reviews are not answered any more"), "it does not count as alive"
        )
        for thread in threads:
            thread.join()
        until(lambda: process.ops("/healthz") == (200, "ok"), "it does again")


def test_probes_are_answered_while_somebody_holds_the_port_for_them(server: Process) -> None:
    held = [socket.create_connection(("127.0.0.1", server.ops_port)) for _ in range(320)]
    for sock in held[::2]:
        with suppress(OSError):
            sock.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    assert server.ops("/healthz") == (200, "ok")
    [worker] = server.workers()
    assert int(Path(f"/proc/{worker}/status").read_text().split("Threads:")[1].split()[0]) < 80
    for sock in held:
        sock.close()


def test_with_a_client_ca_only_its_clients_are_answered(tmp_path: Path, tls_dir: Path, authority: Authority) -> None:
    clients = Authority()
    trusted = tmp_path / "clients.crt"
    trusted.write_bytes(clients.ca.certificate_pem)
    shown = client_files(clients.ca, tmp_path)
    with serving(tls_dir, authority, "--client-ca", str(trusted)) as process:
        process.wait_ready()
        with closing(process.connect()) as stranger, pytest.raises((ssl.SSLError, ConnectionError)):
            process.post(connection=stranger)
        assert process.wait_for("handshake_failed")["cause"] == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        with closing(process.connect(shown)) as client:
            assert process.post(connection=client)[0] == 200
        # Another CA takes its place: what it did not sign is refused from the next connection on.
        trusted.write_bytes(Authority().ca.certificate_pem)
        with closing(process.connect(shown)) as refused, pytest.raises((ssl.SSLError, ConnectionError)):
            process.post(connection=refused)


def test_a_client_ca_that_cannot_be_read_is_a_fault_and_lets_nobody_in(tls_dir: Path, authority: Authority) -> None:
    trusted = tls_dir / "clients.crt"
    trusted.write_text("none")
    with serving(tls_dir, authority, "--client-ca", str(trusted)) as process:
        assert "the client CA cannot be read" in process.ops("/readyz")[1]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            process.connect()
