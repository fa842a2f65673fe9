"""Every command of docs/ is run, or put through the chart, or says that no test can run it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import helm
from tests.docs import commands
from tests.e2e.installation import Installation, secret_manifest
from tests.e2e.planes import ControlPlane, control_plane
from tests.e2e.waiting import until
from tests.objects import CANARY, RELEASE_NAMESPACE

PAGES = sorted(commands.DOCS.glob("*.md"))
SHELL = [block for page in PAGES for block in commands.blocks(page) if block.info.startswith("sh")]
HELM = [block for block in SHELL if block.info == "sh helm"]
QUIET: dict[str, Any] = {"credentialCheck": {"enabled": False}}
"""No test asks a registry on the internet."""
NEW_TOKEN = "ghp_another0123456789another0123456789xyz"


def label(block: commands.Block) -> str:
    return f"{block.page}:{block.line}"


def runnable(page: str) -> list[commands.Block]:
    return [block for block in SHELL if block.page == page and block.info == "sh run"]


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    plane = control_plane()
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


@pytest.fixture
def installed(plane: ControlPlane) -> Iterator[Installation]:
    """What the pages take to be there: the release, a workload with its copy, a Secret made by hand."""
    installation = Installation(plane, QUIET, keeper={})
    try:
        installation.install()
        installation.namespace("auth")
        plane.kube("create", "deployment", "auth-api", "-n", "auth", "--image=ghcr.io/sesacthon/auth-api:latest")
        plane.kube.apply(secret_manifest(installation.namespace("by-hand")))
        yield installation
    finally:
        installation.uninstall()


def play(page: str, plane: ControlPlane) -> str:
    """Run the blocks of a page in order; whoever asks for a token is given one."""
    path = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
    return "\n".join(
        commands.run(path + block.text, plane.kube.kubeconfig, stdin=f"{NEW_TOKEN}\n") for block in runnable(page)
    )


@pytest.mark.parametrize("block", SHELL, ids=label)
def test_every_block_says_what_a_test_does_with_it(block: commands.Block) -> None:
    assert block.info in ("sh run", "sh helm", "sh not-run")
    assert block.text.strip()


def test_no_page_has_shell_commands_under_another_name() -> None:
    infos = {block.info for page in PAGES for block in commands.blocks(page)}

    assert infos <= {"sh run", "sh helm", "sh not-run", "yaml", "text"}


def test_every_page_with_commands_to_run_is_played() -> None:
    # The migration is played by tests/e2e/test_migration.py.
    assert {block.page for block in SHELL if block.info == "sh run"} == {
        "argocd.md", "install.md", "migrate-from-externalsecrets.md", "operations.md", "security.md"
    }  # fmt: skip


@pytest.mark.parametrize("block", HELM, ids=label)
def test_the_chart_takes_what_a_helm_command_sets(block: commands.Block) -> None:
    command = commands.helm_command(block.text)
    base: dict[str, Any] = {"centralSecret": {"existing": True}} if "--reuse-values" in command.flags else {}

    assert command.verb in ("install", "upgrade")
    assert command.positional == ("ghcr-pull-secrets", "oci://ghcr.io/sesacthon/charts/ghcr-pull-secrets")
    assert command.flags["--namespace"] == RELEASE_NAMESPACE
    assert command.flags.get("--version", chart_version()) == chart_version()
    assert helm.render({**base, **command.values})


def chart_version() -> str:
    version: str = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    return version


def test_a_value_the_chart_does_not_know_would_be_noticed() -> None:
    values = commands.helm_command("helm install x y --set centralSecret.existing=true --set enforcment=warn").values

    with pytest.raises(Exception, match="enforcment"):
        helm.render(values)


def test_a_flag_helm_might_not_know_would_be_noticed() -> None:
    with pytest.raises(ValueError, match="--atomc"):
        commands.helm_command("helm upgrade x y --atomc")


def test_the_commands_of_the_installation_work(plane: ControlPlane) -> None:
    blocks = runnable("install.md")
    values = commands.helm_command(next(block.text for block in HELM if block.page == "install.md")).values
    commands.run(blocks[0].text, plane.kube.kubeconfig, stdin=f"{CANARY}\n")
    installation = Installation(plane, {**values, **QUIET}, central=None, keeper={})
    try:
        installation.install()
        said = [commands.run(block.text, plane.kube.kubeconfig) for block in blocks[1:]]
        assert "ghcr-secret" in said[1]
        assert CANARY in installation.payload_of("auth").decode()
        restarted = plane.kube.get("deployment", "auth-api", "auth")["spec"]["template"]
        assert "kubectl.kubernetes.io/restartedAt" in restarted["metadata"]["annotations"]
        assert restarted["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    finally:
        installation.uninstall()


def certificate(plane: ControlPlane) -> str:
    """The uid of the certificate's Secret."""
    secret = plane.kube.get("secret", "ghcr-pull-secrets-webhook-tls", RELEASE_NAMESPACE)
    return str(secret["metadata"]["uid"])


def test_the_commands_of_the_operations_work(installed: Installation, plane: ControlPlane) -> None:
    before = certificate(plane)

    said = play("operations.md", plane)

    assert NEW_TOKEN in installed.payload_of("auth").decode()
    assert NEW_TOKEN in installed.payload_of("by-hand").decode()
    until(lambda: certificate(plane) != before, "the next certificate is there")
    assert "2 to remove, 1 left; nothing was changed" in said
    assert not plane.kube.exists("mutatingwebhookconfiguration", "ghcr-pull-secrets")
    assert NEW_TOKEN not in said


def test_the_commands_of_the_security_page_show_what_it_says(installed: Installation, plane: ControlPlane) -> None:
    printed = play("security.md", plane)
    said = printed.splitlines()

    assert said[:3] == ["yes", "no", "as it should be"]
    for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
        for name in ("secrets", "registration"):
            assert f"{kind}.admissionregistration.k8s.io/ghcr-pull-secrets-{name}" in said
    assert said.count("as it should be") == 2
    assert "ValidatingAdmissionPolicy 'ghcr-pull-secrets-secrets'" in printed


def test_the_command_of_the_argo_cd_page_shows_who_owns_the_fields(
    installed: Installation, plane: ControlPlane
) -> None:
    managers = play("argocd.md", plane).split()

    assert "helm" in managers
    assert len(managers) > 1


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            where = (page.parent / path).resolve() if path else page
            assert where.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", where.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
