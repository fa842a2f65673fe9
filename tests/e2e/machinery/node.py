"""A node for the Pods of one namespace: the kubelet's and kube-proxy's part, played on loopback through the API.

A control plane of the tests has nobody who runs a Pod. Here a Pod's containers become processes of this machine, its
readiness is what its own probe says, its end is a SIGTERM and the time it was granted; and a Service's cluster IP leads
to the Pods that are ready. So everything else can be as it is in a cluster: Deployments roll, Jobs end, Helm waits.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.machinery.planes import ControlPlane, service_account_kubeconfig
from tests.e2e.machinery.raw import Answer, RawApi
from tests.e2e.machinery.sandbox import Sandbox, port_of
from tests.e2e.machinery.service import Address, Service

_FINALIZER: Final = "tests.ghcr-pull-secrets.io/node"
"""Keeps a deleted Pod until its processes have ended, as the grace period keeps one that a scheduler has placed."""

_LOOK_S: Final = 0.1
ENDPOINT_LAG_S: Final = 1.0
"""A Pod that is told to stop is still sent new connections for so long: its signal and its removal go different ways."""

_STRATEGIC: Final = "application/strategic-merge-patch+json"

Json = dict[str, Any]


class Node:
    """Runs what is in a namespace, from `with` to its end.

    Attributes:
        sandboxes: Every Pod that ran here, by uid, ended ones too.
        faults: What it failed at, for a test to look at.
    """

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.faults: list[Exception] = []
        self._plane = plane
        self._path = f"/api/v1/namespaces/{namespace}"
        self._namespace = namespace
        self._ending: dict[str, threading.Thread] = {}
        self._services: dict[str, Service] = {}
        self._served: dict[str, dict[Address, float]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="node-", ignore_cleanup_errors=True)
        self._stop = threading.Event()
        self._tokens = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def __enter__(self) -> Node:
        self._api = RawApi(self._plane.kube.kubeconfig)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for thread in self._ending.values():
            thread.join()
        for uid, sandbox in self.sandboxes.items():
            if uid not in self._ending:
                sandbox.end()
        for service in self._services.values():
            service.close()
        self._api.close()
        self._folder.cleanup()

    @property
    def output(self) -> str:
        """All that was printed on it."""
        return "\n".join(sandbox.output for sandbox in list(self.sandboxes.values()))

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                pods = self._list("pods")
                for pod in pods:
                    self._look_at(pod)
                self._route(self._list("services"), pods)
            except (OSError, LookupError, ValueError) as fault:
                self.faults.append(fault)

    def _list(self, resource: str) -> list[Json]:
        answer = self._api("GET", f"{self._path}/{resource}")
        if answer.code != 200:
            raise LookupError(f"{resource}: {answer.code}")
        items: list[Json] = answer.body["items"]
        return items

    # --- as a kubelet

    def _look_at(self, pod: Json) -> None:
        metadata = pod["metadata"]
        uid, name, deleted = metadata["uid"], metadata["name"], "deletionTimestamp" in metadata
        if uid not in self.sandboxes and not deleted:
            if self._patch(f"pods/{name}", {"metadata": {"finalizers": [_FINALIZER]}}).code == 200:
                self.sandboxes[uid] = Sandbox(
                    pod,
                    kubeconfig_of=self._kubeconfig_of,
                    report=lambda status: self._report(name, status),
                    folder=Path(self._folder.name),
                )
        elif deleted and uid in self.sandboxes and uid not in self._ending:
            self._ending[uid] = threading.Thread(target=self._end, args=(name, self.sandboxes[uid]), daemon=True)
            self._ending[uid].start()

    def _end(self, name: str, sandbox: Sandbox) -> None:
        sandbox.end()
        released = {"metadata": {"$deleteFromPrimitiveList/finalizers": [_FINALIZER]}}
        while self._patch(f"pods/{name}", released).code not in (200, 404) and not self._stop.wait(_LOOK_S):
            pass

    def _report(self, name: str, status: Mapping[str, Any]) -> None:
        # It may be gone by now, and the API server may be.
        with contextlib.suppress(OSError):
            self._patch(f"pods/{name}/status", {"status": status})

    def _patch(self, path: str, patch: Mapping[str, Any]) -> Answer:
        return self._api("PATCH", f"{self._path}/{path}", patch, content_type=_STRATEGIC)

    def _kubeconfig_of(self, service_account: str) -> Path:
        with self._tokens:
            # A token is worth nothing once its account has been made again, as hooks do with theirs.
            uid = self._plane.kube.get("serviceaccounts", service_account, self._namespace)["metadata"]["uid"]
            path = Path(self._folder.name) / f"{service_account}-{uid}.kubeconfig"
            return service_account_kubeconfig(self._plane.kube, self._namespace, service_account, path)

    # --- as kube-proxy

    def _route(self, services: list[Json], pods: list[Json]) -> None:
        now = time.monotonic()
        for manifest in services:
            if manifest["spec"]["clusterIP"] == "None":
                continue
            for port in manifest["spec"]["ports"]:
                key = f"{manifest['metadata']['uid']}:{port['port']}"
                if key not in self._services:
                    self._services[key] = Service((manifest["spec"]["clusterIP"], port["port"]))
                served = self._served.setdefault(key, {})
                served |= dict.fromkeys(endpoints(manifest, port, pods), now)
                self._services[key].set_endpoints([a for a, seen in served.items() if now - seen <= ENDPOINT_LAG_S])


def endpoints(service: Json, port: Json, pods: list[Json]) -> list[Address]:
    """Where a Service's port leads: the Pods it selects that are ready and not being deleted."""
    selector = service["spec"]["selector"].items()
    return [
        (pod["status"]["podIP"], port_of(pod["spec"]["containers"][0], port["targetPort"]))
        for pod in pods
        if selector <= pod["metadata"].get("labels", {}).items()
        and "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    ]
