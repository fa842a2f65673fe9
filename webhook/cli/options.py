"""Command-line options generated from settings, with uniform fault reports."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from webhook.cli.completing import complete
from webhook.config import ConfigError, Setting

F = TypeVar("F", bound=Callable[..., Any])

EXIT_USAGE = 2
"""What click itself exits with for flags it cannot use."""


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
        shell_complete=lambda context, _option, begun: complete(setting, context.params, begun),
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
