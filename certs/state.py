"""Certificate Secrets as bytes, decoded and encoded with checks.

Both Secrets are of type `kubernetes.io/tls`:

| key       | in the CA's Secret                            | in the leaf's Secret |
|-----------|-----------------------------------------------|----------------------|
| `tls.crt` | the current CA                                | the leaf             |
| `tls.key` | its key                                       | its key              |
| `ca.crt`  | the current CA, then those kept for an overlap | the CA that signed it |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from certs.facts import CertificateFacts, Inspected, KeyPair, Publication, RotationState, Unreadable, WebhookTrust
from certs.inspection import inspect, join_bundle, split_bundle
from certs.plan import observe_publication

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
BUNDLE: Final = "ca.crt"

SecretData = Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What there is, for `plan`, and what it takes to carry its actions out.

    Attributes:
        state: The facts.
        authority: The current CA's key pair as stored, sound or not; None if a half of it is missing.
        certificates: PEM of every CA in the state, by fingerprint: actions name them by it.
    """

    state: RotationState
    authority: KeyPair | None
    certificates: Mapping[str, bytes] = field(repr=False)

    def bundle(self, fingerprints: Iterable[str]) -> bytes:
        """Make the bundle an action names.

        Raises:
            KeyError: No such CA was observed.
        """
        return join_bundle(self.certificates[fingerprint] for fingerprint in fingerprints)


def authority_data(ca: KeyPair, bundle: bytes) -> dict[str, bytes]:
    """Make the data of the CA's Secret.

    Args:
        ca: The current CA.
        bundle: The CAs retained, with the current one or without; the current one is put first.
    """
    return {
        CERTIFICATE: ca.certificate_pem,
        KEY: ca.key_pem,
        BUNDLE: join_bundle((ca.certificate_pem, bundle)),
    }


def leaf_data(leaf: KeyPair, ca_certificate_pem: bytes) -> dict[str, bytes]:
    """Make the data of the leaf's Secret."""
    return {CERTIFICATE: leaf.certificate_pem, KEY: leaf.key_pem, BUNDLE: join_bundle((ca_certificate_pem,))}


def key_pair(data: SecretData | None) -> KeyPair | None:
    """Take the key pair out of a Secret's data; None if there is no Secret or it lacks a half."""
    if data is None or CERTIFICATE not in data or KEY not in data:
        return None
    return KeyPair(certificate_pem=data[CERTIFICATE], key_pem=data[KEY])


def observe(
    *,
    authority: SecretData | None,
    leaf: SecretData | None,
    webhooks: Mapping[str, bytes],
    dns_names: tuple[str, ...],
    earlier: Publication | None,
    now: datetime,
) -> Observation:
    """Inspect everything `plan` has to know.

    Args:
        authority: Data of the CA's Secret; None if it does not exist.
        leaf: Data of the leaf's Secret, in the same form.
        webhooks: The `caBundle` (decoded; empty if unset) of every webhook, by a name of the caller's.
        dns_names: The names the leaf has to have.
        earlier: `publication` of the state observed before; None at the start.
        now: The caller's clock, timezone-aware.
    """
    authority, leaf = authority or {}, leaf or {}
    known = join_bundle((authority.get(CERTIFICATE, b""), authority.get(BUNDLE, b""), *webhooks.values()))
    current = _inspected(authority)
    trust = tuple(WebhookTrust(name=name, authorities=_entries(pem)) for name, pem in webhooks.items())
    state = RotationState(
        dns_names=dns_names,
        authority=current,
        stored=_entries(authority.get(BUNDLE, b"")),
        leaf=_inspected(leaf, known),
        leaf_authorities=_entries(leaf.get(BUNDLE, b"")),
        webhooks=trust,
        publication=observe_publication(earlier, authority=current, webhooks=trust, now=now),
    )
    facts = ((inspect(pem), pem) for pem in split_bundle(known))
    return Observation(
        state=state,
        authority=key_pair(authority),
        certificates={seen.fingerprint: pem for seen, pem in facts if isinstance(seen, CertificateFacts)},
    )


def _inspected(data: SecretData, ca_pem: bytes = b"") -> Inspected | None:
    certificate = data.get(CERTIFICATE)
    return None if certificate is None else inspect(certificate, data.get(KEY), ca_pem)


def _entries(pem: bytes) -> tuple[Inspected, ...]:
    blocks = split_bundle(pem)
    entries = tuple(inspect(block) for block in blocks)
    # A block cut short, or anything else that is no certificate, has to show: such a bundle is not ours as we wrote it.
    return entries if b"".join(blocks) == pem else (*entries, Unreadable(reason="text beside the certificates"))
