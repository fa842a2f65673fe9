"""What the chart renders for the values that matter: as they ask."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from tests import helm
from tests.chart.switches import BASE, ON, SWITCHES, deployment, manifests, pod_specs, roles
from webhook.cli.doctor import status
from webhook.core.figures import CopyFigures, CredentialFigures, WatchHealth
from webhook.core.vocabulary import Half, Outcome, Provisioning, Reason
from webhook.telemetry.controller_metrics import ControllerFigures, ControllerMetrics
from webhook.telemetry.metrics import Metrics


def test_a_rolling_update_takes_no_pod_away_before_its_successor_is_ready() -> None:
    spec = deployment(manifests(), "server")

    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (container,) = spec["template"]["spec"]["containers"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_a_new_version_of_the_chart_with_the_same_pods_does_not_restart_them() -> None:
    labels = deployment(manifests(), "server")["template"]["metadata"]["labels"]

    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def checksum(component: str, **values: Any) -> str:
    annotations = deployment(manifests(**values), component)["template"]["metadata"]["annotations"]
    found: str = annotations["checksum/config"]
    return found


def config_map(value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "proxy"}, "data": {"HTTPS_PROXY": value}}


def test_the_checksum_changes_with_what_the_component_runs_with() -> None:
    plain = {component: checksum(component) for component in ("server", "controller")}

    assert len(set(plain.values())) == 2
    assert checksum("server", logLevel="debug") != plain["server"]
    assert checksum("server", enforcement="warn") != plain["server"]
    assert checksum("controller", enforcement="warn") == plain["controller"]
    assert checksum("server", server={"replicas": 3}, monitoring={"dashboard": ON}) == plain["server"]


def test_pods_are_recreated_for_a_changed_extra_object_only_if_they_read_from_one() -> None:
    one, other = {"extraObjects": [config_map("a:1")]}, {"extraObjects": [config_map("b:1")]}
    source = {"valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "HTTPS_PROXY"}}}
    reads = {"controller": {"extraEnv": [{"name": "HTTPS_PROXY", **source}]}}

    assert checksum("controller", **one, **reads) != checksum("controller", **other, **reads)
    assert checksum("controller", **one) == checksum("controller", **other)
    assert checksum("server", **one, **reads) == checksum("server", **other, **reads)


def test_a_checksum_is_never_lost_to_an_annotation_of_the_users() -> None:
    annotations = {"checksum/config": "mine", "a": "b"}

    assert len(checksum("server", commonAnnotations=annotations)) == 64


def test_scratch_space_is_in_memory_and_bounded() -> None:
    for component in ("server", "controller"):
        volumes = deployment(manifests(), component)["template"]["spec"]["volumes"]
        assert [volume["emptyDir"] for volume in volumes if "emptyDir" in volume] == [
            {"medium": "Memory", "sizeLimit": "16Mi"}
        ]


def test_the_autoscaler_alone_says_how_many_replicas_there_are() -> None:
    assert deployment(manifests(), "server")["replicas"] == 2
    assert "replicas" not in deployment(manifests(server={"autoscaling": ON}), "server")


def test_a_digest_goes_before_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    image = {"repository": "mirror.example.com/gps", "tag": "1.2.3"}

    for expected, values in (
        ("mirror.example.com/gps:1.2.3", image),
        (f"mirror.example.com/gps@{digest}", {**image, "digest": digest}),
    ):
        for _, spec in pod_specs(manifests(image=values)):
            assert [container["image"] for container in spec["containers"]] == [expected]


def test_the_created_central_secret_is_one_the_kubelet_can_use() -> None:
    found = helm.render({"centralSecret": {"create": {**ON, "username": "octocat", "token": 'a"b\\c'}}})
    secret = helm.select(found, "Secret", "ghcr-secret")
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))

    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    entry = content["auths"]["ghcr.io"]
    assert (entry["username"], entry["password"]) == ("octocat", 'a"b\\c')
    assert base64.b64decode(entry["auth"]) == b'octocat:a"b\\c'


def test_the_external_secret_is_one_and_carries_its_own_template_through_helm() -> None:
    found = helm.render({"centralSecret": {"externalSecret": ON}})
    spec = helm.select(found, "ExternalSecret", "ghcr-secret")["spec"]

    assert spec["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "aws-ssm-store"}
    assert spec["target"]["template"]["type"] == "kubernetes.io/dockerconfigjson"
    assert spec["target"]["template"]["data"][".dockerconfigjson"] == (
        '{"auths":{"ghcr.io":{"username":{{ .username | toJson }},"password":{{ .token | toJson }},'
        '"auth":"{{ printf "%s:%s" .username .token | b64enc }}"}}}'
    )
    assert {each["secretKey"]: each["remoteRef"]["key"] for each in spec["data"]} == {
        "username": "/sesacthon/dev/ghcr/username",
        "token": "/sesacthon/dev/ghcr/token",
    }


def test_with_cert_manager_its_injector_writes_the_ca_and_our_keeper_does_not() -> None:
    found = manifests(certManager=ON)

    certificate = helm.select(found, "Certificate", "ghcr-pull-secrets-webhook-tls")
    assert certificate["spec"]["dnsNames"] == [
        "ghcr-pull-secrets.ghcr-pull-secrets.svc",
        "ghcr-pull-secrets.ghcr-pull-secrets.svc.cluster.local",
    ]
    configurations = [each for each in found if each["kind"].endswith("WebhookConfiguration")]
    assert len(configurations) == 3
    for annotations in (each["metadata"]["annotations"] for each in configurations):
        assert annotations["cert-manager.io/inject-ca-from"] == "ghcr-pull-secrets/ghcr-pull-secrets-webhook-tls"
    (volume,) = (each for each in deployment(found, "server")["template"]["spec"]["volumes"] if each["name"] == "tls")
    assert volume["secret"]["secretName"] == certificate["spec"]["secretName"]
    granted = {resource for rule in roles(found, "controller") for resource in rule["resources"]}
    assert "mutatingwebhookconfigurations" not in granted


@pytest.mark.parametrize("component", ["server", "controller"])
def test_secrets_are_granted_by_name_wherever_the_verb_allows(component: str) -> None:
    for rule in roles(manifests(), component):
        if "secrets" in rule["resources"]:
            assert rule.get("resourceNames") or rule["verbs"] == ["create"]
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])


def test_reading_all_secrets_is_granted_to_the_server_alone_and_told_to_it() -> None:
    found = manifests(rbac={"readAllSecrets": True})
    unnamed = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}

    assert unnamed in roles(found, "server")
    assert unnamed not in roles(found, "controller")
    (container,) = deployment(found, "server")["template"]["spec"]["containers"]
    assert "--read-all-secrets" in container["args"]


def test_metrics_are_scraped_from_server_and_controller() -> None:
    found = manifests(monitoring={"serviceMonitor": ON})
    monitor = helm.select(found, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    scraped = [
        each["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in found
        if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
        if any(port["name"] == monitor["endpoints"][0]["port"] for port in each["spec"]["ports"])
    ]

    assert sorted(scraped) == ["controller", "server"]


@pytest.mark.parametrize("switch", ["serviceMonitor", "prometheusRule"])
def test_the_controller_has_a_service_for_whoever_scrapes_it(switch: str) -> None:
    assert helm.select(manifests(monitoring={switch: ON}), "Service", "ghcr-pull-secrets-controller")


def test_alerts_and_dashboard_pass_through_helm_unharmed() -> None:
    found = manifests(monitoring={"prometheusRule": ON, "dashboard": ON})
    rule = helm.select(found, "PrometheusRule")["spec"]
    dashboard = json.loads(helm.select(found, "ConfigMap")["data"]["ghcr-pull-secrets.json"])

    assert "{{ $labels.name }}" in rule["groups"][0]["rules"][0]["annotations"]["summary"]
    assert helm.select(found, "ConfigMap")["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {metric for panel in dashboard["panels"] for metric in metrics(panel)} >= {"ghcr_pull_secrets_reviews_total"}


def exposed() -> dict[str, set[str]]:
    """Every series of a server and of a controller that leads, with its labels."""
    watch = WatchHealth(resource="secrets", synced=True, last_event_age_s=0.0, restarts={"closed": 0}, error="")
    credential = CredentialFigures(registry="ghcr.io", accepted=True, expires_at=0.0, answered_at=0.0, unreadable=0)
    shown = Metrics(
        version="0",
        watches=lambda: [watch],
        certificate_expiry=lambda: 0.0,
        provisioning_results=[Provisioning.CREATED],
        credentials=lambda: [credential],
        credential_results=["accepted"],
    )
    figures = ControllerFigures(
        leading=True,
        backlog=0,
        central_usable=True,
        copies=CopyFigures(ours=1, foreign=0, other_release=0, stale=0),
        contested=0,
        unable_to_pull={"stale": 0},
    )
    ControllerMetrics(shown.registry, figures=lambda: figures)
    shown.reviewed(Half.MUTATE, Outcome.ALLOWED, Reason.INJECTED)
    series: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", shown.render().decode(), re.MULTILINE):
        series.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return series


def expressions() -> Iterator[str]:
    """Every expression of the alerts and the dashboard."""
    rules = helm.select(manifests(monitoring={"prometheusRule": ON}), "PrometheusRule")["spec"]
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    for panel in json.loads((helm.CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_alerts_and_dashboard_look_at_series_and_labels_that_are_there() -> None:
    series = exposed()
    # What Prometheus itself adds.
    added = {"instance", "pod", "job", "namespace", "cluster"}
    for expression in expressions():
        ours = re.findall(r"(ghcr_pull_secrets_\w+)(?:\{(.*?)\})?", expression)
        for name, selector in ours:
            assert name in series, f"{name} in {expression}"
            assert set(re.findall(r"(\w+) *(?:=|!=|=~|!~)", selector)) <= series[name] | added, expression
        if ours and "apiserver_" not in expression:
            grouped = {each.strip() for found in re.findall(r"by \((.*?)\)", expression) for each in found.split(",")}
            assert grouped <= set.union(*(series[name] for name, _ in ours)) | added, expression


def test_both_components_listen_where_the_values_say() -> None:
    for component, flags in (("server", ["--bind", "--ops-bind"]), ("controller", ["--ops-bind"])):
        (container,) = deployment(manifests(bindAddress="[::]"), component)["template"]["spec"]["containers"]
        for flag in flags:
            assert any(each.startswith(f"{flag}=[::]:") for each in container["args"])


def test_notes_of_an_opt_in_say_what_helm_test_needs() -> None:
    values = {"namespaces": {"mode": "opt-in"}, "tests": {"namespace": "probe"}}

    assert "kubectl label namespace probe ghcr-pull-secrets.io/inject=true" in helm.notes({**BASE, **values})
    assert "kubectl label namespace default" not in helm.notes(BASE)


@pytest.mark.parametrize(
    ("pattern", "entry"),
    [
        ("ghcr.io/my-org/*", "ghcr.io/my-org/"),
        ("GHCR.io:443/my-org/team/app-*", "ghcr.io/my-org/team/"),
        ("ghcr.io/my-org/app", "ghcr.io/my-org/"),
        ("ghcr.io/*", "ghcr.io"),
        ("ghcr.io/*/app", "ghcr.io"),
        ("registry.example.com:5000/*", "registry.example.com:5000"),
        ("*.pkg.dev/*", "HOST/PATH/"),
    ],
)
def test_notes_recommend_the_entry_of_what_is_looked_after(pattern: str, entry: str) -> None:
    assert f"--docker-server={entry} " in helm.notes({**BASE, "images": {"include": [pattern]}})


def test_notes_name_every_entry_that_is_needed() -> None:
    def said(*patterns: str) -> str:
        return helm.notes({**BASE, "images": {"include": patterns}})

    assert "It needs an entry for each of ghcr.io/a/, ghcr.io/b/." in said("ghcr.io/a/*", "ghcr.io/a/x", "ghcr.io/b/*")
    assert "It needs an entry" not in said("ghcr.io/a/*", "ghcr.io/a/x", "*.pkg.dev/*")


def metrics(panel: dict[str, Any]) -> set[str]:
    return {name for target in panel["targets"] for name in re.findall(r"ghcr_pull_secrets_\w+", target["expr"])}


def test_the_network_policy_lets_the_credential_check_out_only_if_there_is_one() -> None:
    def egress(**values: Any) -> list[Any]:
        policy = helm.select(manifests(networkPolicy=ON, **values), "NetworkPolicy", "ghcr-pull-secrets-controller")
        found: list[Any] = policy["spec"]["egress"]
        return found

    assert len(egress()) == 3
    assert len(egress(credentialCheck={"enabled": False})) == 2


def test_further_egress_rules_are_those_of_both_components() -> None:
    proxy = {"to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}], "ports": [{"port": 3128}]}
    found = manifests(networkPolicy={**ON, "extraEgress": [proxy]})

    for component in ("server", "controller"):
        policy = helm.select(found, "NetworkPolicy", f"ghcr-pull-secrets-{component}")
        assert policy["spec"]["egress"][-1] == proxy


def test_common_labels_and_annotations_reach_every_object_but_never_a_selector() -> None:
    values = {"commonLabels": {"team": "a", "app.kubernetes.io/name": "stolen"}, "commonAnnotations": {"owner": "b"}}
    for manifest in [*manifests(**values), *helm.hooks({**BASE, **values})]:
        assert manifest["metadata"]["labels"]["team"] == "a"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "ghcr-pull-secrets"
        assert manifest["metadata"]["annotations"]["owner"] == "b"
    assert "team" not in deployment(manifests(**values), "server")["selector"]["matchLabels"]


def test_extra_objects_are_templates() -> None:
    names = {each["metadata"]["name"] for each in manifests(**SWITCHES["extra objects"]) if each["kind"] == "ConfigMap"}

    assert names == {"ghcr-pull-secrets-a", "ghcr-pull-secrets-b"}


@pytest.mark.parametrize("name", ["a.b", "a.b-ghcr-pull-secrets"])
def test_a_release_name_with_a_dot_gives_a_name_that_a_service_can_have(name: str) -> None:
    assert helm.select(helm.render(BASE, name=name), "Service")["metadata"]["name"] == "a-b-ghcr-pull-secrets"


def test_a_release_name_that_begins_with_a_digit_is_refused_since_its_service_would_be() -> None:
    with pytest.raises(helm_python.HelmError, match="would begin with no letter"):
        helm.render(BASE, name="1st")
    assert helm.render({**BASE, "fullnameOverride": "first"}, name="1st")


def test_a_long_release_name_still_gives_names_that_kubernetes_takes() -> None:
    for manifest in helm.render(BASE, name="r" * 53):
        assert len(manifest["metadata"]["name"]) <= 63


def test_without_cleanup_no_hook_stands_in_the_way_of_an_uninstall() -> None:
    annotations = [hook["metadata"]["annotations"]["helm.sh/hook"] for hook in helm.hooks(BASE)]

    assert set(annotations) == {"test"}


def test_notes_say_how_to_see_that_it_is_healthy() -> None:
    notes = helm.notes(BASE, namespace="elsewhere")
    (line,) = [each.strip() for each in notes.splitlines() if "ghcr-pull-secrets status" in each]
    typed, _, where = line.partition("   # ")

    assert typed == "kubectl ghcr-pull-secrets status --wait 2m --release-namespace elsewhere"
    assert status.make_context("status", typed.split()[3:]).params["release_namespace"] == "elsewhere"
    assert where == 'a plugin: docs/doctor.md, "Install it"'
    assert "\n## Install it\n" in (helm.CHART.parents[1] / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_notes_warn_of_what_would_hurt() -> None:
    assert "WARNING: until it is there, workloads" in helm.notes(BASE)
    wide = helm.notes({**BASE, "images": {"include": ["ghcr.io/*"]}})
    assert "NOTE: images.include has ghcr.io/*" in wide
    assert "--docker-server=ghcr.io/my-org/" in wide
    assert "NOTE" not in helm.notes({**BASE, "images": {"include": ["ghcr.io/mine/*"]}})
    assert "WARNING: the central secret was made from values" in helm.notes({**SWITCHES["created secret"]})
    assert "kubectl label namespace" in helm.notes({**BASE, "namespaces": {"mode": "opt-in"}})
    assert "kubectl wait --for=condition=Ready externalsecret/ghcr-secret" in helm.notes(SWITCHES["external secret"])


def test_notes_never_show_the_token() -> None:
    token = "canary" * 7
    assert token not in helm.notes({"centralSecret": {"create": {**ON, "username": "u", "token": token}}})
