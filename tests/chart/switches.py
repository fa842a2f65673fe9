"""Every switch of the chart, and the parts of what it renders that tests look at."""

import functools
from collections.abc import Iterator
from typing import Any

from tests import helm
from tests.chart import platforms

Values = dict[str, Any]
ON: Values = {"enabled": True}
BASE: Values = {"centralSecret": {"existing": True}}
SWITCHES: dict[str, Values] = {
    "defaults": {},
    "opt-in": {"namespaces": {"mode": "opt-in", "excluded": ["a", "b"]}},
    "enforcement off": {"enforcement": "off"},
    "created secret": {"centralSecret": {"create": {**ON, "username": "octocat", "token": "t"}}},
    "external secret": {"centralSecret": {"externalSecret": {**ON, "labels": {"a": "b"}, "annotations": {"c": "d"}}}},
    "no RBAC": {"rbac": {"create": False}},
    "read all secrets": {"rbac": {"readAllSecrets": True}},
    "a role for doctor": {"rbac": {"doctorRole": {"create": True, "secrets": "all"}}},
    "no admission policy": {"admissionPolicy": {"enabled": False}},
    "no credential check": {"credentialCheck": {"enabled": False}},
    "cleanup": {"cleanup": {"onUninstall": "delete"}},
    "image by digest": {"image": {"digest": "sha256:" + "a" * 64, "pullPolicy": "Always"}},
    "no pull secrets": {"imagePullSecrets": []},
    # Each is a name to Kubernetes and something else to YAML.
    "names": {
        "nameOverride": "off",
        "fullnameOverride": "on",
        "namespaceOverride": "123",
        "certManager": {"issuerRef": {"name": "null"}},
        "tests": {"namespace": "1e3"},
        "centralSecret": {"externalSecret": {**ON, "usernameKey": "1", "tokenKey": "#2"}},
    },
    "common metadata": {"commonLabels": {"team": "platform"}, "commonAnnotations": {"owner": "platform"}},
    "autoscaling": {"server": {"autoscaling": ON}},
    "no disruption budget": {"server": {"podDisruptionBudget": {"enabled": False}}},
    "scheduling": {
        part: {
            "priorityClassName": "system-cluster-critical",
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "podLabels": {"l": "1"},
            "podAnnotations": {"a": "1"},
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        }
        for part in ("server", "controller")
    },
    "topology": {
        "server": {
            "topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
        }
    },
    "foreign service accounts": {
        part: {"serviceAccount": {"create": False, "name": "mine"}} for part in ("server", "controller")
    },
    "cert-manager": {"certManager": ON},
    "cert-manager with an issuer": {"certManager": {**ON, "issuerRef": {"kind": "ClusterIssuer", "name": "corp"}}},
    "network policy": {"networkPolicy": ON},
    "network policy, narrow": {
        "networkPolicy": {
            **ON,
            "webhookFrom": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
            "apiServerTo": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
            "metricsNamespaces": ["observability"],
        }
    },
    "monitoring": {"monitoring": {"serviceMonitor": ON, "prometheusRule": ON, "dashboard": ON}},
    "IPv6": {"bindAddress": "[::]"},
    "volumes": {
        part: {
            "extraVolumes": [
                {"name": "identity", "csi": {"driver": "csi.spiffe.io", "readOnly": True}},
                {"name": "ca", "projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}},
            ],
            "extraVolumeMounts": [
                {"name": "identity", "mountPath": "/spiffe", "readOnly": True},
                {"name": "ca", "mountPath": "/ca", "subPath": "a"},
            ],
        }
        for part in ("server", "controller", "hooks")
    },
    "no tests": {"tests": {"enabled": False}},
    "extra objects": {
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-b\n",
        ]
    },
    **{f"platform {heading}": found for heading, found in platforms.values().items()},
}


@functools.cache
def everything(switch: str) -> list[helm.Manifest]:
    values = {**BASE, **SWITCHES[switch]}
    return [*helm.render(values), *helm.hooks(values)]


def manifests(**values: Any) -> list[helm.Manifest]:
    return helm.render({**BASE, **values})


def pod_specs(found: list[helm.Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in found:
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]
        elif manifest["kind"] in ("Deployment", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def deployment(found: list[helm.Manifest], component: str) -> dict[str, Any]:
    spec: dict[str, Any] = helm.select(found, "Deployment", f"ghcr-pull-secrets-{component}")["spec"]
    return spec


def roles(found: list[helm.Manifest], component: str) -> list[dict[str, Any]]:
    return [
        rule
        for each in found
        if each["kind"] in ("Role", "ClusterRole") and each["metadata"]["name"].endswith(component)
        for rule in each["rules"]
    ]
