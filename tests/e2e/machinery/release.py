"""A release of the chart, installed, changed and removed by Helm itself, its Pods run by a `Node`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import helm_python

from tests import helm
from tests.e2e.machinery.cluster import HERE, Cluster
from tests.e2e.machinery.node import Node
from tests.e2e.machinery.planes import ControlPlane, control_plane
from tests.objects import CANARY_PREFIX, RELEASE_NAMESPACE

NAME: Final = "ghcr-pull-secrets"
_WAIT_S: Final = 90


@contextmanager
def bare_cluster() -> Iterator[Release]:
    """A control plane of one's own with a node, and nothing on it yet."""
    plane = control_plane(elsewhere=(RELEASE_NAMESPACE,))
    try:
        plane.start()
        with Release(plane) as release:
            yield release
    finally:
        plane.close()


class Release(Cluster):
    """Helm's part, and what is looked at.

    Args:
        plane: Started, and made with `elsewhere=(RELEASE_NAMESPACE,)`.
    """

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(plane.kube)
        self.plane = plane
        self.node = Node(plane, RELEASE_NAMESPACE)
        self.helm = helm_python.Config(kubeconfig_path=self.kube.kubeconfig, namespace=RELEASE_NAMESPACE)

    def __enter__(self) -> Self:
        self.node.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self.helm.list():
                self.uninstall()
            events = self.kube("get", "events", "-A", "-o", "json").out
        finally:
            self.helm.close()
            self.node.__exit__(kind, error, at)
        assert CANARY_PREFIX not in self.node.output + events, "a credential was printed"

    def install(self, values: Mapping[str, Any], *, central: bytes, chart: Path = helm.CHART) -> None:
        """`helm install --wait`, with a central secret made by hand."""
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        self.set_central(central)
        given = {**HERE, "centralSecret": {"existing": True}, **values}
        self._said(lambda: self.helm.install(chart, NAME, given, wait="watcher", timeout=_WAIT_S))

    def upgrade(self, values: Mapping[str, Any], *, reuse: bool = True) -> None:
        """`helm upgrade --wait`, with `--reuse-values` unless all values are given."""
        self._said(
            lambda: self.helm.upgrade(
                helm.CHART, NAME, dict(values), reuse_values=reuse, wait="watcher", timeout=_WAIT_S
            )
        )

    def rollback(self) -> None:
        """`helm rollback --wait`."""
        self._said(lambda: self.helm.rollback(NAME, wait="watcher", timeout=_WAIT_S))

    def test(self) -> None:
        """`helm test`."""
        self._said(lambda: self.helm.test(NAME, timeout=_WAIT_S))

    def uninstall(self) -> None:
        """`helm uninstall`. Nothing may have been refused until then; roles go before the Pods have ended."""
        refused = self.plane.refused(f"system:serviceaccount:{RELEASE_NAMESPACE}:")
        assert not refused, f"the chart's roles do not allow {refused}"
        self._said(lambda: self.helm.uninstall(NAME, timeout=_WAIT_S))

    def ready(self) -> bool:
        """Tell whether all replicas are there, and every webhook trusts them."""
        deployments = self.kube.get("deployments", "", RELEASE_NAMESPACE)["items"]
        return all(each["status"].get("availableReplicas") == each["spec"]["replicas"] for each in deployments) and all(
            webhook["clientConfig"].get("caBundle") for each in self.configurations() for webhook in each["webhooks"]
        )

    def configurations(self) -> list[dict[str, Any]]:
        """The webhook configurations that are there, with their managed fields."""
        kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
        label = f"app.kubernetes.io/instance={NAME}"
        found: list[dict[str, Any]] = self.kube.get(kinds, "", "", "-l", label, "--show-managed-fields")["items"]
        return found

    def _said(self, action: Callable[[], object]) -> None:
        try:
            action()
        except helm_python.HelmError as error:
            pods = self.kube("get", "pods", "-n", RELEASE_NAMESPACE, "-o", "wide", ok=None).out
            raise AssertionError(f"helm: {error}\n{pods}\n{self.node.output}\n{self.node.faults}") from error

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines of all Pods, as objects."""
        lines = self.node.output.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
