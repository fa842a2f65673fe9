"""Certificates as real TLS stacks see them, what `inspect` makes of damage, and a rotation with real certificates."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.authority import (
    InvalidDnsNameError,
    UnusableAuthorityError,
    issue_leaf,
    new_ca,
    service_dns_names,
)
from certs.facts import CertificateFacts, KeyPair, Publication, Unreadable
from certs.inspection import inspect, join_bundle, split_bundle
from certs.plan import (
    OVERLAP,
    SETTLE,
    Action,
    CreateCA,
    DropPreviousCA,
    IssueLeaf,
    PublishBundle,
    StoreBundle,
    Wait,
    plan,
)
from certs.state import authority_data, key_pair, leaf_data, observe

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = service_dns_names("hooks", "ops")
LONG_NAME = f"{'a' * 60}.{'b' * 60}.svc"
CA = new_ca(common_name="hooks-ca", now=NOW)
TWIN = new_ca(common_name="hooks-ca", now=NOW)  # of the same name, as after a rotation
LEAF = issue_leaf(CA, dns_names=NAMES, now=NOW)


def load(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_pem)


def seen(certificate_pem: bytes, key_pem: bytes | None = None, ca_pem: bytes = b"") -> CertificateFacts:
    facts = inspect(certificate_pem, key_pem, ca_pem)
    assert isinstance(facts, CertificateFacts), facts
    return facts


def fingerprint(pair: KeyPair) -> str:
    return load(pair).fingerprint(hashes.SHA256()).hex()


def ca_with_key(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> KeyPair:
    """Make a CA as an operator might bring it: another kind of key, and no key identifier."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brought along")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(days=1), NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None)
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = (form[0], serialization.PrivateFormat.PKCS8, form[2])
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM), key_pem=key.private_bytes(*form)
    )


# --- what is in them ------------------------------------------------------------------------------------------------


def test_a_ca_may_sign_leaves_and_nothing_else() -> None:
    certificate = load(CA)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert len(identifier.value.digest) == 20
    assert certificate.subject.rfc4514_string() == "CN=hooks-ca"
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)


def test_a_leaf_may_be_a_server_under_its_names() -> None:
    certificate = load(LEAF)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["hooks.ops.svc", "hooks.ops.svc.cluster.local"]
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    of_the_ca = load(CA).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == of_the_ca
    assert len(extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest) == 20
    assert certificate.subject.rfc4514_string() == "CN=hooks.ops.svc"
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)
    assert certificate.serial_number != load(issue_leaf(CA, dns_names=NAMES, now=NOW)).serial_number


def test_a_name_too_long_for_a_common_name_leaves_the_subject_empty_and_the_names_critical() -> None:
    certificate = load(issue_leaf(CA, dns_names=[LONG_NAME], now=NOW))
    assert len(list(certificate.subject)) == 0
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_leaf_does_not_outlive_its_ca() -> None:
    short = new_ca(common_name="short", now=NOW, validity=timedelta(days=2))
    assert seen(issue_leaf(short, dns_names=NAMES, now=NOW).certificate_pem).not_after == NOW + timedelta(days=2)


def test_repeated_names_are_written_once_and_in_lower_case() -> None:
    leaf = issue_leaf(CA, dns_names=["A.svc", "a.svc", "*.b.svc"], now=NOW)
    assert seen(leaf.certificate_pem).dns_names == ("a.svc", "*.b.svc")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a-", "a..b", "a.", "ä", "a" * 64, "127.0.0.1", "::1", "a.*", "a\n"])
def test_what_is_no_dns_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidDnsNameError) as caught:
        issue_leaf(CA, dns_names=["good.svc", name], now=NOW)
    assert caught.value.name == name


def test_a_leaf_without_a_name_or_a_life_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one name"):
        issue_leaf(CA, dns_names=[], now=NOW)
    with pytest.raises(ValueError, match="validity"):
        issue_leaf(CA, dns_names=NAMES, now=NOW, validity=timedelta(0))
    with pytest.raises(ValueError, match="timezone"):
        new_ca(common_name="x", now=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="64"):
        new_ca(common_name="x" * 65, now=NOW)


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        (KeyPair(certificate_pem=b"", key_pem=b""), "not exactly one PEM certificate"),
        (KeyPair(certificate_pem=CA.certificate_pem, key_pem=TWIN.key_pem), "another's"),
        (LEAF, "not a CA's"),
        (new_ca(common_name="old", now=NOW - timedelta(days=9), validity=timedelta(days=1)), "expired"),
        (ca_with_key(ed25519.Ed25519PrivateKey.generate()), "neither RSA nor elliptic-curve"),
    ],
    ids=["damaged", "foreign key", "leaf", "expired", "ed25519"],
)
def test_a_ca_that_cannot_sign_is_refused(pair: KeyPair, problem: str) -> None:
    with pytest.raises(UnusableAuthorityError, match=problem):
        issue_leaf(pair, dns_names=NAMES, now=NOW)


def test_the_key_is_not_in_the_repr() -> None:
    assert "PRIVATE" not in repr(CA)
    assert b"BEGIN PRIVATE KEY" in CA.key_pem


# --- real TLS stacks ------------------------------------------------------------------------------------------------


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(directory: Path, leaf: KeyPair) -> Iterator[int]:
    """Serve HTTPS on a loopback port with the leaf."""
    (directory / "tls.crt").write_bytes(leaf.certificate_pem)
    (directory / "tls.key").write_bytes(leaf.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def go_calls(port: int, name: str, bundle: bytes, directory: Path) -> subprocess.CompletedProcess[str]:
    """Call the server with kubectl: crypto/tls and crypto/x509 of Go, as in the API server."""
    (directory / "ca.crt").write_bytes(bundle)
    kubectl = Path(sys.executable).with_name("kubectl")
    arguments = {
        "--kubeconfig": "/dev/null",
        "--server": f"https://127.0.0.1:{port}",
        "--tls-server-name": name,
        "--certificate-authority": str(directory / "ca.crt"),
        "--token": "any",  # or it asks for a user name
        "--request-timeout": "10s",
    }
    command = [str(kubectl), "get", "--raw", "/", *(f"{option}={value}" for option, value in arguments.items())]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_go_verifies_each_name_with_the_right_ca_in_the_bundle_and_only_then(tmp_path: Path) -> None:
    bundle = join_bundle((TWIN.certificate_pem, CA.certificate_pem))
    with serving(tmp_path, LEAF) as port:
        for name in NAMES:
            done = go_calls(port, name, bundle, tmp_path)
            assert (done.returncode, done.stdout) == (0, "ok"), done.stderr
        wrong_name = go_calls(port, "other.ops.svc", bundle, tmp_path)
        assert "certificate is valid for hooks.ops.svc" in wrong_name.stderr
        wrong_ca = go_calls(port, NAMES[0], TWIN.certificate_pem, tmp_path)
        assert "certificate signed by unknown authority" in wrong_ca.stderr


@pytest.mark.parametrize("kind", ["long name", "rsa ca"])
def test_go_verifies_an_empty_subject_and_a_ca_that_was_brought_along(tmp_path: Path, kind: str) -> None:
    ca = CA if kind == "long name" else ca_with_key(rsa.generate_private_key(65537, 2048))
    with serving(tmp_path, issue_leaf(ca, dns_names=[LONG_NAME], now=NOW)) as port:
        done = go_calls(port, LONG_NAME, ca.certificate_pem, tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok"), done.stderr


def test_openssl_verifies_strictly() -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context(cadata=join_bundle((TWIN.certificate_pem, CA.certificate_pem)).decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server, client, LEAF)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, leaf: KeyPair) -> None:
    """Shake hands in memory."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "pem").write_bytes(leaf.key_pem + leaf.certificate_pem)
        server.load_cert_chain(Path(directory, "pem"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=NAMES[0]),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[1].version() == "TLSv1.3"


# --- inspecting -----------------------------------------------------------------------------------------------------


def test_inspect_tells_whose_key_and_whose_signature_it_is() -> None:
    bundle = join_bundle((TWIN.certificate_pem, CA.certificate_pem, LEAF.certificate_pem))
    facts = seen(LEAF.certificate_pem, LEAF.key_pem, bundle)
    assert facts == CertificateFacts(
        fingerprint=fingerprint(LEAF),
        not_before=NOW - timedelta(minutes=5),
        not_after=NOW + timedelta(days=90),
        dns_names=NAMES,
        is_ca=False,
        is_server=True,
        key_matches=True,
        signed_by=(fingerprint(CA),),
    )
    assert seen(CA.certificate_pem).is_ca


@pytest.mark.parametrize("key", [None, b"", b"junk", TWIN.key_pem, CA.key_pem[:-40]], ids=range(5))
def test_a_key_that_is_absent_damaged_or_anothers_does_not_match(key: bytes | None) -> None:
    assert not seen(CA.certificate_pem, key).key_matches


def test_an_encrypted_key_does_not_match() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    assert not seen(CA.certificate_pem, encrypted).key_matches


def test_a_signature_by_something_that_is_no_ca_does_not_count() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "no ca")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    assert seen(pem, None, pem).signed_by == ()


def test_a_certificate_for_clients_only_is_no_servers() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    client = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    facts = seen(client.public_bytes(serialization.Encoding.PEM))
    assert not facts.is_server
    assert facts.dns_names == ()


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\xff\x00",
        CA.key_pem,
        CA.certificate_pem + TWIN.certificate_pem,
        CA.certificate_pem + b"-----BEGIN CERTIFICATE-----\ncut short",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
    ids=["empty", "binary", "key", "two", "cut short", "no content", "empty sequence"],
)
def test_what_is_not_one_certificate_is_unreadable(pem: bytes) -> None:
    assert isinstance(inspect(pem, b"", b""), Unreadable)


DER = load(CA).public_bytes(serialization.Encoding.DER)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(position=st.integers(0, len(DER) - 1), value=st.integers(0, 255))
def test_inspect_never_raises_whatever_byte_is_damaged(position: int, value: int) -> None:
    damaged = DER[:position] + bytes([value]) + DER[position + 1 :]
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(damaged) + b"-----END CERTIFICATE-----\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of odd but readable encodings
        facts = inspect(pem, CA.key_pem, pem)
        leaf = seen(LEAF.certificate_pem, None, pem)
    if damaged != DER:
        assert isinstance(facts, Unreadable) or facts.fingerprint != fingerprint(CA)
        assert fingerprint(CA) not in leaf.signed_by


# --- bundles --------------------------------------------------------------------------------------------------------


def test_bundles_split_and_join_in_order_without_repetitions() -> None:
    rewrapped = CA.certificate_pem.replace(b"\n", b"\r\n")
    bundle = join_bundle((TWIN.certificate_pem, b"# text\n" + CA.certificate_pem + TWIN.certificate_pem, rewrapped))
    assert bundle == TWIN.certificate_pem + CA.certificate_pem
    assert split_bundle(bundle) == (TWIN.certificate_pem, CA.certificate_pem)
    assert split_bundle(b"no certificate") == ()
    assert join_bundle(()) == b""


# --- the whole, with real certificates ------------------------------------------------------------------------------


class Cluster:
    """Two Secrets and two webhooks, and a keeper's loop as short as it can be."""

    def __init__(self) -> None:
        self.now = NOW
        self.ca: dict[str, bytes] | None = None
        self.leaf: dict[str, bytes] | None = None
        self.webhooks = {"mutate": b"", "validate": b""}
        self.publication: Publication | None = None

    def lose_ca(self) -> None:
        self.ca = None

    def round(self) -> tuple[Action, ...]:
        observed = observe(
            authority=self.ca,
            leaf=self.leaf,
            webhooks=self.webhooks,
            dns_names=NAMES,
            earlier=self.publication,
            now=self.now,
        )
        self.publication = observed.state.publication
        actions = plan(observed.state, now=self.now, overlap=OVERLAP)
        for action in actions:
            match action:
                case CreateCA():
                    self.ca = authority_data(new_ca(common_name="ca", now=self.now), observed.bundle(action.retain))
                case StoreBundle() | DropPreviousCA():
                    assert observed.authority is not None
                    self.ca = authority_data(observed.authority, observed.bundle(action.authorities))
                case PublishBundle():
                    self.webhooks.update(dict.fromkeys(action.webhooks, observed.bundle(action.authorities)))
                case IssueLeaf():
                    assert observed.authority is not None
                    leaf = issue_leaf(observed.authority, dns_names=action.dns_names, now=self.now)
                    self.leaf = leaf_data(leaf, observed.authority.certificate_pem)
                case Wait():
                    self.now = action.until
        return actions

    def settle(self) -> list[str]:
        walk = []
        while actions := self.round():
            walk += [type(action).__name__ for action in actions]
            assert len(walk) < 20, walk
            self.every_call_works()
        return walk

    def every_call_works(self) -> None:
        if self.leaf is not None:
            for bundle in self.webhooks.values():
                assert seen(self.leaf["tls.crt"], self.leaf["tls.key"], bundle).signed_by


def test_installation_and_a_full_rotation_walk_as_documented() -> None:
    cluster = Cluster()
    assert cluster.settle() == ["CreateCA", "PublishBundle", "IssueLeaf"]
    assert cluster.now == NOW
    first = cluster.ca

    cluster.now += timedelta(days=61)
    assert cluster.settle() == ["IssueLeaf"]

    cluster.lose_ca()
    start = cluster.now
    assert cluster.settle() == [
        "CreateCA",
        "PublishBundle",
        "Wait",
        "IssueLeaf",
        "Wait",
        "DropPreviousCA",
        "PublishBundle",
    ]
    assert cluster.now == start + SETTLE + OVERLAP
    assert cluster.ca is not None
    assert set(cluster.webhooks.values()) == {cluster.ca["tls.crt"]}
    assert cluster.ca["ca.crt"] == cluster.ca["tls.crt"]
    assert cluster.leaf is not None
    assert cluster.leaf["ca.crt"] == cluster.ca["tls.crt"]
    assert cluster.ca != first


@pytest.mark.parametrize("key", ["tls.crt", "tls.key", "ca.crt"])
@pytest.mark.parametrize("damage", ["gone", "emptied", "cut short", "another's"])
@pytest.mark.parametrize("secret", ["ca", "leaf"])
def test_whatever_is_damaged_in_a_secret_is_fixed_without_a_failed_call(secret: str, damage: str, key: str) -> None:
    cluster = Cluster()
    cluster.settle()
    served = cluster.leaf
    data = dict((cluster.ca if secret == "ca" else cluster.leaf) or {})
    other = authority_data(TWIN, b"")
    damaged = {"emptied": b"", "cut short": data[key][:-50], "another's": other[key]}
    if damage == "gone":
        del data[key]
    else:
        data[key] = damaged[damage]
    setattr(cluster, secret, data)
    while actions := cluster.round():
        for bundle in cluster.webhooks.values():  # servers keep the last good leaf until there is a new one
            assert served is not None
            leaf = cluster.leaf if cluster.leaf != data and key_pair(cluster.leaf) else served
            assert leaf is not None
            assert seen(leaf["tls.crt"], leaf["tls.key"], bundle).signed_by
        assert len(actions) < 5
    assert cluster.ca is not None
    assert set(cluster.webhooks.values()) == {cluster.ca["tls.crt"]}


@pytest.mark.parametrize(
    "edit",
    [
        lambda _: b"",
        lambda _: TWIN.certificate_pem,
        lambda ours: ours + TWIN.certificate_pem,
        lambda ours: ours + ours,
        lambda ours: ours + b"-----BEGIN CERTIFICATE-----\ncut",
        lambda ours: ours[:-30],
    ],
    ids=["emptied", "replaced", "added to", "doubled", "spoilt", "cut short"],
)
def test_an_edited_bundle_comes_back_exactly(edit: object) -> None:
    assert callable(edit)
    cluster = Cluster()
    cluster.settle()
    ours = cluster.webhooks["validate"]
    cluster.webhooks["validate"] = edit(ours)
    assert [type(action) for action in cluster.round()] == [PublishBundle]
    assert cluster.webhooks["validate"] == ours
    assert cluster.round() == ()


def test_an_observation_does_not_show_keys() -> None:
    cluster = Cluster()
    cluster.settle()
    observed = observe(
        authority=cluster.ca, leaf=cluster.leaf, webhooks={}, dns_names=NAMES, earlier=None, now=cluster.now
    )
    assert "PRIVATE" not in repr(observed)
