"""What the chart starts is what the command line takes: flags, settings, and the scripts of its hooks."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import helm_python
import pytest
from flask import Flask

from tests import helm
from tests.edges.pki import Pki
from webhook.cli import main
from webhook.config import ServeSettings
from webhook.config.controller import ControllerSettings
from webhook.core.kinds import BUILT_IN_KINDS
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Enforcement
from webhook.server.certificate import CertificateFiles
from webhook.server.limits import MIB, TooLittleMemory, derive
from webhook.server.serve import Application

BASE: dict[str, Any] = {"centralSecret": {"existing": True}}


def containers(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Arguments of each container of ours that runs the image's own entry point, by the command it names."""
    found = {}
    for manifest in [*helm.render({**BASE, **values}), *helm.hooks({**BASE, **values})]:
        if manifest["kind"] in ("Deployment", "Job"):
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                found[container["args"][0]] = container["args"][1:]
    return found


def flags(command: str, arguments: list[str]) -> dict[str, Any]:
    """Parse arguments as click does, without running the command."""
    group = click.Context(main)
    found = main.get_command(group, command)
    assert found is not None, f"there is no command {command}"
    return dict(found.make_context(command, arguments, parent=group).params)


def settings(values: Mapping[str, Any], tls_dir: str) -> ServeSettings:
    arguments = [each.replace("/tls", tls_dir) for each in containers(values)["serve"]]
    return ServeSettings.parse(flags("serve", arguments), {})


def differing(of_chart: Any, of_code: Any) -> set[str]:
    """Name the settings whose values differ; of rules, all but the patterns."""
    same = dataclasses.replace(of_chart.rules, patterns=of_code.rules.patterns)
    fields = {each.name for each in dataclasses.fields(of_chart)} - {"rules"}
    found = {name for name in fields if getattr(of_chart, name) != getattr(of_code, name)}
    return found if same == of_code.rules else found | {"rules"}


def test_the_server_takes_the_charts_defaults_as_its_own(tmp_path: Any) -> None:
    of_chart = settings({}, str(tmp_path))
    of_code = ServeSettings.parse({"namespace": "ghcr-pull-secrets", "tls_secret": of_chart.tls_secret}, {})

    assert differing(of_chart, of_code) == set()
    # The chart has the images said, and what clusters come up with left out; a command of a person looks at ghcr.io.
    assert of_code.rules.patterns == ImagePatterns(include=("ghcr.io/*",))
    assert of_chart.read_all_secrets is False


def test_the_controller_takes_the_charts_defaults_as_its_own() -> None:
    of_chart = ControllerSettings.parse(flags("controller", containers({})["controller"]), {})
    of_code = ControllerSettings.parse({"namespace": "ghcr-pull-secrets"}, {})

    # The second configuration is the chart's own; who runs the controller by hand has none unless it is named.
    assert differing(of_chart, of_code) == {"last_configuration"}


def test_every_value_about_decisions_reaches_the_server(tmp_path: Any) -> None:
    found = settings(
        {
            "images": {"include": ["ghcr.io/a/*", "ghcr.io/b/*"], "exclude": ["ghcr.io/a/public", "ghcr.io/b/public"]},
            "namespaces": {"mode": "opt-in", "excluded": ["one", "two"]},
            "enforcement": "warn",
            "unverifiable": "deny",
            "templates": "leave",
            "rbac": {"readAllSecrets": True},
            "namespaceOverride": "elsewhere",
            "logLevel": "debug",
            "extraWorkloadKinds": [
                {"group": "", "version": "v1", "resource": "podtemplates", "podTemplate": "/template"},
                {
                    "group": "apps.kruise.io",
                    "version": "v1alpha1",
                    "resource": "clonesets",
                    "podTemplate": "/spec/template",
                },
                {"group": "a.io", "version": "v1", "resource": "bags", "podTemplates": ["/a/*/b", "/c/d[]/e", "/f"]},
            ],
            "server": {"threads": 4, "shutdownDelaySeconds": 7, "ports": {"webhook": 10250, "ops": 10251}},
        },
        str(tmp_path),
    )

    assert found.rules.patterns.include == ("ghcr.io/a/*", "ghcr.io/b/*")
    assert found.rules.patterns.exclude == ("ghcr.io/a/public", "ghcr.io/b/public")
    assert (found.rules.opt_in, found.rules.excluded) == (True, frozenset({"one", "two"}))
    assert (found.rules.enforcement, found.rules.allow_unverifiable) == (Enforcement.WARN, False)
    assert found.rules.leave_templates
    assert (found.rules.release_namespace, found.read_all_secrets, found.log_level) == ("elsewhere", True, "debug")
    assert [(kind.group, kind.resource, kind.templates) for kind in found.kinds[len(BUILT_IN_KINDS) :]] == [
        ("", "podtemplates", (("template",),)),
        ("apps.kruise.io", "clonesets", (("spec", "template"),)),
        ("a.io", "bags", (("a", "*", "b"), ("c", "d", "[]", "e"), ("f",))),
    ]
    assert (found.threads, found.shutdown_delay, found.bind.port, found.ops_bind.port) == (4, 7, 10250, 10251)


@pytest.mark.parametrize("delay", [0, 10, 25])
def test_the_least_grace_period_the_chart_takes_is_the_time_the_server_takes_to_stop(delay: int, tmp_path: Any) -> None:
    least = {"server": {"shutdownDelaySeconds": delay, "terminationGracePeriodSeconds": delay + 35}}
    certificate = cast(CertificateFiles, SimpleNamespace(directory=tmp_path))
    server = Application(settings(least, str(tmp_path)), certificate, lambda _: Flask("none"))

    assert server.cfg.graceful_timeout == least["server"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "https://api.github.com/"),
        ({"apiUrl": "https://ghe.example.com/api/v3"}, "https://ghe.example.com/api/v3"),
        ({"apiUrl": "none"}, ""),
    ],
)
def test_the_controller_asks_the_api_it_is_told_of_about_the_credential(values: dict[str, Any], expected: str) -> None:
    arguments = containers({"credentialCheck": values})["controller"]

    assert ControllerSettings.parse(flags("controller", arguments), {}).credential_api_url == expected


def test_every_command_is_told_of_the_bundle_of_cas(tmp_path: Path) -> None:
    _, authority = Pki().write(tmp_path)
    of = containers({"caBundle": {"configMap": "a", "key": "b"}, "cleanup": {"onUninstall": "delete"}})

    assert set(of) == {"serve", "controller", "cleanup"}
    for command, arguments in of.items():
        given = flags(command, [each.replace("/ca-bundle/ca.crt", str(authority)) for each in arguments])
        assert given["ca_bundle"] == str(authority)
    told = [each.replace("/ca-bundle/ca.crt", str(authority)) for each in of["controller"]]
    assert ControllerSettings.parse(flags("controller", told), {}).ca_bundle is not None


LARGEST: dict[str, Any] = {
    "server": {
        "threads": 256,
        "resources": {"limits": {"memory": "463Mi"}},
        "shutdownDelaySeconds": 3600,
        "terminationGracePeriodSeconds": 3635,
    },
    "controller": {"workers": 256, "qps": 100000, "sweepIntervalSeconds": 31_536_000},
    "credentialCheck": {"intervalSeconds": 31_536_000},
}


def test_the_largest_numbers_that_the_schema_takes_the_processes_take_too(tmp_path: Any) -> None:
    found = settings(LARGEST, str(tmp_path))
    controller = ControllerSettings.parse(flags("controller", containers(LARGEST)["controller"]), {})

    assert (found.threads, found.shutdown_delay) == (256, 3600)
    assert (controller.workers, controller.qps) == (256, 100_000)
    assert (controller.sweep_interval, controller.credential_check_interval) == (31_536_000, 31_536_000)


def test_an_uninstall_waits_as_long_as_the_slowest_pod_may_take() -> None:
    values = {**LARGEST, "cleanup": {"onUninstall": "delete"}}
    job = helm.select(helm.hooks({**BASE, **values}), "Job")["spec"]
    (stop,) = job["template"]["spec"]["initContainers"]
    timeout = flags(stop["args"][0], stop["args"][1:])["timeout"]

    assert timeout > LARGEST["server"]["terminationGracePeriodSeconds"]
    assert job["activeDeadlineSeconds"] > timeout


# --- the hooks


@pytest.mark.parametrize(
    ("pattern", "image"), [("ghcr.io/*", "ghcr.io/helm-test"), ("*.PKG.dev/a-*/b", "helm-test.pkg.dev/a-helm-test/b")]
)
def test_the_helm_test_asks_for_an_image_that_is_selected(pattern: str, image: str) -> None:
    pod = helm.select(helm.hooks({**BASE, "images": {"include": [pattern]}}), "Pod")
    (container,) = pod["spec"]["containers"]
    command, *arguments = container["args"]

    given = flags(command, arguments)
    assert (given["namespace"], given["image"]) == ("default", image)


HOOKS = {
    "cleanup": {"onUninstall": "delete"},
    "commonLabels": {"team": "platform"},
    "commonAnnotations": {"note": "common"},
    "hooks": {"podLabels": {"egress": "yes"}},
}


def hook_pods(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Metadata of every Pod that a hook makes."""
    hooks = helm.hooks({**BASE, **values})
    return [
        helm.select(hooks, "Pod")["metadata"],
        helm.select(hooks, "Job")["spec"]["template"]["metadata"],
    ]


def test_the_pods_of_hooks_take_labels_and_annotations_and_no_sidecar() -> None:
    for metadata in hook_pods(HOOKS):
        assert metadata["labels"].items() >= {"team": "platform", "egress": "yes"}.items()
        assert metadata["annotations"].items() >= {"note": "common", "sidecar.istio.io/inject": "false"}.items()


def test_the_pods_of_hooks_are_let_through_to_the_api_server() -> None:
    manifests = helm.render({**BASE, "networkPolicy": {"enabled": True}})
    (policy,) = [
        each["spec"]
        for each in manifests
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"].endswith("-hooks")
    ]
    selector = policy["podSelector"]
    for metadata in hook_pods(HOOKS):
        assert metadata["labels"].items() >= selector["matchLabels"].items()
        assert metadata["labels"]["app.kubernetes.io/component"] in selector["matchExpressions"][0]["values"]
    assert "ingress" not in policy
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]][:3] == [53, 53, 443]


def test_the_helm_tests_role_goes_whether_it_passes_or_not() -> None:
    for each in helm.hooks(BASE):
        if each["metadata"]["name"].endswith("-test") and each["kind"] != "Pod":
            policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
            assert policy == "before-hook-creation,hook-succeeded,hook-failed"


def test_the_uninstall_hook_names_the_release_and_its_pods() -> None:
    job = helm.select(helm.hooks({**BASE, **HOOKS}), "Job")["spec"]["template"]["spec"]
    command, *arguments = job["initContainers"][0]["args"]
    given = flags(command, arguments)
    assert given["name"] == given["namespace"] == "ghcr-pull-secrets"
    assert given["selector"].endswith(",app.kubernetes.io/component in (server, controller)")
    assert given["timeout"] >= 60


@pytest.mark.parametrize("threads", [1, 16, 256])
def test_the_least_memory_the_chart_takes_is_the_least_the_server_takes(threads: int, tmp_path: Any) -> None:
    with pytest.raises(TooLittleMemory) as refused:
        derive(memory_bytes=0, threads=threads, body_bytes=8 * MIB)
    needed = -(-refused.value.needed // MIB)

    enough = settings(
        {"server": {"threads": threads, "resources": {"limits": {"memory": f"{needed}Mi"}}}}, str(tmp_path)
    )
    derive(memory_bytes=enough.memory_limit, threads=enough.threads, body_bytes=enough.max_body_bytes)
    with pytest.raises(helm_python.HelmError, match=f"set at least {needed}Mi"):
        helm.render({**BASE, "server": {"threads": threads, "resources": {"limits": {"memory": f"{needed - 1}Mi"}}}})


@pytest.mark.parametrize(
    ("memory", "bound"),
    [
        ("256Mi", 256 << 20),
        (256 << 20, 256 << 20),
        ("0.25Gi", 256 << 20),
        ("3e8", 300_000_000),
        ("300M", 300_000_000),
        ("1T", 10**12),
        ("300000000000m", 300_000_000),
    ],
)
def test_the_server_is_told_its_memory_limit_however_it_is_written(
    memory: str | int, bound: int, tmp_path: Any
) -> None:
    told = settings({"server": {"resources": {"limits": {"memory": memory}}}}, str(tmp_path))

    assert told.memory_limit == bound


def test_a_client_ca_is_a_file_the_server_is_told_of() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"
    manifests = helm.render({**BASE, "server": {"clientCA": pem}})

    [config] = [each for each in manifests if each["kind"] == "ConfigMap" and "client-ca" in each["metadata"]["name"]]
    assert config["data"] == {"ca.crt": f"{pem}\n"}
    pod = helm.select(manifests, "Deployment", "ghcr-pull-secrets-server")["spec"]["template"]["spec"]
    [server] = pod["containers"]
    assert "--client-ca=/client-ca/ca.crt" in server["args"]
    assert {"name": "client-ca", "mountPath": "/client-ca", "readOnly": True} in server["volumeMounts"]
    assert {"name": "client-ca", "configMap": {"name": config["metadata"]["name"]}} in pod["volumes"]
