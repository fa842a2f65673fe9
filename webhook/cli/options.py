"""Options, their completion, fault reports and printing, shared by all commands."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from webhook.config import ConfigError, Setting

F = TypeVar("F", bound=Callable[..., Any])

EXIT_USAGE = 2
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
