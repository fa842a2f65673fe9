"""Every command of docs/ is run on a control plane, with Helm and kubectl, or says that no test can run it."""

import base64
import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs import commands
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.operator import CRD, external_secret_manifest, plays_operator
from tests.e2e.machinery.release import Release, bare_cluster
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY, RELEASE_NAMESPACE, payload, workload
from webhook.core.causes import Cause

PAGES = sorted(commands.DOCS.glob("*.md"))
SHELL = [block for page in PAGES for block in commands.blocks(page) if block.info.startswith("sh")]
NEW_TOKEN = "ghp_CANARYcanaryROTATED456canaryCANARY42"
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


def label(block: commands.Block) -> str:
    return f"{block.page}:{block.line}"


def runnable(page: str) -> list[commands.Block]:
    return [block for block in SHELL if block.page == page and block.info == "sh run"]


WITH_OPERATOR = next(block for block in runnable("install.md") if "externalSecret" in block.text)
BY_HAND = [block for block in runnable("install.md") if block != WITH_OPERATOR]


@pytest.fixture
def cluster() -> Iterator[Release]:
    with bare_cluster() as release:
        yield release


@pytest.fixture
def installed(cluster: Release) -> Release:
    """What the pages take to be there: the release as install.md makes it, two workloads with their copies, a Secret made
    by hand."""
    for block in BY_HAND[:2]:
        run(cluster, block, token=CANARY)
    until(cluster.ready, "the servers are ready", timeout_s=60)
    for name in ("auth", "given"):
        cluster.namespace(name)
        cluster.kube("create", "deployment", "auth-api", "-n", name, "--image=ghcr.io/sesacthon/auth-api:latest")
    cluster.kube.apply(secret_manifest(cluster.namespace("by-hand")))
    return cluster


def run(cluster: Release, block: commands.Block, *, token: str = NEW_TOKEN) -> str:
    """Run a block; whoever asks for a token is given one."""
    return commands.run(block.text, cluster.kube.kubeconfig, stdin=f"{token}\n")


def play(page: str, cluster: Release) -> str:
    """Run the blocks of a page in order."""
    return "\n".join(run(cluster, block) for block in runnable(page))


@pytest.mark.parametrize("block", SHELL, ids=label)
def test_every_block_says_what_a_test_does_with_it(block: commands.Block) -> None:
    assert block.info in ("sh run", "sh not-run")
    assert block.text.strip()


def test_no_page_has_shell_commands_under_another_name() -> None:
    infos = {block.info for page in PAGES for block in commands.blocks(page)}

    assert infos <= {"sh run", "sh not-run", "yaml", "text"}


def test_every_page_with_commands_to_run_is_played() -> None:
    # The migration is played by tests/e2e/test_migration.py.
    assert {block.page for block in SHELL if block.info == "sh run"} == {
        "argocd.md", "check.md", "doctor.md", "flux.md", "injectors.md", "install.md", "migrate-from-externalsecrets.md",
        "operations.md", "security.md", "troubleshooting.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (
            "helm install x charts/ghcr-pull-secrets --set centralSecret.existing=true --set enforcment=warn",
            "enforcment",
        ),
        ("helm upgrade x charts/ghcr-pull-secrets --atomc", "--atomc"),
        ("helm install x oci://ghcr.io/somebody/else", "no chart oci://ghcr.io/somebody/else"),
        ("helm install x charts/ghcr-pull-secrets --version 9.9.9", "no version 9.9.9"),
    ],
)
def test_a_command_that_helm_would_refuse_is_refused(cluster: Release, command: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        commands.run(command, cluster.kube.kubeconfig)


def test_the_commands_of_the_installation_work(cluster: Release) -> None:
    for block in BY_HAND[:2]:
        run(cluster, block, token=CANARY)
    until(cluster.ready, "the servers are ready", timeout_s=60)

    said = "\n".join(run(cluster, block) for block in BY_HAND[2:])

    assert '[{"name":"ghcr-secret"}]' in said
    assert CANARY in cluster.payload_of("auth").decode()
    restarted = cluster.kube.get("deployment", "auth-api", "auth")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in restarted["metadata"]["annotations"]
    assert restarted["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    assert [each.name for each in cluster.node.sandboxes.values() if each.name.endswith("-test")]
    assert cluster.helm.get_values("ghcr-pull-secrets")["images"] == {"include": ["ghcr.io/sesacthon/*"]}


def test_the_installation_with_the_operator_works(cluster: Release) -> None:
    serve(cluster, CRD, "externalsecrets")

    run(cluster, WITH_OPERATOR)
    plays_operator(cluster, RELEASE_NAMESPACE, payload())

    until(cluster.ready, "the servers are ready", timeout_s=60)
    namespace = cluster.namespace("auth")
    cluster.kube("create", "deployment", "auth-api", "-n", namespace, "--image=ghcr.io/sesacthon/auth-api:latest")
    assert cluster.payload_of(namespace) == payload()


def serve(cluster: Release, definition: dict[str, Any], plural: str) -> None:
    """Have the API server know a kind that others bring."""
    cluster.kube.apply(definition)
    until(lambda: cluster.kube("get", plural, "-A", ok=None).code == 0, f"{plural} are served")


def certificate(cluster: Release) -> str:
    """The uid of the certificate's Secret."""
    secret = cluster.kube.get("secret", "ghcr-pull-secrets-webhook-tls", RELEASE_NAMESPACE)
    return str(secret["metadata"]["uid"])


def test_the_commands_of_the_operations_work(installed: Release) -> None:
    kube, before, said = installed.kube, certificate(installed), []
    blocks = runnable("operations.md")
    of_helm = [block for block in blocks if block.text.startswith("helm ")]
    assert [block.text.split()[1] for block in of_helm] == ["upgrade", "upgrade", "rollback", "uninstall", "uninstall"]
    let_in, upgrade, _, uninstall, _ = of_helm
    serve(installed, CRD, "externalsecrets")
    kube.apply(external_secret_manifest(RELEASE_NAMESPACE))

    for block in blocks:
        said.append(run(installed, block))
        if block == let_in:
            for kind in CONFIGURATIONS:
                policies = {each["failurePolicy"] for each in kube.get(kind, "ghcr-pull-secrets")["webhooks"]}
                assert policies == {"Ignore"}
        elif "delete mutatingwebhookconfigurations" in block.text:
            assert not any(kube.exists(kind, "ghcr-pull-secrets") for kind in CONFIGURATIONS)
        elif "delete secret ghcr-pull-secrets-webhook-tls" in block.text:
            until(lambda: certificate(installed) != before, "the next certificate is there")
        elif block == upgrade:
            # It has made the configurations again, and the controller has filled in `caBundle`.
            for kind in CONFIGURATIONS:
                until(lambda kind=kind: trusted(installed, kind), f"{kind} has its caBundle")  # type: ignore[misc]
        elif block == uninstall:
            assert not any(kube.exists(kind, "ghcr-pull-secrets") for kind in CONFIGURATIONS)

    assert NEW_TOKEN in installed.payload_of("auth").decode()
    assert NEW_TOKEN in installed.payload_of("by-hand").decode()
    assert "2 to remove, 2 left; nothing was changed" in "\n".join(said)
    until(lambda: not kube.exists("namespace", RELEASE_NAMESPACE), "the release namespace is gone", timeout_s=60)
    assert NEW_TOKEN not in "\n".join(said)


def trusted(cluster: Release, kind: str) -> bool:
    webhooks = cluster.kube.get(kind, "ghcr-pull-secrets")["webhooks"]
    return all(each["clientConfig"].get("caBundle") for each in webhooks)


def test_the_commands_of_the_security_page_show_what_it_says(installed: Release) -> None:
    printed = play("security.md", installed)
    said = printed.splitlines()

    assert said[:3] == ["yes", "no", "as it should be"]
    for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
        for name in ("secrets", "registration"):
            assert f"{kind}.admissionregistration.k8s.io/ghcr-pull-secrets-{name}" in said
    assert said.count("as it should be") == 3
    assert "ValidatingAdmissionPolicy 'ghcr-pull-secrets-secrets'" in printed


def test_the_commands_of_the_troubleshooting_page_fix_what_they_are_for(installed: Release) -> None:
    kube = installed.kube
    serve(installed, CRD, "externalsecrets")
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder", "namespace": "auth"}})
    faults: dict[str, dict[str, Any]] = {
        "wrong-type": {"type": "Opaque", "data": {}},
        "malformed": {"data": {".dockerconfigjson": base64.b64encode(b'{"auths": 1}').decode()}},
    }
    for name, changes in faults.items():
        installed.namespace(name, labels={"ghcr-pull-secrets.io/enforce": "off"})
        kube.apply(secret_manifest(name) | changes)
        kube.apply(workload("Pod", name="waits", namespace=name, secrets=["ghcr-secret"]))
    kube.apply(external_secret_manifest(installed.namespace("legacy")))

    play("troubleshooting.md", installed)

    central = installed.payload_of(RELEASE_NAMESPACE)
    for name in ("auth", "by-hand", "wrong-type", "malformed"):
        until(lambda name=name: installed.payload_of(name) == central, f"{name} has a copy")  # type: ignore[misc]
    assert kube.get("secret", "corp-pull", "auth")["type"] == "kubernetes.io/dockerconfigjson"
    assert kube.get("serviceaccount", "builder", "auth")["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    assert "force-sync" in kube.get("externalsecret", "ghcr-secret", "legacy")["metadata"]["annotations"]
    template = kube.get("deployment", "auth-api", "auth")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert template["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_the_troubleshooting_page_has_a_paragraph_for_each_cause_and_no_other() -> None:
    text = (commands.DOCS / "troubleshooting.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^### (.+)$", text, re.MULTILINE)) == sorted(Cause)
    for paragraph in text.split("\n### ")[1:]:
        assert "**What you see:**" in paragraph, paragraph
        assert "**What helps:**" in paragraph, paragraph


OUTSIDE = {Cause.TOO_LARGE, Cause.REGISTRY_MIRROR, Cause.REGISTRY_FAILING, Cause.PULLED}
"""Causes whose remedy is no command: an entry that nobody needs, a node's own files, waiting, an application's logs."""


def not_run(page: str) -> list[str]:
    """Name the paragraphs of a page whose remedy no test runs: neither its own block, nor that of the section it leads to."""
    found = []
    above = False
    for paragraph in page.split("\n### ")[1:]:
        name, _, rest = paragraph.partition("\n")
        remedy = rest.split("\n## ")[0].partition("**What helps:**")[2]
        led = any(
            section(target, anchor) for target, anchor in re.findall(r"\]\((\w[\w-]*\.md)(?:#([\w-]+))?\)", remedy)
        )
        runs = RUN in rest or led or (above and "as above" in remedy)
        if not runs:
            found.append(name)
        above = runs
    return found


RUN = "\n```sh run\n"


def section(page: str, anchor: str) -> bool:
    """Tell whether what a link leads to has commands that a test runs."""
    text = (commands.DOCS / page).read_text(encoding="utf-8")
    if not anchor:
        return RUN in text
    for each in re.split(r"\n(?=##+ )", text)[1:]:
        heading = re.sub(r"[^a-z0-9 -]", "", each.partition("\n")[0].lstrip("# ").lower()).replace(" ", "-")
        if heading == anchor:
            return RUN in each
    raise AssertionError(f"{page} has no section {anchor}")


def test_every_remedy_of_the_troubleshooting_page_is_run() -> None:
    text = (commands.DOCS / "troubleshooting.md").read_text(encoding="utf-8")

    assert set(not_run(text)) == OUTSIDE
    for cause in OUTSIDE - {Cause.PULLED}:
        assert "```" not in text.split(f"\n### {cause}\n")[1].split("\n### ")[0]


def test_a_remedy_that_nobody_runs_is_noticed() -> None:
    ran, linked, bare = (
        f"\n### {name}\n**What helps:** {text}\n"
        for name, text in (
            ("ran", f"this:\n{RUN}x\n```"),
            ("linked", "[that](operations.md#rotate-the-token)."),
            ("bare", "see kubectl get pods, as above."),
        )
    )
    assert not_run(f"{ran}{linked}") == []
    assert not_run(f"{bare}{ran}") == ["bare"]
    with pytest.raises(AssertionError, match="no section nowhere"):
        not_run(linked.replace("rotate-the-token", "nowhere"))


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


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            where = (page.parent / path).resolve() if path else page
            assert where.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", where.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
