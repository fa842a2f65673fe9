"""values.schema.json and the checks in templates: a misspelt or impossible value is an error with a sentence."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests import helm
from tests.chart.versions import NEWEST, OLDEST

BASE: dict[str, Any] = {"centralSecret": {"existing": True}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
VOLUME = {"name": "a", "emptyDir": {}}
BARE_KIND = {"group": "a.io", "version": "v1", "resource": "rs"}
KIND = {**BARE_KIND, "podTemplate": "/spec/template"}


def refusal(values: Mapping[str, Any]) -> str:
    with pytest.raises(helm_python.HelmError) as raised:
        helm.render(values)
    return str(raised.value)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt section": ({"image_": {}}, "at '': additional properties 'image_' not allowed"),
    "a misspelt value": ({"images": {"includes": []}}, "at '/images': additional properties 'includes' not allowed"),
    "a misspelt value deep down": (
        {"server": {"ports": {"webhok": 1}}},
        "at '/server/ports': additional properties 'webhok' not allowed",
    ),
    "no pattern": ({"images": {"include": []}}, "images.include: say which images need ghcr-secret"),
    "a pattern without a path": ({"images": {"include": ["ghcr.io"]}}, "at '/images/include/0'"),
    "a pattern with a tag": ({"images": {"exclude": ["ghcr.io/a:1"]}}, "at '/images/exclude/0'"),
    "a pattern that would end the string in CEL": ({"images": {"include": ["ghcr.io/a'b"]}}, "at '/images/include/0'"),
    "a pattern for Docker Hub": ({"images": {"include": ["Docker.io/*"]}}, "images.include[0]: images of Docker Hub"),
    "a pattern without a host": (
        {"images": {"exclude": ["a.b/c", "org/*"]}},
        'images.exclude[1]: "org/*" has no registry',
    ),
    "an unknown mode": (
        {"namespaces": {"mode": "all"}},
        "at '/namespaces/mode': value must be one of 'opt-out', 'opt-in'",
    ),
    "a namespace that is none": ({"namespaces": {"excluded": ["A_b"]}}, "at '/namespaces/excluded/0'"),
    "an unknown enforcement": (
        {"enforcement": "reject"},
        "at '/enforcement': value must be one of 'deny', 'warn', 'off'",
    ),
    # YAML 1.1 reads an unquoted off as false.
    "an unquoted off": ({"enforcement": False}, "at '/enforcement': value must be one of 'deny', 'warn', 'off'"),
    "an unknown failure policy": (
        {"webhooks": {"mutating": {"failurePolicy": "Open"}}},
        "/webhooks/mutating/failurePolicy",
    ),
    "a timeout the API server refuses": (
        {"webhooks": {"validating": {"timeoutSeconds": 31}}},
        "at '/webhooks/validating/timeoutSeconds': maximum: got 31, want 30",
    ),
    "an extra kind without its path": (
        {"extraWorkloadKinds": [{"group": "a.io", "version": "v1", "resource": "rs"}]},
        "missing property 'podTemplate'",
    ),
    "an extra kind with one path and several": (
        {"extraWorkloadKinds": [{**KIND, "podTemplates": ["/spec/a"]}]},
        "extraWorkloadKinds[0]: podTemplate and podTemplates exclude each other",
    ),
    "an extra kind with no path among several": (
        {"extraWorkloadKinds": [{**BARE_KIND, "podTemplates": []}]},
        "at '/extraWorkloadKinds/0/podTemplates': minItems",
    ),
    "an extra kind with the same path twice": (
        {"extraWorkloadKinds": [{**BARE_KIND, "podTemplates": ["/spec/a", "/spec/a"]}]},
        "at '/extraWorkloadKinds/0/podTemplates'",
    ),
    "a path through two lists": (
        {"extraWorkloadKinds": [{**KIND, "podTemplate": "/spec/a[]/b[]/template"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "a path through a list and a map": (
        {"extraWorkloadKinds": [{**KIND, "podTemplate": "/spec/a[]/*/template"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "a path that begins with a map": (
        {"extraWorkloadKinds": [{**KIND, "podTemplate": "/*/template"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "a path through a list that CEL could not take": (
        {"extraWorkloadKinds": [{**KIND, "podTemplate": "/spec/in[]/template"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "an extra kind with a path that is no pointer": (
        {"extraWorkloadKinds": [{"group": "a.io", "version": "v1", "resource": "rs", "podTemplate": "spec.template"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "no credential chosen": (
        {"centralSecret": {"existing": False}},
        "centralSecret: choose where the credential comes from",
    ),
    "two credentials chosen": (
        {"centralSecret": {"existing": True, "externalSecret": {"enabled": True}}},
        "centralSecret: existing, create.enabled and externalSecret.enabled exclude each other",
    ),
    "a central secret made of nothing": (
        {"centralSecret": {"existing": False, "create": {"enabled": True}}},
        "at '/centralSecret/create/token': minLength",
    ),
    "a store of an unknown kind": (
        {"centralSecret": {"externalSecret": {"secretStoreRef": {"kind": "Vault"}}}},
        "/centralSecret/externalSecret/secretStoreRef/kind",
    ),
    "a digest without its algorithm": ({"image": {"digest": "0" * 64}}, "at '/image/digest'"),
    "a privileged port": ({"server": {"ports": {"webhook": 443}}}, "at '/server/ports/webhook': minimum"),
    "no server at all": ({"server": {"replicas": 0}}, "at '/server/replicas': minimum"),
    "a disruption budget that blocks every drain": (
        {"server": {"podDisruptionBudget": {"maxUnavailable": 0}}},
        "at '/server/podDisruptionBudget/maxUnavailable': minimum",
    ),
    "a number as a label": ({"commonLabels": {"a": 1}}, "at '/commonLabels/a': got number, want string"),
    "an unknown cleanup": ({"cleanup": {"onUninstall": "purge"}}, "at '/cleanup/onUninstall'"),
    "too little time to stop in": (
        {"server": {"shutdownDelaySeconds": 20, "terminationGracePeriodSeconds": 54}},
        "server.terminationGracePeriodSeconds: 54 is less than shutdownDelaySeconds (20) and the 35 s that",
    ),
    "an API without TLS": ({"credentialCheck": {"apiUrl": "http://api.github.com/"}}, "at '/credentialCheck/apiUrl'"),
    "a percentage that blocks every drain": (
        {"server": {"podDisruptionBudget": {"maxUnavailable": "0%"}}},
        "at '/server/podDisruptionBudget/maxUnavailable'",
    ),
    "more threads than a server takes": ({"server": {"threads": 257}}, "at '/server/threads': maximum"),
    "more workers than a controller takes": ({"controller": {"workers": 257}}, "at '/controller/workers': maximum"),
    "a name in upper case": ({"fullnameOverride": "Gps"}, "at '/fullnameOverride'"),
    "a namespace with a dot": ({"namespaceOverride": "a.b"}, "at '/namespaceOverride'"),
    "a name that begins with no letter": ({"fullnameOverride": "1st"}, "at '/fullnameOverride'"),
    "the Service's port twice": (
        {"service": {"port": 8080}},
        "service.port: 8080 is the port of the Service's metrics",
    ),
    "two listeners at one port": (
        {"server": {"ports": {"webhook": 9000, "ops": 9000}}},
        "server.ports: webhook and ops are both 9000",
    ),
    "the same kind twice": (
        {"extraWorkloadKinds": [KIND, {**KIND, "podTemplate": "/spec/other"}]},
        "extraWorkloadKinds[1]: a.io/v1/rs is listed twice",
    ),
    "a kind that is looked after anyway": (
        {"extraWorkloadKinds": [{**KIND, "group": "apps", "resource": "deployments"}]},
        "extraWorkloadKinds[0]: deployments are looked after anyway",
    ),
    "a group that is no name": ({"extraWorkloadKinds": [{**KIND, "group": "a..b"}]}, "/extraWorkloadKinds/0/group'"),
    "a path that CEL could not take": (
        {"extraWorkloadKinds": [{**KIND, "podTemplate": "/spec/in"}]},
        "at '/extraWorkloadKinds/0/podTemplate'",
    ),
    "more patterns than CEL may cost": (
        {"images": {"include": [f"ghcr.io/{number}" for number in range(51)]}},
        "at '/images/include': maxItems",
    ),
    "a port that is none": ({"credentialCheck": {"apiUrl": "https://x:65536/"}}, "at '/credentialCheck/apiUrl'"),
    "misspelt resources": ({"server": {"resources": {"request": {"cpu": 1}}}}, "additional properties 'request' not"),
    "a resource that is none": (
        {"controller": {"resources": {"limits": {"mem": "1Gi"}}}},
        "at '/controller/resources/limits': additional properties 'mem'",
    ),
    **{
        f"a server of {memory!r} of memory": (
            {"server": {"resources": {"limits": {"memory": memory}}}},
            f"server.resources.limits.memory: {memory} is too little for 16 threads and the reviews they read; set at least 223Mi",
        )
        for memory in (256, "256", "256k", "222Mi", "228351Ki", "233M", "0.2Gi", "2e8", "200000000000m")
    },
    "a quantity that is none": ({"server": {"resources": {"limits": {"memory": "256MB"}}}}, "/limits/memory'"),
    "a misspelt toleration": (
        {"controller": {"tolerations": [{"key": "a", "operater": "Exists"}]}},
        "at '/controller/tolerations/0': additional properties 'operater' not allowed",
    ),
    "an effect that is none": ({"server": {"tolerations": [{"effect": "NoRun"}]}}, "/server/tolerations/0/effect'"),
    "a misspelt affinity": (
        {"server": {"affinity": {"podAntiAffinity": {"required": []}}}},
        "at '/server/affinity/podAntiAffinity': additional properties 'required' not allowed",
    ),
    "an affinity deep down": (
        {"server": {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpression": []}]}}}}},
        "/nodeSelectorTerms/0': additional properties 'matchExpression' not allowed",
    ),
    "a spread without its key": (
        {"server": {"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}},
        "at '/server/topologySpreadConstraints/0': missing property 'topologyKey'",
    ),
    "a variable that is a number": ({"server": {"extraEnv": [{"name": "A", "value": 1}]}}, "/server/extraEnv/0/value'"),
    "a variable from nowhere": (
        {"server": {"extraEnv": [{"name": "A", "valueFrom": {"secretRef": {"name": "a"}}}]}},
        "additional properties 'secretRef' not allowed",
    ),
    "a variable of two values": (
        {"server": {"extraEnv": [{"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]}},
        "at '/server/extraEnv/0'",
    ),
    "a peer that is none": ({"networkPolicy": {"webhookFrom": [{"cidr": "10.0.0.0/8"}]}}, "'cidr' not allowed"),
    "a peer of two kinds": (
        {"networkPolicy": {"apiServerTo": [{"ipBlock": {"cidr": "::/0"}, "podSelector": {}}]}},
        "at '/networkPolicy/apiServerTo/0'",
    ),
    "an egress rule that is none": (
        {"networkPolicy": {"extraEgress": [{"to": [], "port": 443}]}},
        "at '/networkPolicy/extraEgress/0': additional properties 'port' not allowed",
    ),
    "a label that Kubernetes does not take": ({"commonLabels": {"a": "b c"}}, "at '/commonLabels/a'"),
    "a label's key that is none": (
        {"server": {"podLabels": {"a b": "c"}}},
        "at '/server/podLabels': additional properties 'a b'",
    ),
    "an annotation's key that is none": ({"webhooks": {"annotations": {"a/b/c": "d"}}}, "at '/webhooks/annotations'"),
    "a fraction for Prometheus": (
        {"monitoring": {"serviceMonitor": {"interval": "1.5m"}}},
        "at '/monitoring/serviceMonitor/interval'",
    ),
    "no interval": ({"monitoring": {"serviceMonitor": {"interval": ""}}}, "/monitoring/serviceMonitor/interval'"),
    "a day for Go": ({"certManager": {"duration": "90d"}}, "at '/certManager/duration'"),
    "an image with its tag": ({"image": {"repository": "ghcr.io/a/b:1"}}, "at '/image/repository'"),
    "a tag that is none": ({"image": {"tag": "a b"}}, "at '/image/tag'"),
    "a pull secret that has no name": ({"imagePullSecrets": [{"name": "A_b"}]}, "at '/imagePullSecrets/0/name'"),
    "a priority class that is none": ({"server": {"priorityClassName": "High One"}}, "at '/server/priorityClassName'"),
    "a volume of the host": (
        {"server": {"extraVolumes": [{"name": "a", "hostPath": {"path": "/"}}]}},
        "at '/server/extraVolumes/0': additional properties 'hostPath' not allowed",
    ),
    "a volume of ours": ({"server": {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}}, "/extraVolumes/0/name'"),
    "a mount of ours": (
        {"server": {"extraVolumes": [VOLUME], "extraVolumeMounts": [{"name": "a", "mountPath": "/tmp"}]}},
        "at '/server/extraVolumeMounts/0/mountPath'",
    ),
    "a mount of no volume": (
        {"controller": {"extraVolumes": [VOLUME], "extraVolumeMounts": [{"name": "b", "mountPath": "/b"}]}},
        'controller.extraVolumeMounts[0]: there is no volume "b" in controller.extraVolumes',
    ),
    "the kubelet's port": (
        {"server": {"hostNetwork": True, "hostPorts": {"webhook": 10250}}},
        "at '/server/hostPorts/webhook'",
    ),
    "two listeners at one port of the host": (
        {"server": {"hostPorts": {"webhook": 10252}}},
        "server.hostPorts: webhook and ops are both 10252",
    ),
    "a DNS policy that needs more": ({"server": {"dnsPolicy": "None"}}, "at '/server/dnsPolicy'"),
    "two bundles": (
        {"caBundle": {"configMap": "a", "secret": "b"}},
        "caBundle: configMap and secret exclude each other",
    ),
    "a bundle's key that is none": ({"caBundle": {"configMap": "a", "key": "b/c"}}, "at '/caBundle/key'"),
    "an unknown adaption": ({"openshift": {"adaptSecurityContext": True}}, "at '/openshift/adaptSecurityContext'"),
    "a renewal before the beginning": (
        {"certManager": {"enabled": True, "duration": "720h", "renewBefore": "43200m"}},
        "certManager.renewBefore: 43200m is not less than certManager.duration, 720h",
    ),
    "a certificate too short for cert-manager": (
        {"certManager": {"enabled": True, "duration": "59m59.9s", "renewBefore": "10m"}},
        "certManager.duration: 59m59.9s is less than 1h",
    ),
    "a renewal too short for cert-manager": (
        {"certManager": {"enabled": True, "renewBefore": "299s"}},
        "certManager.renewBefore: 299s is less than 5m",
    ),
    "an alert of every certificate": (
        {"monitoring": {"prometheusRule": {"enabled": True, "certificateExpirySeconds": 2_592_000}}},
        "certificateExpirySeconds: a certificate is renewed 2592000 s before its end",
    ),
    "an alert of every certificate of cert-manager's": (
        {
            "certManager": {"enabled": True, "renewBefore": "240h"},
            "monitoring": {"prometheusRule": {"enabled": True}},
        },
        "certificateExpirySeconds: a certificate is renewed 864000 s before its end",
    ),
    "a test where nothing is injected": ({"tests": {"namespace": "kube-system"}}, "tests.namespace: kube-system is"),
    "a test in an excluded namespace": (
        {"tests": {"namespace": "a"}, "namespaces": {"excluded": ["a"]}},
        "tests.namespace: a is never looked at",
    ),
    "an autoscaler that has nothing to count": (
        {"server": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
        "server.resources.requests.cpu: server.autoscaling counts in percent of it",
    ),
    "an autoscaler without any resources": (
        {"server": {"autoscaling": {"enabled": True}, "resources": None}},
        "server.resources.requests.cpu: server.autoscaling",
    ),
    "an autoscaler upside down": (
        {"server": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "server.autoscaling: minReplicas is above maxReplicas",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_is_refused_with_its_place(case: str) -> None:
    values, message = BAD[case]

    assert message in refusal({**BASE, **values})


def test_the_defaults_alone_are_refused_since_nothing_gives_a_credential() -> None:
    assert "centralSecret: choose" in refusal({})


def test_a_refusal_does_not_repeat_the_token() -> None:
    token = "ghp_" + "canary" * 6
    create = {"enabled": True, "username": "", "token": token}

    assert token not in refusal({"centralSecret": {"create": create}})


GOOD: dict[str, dict[str, Any]] = {
    **{
        f"a server of {memory!r} of memory": {"server": {"resources": {"limits": {"memory": memory}}}}
        for memory in (256 << 20, "268435456", "223Mi", "228352Ki", "234M", "0.25Gi", "3e8", "1T", "300000000000m")
    },
    "globals of a parent chart": {"global": {"anything": 1}},
    "patterns of every form": {"images": {"include": ["GHCR.io:443/a", "[::1]:5000/x", "localhost/x", "*.pkg.dev/*"]}},
    "a percentage": {"server": {"podDisruptionBudget": {"maxUnavailable": "50%"}}},
    "no limit of requests": {"controller": {"qps": 0}},
    "a core kind": {
        "extraWorkloadKinds": [{"group": "", "version": "v1", "resource": "podtemplates", "podTemplate": "/template"}]
    },
    "no extra kinds": {"extraWorkloadKinds": []},
    "a kind with several templates": {
        "extraWorkloadKinds": [{**BARE_KIND, "podTemplates": ["/spec/a", "/spec/b[]", "/spec/c[]/d/e", "/spec/f/*/g"]}]
    },
    "a kind with one template in a list": {"extraWorkloadKinds": [{**KIND, "podTemplate": "/spec/groups[]/template"}]},
    "no pull secret of our own": {"imagePullSecrets": []},
    "just enough time to stop in": {"server": {"shutdownDelaySeconds": 20, "terminationGracePeriodSeconds": 55}},
    "an API of one's own": {"credentialCheck": {"apiUrl": "https://[::1]:8443/api/v3"}},
    "no API": {"credentialCheck": {"apiUrl": "none"}},
    "a day for Prometheus": {"monitoring": {"serviceMonitor": {"interval": "1d"}}},
    "a fraction for Go": {"certManager": {"enabled": True, "duration": "1.5h", "renewBefore": "89m59s"}},
    "an autoscaler that counts in percent of a limit": {
        "server": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}, "limits": {"cpu": 1}}}
    },
    "no test in an excluded namespace": {"tests": {"enabled": False, "namespace": "kube-system"}},
    "a full affinity": {
        "server": {
            "affinity": {
                "nodeAffinity": {
                    REQUIRED: {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [{"key": "a.io/b", "operator": "In", "values": ["c"]}],
                                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node"]}],
                            }
                        ]
                    }
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 1,
                            "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {"a": ""}},
                                "namespaceSelector": {},
                            },
                        }
                    ]
                },
            }
        }
    },
    "quantities of every form": {
        "server": {
            "resources": {"requests": {"cpu": 0.5, "memory": "1e9", "example.com/nic": 1, "hugepages-2Mi": "2Mi"}}
        }
    },
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_value_is_accepted(case: str) -> None:
    assert helm.render({**BASE, **GOOD[case]})


def test_the_chart_lints_without_a_word() -> None:
    report = helm_python.lint(helm.CHART, BASE, strict=True)

    assert report["errors"] == []
    assert report["messages"] == []


def paths(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


DEFAULTS: dict[str, Any] = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))
MAY_GO = {
    "resources",
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "grafana_dashboard",
    "admissions.enforcer/disabled",
    "sidecar.istio.io/inject",
}


@pytest.mark.parametrize("path", list(paths(DEFAULTS)), ids="/".join)
def test_a_value_that_is_taken_away_is_a_sentence_unless_nothing_hangs_on_it(path: tuple[str, ...]) -> None:
    # `null` takes a default away; of what an upgrade with the values of an older release lacks the same is said.
    values: Any = None
    for key in reversed(path):
        values = {key: values}
    if path[0] != "centralSecret":
        values |= BASE

    if MAY_GO & set(path):
        assert helm.render(values)
    else:
        assert re.search(rf"missing propert(y|ies) .*'{path[-1]}'", refusal(values))


def test_a_condition_of_a_chart_above_this_one_is_taken() -> None:
    assert helm.render({**BASE, "enabled": True, "global": {"a": 1}})


def test_a_cluster_older_than_matchconditions_is_refused() -> None:
    metadata = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert metadata["kubeVersion"] == ">=1.30.0-0"


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
    return found


def objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "properties" in node and node.get("type") == "object":
            yield path, node
        for key, value in node.items():
            yield from objects(value, f"{path}/{key}")


def test_every_level_of_ours_refuses_what_it_does_not_know() -> None:
    found = dict(objects(schema()))

    assert len(found) > 20
    assert [path for path, node in found.items() if node.get("additionalProperties") is not False] == []


def loose(node: Any, path: str = "") -> Iterator[str]:
    """What takes objects of any form, or lists of anything."""
    if isinstance(node, dict):
        types = node.get("type", [])
        if "object" in types and "additionalProperties" not in node:
            yield path
        if "array" in types and "items" not in node:
            yield path
        for key, value in node.items():
            yield from loose(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from loose(value, f"{path}/{index}")


def test_nothing_is_taken_as_it_comes_but_what_is_not_ours_to_know() -> None:
    assert list(loose(schema())) == ["/properties/global", "/properties/extraObjects/items"]


def test_types_of_kubernetes_have_its_own_fields() -> None:
    """A field that the newest does not know is misspelt; one that the oldest knows may be wanted."""
    ours = schema()["$defs"]
    named = {node["$comment"]: node for node in ours.values() if "$comment" in node}
    oldest, newest = (
        kubernetes_validate.utils.schema_contents(f"kubernetes-json-schema/v{version}.0-local/_definitions.json", "")
        for version in (OLDEST, NEWEST)
    )

    def fields(node: dict[str, Any], of: dict[str, Any], path: str = "") -> dict[str, set[str]]:
        while "$ref" in node:
            node = of[node["$ref"].rpartition("/")[2]]
        found: dict[str, set[str]] = {}
        if "properties" in node:
            found[path] = set(node["properties"])
            for name, each in node["properties"].items():
                found |= fields(each, of, f"{path}/{name}")
        elif "items" in node:
            found |= fields(node["items"], of, f"{path}[]")
        return found

    assert len(named) == 10
    for name, node in named.items():
        mine = fields(node, ours)
        old, new = (fields(each["$defs"][name], each["$defs"]) for each in (oldest, newest))
        for path, names in mine.items():
            assert names <= new[path], f"{name}{path}"
            if (name, path) != ("io.k8s.api.core.v1.Volume", ""):
                assert old[path] <= names, f"{name}{path}"
    # Of volumes, what the Pod Security Standard "restricted" allows; an `ephemeral` one would outlive nothing here.
    assert set(named["io.k8s.api.core.v1.Volume"]["properties"]) == {
        "name", "configMap", "csi", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"
    }  # fmt: skip


def test_the_schema_and_the_values_name_the_same_things() -> None:
    def compare(values: dict[str, Any], node: dict[str, Any], path: str) -> None:
        if "$ref" in node:
            node = schema()["$defs"][node["$ref"].rpartition("/")[2]]
        if "properties" not in node or "$comment" in node:
            return
        # What Helm and a chart above this one may say at the top, and nobody here reads.
        unread = {"global", "enabled"} if path == "" else set()
        assert set(values) == set(node["properties"]) - unread, path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, node["properties"][key], f"{path}/{key}")

    compare(yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8")), schema(), "")
