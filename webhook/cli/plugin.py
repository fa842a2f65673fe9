"""Plugin of kubectl, and completion in shells."""

import sys
from typing import Final

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from webhook.cli import main

_PLUGIN: Final = "kubectl ghcr-pull-secrets"

_NO_FILES: Final = 4
_FILES: Final = 0
"""Cobra's directives, which kubectl expects at the end: whether the shell may offer files when nothing was."""


def run() -> None:
    """Run as `kubectl-ghcr_pull_secrets`, for `kubectl ghcr-pull-secrets`."""
    main(prog_name=_PLUGIN)


def complete() -> None:
    """Run as `kubectl_complete-ghcr_pull_secrets`: print what the last argument could go on to be, in Cobra's form."""
    *given, begun = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, _PLUGIN, "").get_completions(given, begun)
    choices = [each for each in found if each.type == "plain"]
    for each in choices:
        click.echo(_line(each))
    click.echo(f":{_FILES if len(choices) < len(found) else _NO_FILES}")


def _line(choice: CompletionItem) -> str:
    return f"{choice.value}\t{choice.help}" if choice.help else f"{choice.value}"


_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}

_PROGRAM: Final = "ghcr-pull-secrets"
_VARIABLE: Final = "_GHCR_PULL_SECRETS_COMPLETE"
"""The variable that click looks at for a program of this name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that lets a shell complete our commands, options, and contexts.

    \b
    bash (4.4 or newer): source <(ghcr-pull-secrets completion bash)
    zsh: source <(ghcr-pull-secrets completion zsh)
    fish: ghcr-pull-secrets completion fish | source

    Put that line into ~/.bashrc, ~/.zshrc (after compinit) or ~/.config/fish/config.fish to have it in every shell.
    """  # noqa: D301 (click wants the character itself)
    program = context.find_root().command
    made = _SHELLS[shell](program, {}, _PROGRAM, _VARIABLE)
    # Not `made.source()`, which for bash runs a bash to look at its version: the image has no shell.
    click.echo(made.source_template % made.source_vars())
