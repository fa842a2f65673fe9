"""A small internet on loopback, behind an HTTP proxy: sites by their real names, over real TLS.

`HTTPS_PROXY` semantics let a client under test ask for `https://ghcr.io/` and reach a site of ours; the proxy ends the
TLS itself. Everything that arrives is kept, so that a test can say what never went out.
"""

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from certs.authority import issue_leaf, new_ca
from tests.edges.pki import Pki
from tests.services.contracts.registry import RegistryWorld
from webhook.core.keyring import Credential
from webhook.registry import HttpsRegistry
from webhook.registry.exchange import Proxy
from webhook.trust import Trust

NAMES = ("ghcr.io", "api.github.com", "registry.gitlab.com", "gitlab.com", "evil.example", "localhost")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent inside TLS; names of headers in lower case."""

    host: str
    port: int
    target: str
    method: str = "GET"
    headers: Mapping[str, str]


Answer = bytes | Callable[[ssl.SSLSocket], None]
Site = Callable[[Request], Answer]


def http(code: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {code} Text", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body


def challenge(text: str) -> bytes:
    """The 401 of a registry."""
    return http(401, b'{"errors":[]}', f"WWW-Authenticate: {text}")


class Internet:
    """Sites behind one proxy, or (`direct`) the one site `localhost` without."""

    def __init__(self, directory: Path, *, direct: bool = False, pki: Pki | None = None) -> None:
        chain, self.ca_file = pki.write(directory) if pki else _usual(directory)
        self._server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server_context.load_cert_chain(chain)
        self.trust = Trust(self.ca_file)
        self.sites: dict[str, Site] = {}
        self.requests: list[Request] = []
        self.tunnels: list[tuple[str, bytes]] = []
        self.reachable = True
        self.mute = threading.Event()
        self._direct = direct
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.proxy = Proxy(host="127.0.0.1", port=self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.mute.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            host, port = "localhost", self.port
            if not self._direct:
                head = _head(connection)
                where = head.split(b" ", 2)[1].decode()
                self.tunnels.append((where, head))
                host, _, text = where.rpartition(":")
                port = int(text)
                if not self.reachable or host not in self.sites:
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                    return
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self._server_context.wrap_socket(connection, server_side=True) as secure:
                lines = _head(secure).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
                }
                method, target, _ = lines[0].split(" ")
                request = Request(host=host, port=port, target=target, headers=headers, method=method)
                self.requests.append(request)
                answer = self.sites[host](request)
                if isinstance(answer, bytes):
                    secure.sendall(answer)
                else:
                    answer(secure)


def _usual(directory: Path) -> tuple[Path, Path]:
    """Write the sites' certificate with its key, and the CA."""
    now = datetime.now(UTC)
    ca = new_ca(common_name="test", now=now)
    leaf = issue_leaf(ca, dns_names=NAMES, now=now)
    chain, ca_file = directory / "site.pem", directory / "site-ca.pem"
    chain.write_bytes(leaf.certificate_pem + leaf.key_pem)
    ca_file.write_bytes(ca.certificate_pem)
    return chain, ca_file


def _head(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            raise OSError
        received += piece
    return received


def basic(credential: Credential) -> str:
    """What a client sends that knows a credential."""
    return "Basic " + base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()


@dataclass
class GitHub:
    """ghcr.io and GitHub's API."""

    internet: Internet
    tokens: dict[Credential, tuple[str | None, str | None]] = field(default_factory=dict)
    broken: int = 0
    hidden: set[tuple[str, Credential]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.internet.sites.update({"ghcr.io": self.registry, "api.github.com": self.api})

    def registry(self, request: Request) -> Answer:
        if self.broken:
            return http(self.broken)
        if request.target == "/v2/":
            return challenge(
                'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"'
            )
        path, _, query = request.target.partition("?")
        if path == "/token" and "service=ghcr.io" in query:
            known = [each for each in self.tokens if request.headers.get("authorization") == basic(each)]
            if not known:
                return http(403, b'{"errors":[{"code":"DENIED","message":"denied"}]}')
            # A session knows whose it is, and nothing else of what was granted.
            return http(200, json.dumps({"token": f"session{[*self.tokens].index(known[0])}"}).encode())
        if path.startswith("/v2/") and "/manifests/" in path:
            repository = path.removeprefix("/v2/").partition("/manifests/")[0]
            for index, each in enumerate(self.tokens):
                if request.headers.get("authorization") == f"Bearer session{index}":
                    return http(403 if (f"ghcr.io/{repository}", each) in self.hidden else 200)
            return http(401)
        return http(404)

    def api(self, request: Request) -> Answer:
        if self.broken:
            return http(self.broken)
        for known, (scopes, expiration) in self.tokens.items():
            if request.headers.get("authorization") == f"Bearer {known.password}":
                headers = [f"X-OAuth-Scopes: {scopes}"] if scopes is not None else []
                headers += [f"github-authentication-token-expiration: {expiration}"] if expiration else []
                return http(200, b"{}", *headers)
        return http(401, b'{"message":"Bad credentials"}', "X-OAuth-Scopes: read:packages")


class HttpsWorld(RegistryWorld):
    """A `RegistryWorld` of the adapter on this internet."""

    def __init__(self, internet: Internet) -> None:
        self.internet = internet
        self.github = GitHub(internet)
        self._registry = HttpsRegistry(trust=internet.trust, proxy_for=lambda _: internet.proxy)

    @property
    def registry(self) -> HttpsRegistry:
        return self._registry

    def issue(self, credential: Credential, *, scopes: str | None = None, expiration: str | None = None) -> None:
        self.github.tokens[credential] = (scopes, expiration)

    def revoke(self, credential: Credential) -> None:
        del self.github.tokens[credential]

    def hide(self, repository: str, credential: Credential) -> None:
        self.github.hidden.add((repository, credential))

    def overload(self, code: int) -> None:
        self.github.broken = code

    def cut_off(self) -> None:
        self.internet.reachable = False
