"""What each platform of docs/platforms.md is installed for: ids, ports, annotations, the host's network."""

from typing import Any

import pytest

from tests import helm
from tests.chart import platforms
from tests.chart.switches import BASE, deployment, manifests, pod_specs

EKS: dict[str, Any] = {"server": {"hostNetwork": True}}
ALL_PODS: dict[str, Any] = {"cleanup": {"onUninstall": "delete"}}


def test_every_platform_has_its_values() -> None:
    assert set(platforms.values()) == {
        "OpenShift",
        "GKE with a private control plane",
        "AKS",
        "EKS with another CNI than Amazon's",
        "A private CA",
        "AWS Secrets Manager",
        "HashiCorp Vault",
    }


@pytest.mark.parametrize(("adapt", "ids"), [("force", set()), ("disabled", {65532}), ("auto", {65532})])
def test_no_pod_asks_for_ids_where_the_cluster_assigns_them(adapt: str, ids: set[int]) -> None:
    values = {**BASE, **ALL_PODS, "openshift": {"adaptSecurityContext": adapt}}
    specs = dict(pod_specs([*helm.render(values), *helm.hooks(values)]))

    assert len(specs) == 4
    for spec in specs.values():
        security = spec["securityContext"]
        assert {security[each] for each in ("runAsUser", "runAsGroup", "fsGroup") if each in security} == ids
        # What restricted-v2 admits as it stands.
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})


def ports(found: list[helm.Manifest]) -> dict[str, int]:
    (container,) = deployment(found, "server")["template"]["spec"]["containers"]
    return {each["name"]: each["containerPort"] for each in container["ports"]}


def test_the_webhook_listens_where_a_private_gke_cluster_calls() -> None:
    assert ports(manifests()) == {"webhook": 10250, "ops": 8080}


def test_whatever_names_the_ports_names_the_same() -> None:
    root = helm.CHART.parents[1]
    dockerfile, reference, operations = (
        (root / name).read_text(encoding="utf-8") for name in ("Dockerfile", "docs/reference.md", "docs/operations.md")
    )
    found = ports(manifests())

    assert f"\nEXPOSE {found['webhook']} {found['ops']}\n" in dockerfile
    assert f"`webhook` ({found['webhook']}, HTTPS)" in reference
    assert f"`ops` ({found['ops']}" in reference
    assert f"(port {found['webhook']})" in operations


def test_the_admissions_enforcer_of_aks_stays_away_unless_it_is_wanted() -> None:
    def annotations(**values: Any) -> list[dict[str, str]]:
        found = manifests(**values)
        configurations = [each for each in found if each["kind"].endswith("WebhookConfiguration")]
        return [each["metadata"].get("annotations", {}) for each in configurations]

    assert annotations() == [{"admissions.enforcer/disabled": "true"}] * 3
    assert annotations(webhooks={"annotations": {"admissions.enforcer/disabled": None}}) == [{}] * 3
    both = {"admissions.enforcer/disabled": "true", "a": "b", "owner": "c"}
    assert annotations(webhooks={"annotations": {"a": "b"}}, commonAnnotations={"owner": "c"}) == [both] * 3


def test_on_the_hosts_network_the_server_takes_ports_that_no_kubelet_has() -> None:
    found = manifests(**EKS)
    pod = deployment(found, "server")["template"]["spec"]
    (container,) = pod["containers"]

    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert ports(found) == {"webhook": 10251, "ops": 10252}
    assert {"--bind=0.0.0.0:10251", "--ops-bind=0.0.0.0:10252"} <= set(container["args"])
    assert "hostNetwork" not in deployment(found, "controller")["template"]["spec"]


def test_on_the_hosts_network_no_two_servers_share_a_node_and_an_update_needs_no_further_one() -> None:
    spec = deployment(manifests(**EKS), "server")
    (term,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, None), ({"dnsPolicy": "Default"}, "Default"), ({"hostNetwork": True, "dnsPolicy": "Default"}, "Default")],
)
def test_a_dns_policy_is_the_users_if_there_is_one(values: dict[str, Any], expected: str | None) -> None:
    assert deployment(manifests(server=values), "server")["template"]["spec"].get("dnsPolicy") == expected


def test_services_and_policies_find_the_ports_by_name_wherever_they_are() -> None:
    found = manifests(**EKS, networkPolicy={"enabled": True})
    named = [
        *(port["targetPort"] for port in helm.select(found, "Service", "ghcr-pull-secrets")["spec"]["ports"]),
        *(
            port["port"]
            for rule in helm.select(found, "NetworkPolicy", "ghcr-pull-secrets-server")["spec"]["ingress"]
            for port in rule["ports"]
        ),
    ]

    assert named == ["webhook", "ops", "webhook", "ops"]


@pytest.mark.parametrize(
    ("bundle", "volume"),
    [
        (
            {"configMap": "corporate-ca"},
            {"configMap": {"name": "corporate-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ),
        (
            {"secret": "corporate-ca", "key": "bundle.pem"},
            {
                "secret": {
                    "secretName": "corporate-ca",
                    "items": [{"key": "bundle.pem", "path": "ca.crt"}],
                    "defaultMode": 0o440,
                }
            },
        ),
    ],
)
def test_a_bundle_of_cas_is_mounted_into_every_container(bundle: dict[str, Any], volume: dict[str, Any]) -> None:
    values = {**BASE, **ALL_PODS, "caBundle": bundle}
    specs = dict(pod_specs([*helm.render(values), *helm.hooks(values)]))

    assert len(specs) == 4
    for spec in specs.values():
        assert {"name": "ca-bundle", **volume} in spec["volumes"]
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            # A folder: a file by `subPath` would never change.
            assert {"name": "ca-bundle", "mountPath": "/ca-bundle", "readOnly": True} in container["volumeMounts"]


def test_without_a_bundle_nothing_is_mounted_and_no_flag_is_passed() -> None:
    values = {**BASE, **ALL_PODS}

    assert "ca-bundle" not in str([*helm.render(values), *helm.hooks(values)])


@pytest.mark.parametrize("component", ["server", "controller"])
def test_volumes_of_the_users_stand_beside_ours(component: str) -> None:
    values = {
        "extraVolumes": [{"name": "identity", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}],
        "extraVolumeMounts": [{"name": "identity", "mountPath": "/spiffe", "readOnly": True}],
    }
    pod = deployment(manifests(**{component: values}), component)["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["volumes"][-1:] == values["extraVolumes"]
    assert container["volumeMounts"][-1:] == values["extraVolumeMounts"]
    assert {each["name"] for each in pod["volumes"]} == {each["name"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("bundle", [{}, {"caBundle": {"configMap": "corporate-ca"}}])
def test_hooks_take_variables_and_volumes_as_the_processes_do(bundle: dict[str, Any]) -> None:
    values = {
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraVolumes": [{"name": "identity", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}],
        "extraVolumeMounts": [{"name": "identity", "mountPath": "/spiffe", "readOnly": True}],
    }
    hooks = helm.hooks({**BASE, **bundle, "hooks": values, "cleanup": {"onUninstall": "delete"}})
    specs = dict(pod_specs(hooks))

    assert len(specs) == 2
    for spec in specs.values():
        assert spec["volumes"][-1:] == values["extraVolumes"]
        assert len(spec["volumes"]) == 1 + len(bundle)
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            assert container["env"] == values["extraEnv"]
            assert container["volumeMounts"][-1:] == values["extraVolumeMounts"]
            assert container["resources"]["limits"]
            assert len(container["volumeMounts"]) == 1 + len(bundle)
