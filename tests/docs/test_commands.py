"""Every command of docs/ is run on a control plane, with Helm and kubectl, or says that no test can run it."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs import commands
from tests.docs.pages import BY_HAND, NEW_TOKEN, PAGES, SHELL, WITH_OPERATOR, install, play, run, runnable, serve
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.operator import CRD, external_secret_manifest, plays_operator
from tests.e2e.machinery.release import Release, bare_cluster
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY, RELEASE_NAMESPACE, payload, workload
from webhook.core.causes import Cause

CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


def label(block: commands.Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.fixture
def cluster() -> Iterator[Release]:
    with bare_cluster() as release:
        yield release


@pytest.fixture
def installed(cluster: Release) -> Release:
    return install(cluster)


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


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            where = (page.parent / path).resolve() if path else page
            assert where.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", where.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
