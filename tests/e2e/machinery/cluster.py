"""The cluster as people use it, whoever installed the add-on there."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any, Final

from tests import helm
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.raw import connected
from tests.e2e.machinery.waiting import until
from tests.objects import RELEASE_NAMESPACE, payload
from webhook.core.names import SECRET_NAME, SECRET_TYPE

HERE: Final[Mapping[str, Any]] = {
    # Nothing here calls a registry outside; `test_credential` brings one of its own.
    "credentialCheck": {"enabled": False},
    # Any user may listen there, unlike at 443.
    "service": {"port": 8443},
    "images": helm.GIVEN,
}
"""Values of every release of the tests."""


def secret_manifest(
    namespace: str, content: bytes | None = None, *, name: str = SECRET_NAME, **changes: Any
) -> dict[str, Any]:
    """A pull secret as a person would make it."""
    data = base64.b64encode(payload() if content is None else content).decode()
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": SECRET_TYPE,
        "data": {".dockerconfigjson": data},
    }
    return {**manifest, **changes}


class Cluster:
    """Namespaces, the central secret, and what came of it.

    Attributes:
        kube: kubectl as cluster admin.
    """

    def __init__(self, kube: Kube) -> None:
        self.kube = kube

    def set_central(self, content: bytes, **changes: Any) -> None:
        """Make or change the central secret."""
        manifest = secret_manifest(RELEASE_NAMESPACE, content, **changes)
        self.kube.apply(manifest, args=["--server-side", "--force-conflicts"])

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace, or give one these labels, and wait for its ServiceAccount."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}
        self._namespaces("PATCH", f"{name}?fieldManager=tests&force=true", manifest, (200, 201))
        until(lambda: self.kube.exists("serviceaccount", "default", name), f"{name} has its ServiceAccount")
        return name

    def forget(self, namespace: str) -> None:
        """Delete a namespace, and do not wait until all of it is gone."""
        self._namespaces("DELETE", namespace, None, (200, 202, 404))

    def _namespaces(self, method: str, path: str, body: Mapping[str, Any] | None, codes: Collection[int]) -> None:
        # Without kubectl: nearly every test has one of its own, and what is tested begins in it.
        with connected(self.kube.kubeconfig) as api:
            answer = api(method, f"/api/v1/namespaces/{path}", body, content_type="application/apply-patch+yaml")
        assert answer.code in codes, answer.body

    def secret_of(self, namespace: str) -> dict[str, Any]:
        """The `ghcr-secret` of a namespace."""
        return self.kube.get("secret", SECRET_NAME, namespace)

    def payload_of(self, namespace: str) -> bytes:
        """The credentials in the `ghcr-secret` of a namespace."""
        return base64.b64decode(self.secret_of(namespace)["data"][".dockerconfigjson"])
