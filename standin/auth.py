"""Who a request comes from: bearer tokens and client certificates, and the server's own CA."""

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass, field

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from standin.interfaces import Json, Store, User

MASTERS = "system:masters"
ADMIN = User(name="admin", groups=(MASTERS, "system:authenticated"))
ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))
ISSUER = "https://kubernetes.default.svc.cluster.local"
TOKEN_LIFE_S = 3600


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Return the user a ServiceAccount is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(name=f"system:serviceaccount:{namespace}:{name}", groups=groups, uid=uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class PemPair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class CertificateAuthority:
    """A CA made for one run; signs the server's certificate and those of clients."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in-kubernetes-ca")])
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    def _issue(self, subject: x509.Name, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]) -> PemPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return PemPair(
            certificate=builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def server(self) -> PemPair:
        """Return a certificate for loopback and the in-cluster names."""
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            *(x509.DNSName(name) for name in ("localhost", "kubernetes", "kubernetes.default.svc")),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, user: User) -> PemPair:
        """Return a certificate that authenticates a user: CN is the name, O the groups."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user.name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in user.groups]
        return self._issue(x509.Name(attributes), ExtendedKeyUsageOID.CLIENT_AUTH, [])


def user_of_certificate(subject: tuple[tuple[tuple[str, str], ...], ...]) -> User:
    """Return the user of a verified client certificate, from `SSLSocket.getpeercert()['subject']`."""
    pairs = [pair for relative in subject for pair in relative]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(name=name, groups=(*groups, *(() if "system:authenticated" in groups else ("system:authenticated",))))


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


class Tokens:
    """Issues and checks bearer tokens. ServiceAccount tokens are JWTs that expire, and end with their account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret = secrets.token_bytes(32)
        self._static: dict[str, User] = {}
        self._checked: dict[str, tuple[Json, User]] = {}

    def static(self, user: User) -> str:
        """Return a new token of a user that does not expire."""
        token = secrets.token_urlsafe(24)
        self._static[token] = user
        return token

    def revoke(self, token: str) -> None:
        """Make a static token unknown."""
        self._static.pop(token, None)

    def issue(self, namespace: str, name: str, uid: str, *, life_s: float = TOKEN_LIFE_S) -> tuple[str, float]:
        """Return a token of a ServiceAccount and when it expires (seconds since the epoch)."""
        now = time.time()
        account = {"name": name, "uid": uid}
        claims = {
            "aud": [ISSUER],
            "iss": ISSUER,
            "iat": int(now),
            "exp": now + life_s,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": account},
        }
        header = _encode(orjson.dumps({"alg": "HS256", "typ": "JWT"}))
        signed = f"{header}.{_encode(orjson.dumps(claims))}"
        return f"{signed}.{self._signature(signed)}", now + life_s

    def _signature(self, signed: str) -> str:
        return _encode(hmac.new(self._secret, signed.encode(), hashlib.sha256).digest())

    def user(self, token: str) -> User | None:
        """Return whose token it is, None if it is not (or no longer) valid."""
        known = self._static.get(token)
        if known is not None:
            return known
        checked = self._checked.get(token)
        if checked is None:
            claims = self._claims(token)
            if claims is None:
                return None
            namespace = claims["kubernetes.io"]["namespace"]
            account = claims["kubernetes.io"]["serviceaccount"]
            checked = self._checked[token] = (claims, service_account(namespace, account["name"], account["uid"]))
        claims, user = checked
        kubernetes = claims["kubernetes.io"]
        found = self._store.get("serviceaccounts", kubernetes["namespace"], kubernetes["serviceaccount"]["name"])
        alive = found is not None and found["metadata"]["uid"] == kubernetes["serviceaccount"]["uid"]
        return user if alive and claims["exp"] > time.time() else None

    def _claims(self, token: str) -> Json | None:
        signed, _, signature = token.rpartition(".")
        if not signed or not hmac.compare_digest(signature, self._signature(signed)):
            return None
        payload = signed.partition(".")[2]
        claims: Json = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims
