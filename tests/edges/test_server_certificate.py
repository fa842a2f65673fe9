"""The certificate's files: what is taken, what is refused and why, and that a mounted Secret changes in one step."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.edges.server_double import HOST, Authority, write_pair
from webhook.server.certificate import CertificateFiles


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_what_is_served_is_described(tmp_path: Path, authority: Authority) -> None:
    leaf = authority.leaf(days=10)
    write_pair(tmp_path, leaf.certificate_pem + authority.ca.certificate_pem, leaf.key_pem)
    files = CertificateFiles(tmp_path)
    served = files.current()
    assert served is not None
    assert served.dns_names == (HOST,)
    assert files.problem == ""
    assert files.expiry() == pytest.approx(authority.now.timestamp() + 10 * 86400, abs=1)
    assert files.current() is served


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        (None, b"", "cannot be read"),
        (b"", b"", "not exactly one PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"", "not an X.509 certificate"),
        ("good", b"nonsense", "tls.key is damaged or another"),
        ("good", "other", "tls.key is damaged or another"),
    ],
)
def test_a_pair_that_cannot_be_served_is_refused_with_the_reason_and_reported_once(
    tmp_path: Path, authority: Authority, certificate: bytes | str | None, key: bytes | str, problem: str
) -> None:
    leaf = authority.leaf()
    if certificate is not None:
        write_pair(
            tmp_path,
            leaf.certificate_pem if isinstance(certificate, str) else certificate,
            authority.leaf().key_pem if isinstance(key, str) else key,
        )
    with capture_logs() as lines:
        files = CertificateFiles(tmp_path)
        assert [files.current(), files.current(), files.expiry()] == [None, None, None]
    assert problem in files.problem
    assert [line["event"] for line in lines] == ["certificate_rejected"]


def test_a_chain_openssl_does_not_take_is_refused(tmp_path: Path, authority: Authority) -> None:
    leaf = authority.leaf()
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    write_pair(tmp_path, leaf.certificate_pem + broken, leaf.key_pem)
    files = CertificateFiles(tmp_path)
    assert files.current() is None
    assert files.problem.startswith("OpenSSL does not take the pair")


def test_a_mounted_secret_is_followed_through_its_link(tmp_path: Path, authority: Authority) -> None:
    leaves = [authority.leaf(), authority.leaf()]
    for number, leaf in enumerate(leaves):
        (tmp_path / f"..{number}").mkdir()
        write_pair(tmp_path / f"..{number}", leaf.certificate_pem, leaf.key_pem)
    link = tmp_path / "..data"
    link.symlink_to("..0")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    files = CertificateFiles(tmp_path)
    first = files.current()
    (tmp_path / "..new").symlink_to("..1")
    (tmp_path / "..new").replace(link)
    second = files.current()
    assert first is not None
    assert second is not None
    assert first.fingerprint != second.fingerprint
    link.unlink()
    link.symlink_to("..nowhere")
    assert files.current() is second
    assert files.problem
