"""Chains as older tools made them, and chains that nobody should believe."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.facts import KeyPair

DAY: Final = timedelta(days=1)
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an old CA")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """What to leave out of a CA and of the leaf it signs; the leaf is `name`'s and ends `ends_in` from now."""

    key_usage: bool = True
    key_identifiers: bool = True
    authority_identifier: bool = True
    name: str = "localhost"
    ends_in: timedelta = DAY

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write the leaf with its key, and the CA; returns both files."""
        authority, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        usage: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        if self.key_usage:
            usage.append((_signing(), True))
        if self.key_identifiers:
            usage.append((x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), False))
        ca = _certificate(authority, authority, _NAME, 3650 * DAY, usage)
        names: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName([x509.DNSName(self.name)]), False),
        ]
        if self.authority_identifier and self.key_identifiers:
            names.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        certificate = _certificate(leaf, authority, subject, self.ends_in, names)
        chain, ca_file = directory / "leaf.pem", directory / "ca.pem"
        key = leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain.write_bytes(certificate.public_bytes(Encoding.PEM) + key)
        ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
        return chain, ca_file


def _certificate(
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    ends_in: timedelta,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now + ends_in)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _signing() -> x509.KeyUsage:
    unused = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **unused)


def client_files(authority: KeyPair, directory: Path) -> tuple[Path, Path]:
    """Write a certificate that a CA has given an API server to show as a client, and its key."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    signer = load_pem_private_key(authority.key_pem, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + DAY)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    files = directory / "client.crt", directory / "client.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files
