"""The way of docs/security.md to have only API servers answered: the files of that page, on the control plane itself."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.authority import new_ca
from tests import helm
from tests.docs.commands import DOCS
from tests.e2e.machinery.cluster import HERE
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.manifests import listed
from tests.e2e.machinery.planes import ShownToWebhooks, control_plane
from tests.e2e.machinery.waiting import until
from tests.edges.pki import client_files
from tests.edges.raw_client import Target
from tests.objects import IMAGE, RELEASE_NAMESPACE, workload

SERVER = f"ghcr-pull-secrets.{RELEASE_NAMESPACE}.svc"
ON_THE_NODE = "/etc/kubernetes"
"""Where the page has an API server's files."""


def as_documented(folder: Path, certificate: Path, key: Path) -> ShownToWebhooks:
    """Write the files of the page, with their paths those of this folder."""
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    # The blocks belong to a list, and are indented like it.
    blocks = map(textwrap.dedent, re.findall(r"^ *```yaml\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL))
    texts = [each for each in blocks if ON_THE_NODE in each]
    kubeconfig, admission = sorted(texts, key=lambda text: "AdmissionConfiguration" in text)
    certificate.rename(folder / "webhooks.crt")
    key.rename(folder / "webhooks.key")
    # The port of the Service here is another than 443, so it belongs to the user's name.
    named = kubeconfig.replace(f"{SERVER}\n", f"{SERVER}:{HERE['service']['port']}\n")
    assert named != kubeconfig
    for name, text in (("webhooks.kubeconfig", named), ("admission.yaml", admission)):
        (folder / name).write_text(text.replace(ON_THE_NODE, str(folder)), encoding="utf-8")
    return ShownToWebhooks(
        admission=folder / "admission.yaml", certificate=folder / "webhooks.crt", key=folder / "webhooks.key"
    )


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    authority = new_ca(common_name="callers", now=datetime.now(UTC))
    trusted = tmp_path / "callers.crt"
    trusted.write_bytes(authority.certificate_pem)
    plane = control_plane(shown=as_documented(tmp_path, *client_files(authority, tmp_path)))
    try:
        plane.start()
        installation = Installation(plane, {"server": {"clientCA": authority.certificate_pem.decode()}})
        try:
            installation.install(servers=0)
            installation.start_server(client_ca=str(trusted))
            yield installation
        finally:
            installation.uninstall()
    finally:
        plane.close()


def test_the_api_server_is_answered_and_nobody_else(installed: Installation) -> None:
    kube = installed.kube
    namespace = installed.namespace("shop")
    pod = workload("Pod", name="web", namespace=namespace, images=[IMAGE])
    until(lambda: kube.apply(pod, ok=None).code == 0, "the API server is answered")
    assert listed(kube.get("pod", "web", namespace)) == ["ghcr-secret"]
    assert kube.exists("secret", "ghcr-secret", namespace)

    service = helm.select(installed.manifests, "Service")["metadata"]["name"]
    name = f"{service}.{RELEASE_NAMESPACE}.svc"
    neighbour = Target(*installed.address, name, installed.path / "tls" / "ca.crt")
    assert neighbour.ordinary(namespace)[0] == 0
    assert 'cause="tls"} 0.0' not in installed.servers[0].ops("/metrics")[1]
