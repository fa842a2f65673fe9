"""Pull secret credentials looked up for images as the kubelet does.

Rules, all from kubernetes v1.36: ``pkg/credentialprovider`` (keyring.go, config.go) and its ``secrets`` package. They
are held against ``tests/data/kubelet-keyring.jsonl``, recorded from that code.
"""

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from webhook.core import gojson, hostmatch
from webhook.core.images import HUB_HOSTS, HUB_INDEX

DOCKER_CONFIG_JSON: Final = "kubernetes.io/dockerconfigjson"
DOCKER_CFG: Final = "kubernetes.io/dockercfg"

# The key that Docker Hub's credentials end up under, after /v1/ is cut from its URL (`images.login_server`).
_DEFAULT_REGISTRY: Final = HUB_INDEX

_BASE64_PADDED: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_BASE64_RAW: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{0,3}")
_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")


class SecretFault(StrEnum):
    """What makes a pull secret malformed."""

    NOT_JSON = "not_json"
    WRONG_KIND = "wrong_kind"
    NOT_BASE64 = "not_base64"
    NO_COLON = "no_colon"


class MalformedSecret(ValueError):
    """A pull secret that the kubelet cannot read; one such breaks every pull of the Pod.

    Attributes:
        field: Where, with ``*`` for any registry's entry (``auths.*.auth``), "" for the document. Never a name or
            value of the document: users paste tokens into the wrong place.
        fault: What is wrong there.
        found: The JSON type found there if `fault` is ``wrong_kind``, else "".
    """

    def __init__(self, *, field: str, fault: SecretFault, found: str = "") -> None:
        """Keep the fault's place and kind."""
        super().__init__(f"malformed pull secret: {field or 'document'}: {fault}{found and f' ({found})'}")
        self.field = field
        self.fault = fault
        self.found = found


MAX_BYTES: Final = 64 * 1024
"""Longest content that is read for a decision. A pull secret has some hundred bytes; a Secret may have 1 MiB."""

MAX_ENTRIES: Final = 1000
"""Most entries that are read for a decision: each image is compared with each glob among them."""


class SecretTooLarge(ValueError):
    """A pull secret over a bound. The kubelet would read it; nothing is decided on it.

    Attributes:
        bound: The bound it met, for people.
    """

    def __init__(self, bound: str) -> None:
        """Keep the bound."""
        super().__init__(f"it has more than {bound}")
        self.bound = bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user and password for a registry; neither is shown by `repr`."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether the pull is anonymous though an entry was found: containerd uses one only with user *and* password.

        Source: `resolver auth` of containerd (`ParseAuth` in internal/cri/server/images), seen on a real node. The
        kubelet hands no `identitytoken` on, so a user name beside one is half a credential too. White space alone is
        what `echo "$TOKEN"` makes of an unset variable; no registry accepts it.
        """
        return not self.username.strip() or not self.password.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One index key of the kubelet's keyring, and what is stored under it."""

    location: hostmatch.Location
    credentials: tuple[Credential, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The credentials of one pull secret.

    Attributes:
        endpoints: In the order they are tried.
        default: Tried for Docker Hub's images if no endpoint covers them.
        uses_helper: The document names a credential helper (`credsStore`, `credHelpers`), which the kubelet ignores.
    """

    endpoints: tuple[Endpoint, ...] = field(repr=False)
    default: tuple[Credential, ...] = field(repr=False)
    uses_helper: bool = field(default=False, repr=False)
    _hosts: hostmatch.HostIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the endpoints once."""
        object.__setattr__(self, "_hosts", hostmatch.HostIndex(endpoint.location for endpoint in self.endpoints))

    @classmethod
    def from_secret(cls, secret_type: str, data: bytes, *, max_entries: int | None = None) -> Self:
        """Read a pull secret.

        Args:
            secret_type: The Secret's ``type``; the kubelet takes one of another type for an empty keyring.
            data: Value of the key ``.dockerconfigjson`` or ``.dockercfg``, not base64; empty is an empty keyring.
            max_entries: Most entries to read, one that occurs twice counted twice; `None` for any number.

        Raises:
            MalformedSecret: The kubelet would fail on it.
            SecretTooLarge: It has more entries.
        """
        if not data or secret_type not in {DOCKER_CONFIG_JSON, DOCKER_CFG}:
            return cls(endpoints=(), default=())
        try:
            document = gojson.decode(data)
        except gojson.NotJSON:
            raise MalformedSecret(field="", fault=SecretFault.NOT_JSON) from None
        if max_entries is not None and _count_entries(secret_type, document) > max_entries:
            raise SecretTooLarge(f"{max_entries} entries")
        auths: dict[str, Credential] = {}
        if secret_type == DOCKER_CFG:
            _merge_auths(auths, document, "")
            return cls._index(auths)
        _read_config(auths, document)
        return cls._index(auths, uses_helper=_names_helper(document))

    @property
    def has_credentials(self) -> bool:
        """Whether any entry has a user name and a password, for whatever registry."""
        return any(not credential.is_empty for endpoint in self.endpoints for credential in endpoint.credentials)

    @classmethod
    def _index(cls, auths: dict[str, Credential], *, uses_helper: bool = False) -> Self:
        by_key: dict[str, list[Credential]] = {}
        for registry, credential in auths.items():
            key = _index_key(registry)
            if key is not None:
                # The kubelet walks a Go map, so the order under one key is random there; here it is the document's.
                by_key.setdefault(key, []).append(credential)
        # Reverse order puts ghcr.io/team before ghcr.io. A key is parsed again when it is compared: unescaping may
        # have changed its meaning or made it invalid.
        endpoints = (
            Endpoint(location=location, credentials=tuple(by_key[key]))
            for key in sorted(by_key, reverse=True)
            if (location := hostmatch.parse(key)) is not None
        )
        default = tuple(by_key.get(_DEFAULT_REGISTRY, ()))
        return cls(endpoints=tuple(endpoints), default=default, uses_helper=uses_helper)

    def lookup(self, repository: str) -> tuple[Credential, ...]:
        """Return the credentials the kubelet would try, first one first; empty if it would pull anonymously.

        Args:
            repository: `webhook.core.images.ImageReference.repository`: normalised, no tag, no digest.
        """
        return self.lookup_each((repository,))[repository]

    def lookup_each(
        self, repositories: Iterable[str], check: Callable[[], None] = lambda: None
    ) -> dict[str, tuple[Credential, ...]]:
        """Look up many repositories; each host is compared with the entries once.

        Args:
            repositories: As `lookup` takes them.
            check: Called before each repository; may raise, to end what takes too long.
        """
        at_host: dict[str, list[Endpoint]] = {}
        found: dict[str, tuple[Credential, ...]] = {}
        for repository in repositories:
            check()
            target = hostmatch.parse(repository)
            credentials: tuple[Credential, ...] = ()
            if target is not None:
                endpoints = at_host.get(target.host)
                if endpoints is None:
                    endpoints = at_host[target.host] = [self.endpoints[number] for number in self._hosts.at(target)]
                credentials = tuple(
                    credential
                    for endpoint in endpoints
                    if target.path.startswith(endpoint.location.path)
                    for credential in endpoint.credentials
                )
            found[repository] = credentials or (self.default if _is_default_registry(repository) else ())
        return found


def _index_key(registry: str) -> str | None:
    """Turn a registry as users write it into the key it is indexed under; None if the kubelet skips it."""
    for scheme in ("https://", "http://"):
        if registry.startswith(scheme):
            location = hostmatch.parse(registry.removeprefix(scheme))
            break
    else:
        location = hostmatch.parse(registry)
    if location is None:
        return None
    path = location.path[3:] if location.path.startswith(("/v1/", "/v2/")) else location.path
    return location.host if path == "/" else location.host + path


def _is_default_registry(repository: str) -> bool:
    """Return whether the kubelet takes a repository for one of Docker Hub: also any host without dot and port."""
    host, slash, _ = repository.partition("/")
    if not host:
        return False
    return not slash or host in HUB_HOSTS or not ("." in host or ":" in host)


def _read_config(auths: dict[str, Credential], document: Any) -> None:
    """Read ``DockerConfigJSON``. A field that occurs twice is decoded into the same map twice."""
    for name, value in _members(document, ""):
        match gojson.fold(name):
            case "auths":
                _merge_auths(auths, value, "auths")
            case "httpheaders":  # not used, but its type is checked
                for _, header in _members(value, "HttpHeaders"):
                    _string(header, "HttpHeaders.*", "")


def _count_entries(secret_type: str, document: Any) -> int:
    """Count the entries of a document, whatever they are."""
    if secret_type == DOCKER_CFG:
        return len(document) if isinstance(document, gojson.Members) else 0
    if not isinstance(document, gojson.Members):
        return 0
    return sum(len(value) for name, value in document if gojson.fold(name) == "auths" and isinstance(value, list))


def _names_helper(document: Any) -> bool:
    """Return whether a config.json keeps logins elsewhere, as Docker Desktop writes it."""
    return any(name in ("credsStore", "credHelpers") and bool(value) for name, value in _members(document, ""))


def _merge_auths(auths: dict[str, Credential], value: Any, at: str) -> None:
    """Decode ``DockerConfig`` into an existing map, as Go does: null empties it, an object adds to it."""
    if value is None:
        auths.clear()
    entry = f"{at}.*" if at else "*"
    for registry, fields in _members(value, at):
        auths[registry] = _read_entry(fields, entry)


def _read_entry(value: Any, at: str) -> Credential:
    """Decode ``DockerConfigEntry``; a non-empty ``auth`` overrides username and password."""
    texts = {"username": "", "password": "", "email": "", "auth": ""}
    for name, text in _members(value, at):
        known = gojson.fold(name)
        if known in texts:
            texts[known] = _string(text, f"{at}.{known}", texts[known])
    if texts["auth"]:
        return _decode_auth(texts["auth"], f"{at}.auth")
    return Credential(username=texts["username"], password=texts["password"])


def _decode_auth(text: str, at: str) -> Credential:
    """Decode base64(username:password).

    The kubelet takes it with and without padding (the last visible character tells), Go skips line breaks anywhere
    and nothing else. Bytes that are not UTF-8 become U+FFFD: the CRI's strings cannot carry them either.
    """
    pattern = _BASE64_PADDED if text.rstrip().endswith("=") else _BASE64_RAW
    compact = text.translate(_LINE_BREAKS)
    if not pattern.fullmatch(compact) or len(compact) % 4 == 1:
        raise MalformedSecret(field=at, fault=SecretFault.NOT_BASE64)
    username, colon, password = base64.b64decode(compact + "=" * (-len(compact) % 4)).partition(b":")
    if not colon:
        raise MalformedSecret(field=at, fault=SecretFault.NO_COLON)
    return Credential(username=gojson.replace_invalid(username), password=gojson.replace_invalid(password))


def _members(value: Any, at: str) -> Iterable[tuple[str, Any]]:
    """Take an object; null is one without members."""
    if value is None:
        return ()
    if isinstance(value, gojson.Members):
        return value
    raise MalformedSecret(field=at, fault=SecretFault.WRONG_KIND, found=gojson.kind(value))


def _string(value: Any, at: str, previous: str) -> str:
    """Take a string; null leaves what was there."""
    if value is None:
        return previous
    if isinstance(value, str):
        return value
    raise MalformedSecret(field=at, fault=SecretFault.WRONG_KIND, found=gojson.kind(value))
