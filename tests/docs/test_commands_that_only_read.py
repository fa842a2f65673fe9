"""Commands of the pages that change nothing of a release are run on one."""

import copy
from collections.abc import Iterator

import pytest

from tests.docs.pages import install, play, serve
from tests.e2e.machinery.operator import CRD
from tests.e2e.machinery.release import Release, bare_cluster

pytestmark = pytest.mark.xdist_group("docs-that-only-read")


@pytest.fixture(scope="module")
def installed() -> Iterator[Release]:
    with bare_cluster() as release:
        yield install(release)


def test_the_commands_of_the_security_page_show_what_it_says(installed: Release) -> None:
    printed = play("security.md", installed)
    said = printed.splitlines()

    assert said[:3] == ["yes", "no", "as it should be"]
    for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
        for name in ("secrets", "registration"):
            assert f"{kind}.admissionregistration.k8s.io/ghcr-pull-secrets-{name}" in said
    assert said.count("as it should be") == 3
    assert "ValidatingAdmissionPolicy 'ghcr-pull-secrets-secrets'" in printed


def test_the_commands_of_the_argo_cd_page_find_no_difference(installed: Release) -> None:
    definition = copy.deepcopy(CRD)
    definition["metadata"]["name"] = "applications.argoproj.io"
    definition["spec"] |= {
        "group": "argoproj.io",
        "names": {"kind": "Application", "plural": "applications", "singular": "application"},
    }
    definition["spec"]["versions"][0]["name"] = "v1alpha1"
    serve(installed, definition, "applications")
    installed.namespace("argocd")

    said = play("argocd.md", installed).splitlines()

    assert said[0] == "application.argoproj.io/ghcr-pull-secrets created"
    assert said[-1] == "no difference"


def test_the_commands_of_the_flux_page_find_no_difference(installed: Release) -> None:
    for group, version, kind in (
        ("source.toolkit.fluxcd.io", "v1", "OCIRepository"),
        ("helm.toolkit.fluxcd.io", "v2", "HelmRelease"),
    ):
        definition, singular = copy.deepcopy(CRD), kind.lower()
        plural = f"{singular.removesuffix('y')}ies" if singular.endswith("y") else f"{singular}s"
        definition["metadata"]["name"] = f"{plural}.{group}"
        definition["spec"] |= {"group": group, "names": {"kind": kind, "plural": plural, "singular": singular}}
        definition["spec"]["versions"][0]["name"] = version
        serve(installed, definition, plural)
    installed.namespace("flux-system")

    said = play("flux.md", installed).splitlines()

    assert said[:2] == [
        "ocirepository.source.toolkit.fluxcd.io/ghcr-pull-secrets created",
        "helmrelease.helm.toolkit.fluxcd.io/ghcr-pull-secrets created",
    ]
    assert said[-1] == "no difference"


def test_the_commands_of_the_doctor_page_find_nothing_in_a_healthy_cluster(installed: Release) -> None:
    said = play("doctor.md", installed)

    assert said.count("Nothing to fix; ") == 2
    assert "✗" not in said
    assert said.count("✓ controller") == 3


def test_the_last_of_the_mutating_configurations_is_the_one_that_the_page_on_injectors_names(
    installed: Release,
) -> None:
    assert [line.partition("/")[2] for line in play("injectors.md", installed).split()] == [
        "ghcr-pull-secrets", "zz-ghcr-pull-secrets"
    ]  # fmt: skip
