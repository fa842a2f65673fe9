"""One bounded HTTPS request without redirects, through a proxy if one is set.

`http.client` rather than a pool: there are a few requests an hour, each of which must not go anywhere but to the host
named. Its timeouts are per read, so a server that sends a byte now and then, or a resolver that hangs, is bounded by
a thread that is given up.
"""

import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from webhook.failures import ConnectionFailure, ConnectionFault, failure_of
from webhook.ports import Deadline, RegistryFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that opens tunnels; `authorization` is the value of `Proxy-Authorization`, "" for none."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


class UnusableProxy(ValueError):
    """A proxy is set that we cannot use: only `http://HOST:PORT` is understood."""


def proxy_from_environment(host: str) -> Proxy | None:
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


MAX_BODY: Final = 64 * 1024
"""Largest body read. A token server's answer has some hundred bytes, with large JSON Web Tokens a few thousand."""

_SILENCE_S: Final = 5.0
"""Longest wait for a connection or for the next bytes."""

_ON_THE_WAY: Final = frozenset({ConnectionFault.DNS, ConnectionFault.REFUSED})
_USER_AGENT: Final = "ghcr-pull-secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An HTTPS URL: host in lower case (IPv6 without brackets), path and query as sent."""

    host: str
    port: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. The body may hold a token."""

    code: int
    headers: Mapping[str, tuple[str, ...]] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's first value."""
        values = self.headers.get(name.lower(), ())
        return values[0] if values else None


class ExchangeFailed(Exception):
    """There is no answer to be judged. Carries what kind of fault it was, and no text of what caused it.

    Attributes:
        fault: What is wrong with what came; `None` if nothing did.
        failure: Why nothing came; `None` if something did.
    """

    def __init__(self, *, fault: RegistryFault | None = None, failure: ConnectionFailure | None = None) -> None:
        super().__init__(fault or failure)
        self.fault = fault
        self.failure = failure


class Exchange:
    """Makes requests.

    Args:
        context: Makes one for TLS, for each exchange; it must verify certificates and host names.
        proxy_for: Names the proxy for a host; may raise `UnusableProxy`.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], proxy_for: Callable[[str], Proxy | None]) -> None:
        self._context = context
        self._proxy_for = proxy_for

    def get(self, url: Url, deadline: Deadline, *, authorization: str = "") -> Reply:
        """Send a GET and read the answer, of whatever status (see `send`)."""
        return self.send("GET", url, deadline, {"Accept": "application/json"}, authorization=authorization)

    def send(
        self, method: str, url: Url, deadline: Deadline, headers: Mapping[str, str], *, authorization: str = ""
    ) -> Reply:
        """Send a request without a body and read the answer, of whatever status.

        Raises:
            ExchangeFailed: There was none, not in time, or not one of HTTP's; or its body is too large.
        """
        # Raised away from what caused it: http.client's errors quote headers and answers.
        failure = None
        try:
            reply = self._send(method, url, deadline, _headers(headers, authorization))
        except UnusableProxy:
            failure = ConnectionFailure(fault=ConnectionFault.PROXY, reason="UNUSABLE_URL")
        except OSError as error:
            failure = self._failure(url, error)
        except (http.client.HTTPException, ValueError):
            pass
        else:
            if len(reply.body) <= MAX_BODY:
                return reply
            raise ExchangeFailed(fault=RegistryFault.TOO_LARGE)
        raise ExchangeFailed(failure=failure, fault=None if failure else RegistryFault.MALFORMED)

    def _failure(self, url: Url, error: OSError) -> ConnectionFailure | None:
        failure = failure_of(error)
        # All that we resolve and connect to, where there is a proxy, is the proxy.
        if failure is not None and failure.fault in _ON_THE_WAY and self._proxy_for(url.host) is not None:
            return replace(failure, fault=ConnectionFault.PROXY)
        return failure

    def _send(self, method: str, url: Url, deadline: Deadline, headers: Mapping[str, str]) -> Reply:
        remaining = deadline.remaining()
        if remaining <= 0:
            raise TimeoutError
        connection = self._connection(url, min(_SILENCE_S, remaining))
        future: Future[Reply] = Future()

        def run() -> None:
            try:
                future.set_result(_exchange(connection, method, url, headers))
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                # Without its frames, which would keep what they opened until the garbage collector comes: before
                # CPython 3.11.5 `http.client` leaves a proxy's refusal of CONNECT open.
                future.set_exception(error.with_traceback(None))

        threading.Thread(target=run, name="registry-exchange", daemon=True).start()
        try:
            return future.result(remaining)
        except TimeoutError:
            _abort(connection)
            raise

    def _connection(self, url: Url, timeout_s: float) -> http.client.HTTPSConnection:
        proxy = self._proxy_for(url.host)
        if proxy is None:
            return http.client.HTTPSConnection(url.host, url.port, timeout=timeout_s, context=self._context())
        connection = http.client.HTTPSConnection(proxy.host, proxy.port, timeout=timeout_s, context=self._context())
        headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        connection.set_tunnel(url.host, url.port, headers)
        return connection


def _headers(headers: Mapping[str, str], authorization: str) -> dict[str, str]:
    sent = {"User-Agent": _USER_AGENT, "Connection": "close", **headers}
    return sent | {"Authorization": authorization} if authorization else sent


def _exchange(connection: http.client.HTTPSConnection, method: str, url: Url, headers: Mapping[str, str]) -> Reply:
    try:
        connection.request(method, url.target, headers=headers)
        response = connection.getresponse()
        body = response.read(MAX_BODY + 1)
        received: dict[str, tuple[str, ...]] = {}
        for name, value in response.getheaders():
            received[name.lower()] = (*received.get(name.lower(), ()), value)
        return Reply(code=response.status, headers=received, body=body)
    finally:
        connection.close()


def _abort(connection: http.client.HTTPSConnection) -> None:
    """End an exchange that is given up: its thread reads the end of the stream and is done."""
    given_up = connection.sock
    if given_up is not None:
        with suppress(OSError):
            # Not SSLSocket's own shutdown, which drops the TLS state under the reading thread.
            socket.socket.shutdown(given_up, socket.SHUT_RDWR)
