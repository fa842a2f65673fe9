"""X.509 certificates, made with the `cryptography` library.

ECDSA on P-256 with SHA-256 throughout: what every TLS stack that talks to a Kubernetes webhook verifies, and small
enough for two CAs to fit a `caBundle` in about 1.3 kB.
"""

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.facts import CA_VALIDITY, CLOCK_SKEW, LEAF_VALIDITY, KeyPair, Unreadable
from certs.inspection import extension, inspect

# RFC 1123 labels, with the one wildcard label that RFC 6125 lets a server have.
_DNS_NAME: Final = re.compile(
    r"(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE
)
_MAX_DNS_NAME: Final = 253
_MAX_COMMON_NAME: Final = 64  # ub-common-name, RFC 5280 appendix A.1


class InvalidDnsNameError(ValueError):
    """A name that no server certificate can carry.

    Args:
        name: The name as it was given.
        problem: What is wrong with it.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!r} {problem}")
        self.name = name
        self.problem = problem


class UnusableAuthorityError(ValueError):
    """A key pair that cannot sign certificates.

    Args:
        problem: What is wrong with it; never any of its bytes.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"the CA cannot sign: {problem}")
        self.problem = problem


def service_dns_names(service: str, namespace: str) -> tuple[str, ...]:
    """Give the names by which a Service is called.

    The API server dials `SERVICE.NAMESPACE.svc` for a webhook's `clientConfig.service`; the long form is what the
    cluster's DNS calls the Service under the default cluster domain, for people and probes.
    """
    return (f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local")


def new_ca(*, common_name: str, now: datetime, validity: timedelta = CA_VALIDITY) -> KeyPair:
    """Make a self-signed CA that may sign leaf certificates only (`pathlen:0`).

    Args:
        common_name: The CA's subject, at most 64 characters.
        now: The caller's clock, timezone-aware. The certificate begins `CLOCK_SKEW` before.
        validity: Life counted from `now`.

    Raises:
        ValueError: `common_name` is empty or too long, `now` has no timezone, or `validity` is not positive.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, public, now=now, not_after=now + validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pair(certificate, key)


def issue_leaf(ca: KeyPair, *, dns_names: Sequence[str], now: datetime, validity: timedelta = LEAF_VALIDITY) -> KeyPair:
    """Make a key and have the CA certify it for a TLS server.

    Args:
        ca: The CA, with an RSA or elliptic-curve key.
        dns_names: The subject alternative names; at least one. Go, and so the API server, looks at nothing else. The
            first becomes the common name if it fits; if not, the subject is empty and the names are critical, as
            RFC 5280 section 4.1.2.6 wants it.
        now: The caller's clock, timezone-aware. The certificate begins `CLOCK_SKEW` before.
        validity: Life counted from `now`; cut to the CA's own, beyond which the certificate could not be verified.

    Raises:
        InvalidDnsNameError: A name is not a DNS name.
        UnusableAuthorityError: `ca` is damaged, is no CA, is expired, or its key is another's.
        ValueError: There is no name, `now` has no timezone, or `validity` is not positive.
    """
    names = tuple(dict.fromkeys(_checked_dns_name(name) for name in dns_names))
    if not names:
        raise ValueError("dns_names must hold at least one name")
    ca_certificate, ca_key = _signer(ca, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    fits = len(names[0]) <= _MAX_COMMON_NAME
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if fits else [])
    not_after = min(now + validity, ca_certificate.not_valid_after_utc)
    certificate = (
        _builder(subject, ca_certificate.subject, public, now=now, not_after=not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=not fits)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_authority_key_identifier(ca_certificate, ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _key_pair(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    if now.tzinfo is None:
        raise ValueError("now must be timezone-aware")
    if not_after <= now:
        raise ValueError("validity must be positive")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.replace(microsecond=0) - CLOCK_SKEW)
        .not_valid_after(not_after.replace(microsecond=0))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _checked_dns_name(name: str) -> str:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise InvalidDnsNameError(name, "is an IP address, not a DNS name")
    if len(name) > _MAX_DNS_NAME or not _DNS_NAME.fullmatch(name):
        raise InvalidDnsNameError(name, "is not a DNS name")
    return name.lower()


def _signer(ca: KeyPair, *, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    facts = inspect(ca.certificate_pem, ca.key_pem)
    if isinstance(facts, Unreadable):
        raise UnusableAuthorityError(facts.reason)
    if not facts.is_ca:
        raise UnusableAuthorityError("its certificate is not a CA's")
    if not facts.key_matches:
        raise UnusableAuthorityError("its key is damaged or another's")
    if facts.not_after <= now:
        raise UnusableAuthorityError(f"it expired at {facts.not_after.isoformat()}")
    key = serialization.load_pem_private_key(ca.key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UnusableAuthorityError("its key is neither RSA nor elliptic-curve")
    return x509.load_pem_x509_certificate(ca.certificate_pem), key


def _authority_key_identifier(
    ca: x509.Certificate, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.AuthorityKeyIdentifier:
    """Name the CA's key as the CA itself does: OpenSSL tells two CAs of one name apart by it, byte for byte."""
    own = extension(ca, x509.SubjectKeyIdentifier)
    if own is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
