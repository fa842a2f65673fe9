"""The commands as a plugin of kubectl, which finds its plugins, and what completes them, by name."""

import sys
from typing import Final

import click
from click.shell_completion import CompletionItem, ShellComplete

from webhook.cli import main

_NAME: Final = "kubectl ghcr-pull-secrets"

_NO_FILES: Final = 4
_FILES: Final = 0
"""Cobra's directives, which kubectl expects at the end: whether the shell may offer files when nothing was."""


def run() -> None:
    """Run as `kubectl-ghcr_pull_secrets`, for `kubectl ghcr-pull-secrets`."""
    main(prog_name=_NAME)


def complete() -> None:
    """Run as `kubectl_complete-ghcr_pull_secrets`: print what the last argument could go on to be, in Cobra's form."""
    *given, begun = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, _NAME, "").get_completions(given, begun)
    choices = [each for each in found if each.type == "plain"]
    for each in choices:
        click.echo(_line(each))
    click.echo(f":{_FILES if len(choices) < len(found) else _NO_FILES}")


def _line(choice: CompletionItem) -> str:
    return f"{choice.value}\t{choice.help}" if choice.help else f"{choice.value}"
