"""Command `completion`: print a shell's completion script."""

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}

_PROGRAM: Final = "ghcr-pull-secrets"
_VARIABLE: Final = "_GHCR_PULL_SECRETS_COMPLETE"
"""The variable that click looks at for a program of this name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
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
