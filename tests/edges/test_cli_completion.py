"""`ghcr-pull-secrets completion`, in the shells themselves: bash always, zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from webhook.cli import main

pytestmark = pytest.mark.processes

# Each is given what is typed as $TYPED, asks its own machinery, and prints one choice a line.
_ASK = {
    "bash": """
source <(ghcr-pull-secrets completion bash)
complete -p ghcr-pull-secrets | grep -q -- '-F _ghcr_pull_secrets_completion'
compopt() { echo "compopt $1 $2"; }
IFS=' ' read -ra COMP_WORDS <<<"$TYPED"
[[ $TYPED == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_ghcr_pull_secrets_completion ghcr-pull-secrets
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """
autoload -U compinit && compinit -u -D
source <(ghcr-pull-secrets completion zsh)
[[ $_comps[ghcr-pull-secrets] == _ghcr_pull_secrets_completion ]] || exit 9
_describe() { print -l -- ${${(P)3}%%:*} }
compadd() { print -l -- $completions }
_path_files() { print -- "compopt $*" }
words=(${(s: :)TYPED}); [[ $TYPED == *' ' ]] && words+=('')
CURRENT=$#words
_ghcr_pull_secrets_completion
""",
    "fish": """
ghcr-pull-secrets completion fish | source
complete --do-complete $TYPED | string replace --regex '\\t.*' ''
true
""",
}
SHELLS = [shell for shell in _ASK if shutil.which(shell)]
_PATH_WORDS = {"bash": "compopt -o default", "zsh": "compopt -f"}

Ask = Callable[[str, str], list[str]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask a shell what could come next; its home is empty but for a kubeconfig."""
    (tmp_path / ".kube").mkdir()
    contexts = [{"name": name, "context": {"cluster": "c", "user": ""}} for name in ("kind-ci", "kind-dev", "prod")]
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump({"contexts": contexts}))
    (tmp_path / "one.yaml").touch()

    def ask(shell: str, typed: str) -> list[str]:
        done = subprocess.run(
            [shell, *(["-f"] if shell == "zsh" else []), "-c", _ASK[shell]],
            env={
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "HOME": str(tmp_path),
                "TERM": "dumb",
                "TYPED": typed,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [line for line in done.stdout.splitlines() if line]

    return ask


def test_bash_at_least_is_tried() -> None:
    assert "bash" in SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_choices_and_contexts_are_completed(shell: str, ask: Ask) -> None:
    assert ask(shell, "ghcr-pull-secrets cl") == ["cleanup"]
    assert sorted(ask(shell, "ghcr-pull-secrets c")) == ["check", "cleanup", "completion", "controller"]
    assert ask(shell, "ghcr-pull-secrets cleanup --dr") == ["--dry-run"]
    assert sorted(ask(shell, "ghcr-pull-secrets controller --log-level ")) == ["debug", "error", "info", "warning"]
    assert ask(shell, "ghcr-pull-secrets completion z") == ["zsh"]
    assert sorted(ask(shell, "ghcr-pull-secrets cleanup --context kind")) == ["kind-ci", "kind-dev"]


@pytest.mark.parametrize("shell", SHELLS)
def test_where_a_file_is_wanted_the_shell_looks_for_files(shell: str, ask: Ask) -> None:
    found = ask(shell, "ghcr-pull-secrets cleanup --kubeconfig one")

    assert found == [_PATH_WORDS.get(shell, "one.yaml")]


def test_the_contexts_are_those_of_the_kubeconfig_that_is_typed_already(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("contexts: [{name: elsewhere, context: {}}]")

    assert ask("bash", "ghcr-pull-secrets cleanup --kubeconfig other --context e") == ["elsewhere"]
    assert ask("bash", "ghcr-pull-secrets cleanup --kubeconfig none --context e") == []


@pytest.mark.parametrize("shell", _ASK)
def test_a_script_is_printed_whatever_shells_there_are(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(main, ["completion", shell])

    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_GHCR_PULL_SECRETS_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"])

    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr


def test_its_help_has_a_line_for_each_shell() -> None:
    shown = CliRunner().invoke(main, ["completion", "--help"]).stdout.splitlines()

    assert "  fish: ghcr-pull-secrets completion fish | source" in shown
