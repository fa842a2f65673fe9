"""Facts about certificates and the trust in them, as plain data."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

CA_VALIDITY: Final = timedelta(days=3650)
LEAF_VALIDITY: Final = timedelta(days=90)

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far certificates are backdated.

The API server and the node that signs keep their own clocks. A certificate that begins "now" is not yet valid for a
verifier whose clock is behind. Kubernetes' own signer (`kube-controller-manager`, `--cluster-signing-*`) uses the same
five minutes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and its private key.

    Attributes:
        certificate_pem: One X.509 certificate, PEM.
        key_pem: Its private key, unencrypted PKCS #8, PEM. Never part of `repr`.
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What a readable certificate says, and how it fits the key and the CAs it was inspected with.

    Attributes:
        fingerprint: SHA-256 of the DER encoding, lower-case hex.
        not_before, not_after: Validity bounds, timezone-aware.
        dns_names: The dNSName entries of the subject alternative names, in order.
        is_ca: It may sign certificates: `basicConstraints` says CA and `keyUsage`, if any, `keyCertSign`.
        is_server: It may authenticate a TLS server: `extendedKeyUsage` is absent or allows `serverAuth`.
        key_matches: The private key that was given is this certificate's. False when none was given.
        signed_by: Fingerprints of those among the given CAs whose key made this certificate's signature.
    """

    fingerprint: str
    not_before: datetime
    not_after: datetime
    dns_names: tuple[str, ...] = ()
    is_ca: bool = False
    is_server: bool = True
    key_matches: bool = False
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Bytes that are there but are not one X.509 certificate.

    Attributes:
        reason: What is wrong with them, in words; never any of the bytes.
    """

    reason: str


Inspected = CertificateFacts | Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTrust:
    """One webhook of a webhook configuration and the CAs in its `caBundle`, in order."""

    name: str
    authorities: tuple[Inspected, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Since when every webhook has been seen to trust a CA."""

    authority: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationState:
    """Everything that `certs.plan` looks at.

    Attributes:
        dns_names: The names the leaf has to have.
        authority: The current CA, inspected with its key; None if there is none.
        stored: The bundle in the CA's Secret, in order: the current CA, then those retained for the overlap.
        leaf: The leaf, inspected with its key and against every CA that occurs in this state; None if there is none.
        leaf_authorities: The certificates stored beside the leaf as its CA.
        webhooks: Every webhook of every configuration there is.
        publication: What `plan.observe_publication` made of this and the earlier states.
    """

    dns_names: tuple[str, ...]
    authority: Inspected | None = None
    stored: tuple[Inspected, ...] = ()
    leaf: Inspected | None = None
    leaf_authorities: tuple[Inspected, ...] = ()
    webhooks: tuple[WebhookTrust, ...] = ()
    publication: Publication | None = None


def fingerprint_of(certificate: Inspected | None) -> str:
    """Name a certificate; "" for what is none, which equals no fingerprint that is wanted anywhere."""
    return certificate.fingerprint if isinstance(certificate, CertificateFacts) else ""


def fingerprints_of(certificates: tuple[Inspected, ...]) -> tuple[str, ...]:
    """Name each of several certificates."""
    return tuple(fingerprint_of(certificate) for certificate in certificates)
