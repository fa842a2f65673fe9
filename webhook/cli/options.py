"""Options, connection, fault reports and printing, shared by all commands."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from webhook.config import CONNECTION_SETTINGS, ConfigError, ConnectionSettings, Fault, Setting
from webhook.config.resolving import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from webhook.cluster.connecting import ChosenCluster

F = TypeVar("F", bound=Callable[..., Any])

EXIT_USAGE: Final = 2
"""What click itself exits with for flags it cannot use."""

_PATHS: Final = {"FILE": "file", "DIR": "dir"}
"""Metavariables that the shell itself can complete."""


def options(settings: Sequence[Setting]) -> Callable[[F], F]:
    """Give a command an option for each setting.

    The command gets what the command line says, unparsed; `webhook.config` adds environment and defaults. click's
    own parsing would stop at the first fault and repeat the offending value.
    """

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            function = _option(setting)(function)
        return function

    return decorate


class SettingOption(click.Option):
    """An option that knows the heading it stands under.

    Args:
        arguments: As of `click.Option`.
        heading: Of `--help`.
        keywords: As of `click.Option`.
    """

    def __init__(self, *arguments: Any, heading: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose `--help` has its options under their headings, and what every command has last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = parameter.heading if isinstance(parameter, SettingOption) else "Options"
                headings.setdefault(heading, []).append(record)
        rest = headings.pop("Options", [])
        for heading, records in (*headings.items(), ("Options", rest)):
            with formatter.section(heading):
                formatter.write_dl(records)


@contextmanager
def reporting_faults() -> Iterator[None]:
    """Report every fault of the settings on a line of its own and end with `EXIT_USAGE`."""
    try:
        yield
    except ConfigError as error:
        for fault in error.faults:
            click.echo(f"{fault.flag}: {fault.problem}", err=True)
        sys.exit(EXIT_USAGE)


def show(text: str) -> None:
    """Print a report, whatever the terminal's encoding: a mark it has no character for is no reason to fail.

    Where it cannot be written, that is said, and ends the command with `EXIT_USAGE`: its other codes are about what was
    found. A pipe that nobody reads any more is click's to deal with, and a closed standard output wants no report.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "replace"), nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        click.echo(f"standard output: cannot be written: {(error.strerror or '').lower()}", err=True)
        # What could not be written would be tried again at the end, and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_USAGE)


def _option(setting: Setting) -> Callable[[F], F]:
    text = f"{setting.help}  [{'; '.join(_remarks(setting))}]"
    if setting.switch:
        negative = f"--no-{setting.flag.removeprefix('--')}"
        return click.option(
            f"{setting.flag}/{negative}",
            setting.name,
            cls=SettingOption,
            heading=setting.heading,
            default=None,
            help=text,
            callback=lambda _context, _option, value: None if value is None else str(value).lower(),
        )
    return click.option(
        *filter(None, (setting.short, setting.flag, setting.name)),
        cls=SettingOption,
        heading=setting.heading,
        metavar=setting.metavar,
        multiple=setting.repeatable,
        help=text,
        shell_complete=lambda context, _option, begun: _complete(setting, context.params, begun),
    )


def _remarks(setting: Setting) -> list[str]:
    remarks = [f"env: {setting.variable}" + (", separated by commas" if setting.repeatable else "")]
    default = setting.default
    if default:
        remarks.append("default: " + (default if isinstance(default, str) else ", ".join(default)))
    if setting.repeatable:
        remarks.append("repeatable")
    if setting.required:
        remarks.append("required")
    return remarks


def _complete(setting: Setting, given: Mapping[str, Any], begun: str) -> list[CompletionItem]:
    """List the values that begin with what is typed.

    Args:
        setting: Whose value it is.
        given: The command's other parameters.
        begun: What is typed already.
    """
    if setting.metavar in _PATHS:
        return [CompletionItem(begun, type=_PATHS[setting.metavar])]
    if setting.name == "context":
        # Imported late: it takes the Kubernetes client, and is asked for by few.
        from webhook.cluster.connecting import contexts  # noqa: PLC0415

        explicit = given.get("kubeconfig")
        choices = contexts(Path(explicit) if explicit else None, os.environ)
    else:
        choices = tuple(setting.metavar.split("|")) if "|" in setting.metavar else ()
    return [CompletionItem(each) for each in choices if each.startswith(begun)]


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


_FORMATS: Final = ("text", "json")


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
def diagnosed_cluster(flags: Mapping[str, Any], release_namespace: str | None) -> Iterator["ChosenCluster"]:
    """Give the cluster; where no API server can be asked, end the command with one line and `EXIT_USAGE`."""
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
