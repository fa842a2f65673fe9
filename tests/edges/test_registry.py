"""The HTTPS adapter of `ports.Registry`: what it makes of answers, and where a credential never goes."""

import base64
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edges.internet import Answer, HttpsWorld, Internet, Request, Site, basic, challenge, http
from tests.objects import CANARY
from tests.services.contracts.registry import GOOD, UNTIL, WRONG, RegistryContract
from webhook.core import images
from webhook.core.keyring import Credential
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, LoginAnswer, RegistryFault, TokenHeaders
from webhook.registry import HttpsRegistry
from webhook.registry.client import Challenge, InvalidApiUrl, parse_challenges
from webhook.registry.exchange import (
    MAX_BODY,
    Exchange,
    ExchangeFailed,
    Proxy,
    UnusableProxy,
    Url,
    proxy_from_environment,
)

GHCR = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'
TOKEN = http(200, b'{"token":"t"}')


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[Internet]:
    made = Internet(tmp_path)
    yield made
    made.close()


@pytest.fixture
def world(internet: Internet) -> HttpsWorld:
    return HttpsWorld(internet)


class TestHttpsRegistry(RegistryContract):
    pass


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hunt the token in what is logged, at the most talkative level, and in what left without TLS."""
    caplog.set_level(logging.DEBUG)
    internet = request.getfixturevalue("internet") if "internet" in request.fixturenames else None
    yield
    shown = [caplog.text]
    if internet is not None:
        shown += [head.decode("latin-1") for _, head in internet.tunnels]
    for text in shown:
        assert CANARY not in text
        assert basic(GOOD) not in text


def soon() -> Deadline:
    return Deadline.after(10)


def unanswered(fault: ConnectionFault, reason: str = "", verify_code: int = 0) -> LoginAnswer:
    """What a login comes to without an answer."""
    return LoginAnswer(failure=ConnectionFailure(fault=fault, reason=reason, verify_code=verify_code))


def carriers(internet: Internet) -> list[tuple[str, str]]:
    """Where the credential went."""
    return [(each.host, each.target) for each in internet.requests if "authorization" in each.headers]


def site(answers: dict[str, Answer]) -> Site:
    """A site with an answer for each path; `path+` is the answer to a request that carries a credential."""

    def answer(request: Request) -> Answer:
        path = request.target.partition("?")[0]
        carrying = f"{path}+" if "authorization" in request.headers else path
        return answers.get(carrying) or answers.get(path) or http(404)

    return answer


# --- how it asks


def test_it_asks_as_docker_login_does(world: HttpsWorld) -> None:
    world.issue(GOOD)
    world.registry.login("ghcr.io", GOOD, soon())
    first, second = world.internet.requests
    assert (first.host, first.port, first.target) == ("ghcr.io", 443, "/v2/")
    assert "authorization" not in first.headers
    assert (second.host, second.target, second.headers["authorization"]) == (
        "ghcr.io",
        "/token?service=ghcr.io",
        basic(GOOD),
    )
    assert second.headers["host"] == "ghcr.io"


def test_the_api_is_asked_with_the_token_alone(world: HttpsWorld) -> None:
    world.issue(GOOD, scopes="read:packages")
    world.registry.token_headers(GOOD, soon())
    (request,) = world.internet.requests
    assert (request.host, request.target) == ("api.github.com", "/")
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.headers["user-agent"]


def test_without_an_api_nobody_is_asked(internet: Internet) -> None:
    registry = HttpsRegistry(api_url="", trust=internet.trust, proxy_for=lambda _: internet.proxy)
    assert registry.token_headers(GOOD, soon()) == TokenHeaders()
    assert internet.tunnels == []


@pytest.mark.parametrize("password", ["", "two words", "ghp_x\r\nX-Injected: y", "ghp_ü", "ghp_\x00"])
def test_a_password_that_is_no_token_is_not_shown_to_the_api(world: HttpsWorld, password: str) -> None:
    assert world.registry.token_headers(Credential(username="u", password=password), soon()) == TokenHeaders()
    assert world.internet.tunnels == []


@pytest.mark.parametrize("password", ["pa:ss", "pä ss\r\nX: y", "\ud800", "x" * 100_000])
def test_any_user_and_password_can_be_sent_to_a_registry(world: HttpsWorld, password: str) -> None:
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge('Basic realm="r"'), "/v2/+": http(401)})
    credential = Credential(username="ü\r\n", password=password)
    world.registry.login("ghcr.io", credential, soon())
    if len(password) < 1000:
        sent = world.internet.requests[-1].headers["authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent) == f"ü\r\n:{password}".encode("utf-8", "surrogatepass")


def test_a_registry_is_reached_without_a_proxy_on_its_own_port(tmp_path: Path) -> None:
    internet = Internet(tmp_path, direct=True)
    host = f"localhost:{internet.port}"
    internet.sites["localhost"] = site({"/v2/": challenge(f'Bearer realm="https://{host}/t?a=b"'), "/t+": TOKEN})
    registry = HttpsRegistry(trust=internet.trust, proxy_for=lambda _: None)
    assert registry.login(host, GOOD, soon()) == LoginAnswer(code=200)
    assert [each.target for each in internet.requests] == ["/v2/", "/t?a=b"]
    internet.close()
    assert registry.login(host, GOOD, soon()) == unanswered(ConnectionFault.REFUSED, "ECONNREFUSED")


@pytest.mark.parametrize("host", ["", "ghcr.io/x", "user@ghcr.io", "ghcr.io:port", "ghcr.io:99999", "[::1", "ghcr.io?"])
def test_what_is_no_host_is_asked_nothing(world: HttpsWorld, host: str) -> None:
    assert world.registry.login(host, GOOD, soon()) == LoginAnswer(fault=RegistryFault.MALFORMED)
    assert world.internet.tunnels == []


# --- what it makes of answers


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/v2/": challenge(GHCR), "/token+": TOKEN}, LoginAnswer(code=200)),
        ({"/v2/": challenge(GHCR), "/token+": http(200, b'{"access_token":"t"}')}, LoginAnswer(code=200)),
        ({"/v2/": challenge(GHCR), "/token+": http(401)}, LoginAnswer(code=401)),
        ({"/v2/": challenge(GHCR), "/token+": http(403)}, LoginAnswer(code=403)),
        ({"/v2/": challenge(GHCR), "/token+": http(404)}, LoginAnswer(code=404)),
        ({"/v2/": challenge(GHCR), "/token+": http(503)}, LoginAnswer(code=503)),
        ({"/v2/": challenge('Basic realm="r"'), "/v2/+": http(200)}, LoginAnswer(code=200)),
        ({"/v2/": challenge('Basic realm="r"'), "/v2/+": http(401)}, LoginAnswer(code=401)),
        ({"/v2/": challenge('Basic realm="r"'), "/v2/+": http(403)}, LoginAnswer(code=403)),
        ({"/v2/": challenge(f'Basic realm="r", {GHCR}'), "/token+": TOKEN}, LoginAnswer(code=200)),
        ({"/v2/": http(500)}, LoginAnswer(code=500)),
        ({"/v2/": http(429)}, LoginAnswer(code=429)),
        ({"/v2/": http(200)}, LoginAnswer(code=200, fault=RegistryFault.NO_CHALLENGE)),
        ({"/v2/": http(403)}, LoginAnswer(code=403, fault=RegistryFault.NO_CHALLENGE)),
        ({"/v2/": http(404)}, LoginAnswer(code=404, fault=RegistryFault.NO_CHALLENGE)),
        ({"/v2/": http(401)}, LoginAnswer(code=401, fault=RegistryFault.NO_CHALLENGE)),
        ({"/v2/": challenge("Negotiate")}, LoginAnswer(code=401, fault=RegistryFault.NO_CHALLENGE)),
        ({"/v2/": challenge("Bearer")}, LoginAnswer(code=401, fault=RegistryFault.REALM_REFUSED)),
    ],
)
def test_an_answer_is_handed_on_as_it_is(world: HttpsWorld, answers: dict[str, Answer], expected: LoginAnswer) -> None:
    world.internet.sites["ghcr.io"] = site(answers)
    assert world.registry.login("ghcr.io", GOOD, soon()) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>sign in</html>", b"[]", b'"t"', b"{}", b'{"token":""}', b'{"token":7}', b"\xff", b"[" * 60_000],
    ids=["empty", "a page", "a list", "a string", "no token", "empty token", "a number", "no text", "a deep list"],
)
def test_a_token_server_that_gives_no_token_says_nothing(world: HttpsWorld, body: bytes) -> None:
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), "/token+": http(200, body)})
    answer = world.registry.login("ghcr.io", GOOD, soon())
    assert answer == LoginAnswer(code=200, fault=RegistryFault.MALFORMED)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/v2/", "/token+", "/v2/+"])
def test_no_redirect_is_followed(world: HttpsWorld, code: int, path: str) -> None:
    elsewhere = http(code, b"", "Location: https://evil.example/token")
    first = challenge('Basic realm="r"') if path == "/v2/+" else challenge(GHCR)
    world.internet.sites.update({"evil.example": lambda _: TOKEN, "ghcr.io": site({"/v2/": first, path: elsewhere})})
    assert world.registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(code=code, fault=RegistryFault.REDIRECT)
    assert {each.host for each in world.internet.requests} == {"ghcr.io"}


def test_no_redirect_of_the_api_is_followed(world: HttpsWorld) -> None:
    answer = http(302, b"", "Location: https://evil.example/", "X-OAuth-Scopes: read:packages")
    world.internet.sites.update({"evil.example": lambda _: TOKEN, "api.github.com": lambda _: answer})
    assert world.registry.token_headers(GOOD, soon()) == TokenHeaders()
    assert {each.host for each in world.internet.requests} == {"api.github.com"}


HOSTILE = [
    "https://evil.example/token",
    "http://ghcr.io/token",
    "HTTP://ghcr.io/token",
    "https://ghcr.io:8443/token",
    "https://ghcr.io.evil.example/token",
    "https://evilghcr.io/token",
    "https://token.ghcr.io/token",
    "https://ghcr.io@evil.example/token",
    "https://user:pw@ghcr.io/token",
    "https://@ghcr.io/token",
    "https://ghcr.io\\\\@evil.example/token",
    "https://evil.example\\\\@ghcr.io/token",
    "https://evil.example#@ghcr.io/token",
    "https://evil.example?@ghcr.io/token",
    "https://ghcr.io:x/token",
    "https://[ghcr.io]/token",
    "https:///token",
    "https:ghcr.io/token",
    "//ghcr.io/token",
    "/token",
    "file:///etc/passwd",
    "https://auth.docker.io/token",
    "https://127.0.0.1/token",
    "",
]


@pytest.mark.parametrize("realm", HOSTILE)
def test_the_credential_goes_to_no_realm_but_the_registrys_own(world: HttpsWorld, realm: str) -> None:
    for host in ("evil.example", "gitlab.com"):
        world.internet.sites[host] = lambda _: TOKEN
    world.internet.sites["ghcr.io"] = lambda _: challenge(f'Bearer realm="{realm}",service="ghcr.io"')
    answer = world.registry.login("ghcr.io", GOOD, soon())
    assert answer == LoginAnswer(code=401, fault=RegistryFault.REALM_REFUSED)
    assert [each.target for each in world.internet.requests] == ["/v2/"]
    assert carriers(world.internet) == []


@pytest.mark.parametrize("realm", ["https://ghcr.io/token", "https://GHCR.IO:443/token", "hTTps://ghcr.io/token"])
def test_the_registrys_own_realm_may_be_spelled_in_any_way(world: HttpsWorld, realm: str) -> None:
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(f'bearer Realm="{realm}"'), "/token+": TOKEN})
    assert world.registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(code=200)


def test_a_token_server_known_by_name_is_asked_for_its_registry_only(world: HttpsWorld) -> None:
    demand = challenge('Bearer realm="https://gitlab.com/jwt/auth",service="container_registry"')
    world.internet.sites.update(
        {
            "registry.gitlab.com": lambda _: demand,
            "ghcr.io": lambda _: demand,
            "gitlab.com": lambda _: TOKEN,
        }
    )
    assert world.registry.login("registry.gitlab.com", GOOD, soon()) == LoginAnswer(code=200)
    assert carriers(world.internet) == [("gitlab.com", "/jwt/auth?service=container_registry")]
    assert world.registry.login("ghcr.io", GOOD, soon()).fault is RegistryFault.REALM_REFUSED


@pytest.mark.parametrize("path", ["/v2/", "/token+"])
def test_a_body_beyond_the_limit_is_not_read(world: HttpsWorld, path: str) -> None:
    sent = []

    def flood(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), path: flood})
    assert world.registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(fault=RegistryFault.TOO_LARGE)
    # What sockets and TLS buffer on the way is read by nobody.
    assert sum(sent) < 64 * MAX_BODY


def test_a_body_at_the_limit_is_read(world: HttpsWorld) -> None:
    body = b'{"token":"t"}'.ljust(MAX_BODY)
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), "/token+": http(200, body)})
    assert world.registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(code=200)
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), "/token+": http(200, body + b" ")})
    assert world.registry.login("ghcr.io", GOOD, soon()).fault is RegistryFault.TOO_LARGE


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", RegistryFault.MALFORMED),
        (b"HTTP/1.1 abc OK\r\n\r\n", RegistryFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", RegistryFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", RegistryFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n", RegistryFault.MALFORMED),
    ],
    ids=["another protocol", "no status", "a long header", "many headers", "bad chunks"],
)
def test_what_is_not_http_is_a_fault(world: HttpsWorld, answer: bytes, fault: RegistryFault) -> None:
    world.internet.sites.update({"ghcr.io": lambda _: answer, "api.github.com": lambda _: answer})
    assert world.registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(fault=fault)
    assert world.registry.token_headers(GOOD, soon()) == TokenHeaders()


def test_an_end_without_an_answer_is_a_failure(world: HttpsWorld) -> None:
    world.internet.sites["ghcr.io"] = lambda _: b""
    assert world.registry.login("ghcr.io", GOOD, soon()) == unanswered(ConnectionFault.CONNECTION)


def drip(connection: ssl.SSLSocket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(2000):  # 100 s
        connection.sendall(b"y")
        time.sleep(0.05)


def drip_body(connection: ssl.SSLSocket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    for _ in range(2000):  # 100 s
        connection.sendall(b"y")
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("slow", [drip, drip_body], ids=["headers", "body"])
def test_a_site_that_never_ends_is_given_up_at_the_deadline_and_leaves_no_thread(
    world: HttpsWorld, slow: Callable[[ssl.SSLSocket], None]
) -> None:
    world.internet.sites.update({"ghcr.io": lambda _: slow, "api.github.com": lambda _: slow})
    begun = time.monotonic()
    assert world.registry.login("ghcr.io", GOOD, Deadline.after(0.4)) == unanswered(ConnectionFault.TIMEOUT)
    assert world.registry.token_headers(GOOD, Deadline.after(0.4)).failure == ConnectionFailure(
        fault=ConnectionFault.TIMEOUT
    )
    assert time.monotonic() - begun < 30  # neither site ends by itself
    until = time.monotonic() + 30
    while any(thread.name == "registry-exchange" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_host_that_says_nothing_at_all_is_given_up(world: HttpsWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        ways: list[Callable[[str], Proxy | None]] = [lambda _: None, lambda _: Proxy(host="127.0.0.1", port=port)]
        for way in ways:
            registry = HttpsRegistry(trust=world.internet.trust, proxy_for=way)
            answer = registry.login(f"localhost:{port}", GOOD, Deadline.after(0.3))
            assert answer == unanswered(ConnectionFault.TIMEOUT)


# --- an image


APP = images.parse("ghcr.io/my-org/app:1.2")
MANIFEST = "/v2/my-org/app/manifests/1.2"
GRANTED = http(200, b'{"token":"t0k.en"}')


def test_a_pull_asks_the_token_server_for_that_image_alone_and_then_for_its_manifest(world: HttpsWorld) -> None:
    demand = challenge(f'{GHCR},scope="repository:user/image:pull"')
    world.internet.sites["ghcr.io"] = site({"/v2/": demand, "/token+": GRANTED, f"{MANIFEST}+": http(200)})
    assert world.registry.pull(APP, GOOD, soon()) == LoginAnswer(code=200)
    first, second, third = world.internet.requests
    assert (first.target, "authorization" in first.headers) == ("/v2/", False)
    assert second.target == "/token?service=ghcr.io&scope=repository%3Amy-org%2Fapp%3Apull"
    assert second.headers["authorization"] == basic(GOOD)
    assert (third.method, third.target) == ("HEAD", MANIFEST)
    assert third.headers["authorization"] == "Bearer t0k.en"
    assert "application/vnd.oci.image.index.v1+json" in third.headers["accept"]


def test_an_image_by_digest_is_asked_for_by_it(world: HttpsWorld) -> None:
    digest = "sha256:" + "a" * 64
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), "/token+": GRANTED})
    assert world.registry.pull(images.parse(f"ghcr.io/my-org/app:1.2@{digest}"), GOOD, soon()).code == 404
    assert world.internet.requests[-1].target == f"/v2/my-org/app/manifests/{digest}"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/token+": http(401)}, LoginAnswer(code=401)),
        ({"/token+": http(403)}, LoginAnswer(code=403)),
        ({"/token+": http(503)}, LoginAnswer(code=503)),
        ({"/token+": http(200, b"{}")}, LoginAnswer(code=200, fault=RegistryFault.MALFORMED)),
        ({"/token+": http(200, b'{"token":"a b"}')}, LoginAnswer(code=200, fault=RegistryFault.MALFORMED)),
        ({"/token+": GRANTED, f"{MANIFEST}+": http(401)}, LoginAnswer(code=401)),
        ({"/token+": GRANTED, f"{MANIFEST}+": http(403)}, LoginAnswer(code=403)),
        ({"/token+": GRANTED}, LoginAnswer(code=404)),
        (
            {"/token+": GRANTED, f"{MANIFEST}+": http(307, b"", "Location: https://evil.example/")},
            LoginAnswer(code=307, fault=RegistryFault.REDIRECT),
        ),
        ({"/v2/": challenge('Basic realm="r"'), f"{MANIFEST}+": http(200)}, LoginAnswer(code=200)),
        ({"/v2/": challenge('Basic realm="r"'), f"{MANIFEST}+": http(401)}, LoginAnswer(code=401)),
        ({"/v2/": http(200)}, LoginAnswer(code=200, fault=RegistryFault.NO_CHALLENGE)),
        (
            {"/v2/": challenge('Bearer realm="https://evil.example/t"')},
            LoginAnswer(code=401, fault=RegistryFault.REALM_REFUSED),
        ),
    ],
)
def test_a_pull_is_answered_by_token_server_or_registry(
    world: HttpsWorld, answers: dict[str, Answer], expected: LoginAnswer
) -> None:
    world.internet.sites.update(
        {"evil.example": lambda _: GRANTED, "ghcr.io": site({"/v2/": challenge(GHCR), **answers})}
    )
    assert world.registry.pull(APP, GOOD, soon()) == expected
    assert {each.host for each in world.internet.requests} == {"ghcr.io"}


def test_a_token_is_not_shown_by_what_holds_it(world: HttpsWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.internet.sites["ghcr.io"] = site({"/v2/": challenge(GHCR), "/token+": GRANTED})
    answer = world.registry.pull(APP, GOOD, soon())
    assert "t0k.en" not in repr(answer) + caplog.text


# --- TLS


def test_a_certificate_of_an_unknown_authority_is_not_talked_to(world: HttpsWorld) -> None:
    registry = HttpsRegistry(proxy_for=lambda _: world.internet.proxy)
    world.issue(GOOD, scopes="read:packages")
    refused = unanswered(ConnectionFault.TLS, "CERTIFICATE_VERIFY_FAILED", 20)
    assert registry.login("ghcr.io", GOOD, soon()) == refused
    assert registry.token_headers(GOOD, soon()) == TokenHeaders(failure=refused.failure)
    assert world.internet.requests == []


def test_a_certificate_for_another_name_is_not_talked_to(world: HttpsWorld) -> None:
    world.internet.sites["other.example"] = lambda _: challenge('Basic realm="r"')
    assert world.registry.login("other.example", GOOD, soon()) == unanswered(
        ConnectionFault.TLS, "CERTIFICATE_VERIFY_FAILED", 62
    )
    assert world.internet.requests == []


@pytest.mark.parametrize(
    "url", ["http://api.github.com/", "api.github.com", "https://", "https://u@h/", "https://h/?q", "https://h:x/"]
)
def test_the_api_must_be_https(url: str) -> None:
    with pytest.raises(InvalidApiUrl):
        HttpsRegistry(api_url=url)


# --- proxies


@pytest.mark.parametrize(
    ("environ", "host", "expected"),
    [
        ({}, "ghcr.io", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "ghcr.io", Proxy(host="proxy", port=3128)),
        ({"https_proxy": "http://proxy:3128/"}, "ghcr.io", Proxy(host="proxy", port=3128)),
        ({"HTTPS_PROXY": "proxy:3128"}, "ghcr.io", Proxy(host="proxy", port=3128)),
        ({"HTTPS_PROXY": "http://proxy"}, "ghcr.io", Proxy(host="proxy", port=80)),
        ({"HTTP_PROXY": "http://proxy:3128"}, "ghcr.io", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".io"}, "ghcr.io", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "ghcr.io", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "r.example"}, "ghcr.io", Proxy(host="proxy", port=3128)),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], host: str, expected: Proxy | None
) -> None:
    use(monkeypatch, environ)
    assert proxy_from_environment(host) == expected


@pytest.mark.parametrize(
    "text", ["https://proxy:3128", "socks5://proxy:1080", "http://", "http://proxy:x", "http://[x"]
)
def test_a_proxy_that_cannot_be_used_is_not_passed_by(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    use(monkeypatch, {"HTTPS_PROXY": text})
    with pytest.raises(UnusableProxy):
        proxy_from_environment("ghcr.io")
    assert HttpsRegistry().login("ghcr.io", GOOD, soon()) == unanswered(ConnectionFault.PROXY, "UNUSABLE_URL")


def test_the_proxys_password_goes_to_the_proxy_alone(world: HttpsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"HTTPS_PROXY": f"http://us%40er:pw@127.0.0.1:{world.internet.port}"})
    registry = HttpsRegistry(trust=world.internet.trust)
    world.issue(GOOD)
    assert registry.login("ghcr.io", GOOD, soon()) == LoginAnswer(code=200)
    expected = b"Proxy-Authorization: Basic " + base64.b64encode(b"us@er:pw")
    assert all(expected in head for _, head in world.internet.tunnels)
    assert not any("proxy-authorization" in each.headers for each in world.internet.requests)
    proxy = proxy_from_environment("ghcr.io")
    assert proxy is not None
    assert proxy.authorization not in repr(proxy)


def use(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    """Let the environment name these proxies and no others."""
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


# --- errors and challenges


def test_an_error_carries_a_fault_and_nothing_of_what_was_sent(world: HttpsWorld) -> None:
    exchange = Exchange(world.internet.trust.context, lambda _: world.internet.proxy)
    url = Url(host="ghcr.io", port=443, target="/")
    with pytest.raises(ExchangeFailed) as caught:
        exchange.get(url, soon(), authorization=f"Bearer {CANARY}\r\nX: y")
    assert caught.value.fault is RegistryFault.MALFORMED
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert CANARY not in repr(caught.value)


def test_a_reply_does_not_show_its_token(world: HttpsWorld) -> None:
    world.internet.sites["ghcr.io"] = lambda _: http(200, CANARY.encode(), f"X: {CANARY}")
    exchange = Exchange(world.internet.trust.context, lambda _: world.internet.proxy)
    reply = exchange.get(Url(host="ghcr.io", port=443, target="/"), soon())
    assert reply.body == CANARY.encode()
    assert CANARY not in repr(reply)


def test_a_wrong_token_shows_nowhere_either(world: HttpsWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
    answers = [world.registry.login("ghcr.io", WRONG, soon()), world.registry.token_headers(WRONG, soon())]
    assert WRONG.password not in repr(answers) + caplog.text


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Bearer realm="https://a/b",service="c d"', [("bearer", {"realm": "https://a/b", "service": "c d"})]),
        ("BEARER Realm=x , , service = y", [("bearer", {"realm": "x", "service": "y"})]),
        ('Bearer realm="a\\"b\\\\c"', [("bearer", {"realm": 'a"b\\c'})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ('Basic realm="r", Bearer realm="b"', [("basic", {"realm": "r"}), ("bearer", {"realm": "b"})]),
        ('Negotiate, Basic realm="r"', [("negotiate", {}), ("basic", {"realm": "r"})]),
        ('Negotiate dG9rZW4=, Basic realm="r"', [("negotiate", {})]),
        ('Bearer realm="never closed', [("bearer", {})]),
        ('realm="b"', []),
        ("", []),
        (",,,", []),
        ("Bearer " + "a=b," * 2000, []),
        ('Bearer x="' + "\\" * 4000, [("bearer", {})]),
    ],
)
def test_challenges_are_read_as_far_as_they_are_any(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == tuple(Challenge(scheme=scheme, parameters=found) for scheme, found in expected)


def test_challenges_of_several_headers_are_joined() -> None:
    assert [each.scheme for each in parse_challenges(['Basic realm="r"', "Bearer realm=x"])] == ["basic", "bearer"]
