"""X.509 certificates and bundles of them, read with the `cryptography` library.

Bytes of any content are looked at: Secrets and webhook configurations are written by others too.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.facts import CertificateFacts, Inspected, Unreadable

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# What `cryptography` raises, at load or only when a field is looked at, for bytes that are damaged or of a kind it does
# not know.
_DAMAGED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def split_bundle(pem: bytes) -> tuple[bytes, ...]:
    """Give the certificates of a bundle in order, each a PEM block that ends in a newline. Other text is left out."""
    return tuple(block + b"\n" for block in _CERTIFICATE.findall(pem))


def join_bundle(pems: Iterable[bytes]) -> bytes:
    """Make one bundle of certificates and bundles: order kept, repetitions (also differently wrapped ones) left out."""
    distinct: dict[bytes, bytes] = {}
    for pem in pems:
        for block in split_bundle(pem):
            distinct.setdefault(b"".join(block.split()), block)
    return b"".join(distinct.values())


def inspect(certificate_pem: bytes, key_pem: bytes | None = None, ca_pem: bytes = b"") -> Inspected:
    """Say what a certificate is and how it fits a key and a bundle of CAs. Never raises, whatever the bytes.

    Args:
        certificate_pem: One certificate. Text around it is ignored, as OpenSSL and Go do; a second PEM block is not,
            because a server would send or choke on it.
        key_pem: The private key that should be its own.
        ca_pem: Certificates among which the signer is looked for; damaged ones have signed nothing.
    """
    blocks = split_bundle(certificate_pem)
    if len(blocks) != 1 or certificate_pem.count(b"-----BEGIN ") != 1:
        return Unreadable(reason="not exactly one PEM certificate")
    try:
        certificate = x509.load_pem_x509_certificate(blocks[0])
        return CertificateFacts(
            fingerprint=_fingerprint(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            dns_names=_dns_names(certificate),
            is_ca=_is_ca(certificate),
            is_server=_is_server(certificate),
            key_matches=key_pem is not None and _key_matches(certificate, key_pem),
            signed_by=tuple(_signers(certificate, split_bundle(ca_pem))),
        )
    except _DAMAGED as error:
        return Unreadable(reason=f"not an X.509 certificate ({type(error).__name__})")


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Read one extension of a certificate, `None` if it has none of that kind."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    names = extension(certificate, x509.SubjectAlternativeName)
    return () if names is None else tuple(names.get_values_for_type(x509.DNSName))


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def _is_server(certificate: x509.Certificate) -> bool:
    usages = extension(certificate, x509.ExtendedKeyUsage)
    allowing = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return usages is None or not allowing.isdisjoint(usages)


def _key_matches(certificate: x509.Certificate, key_pem: bytes) -> bool:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except _DAMAGED:
        return False
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def _signers(certificate: x509.Certificate, candidates: Iterable[bytes]) -> Iterable[str]:
    for pem in candidates:
        try:
            ca = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(ca)
            if _is_ca(ca):
                yield _fingerprint(ca)
        except (*_DAMAGED, InvalidSignature):
            continue
