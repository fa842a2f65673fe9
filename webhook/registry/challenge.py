"""`WWW-Authenticate` challenges parsed, and where credentials may go."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from webhook.core.images import HUB_REGISTRY
from webhook.registry.exchange import Url

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


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read challenges; what follows the first thing that is none is passed over, as is a header of excessive length."""
    found: list[Challenge] = []
    for header in headers:
        if len(header) <= _MAX_HEADER:
            _parse_one(header, found)
    return tuple(found)


def _parse_one(header: str, found: list[Challenge]) -> None:
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
    A node's container runtime goes wherever a realm points; a controller that asks unbidden, every hour, for a
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
