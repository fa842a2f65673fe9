"""Whom we believe over TLS, at every place where a peer is verified, as Python 3.13 and later would have it or not."""

import ast
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from structlog.testing import capture_logs

import webhook
from tests.edges.internet import Internet, challenge, http
from tests.edges.pki import Pki
from tests.services.contracts.registry import GOOD
from webhook.cluster.access import from_kubeconfig
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, LoginAnswer, Unavailable
from webhook.registry import HttpsRegistry
from webhook.trust import MAX_BUNDLE, BundleError, Trust, peer_context, read_bundle

OLD = [
    pytest.param(Pki(key_usage=False), id="a CA without keyUsage"),
    pytest.param(Pki(key_identifiers=False), id="a CA without key identifiers"),
    pytest.param(Pki(authority_identifier=False), id="a leaf without AKI"),
]
BAD = [
    pytest.param(Pki(name="elsewhere.example"), id="another name"),
    pytest.param(Pki(ends_in=-timedelta(days=1)), id="expired"),
]
GET = Target(verb=Verb.GET, resource="namespaces", name="x")
UNTRUSTED = ConnectionFailure(fault=ConnectionFault.TLS, reason="CERTIFICATE_VERIFY_FAILED", verify_code=20)
STRICT = ssl.VerifyFlags.VERIFY_X509_STRICT


@pytest.fixture(autouse=True)
def defaults_of_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the standard library's and urllib3's own contexts strict on any Python, so that to use one is seen here."""
    for module, name in ((ssl, "create_default_context"), (urllib3.connection, "create_urllib3_context")):
        monkeypatch.setattr(module, name, strictly(getattr(module, name)))


def strictly(make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    def made(*args: Any, **named: Any) -> ssl.SSLContext:
        context = make(*args, **named)
        context.verify_flags |= STRICT
        return context

    return made


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Pki], Internet]]:
    served: list[Internet] = []

    def begin(pki: Pki) -> Internet:
        internet = Internet(tmp_path, direct=True, pki=pki)
        internet.sites["localhost"] = lambda _: http(200, b'{"metadata":{}}')
        served.append(internet)
        return internet

    yield begin
    for internet in served:
        internet.close()


def handshake(internet: Internet, context: ssl.SSLContext) -> None:
    response = urllib3.PoolManager(ssl_context=context, retries=False).request(
        "GET", f"https://localhost:{internet.port}/"
    )
    assert response.status == 200


def client(
    internet: Internet, tmp_path: Path, cluster: Mapping[str, object] | None = None, *, trust: Trust | None = None
) -> Client:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(
        orjson.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [
                    {"name": "c", "cluster": {"server": f"https://localhost:{internet.port}", **(cluster or {})}}
                ],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    return Client(from_kubeconfig(str(kubeconfig)), source="kubeconfig", trust=trust)


def ask(asker: Client) -> None:
    with closing(asker):
        assert asker.read(GET, Deadline.after(10), orjson.loads) == {"metadata": {}}


# --- chains of older tools


@pytest.mark.parametrize("pki", OLD)
def test_a_strict_context_refuses_what_older_tools_made(serve: Callable[[Pki], Internet], pki: Pki) -> None:
    """The control: were a context of ours strict, the tests below would fail."""
    internet = serve(pki)
    context = internet.trust.context()
    context.verify_flags |= STRICT
    with pytest.raises(urllib3.exceptions.SSLError):
        handshake(internet, context)
    with pytest.raises(urllib3.exceptions.SSLError):
        handshake(internet, ssl.create_default_context(cafile=internet.ca_file))


@pytest.mark.parametrize("pki", OLD)
def test_the_api_servers_chain_may_be_of_older_tools(
    serve: Callable[[Pki], Internet], tmp_path: Path, pki: Pki
) -> None:
    internet = serve(pki)
    ask(client(internet, tmp_path, {"certificate-authority": str(internet.ca_file)}))
    data = b64encode(internet.ca_file.read_bytes()).decode()
    ask(client(internet, tmp_path, {"certificate-authority-data": data}))
    ask(client(internet, tmp_path, trust=internet.trust))


@pytest.mark.parametrize("pki", OLD)
def test_a_registrys_chain_may_be_of_older_tools(serve: Callable[[Pki], Internet], pki: Pki) -> None:
    internet = serve(pki)
    internet.sites["localhost"] = lambda request: (
        http(200) if "authorization" in request.headers else challenge('Basic realm="r"')
    )
    registry = HttpsRegistry(trust=internet.trust, proxy_for=lambda _: None)
    assert registry.login(f"localhost:{internet.port}", GOOD, Deadline.after(10)) == LoginAnswer(code=200)


@pytest.mark.parametrize("pki", OLD)
def test_the_chain_of_githubs_api_may_be_of_older_tools(serve: Callable[[Pki], Internet], pki: Pki) -> None:
    internet = serve(pki)
    internet.sites["localhost"] = lambda _: http(200, b"{}", "X-OAuth-Scopes: repo")
    api = f"https://localhost:{internet.port}/"
    registry = HttpsRegistry(api_url=api, trust=internet.trust, proxy_for=lambda _: None)
    assert registry.token_headers(GOOD, Deadline.after(10)).scopes == "repo"


@pytest.mark.parametrize("pki", OLD)
def test_the_chain_of_an_https_proxy_may_be_of_older_tools(
    serve: Callable[[Pki], Internet], tmp_path: Path, pki: Pki
) -> None:
    """It ends at the proxy's refusal to open a tunnel, which is after its certificate was verified."""
    internet = serve(pki)
    internet.sites["localhost"] = lambda _: http(403)
    cluster = {"proxy-url": f"https://localhost:{internet.port}", "certificate-authority": str(internet.ca_file)}
    with closing(client(internet, tmp_path, cluster, trust=internet.trust)) as asker, pytest.raises(Unavailable):
        asker.request(GET, Deadline.after(10))
    assert [request.target for request in internet.requests] == [f"localhost:{internet.port}"]


# --- chains that nobody should believe


@pytest.mark.parametrize("pki", BAD)
def test_a_wrong_name_and_a_past_date_are_refused_everywhere(
    serve: Callable[[Pki], Internet], tmp_path: Path, pki: Pki
) -> None:
    internet = serve(pki)
    refused_everywhere(internet, tmp_path, internet.ca_file, internet.trust)


def test_another_ca_of_the_same_name_is_refused_everywhere(serve: Callable[[Pki], Internet], tmp_path: Path) -> None:
    internet = serve(Pki(key_identifiers=False))
    other = tmp_path / "other"
    other.mkdir()
    _, ca_file = Pki(key_identifiers=False).write(other)
    refused_everywhere(internet, tmp_path, ca_file, Trust(ca_file))


def test_the_system_alone_does_not_trust_a_private_ca(serve: Callable[[Pki], Internet], tmp_path: Path) -> None:
    internet = serve(Pki())
    with closing(client(internet, tmp_path)) as asker, pytest.raises(Unavailable):
        asker.request(GET, Deadline.after(10))
    registry = HttpsRegistry(proxy_for=lambda _: None)
    answer = registry.login(f"localhost:{internet.port}", GOOD, Deadline.after(10))
    assert answer.failure == UNTRUSTED
    assert internet.requests == []


def test_a_bundle_is_not_trusted_for_an_api_server_whose_ca_is_named(
    serve: Callable[[Pki], Internet], tmp_path: Path
) -> None:
    internet = serve(Pki())
    other = tmp_path / "other"
    other.mkdir()
    _, ca_file = Pki().write(other)
    cluster = {"certificate-authority": str(ca_file)}
    with closing(client(internet, tmp_path, cluster, trust=internet.trust)) as asker, pytest.raises(Unavailable):
        asker.request(GET, Deadline.after(10))
    assert internet.requests == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_kubeconfig_may_say_not_to_verify(serve: Callable[[Pki], Internet], tmp_path: Path) -> None:
    ask(client(serve(Pki(name="elsewhere.example")), tmp_path, {"insecure-skip-tls-verify": True}))


def test_a_replaced_ca_file_is_read_for_the_next_connection(serve: Callable[[Pki], Internet], tmp_path: Path) -> None:
    internet = serve(Pki())
    ca_file = tmp_path / "mounted.crt"
    other = tmp_path / "other"
    other.mkdir()
    Pki().write(other)[1].rename(ca_file)
    asker = client(internet, tmp_path, {"certificate-authority": str(ca_file)})
    with pytest.raises(Unavailable):
        asker.request(GET, Deadline.after(10))
    ca_file.write_bytes(internet.ca_file.read_bytes())
    ask(asker)


def refused_everywhere(internet: Internet, tmp_path: Path, ca_file: Path, trust: Trust) -> None:
    host = f"localhost:{internet.port}"
    named = {"certificate-authority": str(ca_file)}
    askers = [
        client(internet, tmp_path, named),
        client(internet, tmp_path, trust=trust),
        client(internet, tmp_path, {"proxy-url": f"https://{host}", **named}, trust=trust),
    ]
    for asker in askers:
        with closing(asker), pytest.raises(Unavailable):
            asker.request(GET, Deadline.after(10))
    registry = HttpsRegistry(api_url=f"https://{host}/", trust=trust, proxy_for=lambda _: None)
    failure = registry.login(host, GOOD, Deadline.after(10)).failure
    assert failure is not None
    assert (failure.fault, failure.reason) == (UNTRUSTED.fault, UNTRUSTED.reason)
    assert registry.token_headers(GOOD, Deadline.after(10)).scopes is None
    assert internet.requests == []


@pytest.mark.slow
def test_no_other_module_makes_a_context_that_verifies_a_server() -> None:
    made = [
        f"{path.name}:{node.lineno}"
        for path in Path(webhook.__file__).parent.rglob("*.py")
        if path.name != "trust.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"create_default_context", "create_urllib3_context", "PROTOCOL_TLS_CLIENT", "PROTOCOL_TLS"}
    ]
    assert made == []


def test_contexts_verify_chain_and_name_alike_on_every_python() -> None:
    for context in (peer_context(), Trust().context()):
        assert not context.verify_flags & STRICT
        assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert not context.hostname_checks_common_name
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


# --- bundles


@pytest.fixture
def ca_pem(tmp_path: Path) -> bytes:
    return Pki().write(tmp_path)[1].read_bytes()


def test_a_bundle_is_added_to_the_systems_cas(tmp_path: Path) -> None:
    _, ca_file = Pki().write(tmp_path)
    system = Trust().context().get_ca_certs(binary_form=True)
    assert len(Trust(ca_file).context().get_ca_certs(binary_form=True)) == len(system) + 1


def test_a_bundle_may_hold_comments_in_any_language(tmp_path: Path, ca_pem: bytes) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes("# Főtanúsítvány\n".encode() + ca_pem + b"\xff\n" + ca_pem)
    assert Trust(bundle).context().get_ca_certs()


NO_CERTIFICATE = "there is no PEM certificate in it"
MALFORMED = "a certificate in it is malformed"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", NO_CERTIFICATE),
        (b"\x30\x82\x01\x00", NO_CERTIFICATE),
        (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", NO_CERTIFICATE),
        (b"-----BEGIN CERTIFICATE-----\n", MALFORMED),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", MALFORMED),
        (b"#" * (MAX_BUNDLE + 1), "it is larger than 1 MiB"),
    ],
    ids=["empty", "DER", "another PEM", "cut off", "no certificate", "too large"],
)
def test_a_bundle_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, fault: str) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        Trust(bundle)
    assert caught.value.fault == fault


def test_one_malformed_certificate_among_good_ones_is_reported(tmp_path: Path, ca_pem: bytes) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ca_pem + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert caught.value.fault == MALFORMED


def test_a_bundle_at_the_limit_is_read(tmp_path: Path, ca_pem: bytes) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ca_pem.ljust(MAX_BUNDLE, b"\n"))
    assert read_bundle(bundle)


def test_a_bundle_that_is_not_there_or_no_file_is_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BundleError) as caught:
            read_bundle(path)
        assert caught.value.fault == "it cannot be read"


def test_a_bundle_that_changes_is_followed_and_one_that_breaks_leaves_the_last_good_one(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for directory in (first, second):
        directory.mkdir()
    bundle = Pki().write(first)[1]
    trust = Trust(bundle)
    new = Pki().write(second)[1].read_bytes()
    bundle.write_bytes(new)
    followed = trust.context().get_ca_certs(binary_form=True)
    assert ssl.PEM_cert_to_DER_cert(new.decode()) in followed
    bundle.write_bytes(b"")
    with capture_logs() as logs:
        assert trust.context().get_ca_certs(binary_form=True) == followed
    assert logs == [{"event": "ca_bundle_unusable", "log_level": "warning", "fault": NO_CERTIFICATE}]
