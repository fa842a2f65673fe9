"""Every way to get no answer says which it is, to whoever asked: the API server's client or the registry's."""

import errno
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
import urllib3
from kubernetes.client.configuration import Configuration
from structlog.testing import capture_logs

from tests.edges.cluster_script import eventually
from tests.edges.internet import Internet
from tests.edges.pki import Pki
from tests.objects import CANARY
from tests.services.contracts.registry import GOOD
from webhook.cluster.caches import Caches
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.cluster.responses import describe_error
from webhook.failures import ConnectionFailure, ConnectionFault, failure_of
from webhook.ports import ClusterError, Deadline
from webhook.registry import HttpsRegistry
from webhook.registry.exchange import Proxy
from webhook.trust import Trust

GET = Target(verb=Verb.GET, resource="namespaces", name="x")
NOWHERE = "nowhere.invalid"  # RFC 6761: no such name ever resolves


def cluster(url: str, trust: Trust | None = None, proxy: str = "") -> tuple[ConnectionFailure | None, str]:
    """Ask an API server there; returns why it did not answer, as data and as it is logged."""

    def load(configuration: Configuration) -> None:
        configuration.host = url
        configuration.proxy = proxy or None

    with closing(Client(load, trust=trust)) as client, pytest.raises(ClusterError) as caught:
        client.request(GET, Deadline.after(1))
    return caught.value.failure, describe_error(caught.value)


def registry(host: str, trust: Trust | None = None, proxy: Proxy | None = None) -> ConnectionFailure | None:
    return HttpsRegistry(trust=trust, proxy_for=lambda _: proxy).login(host, GOOD, Deadline.after(1)).failure


def both(host: str, expected: ConnectionFailure, trust: Trust | None = None, proxy: Proxy | None = None) -> None:
    """Both clients fail in the same way, and the log says so."""
    assert registry(host, trust, proxy) == expected
    failure, text = cluster(f"https://{host}", trust, f"http://{proxy.host}:{proxy.port}" if proxy else "")
    assert failure == expected
    assert text.endswith(f" ({expected})")


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen, and do that with every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def refusing(line: bytes) -> Callable[[socket.socket], None]:
    """A proxy that reads a request and refuses."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 " + line + b"\r\n\r\n")

    return answer


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_refused_connection() -> None:
    both(f"localhost:{unused_port()}", ConnectionFailure(fault=ConnectionFault.REFUSED, reason="ECONNREFUSED"))


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a resolver says of it depends on the machine; this is what it says where there is one.
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known {CANARY}")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    both(NOWHERE, ConnectionFailure(fault=ConnectionFault.DNS, reason="EAI_NONAME"))


def test_a_name_that_is_really_asked_for() -> None:
    failure = registry(NOWHERE)
    assert failure is not None
    assert failure.fault is ConnectionFault.DNS
    assert failure.reason.startswith("EAI_")


@pytest.mark.slow
def test_a_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        both(f"localhost:{silent.getsockname()[1]}", ConnectionFailure(fault=ConnectionFault.TIMEOUT))


def test_what_is_no_tls() -> None:
    with listener(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        failure = registry(f"localhost:{port}")
        assert failure is not None
        assert (failure.fault, failure.verify_code) == (ConnectionFault.TLS, 0)
        assert failure.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


@pytest.mark.parametrize(
    ("pki", "code"),
    [(Pki(name="other.example"), 62), (Pki(ends_in=-timedelta(days=1)), 10)],
    ids=["another name", "expired"],
)
def test_a_certificate_that_is_not_believed(tmp_path: Path, pki: Pki, code: int) -> None:
    internet = Internet(tmp_path, direct=True, pki=pki)
    expected = ConnectionFailure(fault=ConnectionFault.TLS, reason="CERTIFICATE_VERIFY_FAILED", verify_code=code)
    both(f"localhost:{internet.port}", expected, internet.trust)
    internet.close()


def test_an_authority_that_is_not_known(tmp_path: Path) -> None:
    internet = Internet(tmp_path, direct=True)
    expected = ConnectionFailure(fault=ConnectionFault.TLS, reason="CERTIFICATE_VERIFY_FAILED", verify_code=20)
    both(f"localhost:{internet.port}", expected)
    assert str(expected) == "tls: CERTIFICATE_VERIFY_FAILED (20, unable to get local issuer certificate)"
    internet.close()


@pytest.mark.parametrize("line", [b"403 Forbidden", b"407 Proxy Authentication Required", b"502 " + CANARY.encode()])
def test_a_proxy_that_opens_no_tunnel(line: bytes) -> None:
    with listener(refusing(line)) as port:
        expected = ConnectionFailure(fault=ConnectionFault.PROXY, reason=f"HTTP_{line[:3].decode()}")
        both("registry.example", expected, proxy=Proxy(host="localhost", port=port))


def test_a_proxy_that_cannot_be_reached() -> None:
    expected = ConnectionFailure(fault=ConnectionFault.PROXY, reason="ECONNREFUSED")
    both("registry.example", expected, proxy=Proxy(host="localhost", port=unused_port()))


def test_a_certificate_of_an_https_proxy_that_is_not_believed(tmp_path: Path) -> None:
    internet = Internet(tmp_path, direct=True)
    failure, _ = cluster("https://api.example", proxy=f"https://localhost:{internet.port}")
    assert failure == ConnectionFailure(fault=ConnectionFault.PROXY, reason="CERTIFICATE_VERIFY_FAILED", verify_code=20)
    internet.close()


def test_a_connection_that_breaks() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with listener(reset) as port:
        both(f"localhost:{port}", ConnectionFailure(fault=ConnectionFault.CONNECTION, reason="ECONNRESET"))


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_no_way_there(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    expected = ConnectionFailure(fault=ConnectionFault.CONNECTION, reason=errno.errorcode[number])
    both("localhost:1", expected)


@pytest.mark.parametrize(
    "error",
    [
        http.client.BadStatusLine(CANARY),
        urllib3.exceptions.ProtocolError(CANARY),
        ValueError(CANARY),
        urllib3.exceptions.LocationParseError(CANARY),
    ],
)
def test_what_is_no_failure_of_a_connection_is_none(error: Exception) -> None:
    assert failure_of(error) is None


def test_nothing_of_what_was_received_is_in_a_failure() -> None:
    strange = ssl.SSLCertVerificationError(1, CANARY)
    strange.reason, strange.verify_code, strange.verify_message = f"{CANARY}: x", 4711, CANARY
    errors: list[Exception] = [
        strange,
        ssl.SSLError(CANARY),
        OSError(CANARY),
        OSError(f"Tunnel connection failed: {CANARY}"),
        socket.gaierror(CANARY),
        urllib3.exceptions.ProtocolError(CANARY, ConnectionResetError(CANARY)),
        urllib3.exceptions.ProxyError(CANARY, OSError(CANARY)),
    ]
    for error in errors:
        failure = failure_of(error)
        assert failure is not None
        assert CANARY not in repr(failure) + str(failure)
    assert str(failure_of(strange)) == "tls (4711)"


def test_errors_that_hold_each_other_come_to_an_end() -> None:
    first, second = OSError("x"), OSError("y")
    first.__cause__, second.__cause__ = second, first
    assert failure_of(first) == ConnectionFailure(fault=ConnectionFault.CONNECTION)


def test_a_watch_that_cannot_begin_says_why_in_its_health_and_in_the_log(tmp_path: Path) -> None:
    internet = Internet(tmp_path, direct=True)

    def load(configuration: Configuration) -> None:
        configuration.host = f"https://localhost:{internet.port}"

    caches = Caches(Client(load))
    with capture_logs() as logs:
        caches.start()
        eventually(lambda: all(watch.error for watch in caches.health()))
        caches.stop()
    said = "tls: CERTIFICATE_VERIFY_FAILED (20, unable to get local issuer certificate)"
    for watch in caches.health():
        assert said in watch.error
    assert all(said in log["error"] for log in logs if log["event"] == "watch_restarted")
    internet.close()
