"""Connection of a person's command to the cluster that its flags choose."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from webhook.cli.options import EXIT_USAGE, options
from webhook.config import ConfigError, Fault
from webhook.config.connection import CONNECTION_SETTINGS, ConnectionSettings
from webhook.config.resolving import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from webhook.cluster.connecting import ChosenCluster

F = TypeVar("F", bound=Callable[..., Any])

_FORMATS: Final = ("text", "json")

_NO_NAMESPACE: Final = f"is required (flag, environment variable {ENVIRONMENT_PREFIX}NAMESPACE, or in the context)"


@contextmanager
def reached(flags: Mapping[str, Any]) -> Iterator[tuple["ChosenCluster", ConnectionSettings]]:
    """Give the cluster that `CONNECTION_SETTINGS` choose, and what else they say; closed at the end.

    Raises:
        ConfigError: The flags cannot be used, or there is no such cluster.
    """
    settings = ConnectionSettings.parse(flags, os.environ)
    # Imported late: `--help` and the report of a fault need none of it.
    from webhook.cluster import Unreachable  # noqa: PLC0415
    from webhook.cluster.connecting import connect_as_kubectl  # noqa: PLC0415
    from webhook.telemetry import logs  # noqa: PLC0415

    try:
        connection = connect_as_kubectl(settings.kubeconfig, settings.context, os.environ, trust=settings.ca_bundle)
    except Unreachable as error:
        flag = "--context" if settings.context and not settings.kubeconfig else "--kubeconfig"
        raise ConfigError([Fault(flag, str(error))]) from None
    try:
        with logs.beside_a_report():
            yield connection, settings
    finally:
        connection.client.close()


@contextmanager
def connected(flags: Mapping[str, Any]) -> Iterator[tuple["ChosenCluster", str]]:
    """Give that cluster, and the release namespace.

    Raises:
        ConfigError: As `reached`, or no namespace is said anywhere.
    """
    with reached(flags) as (connection, settings):
        namespace = settings.namespace or connection.namespace
        if not namespace:
            raise ConfigError([Fault("--namespace", _NO_NAMESPACE)])
        yield connection, namespace


def diagnosis_options(command: F) -> F:
    """Give `doctor` or `status` the options that choose a cluster, the release in it, and the form of the report."""
    command = options([each for each in CONNECTION_SETTINGS if each.name != "namespace"])(command)
    command = click.option(
        "-o",
        "--output",
        type=click.Choice(_FORMATS),
        default="text",
        show_default=True,
        help="For people or programs.",
    )(command)
    return click.option(
        "--release-namespace",
        metavar="NAME",
        help="Home of the central secret. Without it: where the webhook configurations lead.",
    )(command)


@contextmanager
def cluster_of(flags: Mapping[str, Any], release_namespace: str | None) -> Iterator["ChosenCluster"]:
    """Give the cluster; an API server that cannot be asked ends the command with one line and `EXIT_USAGE`."""
    # Imported late: `--help` needs none of it.
    from webhook.ports import ClusterError  # noqa: PLC0415

    checked_namespace("--release-namespace", release_namespace)
    with reached({**flags, "namespace": None}) as (connection, _):
        try:
            yield connection
        except ClusterError as error:
            # Something else than an API server answered: a login page, a proxy, another service.
            cause = "what answers there is no API server" if error.code == HTTPStatus.OK else error.cause
            said = f"{error}: {cause}" if error.code else str(error)
            click.echo(f"{said} ({connection.where})", err=True)
            sys.exit(EXIT_USAGE)


def checked_namespace(flag: str, name: str | None) -> None:
    """Raise `ConfigError` unless a namespace can have that name."""
    from webhook.config.values import BadValue, namespace  # noqa: PLC0415

    if name is not None:
        try:
            namespace(name)
        except BadValue as error:
            raise ConfigError([Fault(flag, str(error))]) from None
