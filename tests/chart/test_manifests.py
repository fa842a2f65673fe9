"""What the chart renders under every switch: valid for Kubernetes, within "restricted", and of one piece."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest

from tests.chart.switches import SWITCHES, everything, pod_specs
from tests.chart.versions import CUSTOM, NEWEST, OLDEST


@functools.cache
def validate(manifest: str, version: str) -> None:
    # Most switches change few objects, and the schema of all of Kubernetes is read for each that is looked at.
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


every_switch = pytest.mark.parametrize("switch", SWITCHES)


@every_switch
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_switch_renders_objects_that_kubernetes_takes(switch: str, version: str) -> None:
    found = everything(switch)

    assert found
    for manifest in found:
        if not manifest["apiVersion"].startswith(CUSTOM):
            validate(json.dumps(manifest, sort_keys=True), version)


@every_switch
def test_every_object_has_its_own_name_and_belongs_to_the_release(switch: str) -> None:
    values = SWITCHES[switch]
    namespace = values.get("namespaceOverride", "ghcr-pull-secrets")
    extra = {f"ghcr-pull-secrets-{letter}" for letter in "ab"} if "extraObjects" in values else set()
    seen = set()
    for manifest in everything(switch):
        metadata = manifest["metadata"]
        key = (manifest["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in seen
        seen.add(key)
        if metadata["name"] in extra:
            continue
        assert metadata["labels"]["app.kubernetes.io/instance"] == "ghcr-pull-secrets"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        cluster_scoped = manifest["kind"].startswith(("Cluster", "ValidatingAdmissionPolicy"))
        cluster_scoped |= manifest["kind"].endswith("WebhookConfiguration")
        if cluster_scoped:
            assert "namespace" not in metadata
        elif "helm.sh/hook" not in metadata.get("annotations", {}):
            assert metadata["namespace"] == namespace


@every_switch
def test_every_pod_keeps_the_restricted_pod_security_standard(switch: str) -> None:
    specs = dict(pod_specs(everything(switch)))
    asked = SWITCHES[switch]
    # The server's alone, and only if the values say so.
    on_host = {"ghcr-pull-secrets-server"} if asked.get("server", {}).get("hostNetwork") else set()

    assert len(specs) >= 2
    assert {name for name, spec in specs.items() if spec.get("hostNetwork")} == on_host
    for spec in specs.values():
        assert not {"hostPID", "hostIPC"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        ids = {"runAsUser", "runAsGroup", "fsGroup"} & spec["securityContext"].keys()
        assert len(ids) == (0 if "openshift" in asked else 3)
        assert all(spec["securityContext"][each] > 0 for each in ids)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        types = {key for volume in spec.get("volumes", []) for key in volume.keys() - {"name"}}
        assert types <= {"emptyDir", "secret", "configMap", "projected", "csi"}
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert all("hostPort" not in port for port in container.get("ports", []))


@every_switch
def test_selectors_find_their_pods_and_no_others(switch: str) -> None:
    found = everything(switch)
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in found
        if each["kind"] == "Deployment"
    }
    selectors = {
        f"{each['kind']}/{each['metadata']['name']}": selector
        for each in found
        for selector in [
            each.get("spec", {}).get("selector")
            if each["kind"] in ("Service", "Deployment", "PodDisruptionBudget")
            else each.get("spec", {}).get("podSelector")
        ]
        if selector
    }

    assert len(pods) == 2
    for name, selector in selectors.items():
        found_by = sum(selects(selector, labels) for labels in pods.values())
        assert found_by == (0 if name == "NetworkPolicy/ghcr-pull-secrets-hooks" else 1), name


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector, plain or with expressions, is one for these labels."""
    wanted = selector.get("matchLabels", selector)
    among = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in among)
    return wanted.items() <= labels.items() and all(labels.get(each["key"]) in each["values"] for each in among)


@every_switch
def test_every_binding_binds_a_role_that_is_there_to_an_account_that_is_there(switch: str) -> None:
    found = everything(switch)
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    given = {"mine"} if switch == "foreign service accounts" else set()
    for each in found:
        if each["kind"].endswith("RoleBinding"):
            assert (each["roleRef"]["kind"], each["roleRef"]["name"]) in names
            (subject,) = each["subjects"]
            assert subject["name"] in given or ("ServiceAccount", subject["name"]) in names
