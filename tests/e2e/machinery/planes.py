"""The two control planes the same tests run on: the stand-in, or a real one from `KUBEBUILDER_ASSETS`."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import yaml

from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.waiting import until

AUDIT_POLICY: Final[Mapping[str, object]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # No bodies, they have credentials; and nobody but ServiceAccounts, for the size of it.
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


SERVICE_RANGE: Final = "127.77.0.0/16"
"""Of the loopback range, as in the stand-in: there is no kube-proxy, and an API server calls a webhook's cluster IP."""


class ControlPlane(Protocol):
    """An API server with controllers, on loopback."""

    name: str

    @property
    def kube(self) -> Kube:
        """kubectl as cluster admin."""
        ...

    def refused(self, user_prefix: str) -> list[str]:
        """What users whose names begin so asked for, and RBAC did not allow."""
        ...

    def start(self) -> None:
        """Start, or start again with what was stored."""
        ...

    def stop(self) -> None:
        """Stop the API server; what is stored stays."""
        ...

    def close(self) -> None:
        """Stop everything and remove what was written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToWebhooks:
    """What an API server shows to webhooks of who it is.

    Attributes:
        admission: The `AdmissionConfiguration`, which names a kubeconfig with the two below.
        certificate, key: Files of a client certificate, in PEM.
    """

    admission: Path
    certificate: Path
    key: Path


def control_plane(*, elsewhere: Collection[str] = (), shown: ShownToWebhooks | None = None) -> ControlPlane:
    """Make the control plane the environment asks for; not started yet.

    Args:
        elsewhere: Namespaces whose Pods a `tests.e2e.machinery.node.Node` runs.
        shown: What webhooks are shown; nothing without it.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return RealControlPlane(Path(assets), shown=shown) if assets else StandIn(elsewhere=elsewhere, shown=shown)


class StandIn:
    """`standin`, in this process. Its own kubelet makes Pods run by saying so, but for those `elsewhere`."""

    name = "stand-in"

    def __init__(self, *, elsewhere: Collection[str] = (), shown: ShownToWebhooks | None = None) -> None:
        from standin import ApiServer  # noqa: PLC0415 - not needed on a real control plane
        from standin.admission import AdmissionChain  # noqa: PLC0415
        from standin.admission.transport import Transport  # noqa: PLC0415
        from standin.controllers import ControllerManager  # noqa: PLC0415

        transport = Transport(client_certificate=(shown.certificate, shown.key) if shown else None)
        self.api = ApiServer(
            admission=lambda cluster: AdmissionChain(cluster, transport=transport),
            controllers=lambda cluster: ControllerManager(cluster, elsewhere=elsewhere),
        )

    @property
    def kube(self) -> Kube:
        return Kube(Path(self.api.kubeconfig_file()))

    def refused(self, user_prefix: str) -> list[str]:
        return sorted(text for text in self.api.refusals if f'User "{user_prefix}' in text)

    def start(self) -> None:
        self.api.start()

    def stop(self) -> None:
        self.api.stop()

    def close(self) -> None:
        self.api.close()


class RealControlPlane:
    """etcd, kube-apiserver and kube-controller-manager, as envtest lays them out; no kubelet, no kube-proxy."""

    name = "real"

    def __init__(self, assets: Path, *, shown: ShownToWebhooks | None = None) -> None:
        for binary in ("etcd", "kube-apiserver", "kube-controller-manager"):
            if not (assets / binary).is_file():
                raise FileNotFoundError(f"KUBEBUILDER_ASSETS has no {binary}")
        self._assets = assets
        self._shown = shown
        self._folder = tempfile.TemporaryDirectory(prefix="control-plane-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name)
        self._ports = _free_ports(4)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts: list[tuple[datetime, datetime]] = []
        self._tokens = {"admin": secrets.token_hex(16), "controllers": secrets.token_hex(16)}
        self._write_credentials()

    @property
    def kube(self) -> Kube:
        return Kube(self._path / "admin.kubeconfig")

    def refused(self, user_prefix: str) -> list[str]:
        found = set()
        for line in (self._path / "audit.log").read_text().splitlines():
            entry = json.loads(line)
            user = entry["user"]["username"]
            refused = entry["annotations"]["authorization.k8s.io/decision"] == "forbid"
            asked_at = datetime.fromisoformat(entry["requestReceivedTimestamp"])
            # Until it is ready, an API server refuses whatever a role allows of which it has not heard again.
            if user.startswith(user_prefix) and refused and not any(a <= asked_at <= b for a, b in self._starts):
                found.add(f"{user}: {entry['verb']} {entry['requestURI']}")
        return sorted(found)

    def start(self) -> None:
        api, etcd, peer, controllers = self._ports
        etcd_url, peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        if "etcd" not in self._processes:
            self._spawn(
                "etcd", "--data-dir=etcd-data", f"--listen-client-urls={etcd_url}", f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}", "--unsafe-no-fsync", "--log-level=error",
            )  # fmt: skip
        began = datetime.now(UTC)
        self._spawn(
            "kube-apiserver", f"--etcd-servers={etcd_url}", f"--secure-port={api}", "--bind-address=127.0.0.1",
            "--cert-dir=api-certs", f"--service-cluster-ip-range={SERVICE_RANGE}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=sa.pub",
            "--service-account-signing-key-file=sa.key", "--token-auth-file=tokens.csv", "--allow-privileged=true",
            "--audit-policy-file=audit.yaml", "--audit-log-path=audit.log",
            *([f"--admission-control-config-file={self._shown.admission}"] if self._shown else []),
        )  # fmt: skip
        until(self._ready, "the API server is ready", timeout_s=90, every_s=0.2)
        self._starts.append((began, datetime.now(UTC)))
        self._write_kubeconfigs()
        if "kube-controller-manager" not in self._processes:
            self._spawn(
                "kube-controller-manager", "--kubeconfig=controllers.kubeconfig", "--leader-elect=false",
                "--service-account-private-key-file=sa.key", "--root-ca-file=api-certs/apiserver.crt",
                "--use-service-account-credentials=true", f"--secure-port={controllers}", "--bind-address=127.0.0.1",
                "--controllers=*,-nodeipam,-nodelifecycle,-node-route-controller,-service-lb-controller,"
                "-cloud-node-lifecycle-controller",
            )  # fmt: skip
        until(
            lambda: self.kube.exists("serviceaccount", "default", "default"),
            "controllers work",
            timeout_s=90,
            every_s=0.2,
        )

    def stop(self) -> None:
        self._end("kube-apiserver")

    def close(self) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name)
        self._folder.cleanup()

    def _spawn(self, name: str, *args: str) -> None:
        log = (self._path / f"{name}.log").open("ab")
        with log:
            self._processes[name] = subprocess.Popen(
                [self._assets / name, *args], cwd=self._path, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            # An API server waits for its watches to end, up to a minute; it may as well crash.
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ready(self) -> bool:
        process = self._processes["kube-apiserver"]
        if process.poll() is not None:
            tail = (self._path / "kube-apiserver.log").read_text()[-2000:]
            raise RuntimeError(f"kube-apiserver ended with {process.returncode}:\n{tail}")
        # Not urllib: it leaves the socket open when the server resets a connection it has only just accepted.
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._ports[0], timeout=5, context=ssl._create_unverified_context()
        )
        with contextlib.closing(connection):
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self._tokens['admin']}"})
            return connection.getresponse().status == 200

    def _write_credentials(self) -> None:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only here
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self._path / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (self._path / "sa.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        users = {"admin": ("admin", "system:masters"), "controllers": ("system:kube-controller-manager", "")}
        lines = [f'{self._tokens[who]},{user},{user},"{group}"' for who, (user, group) in users.items()]
        (self._path / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self._path / "audit.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))

    def _write_kubeconfigs(self) -> None:
        # The API server has made its certificate, and the CA behind it, when it started for the first time.
        ca_pem = (self._path / "api-certs" / "apiserver.crt").read_bytes()
        for who, token in self._tokens.items():
            write_kubeconfig(
                self._path / f"{who}.kubeconfig",
                server=f"https://127.0.0.1:{self._ports[0]}",
                token=token,
                ca_pem=ca_pem,
            )


def service_account_kubeconfig(kube: Kube, namespace: str, name: str, path: Path) -> Path:
    """Write a kubeconfig with a token of a ServiceAccount, unless it is there."""
    if not path.exists():
        # As `kubectl create token` does, but in JSON: that command sends protobuf, which the stand-in does not read.
        resource = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        }
        answer = json.loads(kube("create", "--raw", resource, "-f", "-", stdin=json.dumps(request)).out)
        cluster = yaml.safe_load(kube.kubeconfig.read_text())["clusters"][0]["cluster"]
        ca_pem = base64.b64decode(cluster["certificate-authority-data"])
        write_kubeconfig(path, server=cluster["server"], token=answer["status"]["token"], ca_pem=ca_pem)
    return path


def write_kubeconfig(path: Path, *, server: str, token: str, ca_pem: bytes) -> Path:
    """Write a kubeconfig for a bearer token."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca_pem).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
