"""What `doctor` and `status` have in common."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from webhook.cli.connecting import reached
from webhook.cli.options import EXIT_USAGE, options
from webhook.config import ConfigError, Fault
from webhook.config.connection import CONNECTION_SETTINGS

if TYPE_CHECKING:
    from webhook.cluster.connecting import Connection

F = TypeVar("F", bound=Callable[..., Any])

_FORMATS = ("text", "json")


def doctoring(command: F) -> F:
    """Give a command the options by which a cluster, and the release in it, are found, and the form of the report."""
    command = options([each for each in CONNECTION_SETTINGS if each.name != "namespace"])(command)
    command = click.option(
        "-o", "--output", type=click.Choice(_FORMATS), default="text", show_default=True, help="For people or programs."
    )(command)
    return click.option(
        "--release-namespace",
        metavar="NAME",
        help="Home of the central secret. Without it: where the webhook configurations lead.",
    )(command)


@contextmanager
def cluster_of(flags: Mapping[str, Any], release_namespace: str | None) -> Iterator["Connection"]:
    """Give the cluster; what cannot be asked ends the command with a line and `EXIT_USAGE`."""
    # Imported late: `--help` needs none of it.
    from webhook.ports import ClusterError  # noqa: PLC0415

    checked_namespace("--release-namespace", release_namespace)
    with reached({**flags, "namespace": None}) as (connection, _):
        try:
            yield connection
        except ClusterError as error:
            click.echo(f"{error}: {error.cause}" if error.code else str(error), err=True)
            sys.exit(EXIT_USAGE)


def checked_namespace(flag: str, name: str | None) -> None:
    """Raise `ConfigError` unless a namespace can have that name."""
    from webhook.config.values import BadValue, namespace  # noqa: PLC0415

    if name is not None:
        try:
            namespace(name)
        except BadValue as error:
            raise ConfigError([Fault(flag, str(error))]) from None


def show(text: str) -> None:
    """Print a report, whatever the terminal's encoding: a mark it has no character for is no reason to fail."""
    click.echo(text.encode(sys.stdout.encoding or "utf-8", "replace"), nl=False)
