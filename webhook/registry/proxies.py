"""Proxy selection from `HTTPS_PROXY` and `NO_PROXY`."""

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that opens tunnels; `authorization` is the value of `Proxy-Authorization`, "" for none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


class UnusableProxy(ValueError):
    """A proxy is set that we cannot use: only `http://HOST:PORT` is understood."""


def from_environment(host: str) -> Proxy | None:
    """Name the proxy for a host as the environment says; `None` to connect directly.

    Raises:
        UnusableProxy: It is no `http://` URL. Going past it instead could go past a rule of the network.
    """
    text = getproxies_environment().get("https", "")
    if not text or proxy_bypass(host):
        return None
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        name, port = url.hostname, url.port or 80
    except ValueError:
        raise UnusableProxy from None
    if url.scheme != "http" or not name:
        raise UnusableProxy
    if url.username is None:
        return Proxy(host=name, port=port)
    user = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return Proxy(host=name, port=port, authorization=f"Basic {b64encode(user).decode()}")
