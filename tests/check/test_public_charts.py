"""Workloads as ten public charts render them: kinds, images, ServiceAccounts and pull secrets, and no more of them.

Only facts are kept: what each installs by default, and how it names its image. Those on ghcr.io are selected, and the others
are nobody's business.
"""

from typing import Any, NamedTuple

import pytest
import yaml

from tests.check.runs import check, outcomes
from tests.objects import TEMPLATE_PATHS, pod_spec_of, workload


class Chart(NamedTuple):
    """A chart: its name, and the kind and images of each workload."""

    name: str
    workloads: tuple[tuple[str, tuple[str, ...]], ...]
    selected: int


CHARTS = [
    Chart("actions-runner-controller", (("Deployment", ("ghcr.io/actions/gha-runner-scale-set-controller:0.12.1",)),), 1),
    Chart("argo-cd", (
        ("Deployment", ("quay.io/argoproj/argocd:v3.1.0",)),
        ("StatefulSet", ("quay.io/argoproj/argocd:v3.1.0",)),
        ("Deployment", ("ghcr.io/dexidp/dex:v2.44.0", "quay.io/argoproj/argocd:v3.1.0")),
        ("Job", ("quay.io/argoproj/argocd:v3.1.0",)),
    ), 1),
    Chart("cert-manager", (
        ("Deployment", ("quay.io/jetstack/cert-manager-controller:v1.18.2",)),
        ("Job", ("quay.io/jetstack/cert-manager-startupapicheck:v1.18.2",)),
    ), 0),
    Chart("external-secrets", (("Deployment", ("ghcr.io/external-secrets/external-secrets:v0.19.2",)),) * 3, 3),
    Chart("flux2", tuple(("Deployment", (f"ghcr.io/fluxcd/{name}:v1.6.0",)) for name in (
        "helm-controller", "kustomize-controller", "notification-controller", "source-controller")), 4),
    Chart("ingress-nginx", (
        ("Deployment", ("registry.k8s.io/ingress-nginx/controller:v1.13.0@sha256:" + "a" * 64,)),
        ("Job", ("registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.6.0",)),
    ), 0),
    Chart("kyverno", (
        ("Deployment", ("reg.kyverno.io/kyverno/kyverno:v1.15.0",)),
        ("Deployment", ("reg.kyverno.io/kyverno/background-controller:v1.15.0",)),
        ("CronJob", ("ghcr.io/kyverno/readiness-checker:v0.1.0",)),
    ), 1),
    Chart("longhorn", (("DaemonSet", ("longhornio/longhorn-manager:v1.9.1",)), ("Deployment", ("longhornio/longhorn-ui:v1.9.1",))), 0),
    Chart("prometheus-node-exporter", (("DaemonSet", ("quay.io/prometheus/node-exporter:v1.9.1",)),), 0),
    Chart("trivy-operator", (("Deployment", ("ghcr.io/aquasecurity/trivy-operator:0.28.0",)),), 1),
]  # fmt: skip


def rendered(chart: Chart) -> str:
    """YAML as Helm writes it: a comment before each document, definitions among them."""
    account: dict[str, Any] = {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": chart.name, "namespace": "tools"}
    }  # fmt: skip
    documents = [account]
    for number, (kind, images) in enumerate(chart.workloads):
        document = workload(
            kind, images=images, name=f"{chart.name}-{number}", namespace="tools", service_account=chart.name
        )
        document["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
        document["metadata"]["annotations"] = {"checksum/config": "{{ not a template }}"}
        pod_spec_of(document)["tolerations"] = [{"operator": "Exists"}]
        documents.append(document)
    definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {a: [1, 2]}\n"
    parts = [definition, *(yaml.safe_dump(document) for document in documents)]
    return "".join(f"---\n# Source: {chart.name}/templates/{number}.yaml\n{part}" for number, part in enumerate(parts))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_public_chart_has_no_finding_with_the_add_on(chart: Chart) -> None:
    report = check(rendered(chart))
    assert (report.findings, report.troubles) == ((), ())
    assert outcomes(report) == ["injected"] * chart.selected
    assert report.documents == len(chart.workloads) + 2


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_without_it_only_what_pulls_from_ghcr_is_found(chart: Chart) -> None:
    report = check(rendered(chart), installed=False)
    assert len(report.findings) == chart.selected
    assert all(pull.image.startswith("ghcr.io/") for finding in report.findings for pull in finding.pulls)
    assert {kind for kind, _ in chart.workloads} <= set(TEMPLATE_PATHS)
