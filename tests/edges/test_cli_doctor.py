"""`ghcr-pull-secrets doctor` on the stand-in."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from standin import ApiServer, Match
from tests.doctor.builders import NAME
from tests.doctor.cluster import copied, load, obj, release
from tests.edges.accounts import account
from tests.edges.cluster_script import scripted
from tests.edges.internet import HttpsWorld, Internet
from tests.objects import CANARY, CANARY_PREFIX, RELEASE_NAMESPACE, workload
from tests.services.contracts.registry import GOOD, UNTIL
from webhook.cli import main
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb

LEASES = "leases.coordination.k8s.io"
IMAGE = "ghcr.io/sesacthon/my-api:1"


def waiting_pod(namespace: str, owner: str = "ReplicaSet") -> dict[str, Any]:
    """A Pod that lists our Secret and was not given a credential."""
    pod = workload("Pod", name=f"{namespace}-api-x", namespace=namespace, images=[IMAGE], secrets=["ghcr-secret"])
    pod["metadata"]["labels"] = {}
    reason = "ErrImagePull"
    message = (
        f'failed to pull and unpack image "{IMAGE}": failed to resolve reference: failed to authorize: failed to fetch '
        "anonymous token: unexpected status: 401 Unauthorized"
    )
    pod["status"] = {
        "phase": "Pending",
        "startTime": (datetime.now(UTC) - timedelta(days=3, hours=1))
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
        "containerStatuses": [
            {
                "name": "c0",
                "image": IMAGE,
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            }
        ],
    }
    return pod


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(admission=None, controllers=None) as api:
        load(api, release(datetime.now(UTC)))
        yield api


def run(api: ApiServer, *flags: str, kubeconfig: str = "", answer: str | None = None) -> Result:
    arguments = ["doctor", "--kubeconfig", kubeconfig or api.kubeconfig_file(), *flags]
    result = CliRunner().invoke(main, arguments, input=answer)
    assert CANARY_PREFIX not in result.output
    return result


def test_a_healthy_cluster_ends_with_0(api: ApiServer) -> None:
    result = run(api, "-A")

    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("\n\nNothing to fix; 1 Pod with selected images looked at\n")
    assert result.stderr == ""


def test_a_healthy_cluster_of_a_thousand_namespaces_has_no_finding(api: ApiServer) -> None:
    for number in range(1000):
        name = f"n{number}"
        pod = workload("Pod", namespace=name, images=[IMAGE], secrets=["ghcr-secret"])
        api.load([obj("Namespace", name), copied(name), pod])
    result = run(api, "-A")

    assert result.exit_code == 0, result.output
    assert "  ✓ copies       1001 ours, none stale\n" in result.stdout
    assert "Nothing to fix; 1001 Pods with selected images looked at\n" in result.stdout


def test_a_pod_that_cannot_pull_is_found_in_its_namespace_and_in_all(api: ApiServer) -> None:
    load(api, [waiting_pod("my")])
    everywhere, there, elsewhere = run(api, "-A"), run(api, "-n", "my"), run(api, "-n", "auth")

    assert [each.exit_code for each in (everywhere, there, elsewhere)] == [1, 1, 0]
    for result in (everywhere, there):
        assert "Pods that cannot pull: 1 of" in result.stdout
        assert "✗ my         Pod/my-api-x     1  3d   secret_missing" in result.stdout
    assert "1 cause, 1 Pod; docs/doctor.md and docs/troubleshooting.md have a paragraph for each\n" in everywhere.stdout


def test_without_a_namespace_it_is_that_of_the_context(api: ApiServer, tmp_path: Path) -> None:
    load(api, [waiting_pod("my")])
    document = yaml.safe_load(Path(api.kubeconfig_file()).read_text())
    document["contexts"][0]["context"]["namespace"] = "my"
    mine = tmp_path / "kubeconfig"
    mine.write_text(yaml.safe_dump(document))

    assert run(api).exit_code == 0
    assert run(api, kubeconfig=str(mine)).exit_code == 1


@pytest.mark.slow
def test_on_a_terminal_it_shows_how_far_it_is_and_the_report_stays_alone(api: ApiServer) -> None:
    terminal, behind = pty.openpty()
    command = [sys.executable, "-m", "webhook", "doctor", "-A", "--kubeconfig", api.kubeconfig_file()]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=behind,
            timeout=110,
            check=True,
        )
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(behind)
        os.close(terminal)

    assert "Looking at Pods: 1" in shown
    assert done.stdout.decode().startswith("Set-up\n")
    assert "Looking" not in done.stdout.decode()


def test_programs_get_stations_and_pods(api: ApiServer) -> None:
    load(api, [waiting_pod("my")])
    document = json.loads(run(api, "-A", "--output", "json").stdout)

    assert (document["version"], document["healthy"]) == (1, False)
    assert document["pods"]["unable"] == 1
    assert document["groups"][0]["cause"] == "secret_missing"


def test_verify_ticks_off_the_way_of_a_credential(api: ApiServer) -> None:
    result = run(api, "-A", "--verify")

    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["source", "sync", "central", "copies", "pull"]


def test_who_may_list_no_pods_is_told_so_and_gets_the_rest(api: ApiServer) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ghcr-secret"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
    ]
    result = run(api, "-A", kubeconfig=api.kubeconfig_file(account(api, "poor", rules)))

    assert result.exit_code == 0
    assert "✓ central" in result.stdout
    for line in (
        "– settings     not looked at: you may not list deployments in ghcr-pull-secrets; ghcr.io/* is taken as selected",
        "– webhooks     not looked at: you may not list mutatingwebhookconfigurations",
        "– pods         not looked at: you may not list pods",
    ):
        assert line in result.stdout


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (200, "list pods: HTTP 200: what answers there is no API server (context x)\n"),
        (302, "list mutatingwebhookconfigurations: HTTP 302: the API server is not available (context x)\n"),
    ],
)
def test_what_answers_in_the_place_of_an_api_server_is_said(tmp_path: Path, code: int, said: str) -> None:
    with scripted(lambda request: request.raw(b"<html>Log in</html>", code)) as script:
        kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": script.url}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
            "current-context": "x",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
        result = CliRunner().invoke(main, ["doctor", "-A", "--kubeconfig", str(tmp_path / "config")])

    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)


@pytest.mark.parametrize("flags", [["-A"], ["-A", "--output", "json"]])
def test_a_token_that_has_ended_is_one_line_on_standard_error(api: ApiServer, flags: list[str]) -> None:
    result = run(api, *flags, kubeconfig=api.kubeconfig_file("ended"))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "list mutatingwebhookconfigurations: HTTP 401: the API server does not know who asks: a token or certificate has "
        "ended, or is another cluster's (context stand-in)\n"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-A", "-n", "my"], "--all-namespaces: does not go with --namespace\n"),
        (["-n", CANARY], "--namespace: expected the name of a namespace"),
        (["--fix"], "--fix: nobody can be asked, since standard input is no terminal; --yes does not ask\n"),
        (["--yes"], "--yes: goes with --fix only\n"),
        (["--output", "json", "--verify"], "--output: json goes with neither --fix nor --verify\n"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(api: ApiServer, flags: list[str], said: str) -> None:
    before = len(api.admin.list("secrets"))
    result = run(api, *flags)

    assert result.exit_code == 2
    assert said in result.stderr
    assert len(api.admin.list("secrets")) == before


# --- fixes


def test_fix_makes_a_copy_that_is_missing_as_the_webhook_would(api: ApiServer) -> None:
    load(api, [waiting_pod("my")])
    result = run(api, "-A", "--fix", "--yes")

    assert result.exit_code == 1
    assert result.stdout.endswith("\ndone: make Secret my/ghcr-secret from the central secret\n")
    made, like = (api.admin.get("secrets", name, "ghcr-secret") for name in ("my", "auth"))
    for part in ("labels", "annotations"):
        assert made["metadata"][part] == like["metadata"][part]
    assert made["data"] == like["data"]
    assert "secret_missing" not in run(api, "-A").stdout


def test_fix_asks_on_a_terminal_and_a_no_changes_nothing(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    load(api, [waiting_pod("my")])
    monkeypatch.setattr("webhook.cli.doctor._asks_a_person", lambda: True)
    declined = run(api, "-A", "--fix", answer="n\n")
    assert "Make Secret my/ghcr-secret from the central secret (context" in declined.stdout
    assert [each["metadata"]["namespace"] for each in api.admin.list("secrets")].count("my") == 0

    agreed = run(api, "-A", "--fix", answer="y\n")
    assert "done: make Secret my/ghcr-secret" in agreed.stdout


def owned_pod(name: str, api_version: str, kind: str, phase: str = "Pending") -> dict[str, Any]:
    """A Pod whose credential is there by now."""
    pod = waiting_pod("auth")
    pod["metadata"]["name"] = name
    if kind:
        owner = {"apiVersion": api_version, "kind": kind, "name": "auth-api", "uid": "u", "controller": True}
        pod["metadata"]["ownerReferences"] = [owner]
    pod["status"]["phase"] = phase
    return pod


def names(api: ApiServer) -> set[str]:
    return {each["metadata"]["name"] for each in api.admin.list("pods") if each["metadata"]["namespace"] == "auth"}


@pytest.mark.parametrize(
    ("api_version", "kind", "gone"),
    [
        ("apps/v1", "ReplicaSet", True),
        ("v1", "ReplicationController", True),
        ("batch/v1", "Job", False),
        ("argoproj.io/v1alpha1", "Workflow", False),
        ("example.com/v1", "ReplicaSet", False),
        ("", "", False),
    ],
)
def test_fix_deletes_all_pods_that_are_made_again_and_no_other(
    api: ApiServer, api_version: str, kind: str, gone: bool
) -> None:
    waits = [owned_pod(name, api_version, kind) for name in ("a", "b")]
    runs = owned_pod("runs", api_version, kind, "Running")
    ended = owned_pod("ended", api_version, kind, "Failed")
    load(api, [*waits, runs, ended])

    result = run(api, "-A", "--fix", "--yes")

    assert "back_off" in result.stdout
    assert names(api) == {"runs", "ended"} | (set() if gone else {"a", "b"})
    said = f"done: delete 2 of 3 Pods of {kind} auth/auth-api, to be made again\n"
    assert (said in result.stdout) == gone
    typed = "kubectl delete pod a b --namespace auth"
    assert (typed in result.stdout) == gone
    assert ("its Job counts the Pod that is deleted as failed (backoffLimit)" in result.stdout) == (kind == "Job")


def test_fix_leaves_a_pod_that_runs_by_now(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    load(api, [owned_pod(name, "apps/v1", "ReplicaSet") for name in ("a", "b", "c")])
    monkeypatch.setattr("webhook.cli.doctor._asks_a_person", lambda: True)

    def meanwhile(*_: object, **__: object) -> bool:
        api.admin.patch("pods", "auth", "a", {"status": {"phase": "Running"}}, subresource="status")
        api.admin.delete("pods", "auth", "b")
        return True

    monkeypatch.setattr("click.confirm", meanwhile)
    result = run(api, "-A", "--fix")

    assert names(api) == {"a"}
    assert result.stdout.endswith("to be made again; 2 of them are gone or have changed, and were left\n")


@pytest.mark.parametrize("which", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
def test_fix_leaves_a_pod_of_which_one_container_runs_while_another_was_never_started(
    api: ApiServer, which: str
) -> None:
    # As the kubelet has it, such a Pod is Pending.
    works, waits = (owned_pod(name, "apps/v1", "ReplicaSet") for name in ("works", "waits"))
    works["status"].setdefault(which, []).append(RUNNING)
    load(api, [works, waits])

    result = run(api, "-A", "--fix", "--yes")

    assert names(api) == {"works"}
    assert "kubectl delete pod waits --namespace auth" in result.stdout
    assert result.stdout.endswith("done: delete 1 of 2 Pods of ReplicaSet auth/auth-api, to be made again\n")


RUNNING: dict[str, Any] = {"name": "r", "image": IMAGE, "imageID": "", "ready": True, "state": {"running": {}}}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "parted from its controller": ({"metadata": {"ownerReferences": None}}, ""),
    "another's": (
        {"metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]}},
        "",
    ),
    "of which a container runs": ({"status": {"containerStatuses": [RUNNING]}}, "status"),
    "of which an init container runs": ({"status": {"initContainerStatuses": [RUNNING]}}, "status"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fix_leaves_a_pod_that_has_changed_meanwhile(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    load(api, [owned_pod("a", "apps/v1", "ReplicaSet")])
    monkeypatch.setattr("webhook.cli.doctor._asks_a_person", lambda: True)
    patch, subresource = CHANGES[change]

    def meanwhile(*_: object, **__: object) -> bool:
        api.admin.patch("pods", "auth", "a", patch, subresource=subresource)
        return True

    monkeypatch.setattr("click.confirm", meanwhile)
    result = run(api, "-A", "--fix")

    assert names(api) == {"a"}
    assert result.stdout.endswith("to be made again; 1 of them are gone or have changed, and were left\n")


def test_fix_deletes_a_pod_only_as_it_saw_it(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    load(api, [owned_pod("a", "apps/v1", "ReplicaSet")])
    request = Client.request

    def overtaken(client: Client, target: Target, *args: Any, **more: Any) -> None:
        if target.verb is Verb.DELETE:
            api.admin.patch("pods", "auth", "a", {"status": {"phase": "Running"}}, subresource="status")
        request(client, target, *args, **more)

    monkeypatch.setattr(Client, "request", overtaken)

    result = run(api, "-A", "--fix", "--yes")

    assert names(api) == {"a"}
    assert result.stdout.endswith("to be made again; 1 of them are gone or have changed, and were left\n")


def test_fix_says_how_many_pods_it_left_when_it_had_to_stop(api: ApiServer) -> None:
    load(api, [owned_pod(name, "apps/v1", "ReplicaSet") for name in ("a", "b", "c")])
    api.faults.add(match=Match(verb="delete", resource="pods", name="b"), status=403, reason="Forbidden", times=1)

    result = run(api, "-A", "--fix", "--yes")

    assert names(api) == {"b", "c"}
    assert "to be made again; 2 of them were left: the API server forbids it" in result.stdout
    assert "not done" not in result.stdout


def test_of_more_pods_than_are_deleted_at_once_the_others_are_counted(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.doctor.pods.MAX_REPLACED", 2)
    load(api, [owned_pod(name, "apps/v1", "ReplicaSet") for name in ("a", "b", "c")])

    result = run(api, "-A", "--fix", "--yes")

    assert len(names(api)) == 1
    assert "done: delete 2 of 3 Pods of ReplicaSet auth/auth-api" in result.stdout


def test_what_may_not_be_fixed_is_said(api: ApiServer) -> None:
    load(api, [waiting_pod("my")])
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    result = run(api, "-A", "--fix", "--yes", kubeconfig=api.kubeconfig_file(account(api, "reader", rules)))

    assert "not done: make Secret my/ghcr-secret from the central secret: the API server forbids it" in result.stdout


def test_where_nothing_can_be_fixed_that_is_said(api: ApiServer) -> None:
    patch = {"spec": {"holderIdentity": None}}
    api.admin.patch(LEASES, RELEASE_NAMESPACE, f"{NAME}-controller", patch)

    assert run(api, "-A", "--fix", "--yes").stdout.endswith("Nothing here can be fixed without a decision of yours.\n")


# --- the registry


def test_the_registry_is_asked_with_the_scope_of_the_images_in_use(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(api, [waiting_pod("my")])
    internet = Internet(tmp_path)
    world = HttpsWorld(internet)
    world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{internet.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    flags = ("-A", "--check-credential", "--ca-bundle", str(internet.ca_file))
    try:
        accepted = run(api, *flags).stdout
        world.hide("ghcr.io/sesacthon/my-api", GOOD)
        refused = run(api, *flags).stdout
    finally:
        internet.close()

    assert "✓ credential   ghcr.io accepts it, and lets it read the images in use (1 tried)" in accepted
    assert "✗ credential   ghcr.io accepts it, but refuses sesacthon/my-api (403)   credential_no_access" in refused


# --- how it is called


def test_help_fits_a_terminal_of_80_columns_and_has_examples() -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["doctor", "--help"])

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "  kubectl ghcr-pull-secrets doctor -A\n" in result.stdout
