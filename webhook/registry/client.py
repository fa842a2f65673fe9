"""Logging in to a registry, and asking GitHub's API about a token."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from webhook.core.keyring import Credential
from webhook.ports import Deadline, LoginAnswer, RegistryFault, TokenHeaders
from webhook.registry import challenge
from webhook.registry.exchange import Exchange, ExchangeFailed, Reply, Url
from webhook.registry.proxies import Proxy, from_environment
from webhook.trust import Trust

GITHUB_API: Final = "https://api.github.com/"

_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750's `b64token`: what a header can carry. GitHub's tokens are of letters, digits and underscores."""


class InvalidApiUrl(ValueError):
    """The API's address is not an HTTPS URL without user information."""


class HttpsRegistry:
    """`webhook.ports.Registry` over HTTPS.

    A credential goes to the registry's own host, to a token server that `challenge.token_url` allows, and, if asked
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
        proxy_for: Callable[[str], Proxy | None] = from_environment,
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
        unbidden = self._exchange.get(base, deadline)
        if unbidden.code != 401:
            return _without_challenge(unbidden.code)
        offered = {each.scheme: each for each in challenge.parse(unbidden.headers.get("www-authenticate", ()))}
        if (bearer := offered.get("bearer")) is not None:
            url = challenge.token_url(bearer, base)
            if url is None:
                return LoginAnswer(code=unbidden.code, fault=RegistryFault.REALM_REFUSED)
            return _token_answer(self._exchange.get(url, deadline, authorization=_basic(credential)))
        if "basic" in offered:
            reply = self._exchange.get(base, deadline, authorization=_basic(credential))
            return LoginAnswer(code=reply.code, fault=_redirect(reply.code))
        return LoginAnswer(code=unbidden.code, fault=RegistryFault.NO_CHALLENGE)


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


def _token_answer(reply: Reply) -> LoginAnswer:
    if reply.code != 200:
        return LoginAnswer(code=reply.code, fault=_redirect(reply.code))
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    tokens = (document.get("token"), document.get("access_token")) if isinstance(document, dict) else ()
    # A page that some box in between put in the place of an answer says nothing of the credential.
    given = any(isinstance(token, str) and token for token in tokens)
    return LoginAnswer(code=reply.code, fault=None if given else RegistryFault.MALFORMED)


def _redirect(code: int) -> RegistryFault | None:
    return RegistryFault.REDIRECT if 300 <= code < 400 else None


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogatepass")
    return f"Basic {b64encode(pair).decode('ascii')}"
