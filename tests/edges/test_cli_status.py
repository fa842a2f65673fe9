"""`ghcr-pull-secrets status` on the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from standin import ApiServer, Match
from tests.doctor.builders import NAME
from tests.doctor.cluster import load, release
from tests.edges.accounts import account
from tests.objects import CANARY, RELEASE_NAMESPACE
from webhook.cli import main
from webhook.doctor.model import Code

LEASES = "leases.coordination.k8s.io"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(admission=None, controllers=None) as api:
        load(api, release(datetime.now(UTC)))
        yield api


def run(api: ApiServer, *flags: str, kubeconfig: str = "") -> Result:
    arguments = ["status", "--kubeconfig", kubeconfig or api.kubeconfig_file(), *flags]
    result = CliRunner().invoke(main, arguments)
    assert CANARY not in result.output
    return result


def free_lease(api: ApiServer) -> None:
    api.admin.patch(LEASES, RELEASE_NAMESPACE, f"{NAME}-controller", {"spec": {"holderIdentity": None}})


def take_lease(api: ApiServer) -> None:
    api.admin.patch(LEASES, RELEASE_NAMESPACE, f"{NAME}-controller", {"spec": {"holderIdentity": "pod-2"}})


def test_a_healthy_set_up_ends_with_0(api: ApiServer) -> None:
    result = run(api)

    assert result.exit_code == 0
    assert "  ✓ copies       1 ours, none stale\n" in result.stdout
    assert "✗" not in result.stdout
    assert "Remedies" not in result.stdout


def test_a_fault_is_shown_with_what_fixes_it_and_ends_with_1(api: ApiServer) -> None:
    free_lease(api)
    result = run(api)

    assert result.exit_code == 1
    assert (
        "  ✗ controller   none leads: nobody holds the Lease ghcr-pull-secrets-controller   no_leader\n"
        in result.stdout
    )
    assert result.stdout.endswith(
        "Remedies\n  no_leader  see the controller's log\n"
        "             kubectl get lease ghcr-pull-secrets-controller --namespace ghcr-pull-secrets --output yaml\n"
    )


def test_programs_get_json_with_a_version(api: ApiServer) -> None:
    free_lease(api)
    document = json.loads(run(api, "--output", "json").stdout)
    (controller,) = [each for each in document["stations"] if each["name"] == "controller"]

    assert (document["version"], document["healthy"]) == (1, False)
    assert (controller["state"], controller["code"]) == ("fault", Code.NO_LEADER)
    assert set(controller) == {"name", "state", "text", "code", "remedy", "commands"}
    assert "groups" not in document


def test_it_waits_until_it_is_healthy_and_says_for_what(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    free_lease(api)
    monkeypatch.setattr("webhook.cli.doctor._pause", lambda _: take_lease(api))
    result = run(api, "--wait", "1m")

    assert result.exit_code == 0
    assert result.stderr == "waiting for controller: none leads: nobody holds the Lease ghcr-pull-secrets-controller\n"


@pytest.mark.slow
def test_when_the_time_is_up_it_says_what_is_wrong(api: ApiServer) -> None:
    free_lease(api)
    result = run(api, "--wait", "1500ms")

    assert result.exit_code == 1
    assert "no_leader" in result.stdout


def test_while_it_waits_an_api_server_may_be_away(api: ApiServer) -> None:
    api.faults.add(match=Match(resource="deployments.apps"), status=503, reason="ServiceUnavailable", times=1)
    result = run(api, "--wait", "1m")

    assert result.exit_code == 0
    assert result.stderr.startswith("waiting for list deployments ghcr-pull-secrets: HTTP 503")


def test_an_api_server_that_is_away_ends_with_2(api: ApiServer) -> None:
    api.faults.add(match=Match(resource="deployments.apps"), status=503, reason="ServiceUnavailable")
    result = run(api)

    assert result.exit_code == 2
    assert (
        result.stderr
        == "list deployments ghcr-pull-secrets: HTTP 503: the API server is not available (context stand-in)\n"
    )


def test_who_may_read_nothing_is_told_what_and_ends_with_2(api: ApiServer) -> None:
    stranger = api.kubeconfig_file(account(api, "stranger", []))
    result = run(api, kubeconfig=stranger)

    assert result.exit_code == 2
    assert "  – copies       not looked at: you may not list secrets\n" in result.stdout


def test_programs_are_not_told_that_what_nobody_looked_at_is_healthy(api: ApiServer) -> None:
    stranger = api.kubeconfig_file(account(api, "stranger", []))
    result = run(api, "--output", "json", kubeconfig=stranger)

    assert (result.exit_code, json.loads(result.stdout)["healthy"]) == (2, False)


def test_it_does_not_wait_where_nothing_may_be_read(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("webhook.cli.doctor._pause", pauses.append)
    result = run(api, "--wait", "1s", kubeconfig=api.kubeconfig_file(account(api, "stranger", [])))

    assert (result.exit_code, pauses) == (2, [])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--wait", "soon"], "--wait: expected a duration such as 5s, 500ms or 1m\n"),
        (["--release-namespace", CANARY], "--release-namespace: expected the name of a namespace"),
        (["--kubeconfig", "/none"], "--kubeconfig: expected a file that exists\n"),
        (["--output", "xml"], "'xml' is not one of 'text', 'json'"),
    ],
)
def test_flags_that_cannot_be_used_end_with_2(api: ApiServer, flags: list[str], said: str) -> None:
    result = run(api, *flags)

    assert result.exit_code == 2
    assert said in result.stderr


def test_help_fits_a_terminal_of_80_columns_and_has_examples() -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["status", "--help"])

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "  ghcr-pull-secrets status --output json\n" in result.stdout
