"""Settings: from flags and environment, each fault reported and none of the values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.edges.pki import Pki
from webhook.config import SERVE_SETTINGS, ConfigError, ConnectionSettings, ServeSettings
from webhook.config.controller import ControllerSettings
from webhook.core.kinds import WorkloadKind
from webhook.core.scope import Enforcement

PREFIX = "GHCR_PULL_SECRETS_"


def parse(tmp_path: Path, environ: Mapping[str, str] | None = None, **flags: Any) -> ServeSettings:
    return ServeSettings.parse({"tls_dir": str(tmp_path), "namespace": "releases", **flags}, environ or {})


def faults(**flags: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        ServeSettings.parse({"tls_dir": ".", "namespace": "releases", **flags}, {})
    return dict(caught.value.faults)


def test_defaults(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    assert (str(settings.bind), str(settings.ops_bind)) == ("0.0.0.0:10250", "0.0.0.0:8080")
    assert (settings.threads, settings.max_body_bytes, settings.shutdown_delay) == (16, 8 * 2**20, 10)
    assert (settings.kubeconfig, settings.read_all_secrets) == (None, False)
    assert settings.rules.release_namespace == "releases"
    assert settings.rules.patterns.selects("GHCR.IO/a/b")
    assert (settings.rules.enforcement, settings.rules.opt_in) == (Enforcement.DENY, False)
    assert settings.rules.allow_unverifiable
    assert settings.kinds[-1] == WorkloadKind(
        group="argoproj.io", version="v1alpha1", resource="rollouts", templates=(("spec", "template"),)
    )


def test_every_flag_is_an_environment_variable_too_and_goes_before_it(tmp_path: Path) -> None:
    environ = {PREFIX + "ENFORCEMENT": "warn", PREFIX + "THREADS": "3", PREFIX + "NAMESPACE": "other"}
    settings = parse(tmp_path, environ, enforcement="off")
    assert settings.rules.enforcement is Enforcement.OFF
    assert settings.threads == 3
    assert settings.rules.release_namespace == "releases"
    assert {setting.variable for setting in SERVE_SETTINGS} >= {PREFIX + "TLS_DIR", PREFIX + "WORKLOAD_KIND"}


def test_a_ca_bundle_is_read_at_once(tmp_path: Path) -> None:
    bundle = Pki().write(tmp_path)[1]
    for settings in (
        parse(tmp_path, ca_bundle=str(bundle)),
        parse(tmp_path, {PREFIX + "CA_BUNDLE": str(bundle)}),
        ControllerSettings.parse({"namespace": "releases", "ca_bundle": str(bundle)}, {}),
        ConnectionSettings.parse({"namespace": "releases", "ca_bundle": str(bundle)}, {}),
    ):
        assert settings.ca_bundle is not None
        assert settings.ca_bundle.context().get_ca_certs()
    assert parse(tmp_path).ca_bundle is None


def test_a_ca_bundle_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert faults(ca_bundle=str(empty)) == {
        "--ca-bundle": "expected a file of PEM certificates, but there is no PEM certificate in it"
    }
    assert faults(ca_bundle=str(tmp_path / "absent")) == {"--ca-bundle": "expected a file that exists"}


def test_lists_are_separated_by_commas_in_the_environment(tmp_path: Path) -> None:
    environ = {PREFIX + "NAMESPACES_EXCLUDED": "a, b,", PREFIX + "IMAGES_EXCLUDE": "ghcr.io/a/*"}
    settings = parse(tmp_path, environ, images_include=("ghcr.io/*", "quay.io/*"))
    assert settings.rules.excluded == {"a", "b"}
    assert settings.rules.patterns.selects("quay.io/x/y")
    assert not settings.rules.patterns.selects("ghcr.io/a/b")


def test_a_variable_that_is_empty_counts_as_absent(tmp_path: Path) -> None:
    assert parse(tmp_path, {PREFIX + "THREADS": " ", PREFIX + "KUBECONFIG": ""}).threads == 16


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ServeSettings.parse({"bind": "x", "threads": "none", "log_level": "loud"}, {PREFIX + "ENFORCEMENT": "maybe"})
    assert [fault.flag for fault in caught.value.faults] == [
        "--bind",
        "--threads",
        "--namespace",
        "--enforcement",
        "--log-level",
    ]


WRONG: list[tuple[str, Any]] = [
    ("bind", "hunter2"),
    ("bind", "hunter2:70000"),
    ("bind", ":9443"),
    ("ops_bind", "0.0.0.0"),
    ("tls_dir", "hunter2"),
    ("tls_secret", "Hunter2"),
    ("tls_secret", "a" * 254),
    ("tls_cache_dir", "hunter2"),
    ("kubeconfig", "hunter2"),
    ("namespace", "Hunter2"),
    ("threads", "0"),
    ("threads", "257"),
    ("threads", "²"),
    ("max_body_bytes", "0"),
    ("max_body_bytes", "8MB"),
    ("shutdown_delay", "-1s"),
    ("shutdown_delay", "5 hours"),
    ("read_all_secrets", "hunter2"),
    ("images_include", ("ghcr.io/*", "hunter2:")),
    ("images_exclude", ("hunter2:",)),
    ("namespaces_mode", "hunter2"),
    ("namespaces_excluded", ("ok", "Hunter2")),
    ("enforcement", "hunter2"),
    ("unverifiable", "hunter2"),
    ("workload_kind", ("rollouts",)),
    ("workload_kind", ("Hunter2/v1/rollouts=/spec",)),
    ("workload_kind", ("a.io/hunter2/rollouts=/spec",)),
    ("workload_kind", ("a.io/v1/Hunter2=/spec",)),
    ("workload_kind", ("a.io/v1/rollouts=/spec//template",)),
    ("workload_kind", ("a.io/v1/rollouts=/spec/[]/template",)),
    ("workload_kind", ("a.io/v1/rollouts=/[]/template",)),
    ("workload_kind", ("a.io/v1/rollouts=/*/template",)),
    ("workload_kind", ("a.io/v1/rollouts=/spec/hunter2[]/b[]/template",)),
    ("workload_kind", ("a.io/v1/rollouts=/spec/hunter2/*/b[]",)),
    ("workload_kind", ("a.io/v1/rollouts=/spec/a[][]",)),
    ("workload_kind", ("a.io/v1/rollouts=/hunter2[]", "a.io/v1/rollouts=/hunter2[]")),
    ("log_level", "hunter2"),
    ("log_format", "hunter2"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_fault_names_the_flag_and_not_the_value(name: str, value: Any) -> None:
    [(flag, problem)] = faults(**{name: value}).items()
    assert flag == "--" + name.replace("_", "-")
    assert problem
    assert "unter2" not in problem


def test_the_faulty_one_of_several_is_counted_out() -> None:
    assert "value 2 of 2" in faults(namespaces_excluded=("ok", "No"))["--namespaces-excluded"]
    assert "pattern 2 of 2" in faults(images_include=("ghcr.io/*", ":"))["--images-include"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("shutdown_delay", "500ms", 0.5),
        ("shutdown_delay", "2m", 120),
        ("shutdown_delay", "0", 0),
        ("max_body_bytes", "3Mi", 3 * 2**20),
        ("max_body_bytes", "12", 12),
        ("memory_limit", "300M", 300 * 10**6),
        ("memory_limit", "1Gi", 2**30),
        ("bind", "[::1]:0", ("::1", 0)),
        ("read_all_secrets", "true", True),
    ],
)
def test_values_with_units(tmp_path: Path, name: str, text: str, value: Any) -> None:
    assert getattr(parse(tmp_path, None, **{name: text}), name) == value


def test_an_ipv6_address_is_spelled_with_brackets(tmp_path: Path) -> None:
    assert str(parse(tmp_path, bind="[::1]:9443").bind) == "[::1]:9443"


def test_a_kind_that_is_given_again_has_several_pod_templates(tmp_path: Path) -> None:
    given = (
        "ray.io/v1/rayclusters=/spec/headGroupSpec/template",
        "a.io/v1/things=/spec/by/*/template",
        "ray.io/v1/rayclusters=/spec/workerGroupSpecs[]/template",
        "ray.io/v1alpha1/rayclusters=/spec/bags[]",
    )
    expected = [
        ("ray.io", "v1", (("spec", "headGroupSpec", "template"), ("spec", "workerGroupSpecs", "[]", "template"))),
        ("a.io", "v1", (("spec", "by", "*", "template"),)),
        ("ray.io", "v1alpha1", (("spec", "bags", "[]"),)),
    ]
    for settings in (
        parse(tmp_path, workload_kind=given),
        parse(tmp_path, {PREFIX + "WORKLOAD_KIND": ",".join(given)}),
    ):
        assert [(kind.group, kind.version, kind.templates) for kind in settings.kinds[-3:]] == expected
    assert "twice" in faults(workload_kind=(given[0], given[0]))["--workload-kind"]


def test_a_pointer_is_unescaped(tmp_path: Path) -> None:
    settings = parse(tmp_path, workload_kind=("a.io/v1/things=/spec/a~1b/~0c",))
    assert settings.kinds[-1].templates == (("spec", "a/b", "~c"),)
