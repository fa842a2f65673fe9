"""The add-on on a control plane: what the chart renders, applied with kubectl, and its processes beside it."""

from __future__ import annotations

import base64
import copy
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import helm
from tests.e2e.machinery.cluster import HERE, Cluster
from tests.e2e.machinery.containers import container_command, pod_fields, with_flags
from tests.e2e.machinery.planes import ControlPlane, service_account_kubeconfig
from tests.e2e.machinery.processes import Process, free_port
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY_PREFIX, RELEASE_NAMESPACE, payload

BASE_VALUES: Mapping[str, Any] = {
    "centralSecret": {"existing": True},
    "server": {"shutdownDelaySeconds": 0},
    **HERE,
}
_WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


class Installation(Cluster):
    """One release of the add-on.

    Args:
        plane: Where to install it.
        values: Of the chart, over `BASE_VALUES`.
        central: Credentials of the central secret; `None` for no such Secret.
        keeper: Flags under which the controller keeps the certificates; `None` if they are issued here, once.
    """

    def __init__(
        self,
        plane: ControlPlane,
        values: Mapping[str, Any] | None = None,
        *,
        central: bytes | None = payload(),
        keeper: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(plane.kube)
        self.plane = plane
        self.values = _merged(BASE_VALUES, values or {})
        self.servers: list[Process] = []
        self.controllers: list[Process] = []
        self.log_file: Path | None = None
        self._central = central
        self._keeper = keeper
        self._folder = tempfile.TemporaryDirectory(prefix="installation-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self.manifests = helm.render(self.values, namespace=RELEASE_NAMESPACE)

    # --- installing

    def install(self, *, servers: int = 1) -> Installation:
        """Apply everything, with this many servers ready before the webhooks are registered; there may be none."""
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        if self._central is not None:
            self.set_central(self._central)
        self.kube.apply(
            *[each for each in self.manifests if each["kind"] not in _WEBHOOK_KINDS and not _is_crd_object(each)]
        )
        if self._keeper is None:
            self.issue_certificates()
        else:
            self.start_controller(wait=True, **self._keeper)
        for _ in range(servers):
            self.start_server()
        self.register()
        return self

    def issue_certificates(self) -> None:
        """Make a CA and a leaf with `python -m certs issue`; as `localhost` benchmarks reach us."""
        service = helm.select(self.manifests, "Service")["metadata"]["name"]
        names = [f"{service}.{RELEASE_NAMESPACE}.svc", f"{service}.{RELEASE_NAMESPACE}.svc.cluster.local", "localhost"]
        subprocess.run(
            [sys.executable, "-m", "certs", "issue", "--out", str(self.path / "tls")]
            + [part for name in names for part in ("--dns-name", name)],
            check=True,
            capture_output=True,
            timeout=60,
        )

    @property
    def ca_pem(self) -> bytes:
        """The CA the API server must trust."""
        return (self.path / "tls" / "ca.crt").read_bytes()

    def register(self) -> None:
        """Apply the webhook configurations, with the CA if no controller writes it; nothing else is changed."""
        for configuration in self.configurations:
            manifest = copy.deepcopy(configuration)
            for webhook in manifest["webhooks"] if self._keeper is None else ():
                webhook["clientConfig"]["caBundle"] = base64.b64encode(self.ca_pem).decode()
            self.kube.apply(manifest, args=["--server-side", "--field-manager=helm"])
        self._wait_registered()

    def _wait_registered(self) -> None:
        # An API server learns of a webhook by its own watch, a moment after the write.
        probe = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "ghcr.io/sesacthon/probe:1"}]},
        }

        def called() -> bool:
            said = self.kube.apply(probe, args=["--dry-run=server"], ok=None).text
            if not self.servers:
                return "failed calling webhook" in said
            return any(line.count('"review_answered"') for server in self.servers for line in server.lines)

        until(called, "the API server calls the webhook", timeout_s=30, every_s=0.2)

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """The webhook configurations, as the chart renders them."""
        return [each for each in self.manifests if each["kind"] in _WEBHOOK_KINDS]

    # --- processes

    @functools.cached_property
    def address(self) -> tuple[str, int]:
        """Where the API server calls the (first) server: the cluster IP of the Service, which is of the loopback range."""
        name = helm.select(self.manifests, "Service")["metadata"]["name"]
        spec = self.kube.get("service", name, RELEASE_NAMESPACE)["spec"]
        return spec["clusterIP"], spec["ports"][0]["port"]

    def start_server(self, *, wait: bool = True, **flags: str) -> Process:
        """Start one more server, with the chart's arguments and as its ServiceAccount."""
        host, port = ("127.0.0.1", free_port()) if self.servers else self.address
        tls = {"--tls-dir": str(self.path / "tls")} if self._keeper is None else {}
        process = self._start("serve", {"--bind": f"{host}:{port}", **tls, **_as_flags(flags)})
        self.servers.append(process)
        if wait:
            try:
                process.wait_ready()
            except AssertionError as error:
                # What a server waits for, its certificate above all, others make.
                others = "\n".join(each.output for each in self.controllers)
                raise AssertionError(f"{error}\nthe controllers:\n{others}") from None
        return process

    def start_controller(self, *, wait: bool = True, **flags: str) -> Process:
        """Start one more controller, with the chart's arguments and as its ServiceAccount."""
        process = self._start("controller", _as_flags(flags))
        self.controllers.append(process)
        if wait:
            process.wait_ready()
        return process

    def _start(self, command: str, flags: Mapping[str, str]) -> Process:
        deployment = self._deployment(command)
        pod_spec = deployment["spec"]["template"]["spec"]
        arguments, environment = container_command(pod_spec["containers"][0], pod_fields(RELEASE_NAMESPACE))
        ops_port = free_port()
        if self._keeper is None:
            switched = {"--manage-certificates": "--no-manage-certificates"}
            arguments = [switched.get(argument, argument) for argument in arguments]
        arguments = with_flags(
            arguments,
            {
                "--ops-bind": f"127.0.0.1:{ops_port}",
                "--kubeconfig": str(self.kubeconfig_of(pod_spec["serviceAccountName"])),
                **flags,
            },
        )
        return Process(arguments, environment, ops_port=ops_port, folder=self.path, output=self.log_file)

    def _deployment(self, command: str) -> dict[str, Any]:
        for manifest in self.manifests:
            if manifest["kind"] == "Deployment":
                container = manifest["spec"]["template"]["spec"]["containers"][0]
                if container["args"][0] == command:
                    return manifest
        raise LookupError(f"the chart has no Deployment that runs {command}")

    def kubeconfig_of(self, service_account: str) -> Path:
        """A kubeconfig with a token of a ServiceAccount of the release."""
        path = self.path / f"{service_account}.kubeconfig"
        return service_account_kubeconfig(self.kube, RELEASE_NAMESPACE, service_account, path)

    # --- the end

    def everything_printed(self) -> str:
        """All output of all processes, and their metrics."""
        parts = []
        for process in (*self.servers, *self.controllers):
            parts.append(process.output)
            try:
                parts.append(process.ops("/metrics")[1])
            except OSError:
                continue
        return "\n".join(parts)

    def uninstall(self) -> None:
        """Take everything away, webhook configurations first, and stop the processes."""
        for each in self.configurations:
            self.kube("delete", each["kind"].lower(), each["metadata"]["name"], "--ignore-not-found")
        printed = self.everything_printed()
        refused = self.plane.refused(f"system:serviceaccount:{RELEASE_NAMESPACE}:")
        for process in (*self.controllers, *self.servers):
            process.stop()
        self._folder.cleanup()
        events = self.kube("get", "events", "-A", "-o", "json").out
        assert CANARY_PREFIX not in printed + events, "a credential was printed"
        assert not refused, f"the chart's roles do not allow {refused}"


def _is_crd_object(manifest: Mapping[str, Any]) -> bool:
    group = manifest["apiVersion"].partition("/")[0]
    return group in ("monitoring.coreos.com", "cert-manager.io", "external-secrets.io")


def _as_flags(flags: Mapping[str, str]) -> dict[str, str]:
    return {f"--{name.replace('_', '-')}": value for name, value in flags.items()}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = json.loads(json.dumps(base))
    for key, value in over.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, Mapping) and key in merged else value
    return dict(merged)
