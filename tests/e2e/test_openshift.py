"""OpenShift, as far as Helm sees it: a cluster that serves `security.openshift.io/v1`."""

import copy
from typing import Any

import helm_python
import pytest
import yaml

from tests import helm
from tests.chart.switches import BASE, pod_specs
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.operator import CRD
from tests.e2e.machinery.waiting import until
from tests.objects import RELEASE_NAMESPACE

IDS = {"runAsUser", "runAsGroup", "fsGroup"}


def asked_for(kube: Kube, values: dict[str, Any]) -> set[str]:
    """The fixed ids that Pods would ask for, by a `helm install` that asks the cluster what it serves."""
    with helm_python.Config(kubeconfig_path=kube.kubeconfig, namespace=RELEASE_NAMESPACE) as config:
        made = config.install(helm.CHART, "dry", {"images": helm.GIVEN, **BASE, **values}, dry_run="server")
    found = [each for each in yaml.safe_load_all(made["manifest"]) if each]
    specs = dict(pod_specs(found))
    assert len(specs) == 2
    return {each for spec in specs.values() for each in IDS & spec["securityContext"].keys()}


@pytest.mark.xdist_group("installation")
def test_helm_leaves_out_the_fixed_ids_where_the_cluster_assigns_them(installation: Installation) -> None:
    kube = installation.kube
    assert asked_for(kube, {}) == IDS
    definition = copy.deepcopy(CRD)
    definition["metadata"]["name"] = "securitycontextconstraints.security.openshift.io"
    names = {"kind": "SecurityContextConstraints", "plural": "securitycontextconstraints"}
    definition["spec"] |= {"group": "security.openshift.io", "names": {**names, "singular": names["plural"]}}
    kube.apply(definition)
    try:
        until(lambda: kube("get", "securitycontextconstraints", "-A", ok=None).code == 0, "they are served")

        assert asked_for(kube, {}) == set()
        assert asked_for(kube, {"openshift": {"adaptSecurityContext": "disabled"}}) == IDS
    finally:
        kube("delete", "crd", definition["metadata"]["name"])
