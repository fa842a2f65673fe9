"""Registry logins and GitHub token queries, by the registry's challenge."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from webhook.core.images import HUB_REGISTRY, ImageReference
from webhook.core.keyring import Credential
from webhook.ports import Deadline, LoginAnswer, RegistryFault, TokenHeaders
from webhook.registry.exchange import Exchange, ExchangeFailed, Proxy, Reply, Url, proxy_from_environment
from webhook.trust import Trust

# RFC 9110, 5.6.2 and 11.2: a token, and a parameter whose value is a token or a quoted string.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PARAMETER: Final = re.compile(
    rf'(?P<name>{_TOKEN})[ \t]*+=[ \t]*+(?:(?P<token>{_TOKEN})|"(?P<quoted>(?:[^"\\]|\\.)*)")'
)
_SCHEME: Final = re.compile(rf"(?P<scheme>{_TOKEN})(?=[ \t,]|$)")
_SEPARATOR: Final = re.compile(r"[ \t,]*+")
_MAX_HEADER: Final = 4096

_KNOWN_REALMS: Final[Mapping[str, str]] = {
    HUB_REGISTRY: "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}
"""Token servers that their operators run under another name than the registry's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way to authenticate; scheme and names of parameters in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read `WWW-Authenticate` headers.

    What follows the first thing that is no challenge is passed over, and so is a header of excessive length.
    """
    found: list[Challenge] = []
    for header in headers:
        if len(header) <= _MAX_HEADER:
            _parse_header(header, found)
    return tuple(found)


def _parse_header(header: str, found: list[Challenge]) -> None:
    parameters: dict[str, str] | None = None
    position = _skip(header, 0)
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is not None and parameters is not None:
            value = parameter["token"] or re.sub(r"\\(.)", r"\1", parameter["quoted"] or "")
            parameters.setdefault(parameter["name"].lower(), value)
            position = _skip(header, parameter.end())
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            return
        parameters = {}
        found.append(Challenge(scheme=scheme["scheme"].lower(), parameters=parameters))
        position = _skip(header, scheme.end())


def _skip(header: str, position: int) -> int:
    separator = _SEPARATOR.match(header, position)
    return separator.end() if separator else position


def token_url(challenge: Challenge, registry: Url, *, scope: str = "") -> Url | None:
    """Say where the credential may be changed for a token; `None` if the challenge names no place it may go to.

    The realm must be HTTPS without user information, on the registry's own host and port or on one of `_KNOWN_REALMS`.
    A node's container runtime goes wherever a realm points; a controller that asks on its own, every hour, for a
    credential that is good for a whole organisation has no need to. There is no rule on parent domains: without a list
    of public suffixes, `registry.github.io` and `anyone.github.io` would count as one.

    Args:
        challenge: The registry's.
        registry: Where it came from.
        scope: What the token is to be good for, such as `repository:my-org/app:pull`; never what the challenge says.
    """
    try:
        realm = urlsplit(challenge.parameters.get("realm", ""))
        host, port = (realm.hostname or "").lower(), realm.port or 443
    except ValueError:
        return None
    own = (host, port) == (registry.host, registry.port)
    known = port == registry.port == 443 and bool(host) and _KNOWN_REALMS.get(registry.host) == host
    if realm.scheme != "https" or realm.username is not None or realm.password is not None or not (own or known):
        return None
    asked = {"service": challenge.parameters.get("service", ""), "scope": scope}
    added = urlencode({name: value for name, value in asked.items() if value})
    query = "&".join(part for part in (realm.query, added) if part)
    return Url(host=host, port=port, target=(realm.path or "/") + (f"?{query}" if query else ""))


GITHUB_API: Final = "https://api.github.com/"

_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750's `b64token`: what a header can carry. GitHub's tokens are of letters, digits and underscores."""

_MANIFEST: Final = {
    "Accept": (
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json, "
        "application/vnd.docker.distribution.manifest.v2+json, */*"
    )
}
"""What containerd takes. A registry answers 404 for a manifest of a type that is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Granted:
    """What a registry wants to see with a request, and whether its token server has seen the credential for it."""

    authorization: str = field(repr=False)
    by_token_server: bool = False


class InvalidApiUrl(ValueError):
    """The API's address is not an HTTPS URL without user information."""


class HttpsRegistry:
    """`webhook.ports.Registry` over HTTPS.

    A credential goes to the registry's own host, to a token server that `token_url` allows, and, if asked
    for, to the API: never along a redirect, never in a URL, never without TLS that was verified.

    Args:
        api_url: GitHub's API; empty not to ask it.
        trust: Whom to believe; by default the system's CAs.
        proxy_for: Names the proxy for a host. A proxy opens a tunnel and sees no more than the host's name.

    Raises:
        InvalidApiUrl: For `api_url`.
    """

    def __init__(
        self,
        *,
        api_url: str = GITHUB_API,
        trust: Trust | None = None,
        proxy_for: Callable[[str], Proxy | None] = proxy_from_environment,
    ) -> None:
        self._api = parse_api_url(api_url) if api_url else None
        self._exchange = Exchange((trust or Trust()).context, proxy_for)

    def login(self, host: str, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Try to log in as `docker login` does: ask the registry how, then do it.

        The sources are distribution's token specification and, for `Basic`, RFC 7617. No scope is asked for: whether
        the credential is good does not depend on a repository, and none is known here.
        """
        try:
            return self._login(host, credential, deadline)
        except ExchangeFailed as error:
            return LoginAnswer(fault=error.fault, failure=error.failure)

    def pull(self, image: ImageReference, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Ask for an image's manifest as a container runtime does, and for no more than its headers.

        The token is asked for with `scope=repository:NAME:pull`. A token server may refuse that, or, by the token
        specification, grant less than was asked for; then the registry refuses the manifest.
        """
        try:
            return self._pull(image, credential, deadline)
        except ExchangeFailed as error:
            return LoginAnswer(fault=error.fault, failure=error.failure)

    def token_headers(self, credential: Credential, deadline: Deadline) -> TokenHeaders:
        """Ask the API's root, which every token may read."""
        if self._api is None or not _BEARER.fullmatch(credential.password):
            return TokenHeaders()
        try:
            reply = self._exchange.get(self._api, deadline, authorization=f"Bearer {credential.password}")
        except ExchangeFailed as error:
            return TokenHeaders(failure=error.failure)
        if reply.code != 200:
            return TokenHeaders()
        return TokenHeaders(
            scopes=reply.header("X-OAuth-Scopes"), expiration=reply.header("GitHub-Authentication-Token-Expiration")
        )

    def _login(self, host: str, credential: Credential, deadline: Deadline) -> LoginAnswer:
        base = _base_url(host)
        if base is None:
            return LoginAnswer(fault=RegistryFault.MALFORMED)
        granted = self._authorize(base, credential, deadline)
        if isinstance(granted, LoginAnswer):
            return granted
        if granted.by_token_server:
            return LoginAnswer(code=200)
        reply = self._exchange.get(base, deadline, authorization=granted.authorization)
        return LoginAnswer(code=reply.code, fault=_redirect(reply.code))

    def _pull(self, image: ImageReference, credential: Credential, deadline: Deadline) -> LoginAnswer:
        base = _base_url(image.registry)
        if base is None:
            return LoginAnswer(fault=RegistryFault.MALFORMED)
        name = image.repository.partition("/")[2]
        granted = self._authorize(base, credential, deadline, scope=f"repository:{name}:pull")
        if isinstance(granted, LoginAnswer):
            return granted
        url = replace(base, target=f"/v2/{quote(name)}/manifests/{quote(image.digest or image.tag, safe=':')}")
        reply = self._exchange.send("HEAD", url, deadline, _MANIFEST, authorization=granted.authorization)
        return LoginAnswer(code=reply.code, fault=_redirect(reply.code))

    def _authorize(
        self, base: Url, credential: Credential, deadline: Deadline, *, scope: str = ""
    ) -> "_Granted | LoginAnswer":
        """Ask a registry how to log in, and get what it wants to see; or say what came in its place.

        Raises:
            ExchangeFailed: There is no answer.
        """
        reply = self._exchange.get(base, deadline)
        if reply.code != 401:
            return _without_challenge(reply.code)
        offered = {each.scheme: each for each in parse_challenges(reply.headers.get("www-authenticate", ()))}
        if (bearer := offered.get("bearer")) is not None:
            url = token_url(bearer, base, scope=scope)
            if url is None:
                return LoginAnswer(code=reply.code, fault=RegistryFault.REALM_REFUSED)
            return _token(self._exchange.get(url, deadline, authorization=_basic(credential)))
        if "basic" in offered:
            return _Granted(authorization=_basic(credential))
        return LoginAnswer(code=reply.code, fault=RegistryFault.NO_CHALLENGE)


def parse_api_url(text: str) -> Url:
    """Read the API's address.

    Raises:
        InvalidApiUrl: It is not an HTTPS URL, or has a user, a query or a fragment.
    """
    try:
        url = urlsplit(text)
        host, port = (url.hostname or "").lower(), url.port or 443
    except ValueError:
        raise InvalidApiUrl from None
    if url.scheme != "https" or not host or url.username is not None or url.query or url.fragment:
        raise InvalidApiUrl
    return Url(host=host, port=port, target=url.path or "/")


def _base_url(host: str) -> Url | None:
    try:
        url = urlsplit(f"//{host}")
        name, port = (url.hostname or "").lower(), url.port or 443
    except ValueError:
        return None
    return Url(host=name, port=port, target="/v2/") if name and url.netloc == host and url.username is None else None


def _without_challenge(code: int) -> LoginAnswer:
    """Answer for a registry that did not ask for a credential: none was sent, so nothing was said of it."""
    if code in {408, 429} or code >= 500:
        return LoginAnswer(code=code)
    return LoginAnswer(code=code, fault=_redirect(code) or RegistryFault.NO_CHALLENGE)


def _token(reply: Reply) -> "_Granted | LoginAnswer":
    if reply.code != 200:
        return LoginAnswer(code=reply.code, fault=_redirect(reply.code))
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    tokens = (document.get("token"), document.get("access_token")) if isinstance(document, dict) else ()
    for token in tokens:
        if isinstance(token, str) and _BEARER.fullmatch(token):
            return _Granted(authorization=f"Bearer {token}", by_token_server=True)
    # A page that some box in between put in the place of an answer says nothing of the credential.
    return LoginAnswer(code=reply.code, fault=RegistryFault.MALFORMED)


def _redirect(code: int) -> RegistryFault | None:
    return RegistryFault.REDIRECT if 300 <= code < 400 else None


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogatepass")
    return f"Basic {b64encode(pair).decode('ascii')}"
