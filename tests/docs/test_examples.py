"""examples/: parsed, and held to what the chart reads."""

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from tests import helm
from tests.chart import crds
from tests.docs.commands import ROOT
from tests.objects import RELEASE_NAMESPACE

TERRAFORM = ROOT / "examples" / "terraform"
APPLICATION = ROOT / "examples" / "argocd" / "application.yaml"
FLUX = ROOT / "examples" / "flux" / "helmrelease.yaml"


def unquoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {unquoted(key): unquoted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [unquoted(each) for each in value]
    return value.removeprefix('"').removesuffix('"') if isinstance(value, str) else value


def blocks(kind: str) -> dict[str, dict[str, Any]]:
    """The blocks of a kind, by their last label."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(TERRAFORM.glob("*.tf")):
        with path.open(encoding="utf-8") as file:
            for block in unquoted(hcl2.load(file)).get(kind, []):
                (name, body), *_ = block.items()
                while kind == "resource" and isinstance(body, dict) and len(body) == 1 and "type" not in body:
                    (name, body), *_ = body.items()
                found[name] = body
    return found


def test_the_two_parameters_are_a_string_and_a_secure_string_with_tags() -> None:
    parameters = blocks("resource")

    assert set(parameters) == {"username", "token"}
    assert parameters["username"]["type"] == "String"
    assert parameters["token"]["type"] == "SecureString"
    assert all("tags" in parameter for parameter in parameters.values())


def test_the_token_is_sensitive_and_reaches_neither_plan_nor_state() -> None:
    variable, parameter = blocks("variable")["token"], blocks("resource")["token"]

    assert variable["sensitive"] is True
    assert variable["ephemeral"] is True
    assert "value" not in parameter
    assert "var.token" in parameter["value_wo"]
    assert "default" not in variable


def test_no_output_holds_a_value() -> None:
    outputs = blocks("output")

    assert set(outputs) == {"username_key", "token_key"}
    assert all(output["value"].strip("${}").endswith(".name") for output in outputs.values())


@pytest.mark.parametrize(("parameter", "value"), [("username", "usernameKey"), ("token", "tokenKey")])
def test_the_names_are_those_the_chart_reads_by_default(parameter: str, value: str) -> None:
    variables = blocks("variable")
    name = blocks("resource")[parameter]["name"]
    prefix = f"/{variables['project']['default']}/{variables['environment']['default']}/ghcr"
    chart = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))

    assert name.replace("${local.prefix}", prefix) == chart["centralSecret"]["externalSecret"][value]


def test_nothing_in_the_folder_holds_a_token() -> None:
    assert {path.suffix for path in TERRAFORM.iterdir()} == {".tf"}


def application(path: Path = APPLICATION) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def test_the_chart_takes_the_values_of_the_application() -> None:
    source = application()["spec"]["source"]
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    manifests = helm.render(source["helm"]["valuesObject"], namespace=application()["spec"]["destination"]["namespace"])

    assert (source["chart"], source["targetRevision"]) == (chart["name"], chart["version"])
    external_secret = helm.select(manifests, "ExternalSecret")
    assert external_secret["metadata"]["namespace"] == RELEASE_NAMESPACE
    assert external_secret["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] == "-1"


def test_the_application_syncs_and_compares_on_the_server_so_that_the_ca_bundle_is_left_alone() -> None:
    document = application()

    assert "ServerSideApply=true" in document["spec"]["syncPolicy"]["syncOptions"]
    assert document["metadata"]["annotations"]["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"
    assert "ignoreDifferences" not in document["spec"]


def test_the_application_follows_its_crd() -> None:
    assert crds.faults(application()) == []


def flux() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(FLUX.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("kind", ["OCIRepository", "HelmRelease"])
def test_the_objects_of_flux_follow_their_crds(kind: str) -> None:
    assert crds.faults(flux()[kind]) == []


def test_the_chart_takes_the_values_of_the_helm_release() -> None:
    release, repository = flux()["HelmRelease"], flux()["OCIRepository"]
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    manifests = helm.render(release["spec"]["values"], namespace=release["spec"]["targetNamespace"])

    assert release["spec"]["chartRef"] == {"kind": "OCIRepository", "name": repository["metadata"]["name"]}
    assert repository["spec"]["ref"] == {"tag": chart["version"]}
    assert repository["spec"]["url"].endswith(f"/charts/{chart['name']}")
    assert helm.select(manifests, "ExternalSecret")["metadata"]["namespace"] == RELEASE_NAMESPACE
    # Where Helm keeps the release, so that `helm` finds it there as well.
    assert release["spec"]["storageNamespace"] == release["spec"]["targetNamespace"] == RELEASE_NAMESPACE


def test_flux_takes_only_what_the_release_workflow_of_this_repository_has_signed() -> None:
    (identity,) = flux()["OCIRepository"]["spec"]["verify"]["matchOIDCIdentity"]
    workflow = "https://github.com/sesacthon/ghcr-pull-secrets/.github/workflows/release.yml@refs/tags/v"

    assert re.fullmatch(identity["issuer"], "https://token.actions.githubusercontent.com")
    assert re.fullmatch(identity["subject"], f"{workflow}1.2.3")
    assert not re.fullmatch(identity["subject"], f"{workflow}1.2.3".replace("sesacthon", "somebody"))
