"""`ghcr-pull-secrets cleanup` on the stand-in, with the permissions the chart's hook has."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from standin import ApiServer, Match
from tests.edges.accounts import account
from tests.objects import CANARY, payload
from webhook.cli import main
from webhook.core.names import MANAGED_BY_LABEL, MANAGED_BY_VALUE, SECRET_NAME, SECRET_TYPE

NAMESPACE = "ghcr"
RULES = [
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET_NAME], "verbs": ["get", "list", "delete"]}
]
OURS = {"labels": {MANAGED_BY_LABEL: MANAGED_BY_VALUE}}
OWNER = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "e", "uid": "u"}


class Stage:
    """A cluster with two copies, and three Secrets that are none."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.kubeconfig = api.kubeconfig_file(account(api, "cleanup", RULES))
        self.secret(NAMESPACE)
        self.secret("auth", **OURS)
        self.secret("my", **OURS)
        self.secret("scan")
        self.secret("chat", **OURS, ownerReferences=[OWNER])

    def secret(self, namespace: str, **metadata: Any) -> None:
        self.api.load(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": SECRET_NAME, "namespace": namespace, **metadata},
                    "type": SECRET_TYPE,
                    "data": {".dockerconfigjson": base64.b64encode(payload()).decode()},
                },
            ]
        )

    def namespaces(self) -> list[str]:
        """Where there is a `ghcr-secret`."""
        return [found["metadata"]["namespace"] for found in self.api.admin.list("secrets")]

    def run(self, *flags: str, answer: str | None = None) -> Result:
        arguments = ["cleanup", "--namespace", NAMESPACE, "--kubeconfig", self.kubeconfig, *flags]
        result = CliRunner().invoke(main, arguments, input=answer)
        assert CANARY not in result.output
        return result


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ApiServer(admission=None, controllers=None) as api:
        yield Stage(api)


EVERYWHERE = ["auth", "chat", "ghcr", "my", "scan"]
LEFT = [
    "chat: left, not ours: it has an owner, such as an ExternalSecret",
    "ghcr: left, the central secret is no copy",
    "scan: left, not ours: made by hand or by another tool, or its managed-by label was taken off",
]


def test_every_copy_of_ours_goes_and_what_is_left_is_said(stage: Stage) -> None:
    result = stage.run("--yes")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [*LEFT, "auth: removed", "my: removed", "2 removed, 3 left, 0 remain"]
    assert stage.namespaces() == ["chat", "ghcr", "scan"]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(stage: Stage) -> None:
    result = stage.run("--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *LEFT,
        "would remove auth/ghcr-secret",
        "would remove my/ghcr-secret",
        "2 to remove, 3 left; nothing was changed",
    ]
    assert stage.namespaces() == EVERYWHERE


def test_a_central_secret_that_bears_our_label_is_left_too(stage: Stage) -> None:
    stage.api.admin.patch("secrets", NAMESPACE, SECRET_NAME, {"metadata": OURS})
    assert stage.run("--yes").exit_code == 0
    assert NAMESPACE in stage.namespaces()


def test_it_asks_first(stage: Stage) -> None:
    assert stage.run(answer="n\n").exit_code == 1
    assert stage.run(answer="").exit_code == 1
    assert stage.namespaces() == EVERYWHERE
    assert stage.run(answer="y\n").exit_code == 0
    assert stage.namespaces() == ["chat", "ghcr", "scan"]


def test_where_there_is_none_there_is_nothing_to_ask(stage: Stage) -> None:
    stage.run("--yes")
    result = stage.run()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "0 removed, 3 left, 0 remain"


@pytest.mark.slow
def test_more_copies_than_a_page_go_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(700):
        stage.secret(f"n{index}", **OURS)
    result = stage.run("--yes")
    assert result.stdout.splitlines()[-1] == "702 removed, 3 left, 0 remain"


def test_a_busy_api_server_is_asked_again(stage: Stage) -> None:
    stage.api.faults.add(match=Match(verb="delete"), status=429, retry_after=0, times=1)
    assert stage.run("--yes").exit_code == 0
    assert stage.namespaces() == ["chat", "ghcr", "scan"]


def test_what_could_not_be_deleted_is_said_and_the_exit_code_is_1(stage: Stage) -> None:
    stage.api.faults.add(match=Match(verb="delete", namespace="auth"), status=403, reason="Forbidden")
    result = stage.run("--yes")
    assert result.exit_code == 1
    assert "auth: left, could not be deleted (the API server forbids it" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 removed, 3 left, 1 remain"


def test_copies_that_come_back_are_said_and_the_exit_code_is_1(stage: Stage) -> None:
    lists = 0

    def restored(info: Any) -> bool:
        # As a controller that still runs would: the copy is there again before the second look.
        nonlocal lists
        lists += info.verb == "list"
        if lists == 2:
            lists += 1
            stage.secret("my", **OURS)
        return False

    stage.api.faults.add(match=restored, status=500)
    result = stage.run("--yes")
    assert result.exit_code == 1
    assert "my: came back at once" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 removed, 3 left, 1 remain"


def test_an_api_server_that_cannot_be_asked_ends_in_words(stage: Stage) -> None:
    stage.api.faults.add(match=Match(verb="list"), status=503)
    result = stage.run("--yes")
    assert result.exit_code == 1
    assert result.stderr.startswith("list secrets")


def test_a_wrong_command_line_ends_with_2(stage: Stage) -> None:
    result = CliRunner().invoke(main, ["cleanup", "--namespace", "A_b", "--kubeconfig", "none"])
    assert result.exit_code == 2
    assert {line.partition(":")[0] for line in result.stderr.splitlines()} == {"--namespace", "--kubeconfig"}
    assert CliRunner().invoke(main, ["cleanup", "--namespace", NAMESPACE]).exit_code == 2


# --- which cluster


def test_the_cluster_is_that_of_kubeconfig_and_context_as_for_kubectl(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    document = yaml.safe_load(Path(stage.kubeconfig).read_text())
    (context,) = document["contexts"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(
        yaml.safe_dump(
            {
                "current-context": "elsewhere",
                "clusters": [{"name": "elsewhere", "cluster": {"server": "https://127.0.0.1:1"}}],
                "contexts": [
                    {"name": "elsewhere", "context": {"cluster": "elsewhere", "user": ""}},
                    {"name": "here", "context": {**context["context"], "namespace": NAMESPACE}},
                ],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", f"{elsewhere}:{tmp_path / 'none'}:{stage.kubeconfig}")
    runner = CliRunner()

    # The first file's context is current, and nobody answers there.
    unreachable = runner.invoke(main, ["cleanup", "-n", NAMESPACE, "--dry-run"])
    assert (unreachable.exit_code, unreachable.stderr.partition(":")[0]) == (1, "list secrets")
    # This one's user and cluster are the last file's. It has a namespace, so that nobody needs to say it.
    chosen = runner.invoke(main, ["cleanup", "--context", "here", "--dry-run"])
    assert chosen.exit_code == 0
    assert chosen.stdout.splitlines()[-1] == "2 to remove, 3 left; nothing was changed"
    assert "ghcr: left, the central secret is no copy" in chosen.stdout
    # -n goes before the context's.
    other = runner.invoke(main, ["cleanup", "--context", "here", "-n", "auth", "--dry-run"])
    assert "auth: left, the central secret is no copy" in other.stdout
    # Who is asked is told of which cluster.
    asked = runner.invoke(main, ["cleanup", "--context", "here"], input="n\n")
    assert "Remove 2 copies (context here)?" in asked.stdout
    assert stage.namespaces() == EVERYWHERE


def test_a_context_that_is_not_there_and_a_namespace_that_nobody_says_end_with_2(stage: Stage, tmp_path: Path) -> None:
    runner = CliRunner()

    unknown = runner.invoke(main, ["cleanup", "--kubeconfig", stage.kubeconfig, "--context", "x", "-n", NAMESPACE])
    assert unknown.exit_code == 2
    assert "there is not a context of that name (there are: " in unknown.stderr
    document = yaml.safe_load(Path(stage.kubeconfig).read_text())
    del document["contexts"][0]["context"]["namespace"]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    nobody = runner.invoke(main, ["cleanup", "--kubeconfig", str(tmp_path / "kubeconfig")])
    assert nobody.exit_code == 2
    assert nobody.stderr.startswith("--namespace: is required (flag, ")


def test_without_any_kubeconfig_and_outside_a_cluster_it_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["cleanup", "-n", NAMESPACE])

    assert result.exit_code == 2
    assert f"{tmp_path}/.kube/config: there is no such file, and this is no Pod" in result.stderr
