"""Command line whose commands are imported when they are asked for."""

import importlib
from collections.abc import Mapping
from typing import Final

import click

# Name of the command, and what it is for: its module is not imported to say so.
_COMMANDS: Final[Mapping[str, str]] = {
    "serve": "Answer the API server's admission reviews.",
    "controller": "Keep every copy equal to the central secret.",
    "check": "Judge manifests as the webhook would, without a cluster.",
    "doctor": "Find out why a cluster does not pull, and what fixes it.",
    "status": "Say whether the set-up is healthy, or wait until it is.",
    "cleanup": "Remove every copy that is ours.",
    "completion": "Print a script for completion in bash, zsh or fish.",
}

# Where each command is; those that the chart's hooks run are not listed.
_MODULES: Final[Mapping[str, str]] = {
    "serve": "processes",
    "controller": "processes",
    "check": "check",
    "doctor": "doctor",
    "status": "doctor",
    "cleanup": "release",
    "completion": "plugin",
    "helm-test": "release",
    "helm-stop": "release",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"webhook.cli.{_MODULES[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 (for the type checker)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="ghcr-pull-secrets")
def main() -> None:
    """Give every workload that pulls from ghcr.io its pull secret, and keep out those that would pull without one."""
