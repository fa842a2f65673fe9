"""Connections to webhooks behave as the API server's: pooled, verified, bounded in time."""

from __future__ import annotations

import base64
import datetime as dt
import gc
import gzip
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from standin.admission import tls
from standin.admission.fake_webhook import Authority, FakeWebhook, Reply
from standin.admission.transport import HookEndpoint, Transport, TransportError

NAME = "webhook.ghcr-pull-secrets.svc"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def webhook(authority: Authority) -> Iterator[FakeWebhook]:
    behaviours = {"/": lambda _: Reply(body=b"{}")}
    with FakeWebhook(authority.issue(NAME, "127.0.0.1"), behaviours) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    client = Transport()
    yield client
    client.close()


def endpoint(webhook: FakeWebhook, authority: Authority, *, name: str = NAME, path: str = "/") -> HookEndpoint:
    return HookEndpoint(
        authority=f"{name}:443",
        address=("127.0.0.1", webhook.port),
        server_name=name,
        path=path,
        ca_bundle=base64.b64decode(authority.bundle),
    )


def post(transport: Transport, target: HookEndpoint, *, timeout_seconds: float = 5) -> int:
    return transport.post(target, b'{"request": {}}', timeout_seconds=timeout_seconds).status


def refusal(transport: Transport, target: HookEndpoint, *, timeout_seconds: float = 5) -> str:
    with pytest.raises(TransportError) as caught:
        post(transport, target, timeout_seconds=timeout_seconds)
    prefix = f'Post "https://{target.authority}{target.path}?timeout={timeout_seconds:.0f}s": '
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_a_request_names_the_service_and_its_time_limit(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    assert post(transport, endpoint(webhook, authority)) == 200
    (path, review), headers = webhook.reviews[0], webhook.headers[0]
    assert (path, review) == ("/?timeout=5s", {"request": {}})
    assert headers["Host"] == f"{NAME}:443"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "kube-apiserver-admission"
    assert webhook.server_names == [NAME]


def test_one_connection_serves_requests_in_turn(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    for _ in range(5):
        assert post(transport, endpoint(webhook, authority)) == 200
    assert webhook.connections == transport.handshakes == 1
    assert transport.idle_connections() == 1


def test_no_more_than_the_limit_stay_idle(webhook: FakeWebhook, authority: Authority) -> None:
    together = threading.Barrier(4)

    def wait(_: object) -> Reply:
        together.wait(5)
        return Reply(body=b"{}")

    webhook.behaviours["/"] = wait
    transport = Transport(max_idle=2)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: post(transport, endpoint(webhook, authority)), range(4))) == [200] * 4
    assert webhook.connections == 4
    assert transport.idle_connections() == 2
    transport.close()


def test_an_idle_connection_is_dropped_after_its_time(webhook: FakeWebhook, authority: Authority) -> None:
    transport = Transport(idle_seconds=0.05)
    post(transport, endpoint(webhook, authority))
    time.sleep(0.06)
    post(transport, endpoint(webhook, authority))
    assert webhook.connections == 2
    assert transport.idle_connections() == 1
    transport.close()


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    post(transport, endpoint(webhook, authority))
    webhook.drop_connections()
    time.sleep(0.05)
    assert post(transport, endpoint(webhook, authority)) == 200
    assert webhook.connections == 2


def test_a_connection_is_not_kept_when_the_server_says_close(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    webhook.behaviours["/"] = lambda _: Reply(body=b"{}", close=True)
    post(transport, endpoint(webhook, authority))
    assert transport.idle_connections() == 0


def test_a_request_of_which_no_byte_was_written_is_sent_again_on_a_new_connection(
    webhook: FakeWebhook, authority: Authority, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = endpoint(webhook, authority)
    post(transport, target)
    stale = next(iter(transport._idle.values()))[0]

    class Broken:
        """A socket that looks alive and is not."""

        closed = False

        def settimeout(self, _: float) -> None:
            return

        def send(self, _: object) -> int:
            raise BrokenPipeError

        def close(self) -> None:
            self.closed = True

    stale.sock.close()
    broken = Broken()
    monkeypatch.setattr(stale, "sock", broken)
    monkeypatch.setattr(type(stale), "is_quiet", lambda _: True)
    assert post(transport, target) == 200
    assert broken.closed
    assert webhook.connections == 2


def test_a_request_that_was_written_is_not_sent_twice(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    target = endpoint(webhook, authority)
    post(transport, target)
    webhook.behaviours["/"] = lambda _: Reply(drop=True)
    assert refusal(transport, target) in {
        "EOF",
        f"read tcp 127.0.0.1:{webhook.port}: read: connection reset by peer",
    }
    assert len(webhook.reviews) == 2


def test_a_changed_ca_bundle_is_not_served_by_old_connections(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    post(transport, endpoint(webhook, authority))
    other = endpoint(webhook, Authority())
    assert refusal(transport, other) == (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


def test_a_bundle_of_old_and_new_ca_trusts_both(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    both = base64.b64decode(Authority().bundle) + base64.b64decode(authority.bundle)
    target = endpoint(webhook, authority)
    assert post(transport, replace(target, ca_bundle=both)) == 200


def test_a_bundle_may_hold_the_servers_own_certificate(authority: Authority, transport: Transport) -> None:
    certificate_and_key = authority.issue(NAME)
    own = certificate_and_key.partition(b"-----BEGIN PRIVATE KEY-----")[0]
    with FakeWebhook(certificate_and_key, {"/": lambda _: Reply(body=b"{}")}) as webhook:
        assert post(transport, replace(endpoint(webhook, authority), ca_bundle=own)) == 200


def test_connections_are_closed_with_the_last_reference_to_their_pool(
    webhook: FakeWebhook, authority: Authority
) -> None:
    transport = Transport()
    post(transport, endpoint(webhook, authority))
    connection = next(iter(transport._idle.values()))[0]
    assert connection.sock.fileno() >= 0
    del transport
    gc.collect()
    assert connection.sock.fileno() == -1


@pytest.mark.parametrize(
    ("names", "wanted", "text"),
    [
        (("a.b.svc", "c.d.svc"), NAME, f"x509: certificate is valid for a.b.svc, c.d.svc, not {NAME}"),
        ((), NAME, "x509: certificate relies on legacy Common Name field, use SANs instead"),
        (
            ("127.0.0.2",),
            NAME,
            f"x509: certificate is not valid for any names, but wanted to match {NAME}",
        ),
        (("127.0.0.2",), "127.0.0.1", "x509: certificate is valid for 127.0.0.2, not 127.0.0.1"),
        (
            ("a.b.svc",),
            "127.0.0.1",
            "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
    ],
)
def test_a_certificate_for_another_name_is_refused(
    authority: Authority, transport: Transport, names: tuple[str, ...], wanted: str, text: str
) -> None:
    with FakeWebhook(authority.issue(*names)) as webhook:
        target = endpoint(webhook, authority, name=wanted)
        assert refusal(transport, target) == f"tls: failed to verify certificate: {text}"
        # The name is looked at before the chain.
        assert refusal(transport, endpoint(webhook, Authority(), name=wanted)).endswith(text)


def test_a_wildcard_covers_one_label() -> None:
    leaf = _der(Authority().issue("*.apps.svc"))
    tls.verify_name(leaf, "web.apps.svc")
    for other in ("apps.svc", "a.b.apps.svc", "web.other.svc"):
        with pytest.raises(tls.VerificationError):
            tls.verify_name(leaf, other)


def test_an_expired_certificate_is_named_as_such(authority: Authority, transport: Transport) -> None:
    with FakeWebhook(authority.issue(NAME, expired=True)) as webhook:
        text = refusal(transport, endpoint(webhook, authority))
    assert text.startswith(
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time "
    )
    assert " is after " in text


def test_a_certificate_of_the_future_is_named_as_such() -> None:
    long_ago = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    text = tls.explain_untrusted(_der(Authority().issue(NAME)), NAME, now=long_ago)
    assert "current time 2000-01-01T00:00:00Z is before " in text


def test_a_slow_body_does_not_outlive_the_deadline(
    webhook: FakeWebhook, authority: Authority, transport: Transport
) -> None:
    webhook.behaviours["/"] = lambda _: Reply(body=b"x" * 1000, drip_seconds=0.1)
    began = time.monotonic()
    assert refusal(transport, endpoint(webhook, authority), timeout_seconds=1) == "context deadline exceeded"
    assert time.monotonic() - began < 3


def test_a_server_that_accepts_and_is_silent_costs_no_more_than_the_deadline(
    authority: Authority, transport: Transport
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = HookEndpoint(
            authority=f"{NAME}:443",
            address=("127.0.0.1", silent.getsockname()[1]),
            server_name=NAME,
            path="/",
            ca_bundle=base64.b64decode(authority.bundle),
        )
        assert refusal(transport, target, timeout_seconds=1) == "context deadline exceeded"


def test_plain_http_is_recognised(authority: Authority, transport: Transport) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as plain:
        thread = threading.Thread(target=plain.handle_request)
        thread.start()
        target = HookEndpoint(
            authority=f"{NAME}:443",
            address=("127.0.0.1", plain.server_port),
            server_name=NAME,
            path="/",
            ca_bundle=base64.b64decode(authority.bundle),
        )
        assert refusal(transport, target) == "http: server gave HTTP response to HTTPS client"
        thread.join()


def test_a_compressed_answer_is_read(webhook: FakeWebhook, authority: Authority, transport: Transport) -> None:
    webhook.behaviours["/"] = lambda _: Reply(body=gzip.compress(b'{"a": 1}'), encoding="gzip")
    answer = transport.post(endpoint(webhook, authority), b"{}", timeout_seconds=5)
    assert json.loads(answer.body) == {"a": 1}


def _der(pem: bytes) -> bytes:
    body = pem.split(b"-----BEGIN CERTIFICATE-----")[1].split(b"-----END CERTIFICATE-----")[0]
    return base64.b64decode(body)
