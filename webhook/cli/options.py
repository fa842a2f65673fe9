"""Options made from `webhook.config` settings, and the one way in which faults are reported."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

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
            default=None,
            help=text,
            callback=lambda _context, _option, value: None if value is None else str(value).lower(),
        )
    return click.option(setting.flag, setting.name, metavar=setting.metavar, multiple=setting.repeatable, help=text)


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
