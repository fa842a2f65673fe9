"""The stand-in API server: puts the parts together and listens."""

import base64
import contextlib
import hashlib
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from standin import namespaces
from standin.access import Access
from standin.accounting import RequestLog
from standin.admission import AdmissionChain
from standin.auth import ADMIN, CertificateAuthority, Tokens
from standin.client import InProcessClient
from standin.connection import Connection
from standin.controllers import ControllerManager
from standin.dispatch import Dispatcher
from standin.errors import ApiError
from standin.faults import Faults
from standin.handler import Handler
from standin.interfaces import (
    AdmissionFactory,
    AuthorizerFactory,
    Change,
    ChangeType,
    Controllers,
    ControllersFactory,
    Json,
    ResourceInfo,
    User,
)
from standin.rbac import RbacAuthorizer
from standin.reading import ObjectReader
from standin.registry import Registry
from standin.resources import CRD, ResourceTable
from standin.reviews import Authorize, Reviews
from standin.schema import Schemas
from standin.store import MemoryStore
from standin.subresources import Subresources

_BACKLOG = 1024
SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class ApiServer:
    """An API server in this process, on loopback, with its state in memory.

    `with ApiServer() as api:` starts and stops it. `stop()` and `start()` again is a restart: same port, same state.

    Args:
        admission, authorizer, controllers: How to make these parts; None leaves one out.
        history_limit: Events kept per resource for watches that start in the past.

    Attributes:
        store: Direct, unchecked reading of the state.
        faults: Switches faults on and off.
        requests: Log of all requests over HTTPS.
        admin_token: Bearer token of a `system:masters` user.
        ca_pem: The CA of the serving certificate.
        admission: The admission chain, None if left out.
    """

    def __init__(
        self,
        *,
        admission: AdmissionFactory | None = AdmissionChain,
        authorizer: AuthorizerFactory | None = RbacAuthorizer,
        controllers: ControllersFactory | None = ControllerManager,
        history_limit: int = 100_000,
    ) -> None:
        self._authority = CertificateAuthority()
        self._key_pair = self._authority.server()
        self.ca_pem = self._authority.pem.decode()
        self.store = MemoryStore(history_limit=history_limit)
        self.faults = Faults()
        self.requests = RequestLog()
        self._tokens = Tokens(self.store)
        self.admin_token = self._tokens.static(ADMIN)
        self._table = ResourceTable()
        self._schemas = Schemas()
        self._registry = Registry(self.store, self._table, self._schemas)
        self._reader = ObjectReader(self.store, self._table, self.faults)
        self._services: dict[tuple[str, str, int], tuple[str, int]] = {}
        self._port = 0
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._connections: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._folder: Path | None = None
        self.store.subscribe(self._on_change)
        self.authorizer = authorizer(self.store) if authorizer is not None else None
        self._authorize = Authorize(self.authorizer)
        self.refusals: set[str] = set()
        """What users were told that they may not."""
        for name in SYSTEM_NAMESPACES:
            self.load([{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}])
            self.load(obj for _, obj in namespaces.contents(name, self.ca_pem))
        self.admission = admission(self) if admission is not None else None
        self._registry.admit.chain = self.admission
        self._controllers: Controllers | None = controllers(self) if controllers is not None else None
        self._registry.after_create = self._furnish

    # --- life cycle ---

    def start(self) -> "ApiServer":
        """Listen, on the same port as before if it ran already, and run the controllers."""
        self._stopping.clear()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(_BACKLOG)
        self._port = listener.getsockname()[1]
        self._listener = listener
        handler = self._handler()
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener, self._tls_context(), handler), name="apiserver-accept", daemon=True
        )
        self._acceptor.start()
        if self._controllers is not None:
            self._controllers.start()
        return self

    def stop(self) -> None:
        """Close the port and cut all connections. The state stays."""
        self._stopping.set()
        if self._controllers is not None:
            self._controllers.stop()
        if self._listener is not None:
            # Closing alone does not wake a thread in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        if self._acceptor is not None:
            self._acceptor.join()
            self._acceptor = None
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.abort()
        for thread in connections.values():
            thread.join(timeout=10)

    def close(self) -> None:
        """Stop for good and close the connections to webhooks."""
        self.stop()
        close = getattr(self.admission, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> "ApiServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def drop_connections(self) -> None:
        """Cut every open connection now, watches included; new ones are served."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.abort()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext, handler: Handler) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(sock, context, handler, self._stopping.is_set)
            thread = threading.Thread(target=self._serve, args=(connection,), name="apiserver-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.ca_pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        certificate = self._write("server.pem", self._key_pair.certificate + self._key_pair.key)
        context.load_cert_chain(certificate)
        return context

    def _handler(self) -> Handler:
        dispatcher = Dispatcher(
            self._registry,
            self._reader,
            Subresources(self._registry, self._tokens),
            Reviews(self._table, self._tokens, self._authorize),
        )
        access = Access(self._tokens, self._authorize, self.refusals)
        return Handler(self._table, access, dispatcher, self.faults, self.requests)

    # --- how clients reach it ---

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def _write(self, name: str, content: bytes) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="stand-in-"))
            # Gone with the server object, or at exit: kubeconfigs hold keys.
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / name
        if not path.exists() or path.read_bytes() != content:
            # Whole at once: another may be reading it.
            new = self._folder / f"{name}.{secrets.token_hex(4)}"
            new.touch(mode=0o600)
            new.write_bytes(content)
            new.replace(path)
        return path

    @property
    def ca_file(self) -> str:
        """Path of a file with the CA; it lives as long as this object."""
        return str(self._write("ca.pem", self.ca_pem.encode()))

    def token_of(self, user: User) -> str:
        """Return a new bearer token of any user; it does not expire."""
        return self._tokens.static(user)

    def token_for(self, namespace: str, service_account: str, *, life_s: float = 3600.0) -> str:
        """Return a bearer token of a ServiceAccount, which is made if it is missing."""
        if self.store.get("serviceaccounts", namespace, service_account) is None:
            metadata = {"name": service_account, "namespace": namespace}
            self.load([{"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata}])
        found = self.store.get("serviceaccounts", namespace, service_account) or {}
        return self._tokens.issue(namespace, service_account, found["metadata"]["uid"], life_s=life_s)[0]

    def revoke(self, token: str) -> None:
        """Answer 401 to a token of `token_of` from now on."""
        self._tokens.revoke(token)

    def kubeconfig(self, token: str | None = None, *, namespace: str = "default", user: User | None = None) -> str:
        """Return a kubeconfig: with a token (the admin's by default), or with a client certificate of `user`."""
        credentials: dict[str, Any] = {"token": token or self.admin_token}
        if user is not None:
            pair = self._authority.client(user)
            credentials = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.ca_pem.encode())}
        context = {"cluster": "stand-in", "user": "user", "namespace": namespace}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stand-in", "cluster": cluster}],
                "users": [{"name": "user", "user": credentials}],
                "contexts": [{"name": "stand-in", "context": context}],
                "current-context": "stand-in",
            }
        )

    def kubeconfig_file(self, token: str | None = None, *, namespace: str = "default", user: User | None = None) -> str:
        """Return the path of a file with `kubeconfig(...)`; it lives as long as this object."""
        content = self.kubeconfig(token, namespace=namespace, user=user).encode()
        return str(self._write(f"kubeconfig-{hashlib.sha256(content).hexdigest()[:12]}.yaml", content))

    # --- the state, from within ---

    def client_as(self, user: User) -> InProcessClient:
        """Return the API in-process as a user, authorization skipped."""
        return InProcessClient(self._registry, user)

    @property
    def admin(self) -> InProcessClient:
        """The API in-process as the administrator."""
        return self.client_as(ADMIN)

    def resources(self) -> Sequence[ResourceInfo]:
        """Return all stored resources."""
        return self._table.stored()

    def load(self, objects: Iterable[Json]) -> None:
        """Store many objects at once: defaults, but no admission, validation or quota. Namespaces get no contents."""
        self._registry.load(objects)

    def expire_history(self) -> None:
        """Answer 410 to every watch from a resourceVersion before now."""
        self.store.expire_history()

    def set_bookmark_period(self, seconds: float) -> None:
        """Change how often a watch that asked for bookmarks gets one (60 s at first)."""
        self._reader.bookmark_period_s = seconds

    def bind_service(self, namespace: str, name: str, port: int, host: str, real_port: int) -> None:
        """Say where a Service's port really listens."""
        self._services[namespace, name, port] = (host, real_port)

    def resolve_service(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Return where a Service's port really listens: where a test said, else at its cluster IP.

        Raises:
            LookupError: There is no such Service, or it has no such port.
        """
        if (bound := self._services.get((namespace, name, port))) is not None:
            return bound
        spec = (self.store.get("services", namespace, name) or {}).get("spec") or {}
        if port not in [each["port"] for each in spec.get("ports") or ()]:
            raise LookupError(f"no port {port} of a Service {namespace}/{name}")
        return spec["clusterIP"], port

    @contextlib.contextmanager
    def restarting(self) -> Iterator[None]:
        """Be down inside a `with`."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _on_change(self, change: Change) -> None:
        if change.resource.key != CRD:
            return
        gone = change.type is ChangeType.DELETED
        name = change.object["metadata"]["name"]
        self._table.replace_crd(None if gone else change.object, name)
        for info in self._table.custom(name):
            version = self._table.version_of_crd(info)
            if version is not None:
                self._schemas.register(info, version)

    def _furnish(self, resource: ResourceInfo, name: str) -> None:
        """Do what controllers do at once for a new namespace; admission may refuse, as it may refuse them."""
        if resource.key != "namespaces":
            return
        client = self.client_as(namespaces.CONTROLLER)
        for key, obj in namespaces.contents(name, self.ca_pem):
            with contextlib.suppress(ApiError):
                client.create(key, name, obj)
