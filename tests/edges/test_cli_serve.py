"""The command line of `serve`, up to where the server would begin."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webhook.cli import main
from webhook.cli.options import SettingOption
from webhook.config import SERVE_SETTINGS, ServeSettings

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SERVE_SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


def test_help_lists_every_flag_with_its_variable_and_default() -> None:
    text = " ".join(CliRunner().invoke(main, ["serve", "--help"], terminal_width=400).output.split())
    for setting in SERVE_SETTINGS:
        assert setting.flag in text
        assert f"env: {setting.variable}" in text
        if isinstance(setting.default, str):
            assert f"{setting.variable}; default: {setting.default}" in text.replace(", separated by commas", "")


@pytest.mark.parametrize("command", ["serve", "controller", "cleanup"])
def test_help_has_every_setting_under_a_heading_that_says_what_it_is_about(command: str) -> None:
    sections = CliRunner().invoke(main, [command, "--help"], terminal_width=100).output.split("\n\n")
    listed = {
        section.partition(":\n")[0]: re.findall(r"^  (?:-\w, )?(--[a-z-]+)", section, re.MULTILINE)
        for section in sections
    }
    rest = {"cleanup": ["--dry-run", "--yes", "--help"]}.get(command, ["--help"])

    assert listed.pop("Options") == rest
    found = main.get_command(click.Context(main), command)
    assert found is not None
    settings = [parameter for parameter in found.params if isinstance(parameter, SettingOption)]
    assert settings
    for setting in settings:
        assert setting.heading != "Options", f"{setting.name} has no heading"
        assert listed[setting.heading].count(setting.opts[-1]) == 1
    # A reader looks for few headings, not for as many as there are settings.
    assert len({setting.heading for setting in settings}) == len([each for each in listed.values() if each]) <= 6


def test_every_command_of_the_group_can_be_had() -> None:
    runner = CliRunner()
    listed = [
        line.split()[0]
        for line in runner.invoke(main, ["--help"]).output.partition("Commands:")[2].splitlines()
        if line
    ]
    assert "serve" in listed
    for name in listed:
        assert runner.invoke(main, [name, "--help"]).exit_code == 0
    assert runner.invoke(main, ["no-such"]).exit_code == 2


def test_the_groups_help_imports_no_command() -> None:
    code = (
        "import sys; from webhook.cli import main; main(['--help'], standalone_mode=False);"
        "print(sorted({'flask', 'kubernetes', 'gunicorn', 'webhook.cli.processes'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["serve", "controller"])
def test_the_help_of_a_process_imports_no_library_that_only_the_process_needs(command: str) -> None:
    code = (
        f"import sys; from webhook.cli import main; main(['{command}', '--help'], standalone_mode=False);"
        "print(sorted({'cryptography', 'flask', 'gunicorn', 'kubernetes', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_fault_is_on_its_own_line_and_the_exit_code_is_2() -> None:
    result = CliRunner().invoke(main, ["serve", "--bind", "nowhere", "--read-all-secrets", "--threads", "many"])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["--bind", "--threads", "--namespace"]
    assert "nowhere" not in result.output
    assert "many" not in result.output


def test_the_negative_of_a_switch_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[ServeSettings] = []
    monkeypatch.setattr("webhook.server.serve.run", seen.append)
    monkeypatch.setenv("GHCR_PULL_SECRETS_READ_ALL_SECRETS", "true")
    arguments = ["serve", "--tls-dir", str(tmp_path), "--namespace", "releases"]
    for flags in ([], ["--no-read-all-secrets"]):
        assert CliRunner().invoke(main, [*arguments, *flags]).exit_code == 0
    assert [settings.read_all_secrets for settings in seen] == [True, False]


def run_module(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webhook", "serve", "--namespace", "releases", "--tls-dir", ".", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_outside_a_cluster_and_without_a_kubeconfig_it_ends_in_words() -> None:
    done = run_module("--ops-bind", "127.0.0.1:0")
    assert done.returncode == 2
    assert done.stderr.startswith("--kubeconfig: cannot reach an API server by in-cluster")


def test_an_address_in_use_ends_in_words(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {}}]}"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_module("--kubeconfig", str(kubeconfig), "--ops-bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2
    assert done.stderr.startswith("--ops-bind: cannot listen there")
