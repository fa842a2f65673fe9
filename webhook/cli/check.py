"""Command `check`: judge manifests without a cluster."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.options import EXIT_USAGE, checked_namespace, reporting_faults, show

if TYPE_CHECKING:
    from webhook.check.manifests import Trouble
    from webhook.check.report import Level, Report
    from webhook.check.run import Checker
    from webhook.check.sources import Text

_FORMATS: Final = ("text", "json", "sarif", "junit", "github")
_LEAST: Final[dict[str, "Level | None"]] = {"deny": "error", "warn": "warning", "never": None}
"""By the value of `--fail-on`, the least finding that fails."""

_MAX_VALUES_BYTES: Final = 1 << 20
"""Longest file of values: Helm stores them in a Secret, which has 1 MiB."""


@click.command("check")
@click.argument("paths", nargs=-1, metavar="[PATH|-]...")
@click.option("--values", "values", multiple=True, metavar="FILE", help="Values of the chart, as for Helm; repeatable.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Images to look after, over the values; repeatable.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Images to leave alone among those; repeatable.")
@click.option(
    "-n", "--namespace", default="default", show_default=True, metavar="NAME", help="Namespace of objects without one."
)
@click.option(
    "--release-namespace", default="", metavar="NAME", help="Namespace of the add-on.  [default: ghcr-pull-secrets]"
)
@click.option(
    "--assume-installed/--no-assume-installed",
    "installed",
    default=True,
    show_default=True,
    help="Whether the add-on is in the cluster, with a central secret that is good unless the manifests hold another.",
)
@click.option(
    "--assume-secret", multiple=True, metavar="NAMESPACE/NAME", help="Pull secret to take on trust; repeatable."
)
@click.option("--skip", multiple=True, metavar="PATTERN", help="Paths to leave out, such as charts/*; repeatable.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help=f"{', '.join(_FORMATS)}; one without a file, any number with.  [default: text]",
)
@click.option(
    "--fail-on",
    type=click.Choice(["deny", "warn", "never"]),
    default="deny",
    show_default=True,
    help="Least finding that makes the exit code 1: what would be rejected, or what would be warned of too.",
)
@click.option("--fix", is_flag=True, help="Write the pull secret into manifests that list none.")
@click.option("--diff", is_flag=True, help="Show what --fix would write.")
def check(paths: Sequence[str], **options: Any) -> None:
    """Judge manifests as the webhook would, without a cluster.

    Reads YAML and JSON: files, folders, and standard input (-). What a template renders can be piped:
    helm template … | ghcr-pull-secrets check -

    Exits with 0 when there is nothing to find, 1 with findings (--fail-on), 2 when something could not be read or the
    command line is wrong.
    """
    if not paths:
        raise click.UsageError("name files or folders, or - for standard input")
    if not all(paths):
        raise click.UsageError("a path is empty, as an unset variable makes it")
    with reporting_faults():
        targets = _targets(options["outputs"])
        checker = _checker(options)
        sys.exit(_run(paths, checker, targets, options))


def _run(
    paths: Sequence[str], checker: Callable[[], "Checker"], targets: Sequence[tuple[str, str]], options: dict[str, Any]
) -> int:
    # Imported late: `--help` needs none of it.
    from webhook.check.sources import Sources  # noqa: PLC0415

    started = time.monotonic()
    fixing = options["fix"] or options["diff"]
    texts: Iterable[Text | Trouble] = Sources(getattr(sys.stdin, "buffer", None), options["skip"]).read(paths)
    if fixing:
        texts = list(texts)
    report = checker().run(texts)
    if fixing:
        report = _fixed(report, list(texts), checker, show_only=options["diff"])
    report = replace(report, seconds=time.monotonic() - started)
    written = _write(report, targets)
    if report.unread or not written:
        return EXIT_USAGE
    return 1 if report.fails(_LEAST[options["fail_on"]]) else 0


def _checker(options: dict[str, Any]) -> "Callable[[], Checker]":
    from webhook.check.judging import Assumptions  # noqa: PLC0415
    from webhook.check.run import Checker  # noqa: PLC0415
    from webhook.check.values import settings  # noqa: PLC0415
    from webhook.config import ConfigError, Fault  # noqa: PLC0415
    from webhook.config.values import BadValue, namespace, object_name  # noqa: PLC0415

    found = settings(
        [_values(file) for file in options["values"]],
        include=options["include"],
        exclude=options["exclude"],
        release_namespace=options["release_namespace"],
    )
    checked_namespace("--namespace", options["namespace"])
    trusted = []
    for text in options["assume_secret"]:
        home, slash, name = text.partition("/")
        try:
            trusted.append((namespace(home), object_name(name if slash else "")))
        except BadValue:
            raise ConfigError([Fault("--assume-secret", "expected NAMESPACE/NAME of a Secret")]) from None

    def make() -> Checker:
        checker = Checker(
            assumptions=Assumptions(rules=found.rules, installed=options["installed"], entries=found.entries),
            kinds=found.kinds,
            namespace=options["namespace"],
        )
        for each in trusted:
            checker.evidence.trust(*each)
        return checker

    return make


def _values(file: str) -> Any:
    from webhook.check.documents import load  # noqa: PLC0415
    from webhook.check.manifests import Unusable  # noqa: PLC0415
    from webhook.config import ConfigError, Fault  # noqa: PLC0415

    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_MAX_VALUES_BYTES + 1)
        if len(content) > _MAX_VALUES_BYTES:
            raise ConfigError([Fault("--values", f"{file} is larger than {_MAX_VALUES_BYTES >> 20} MiB")])
        return load(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([Fault("--values", f"{file} cannot be read: {(error.strerror or '').lower()}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault("--values", f"{file} is not UTF-8")]) from None
    except Unusable as error:
        raise ConfigError([Fault("--values", f"{file}:{error.line + 1}: {error.problem}")]) from None


def _targets(outputs: Sequence[str]) -> list[tuple[str, str]]:
    from webhook.config import ConfigError, Fault  # noqa: PLC0415

    targets = []
    for output in outputs or ("text",):
        name, equals, file = output.partition("=")
        if name not in _FORMATS or (equals and not file):
            raise ConfigError([Fault("--output", f"expected FORMAT or FORMAT=FILE with one of {', '.join(_FORMATS)}")])
        targets.append((name, file))
    if sum(not file for _, file in targets) > 1:
        raise ConfigError(
            [Fault("--output", "only one format can go to standard output; write the others as FORMAT=FILE")]
        )
    return targets


def _write(report: "Report", targets: Sequence[tuple[str, str]]) -> bool:
    """Write the reports; return whether all of them could be."""
    from webhook.check.outputs import FORMATS  # noqa: PLC0415
    from webhook.check.outputs.github import step_summary  # noqa: PLC0415

    written = True
    for name, file in targets:
        text = FORMATS[name](report)
        if not file:
            show(text)
        else:
            written &= _save(file, text, "w")
        if name == "github" and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
            written &= _save(summary, step_summary(report), "a")
    return written


def _save(file: str, text: str, mode: str) -> bool:
    try:
        with Path(file).open(mode, encoding="utf-8", errors="replace", newline="") as opened:
            opened.write(text)
        return True
    except OSError as error:
        click.echo(f"{file}: cannot be written: {(error.strerror or '').lower()}", err=True)
        return False


def _fixed(
    report: "Report", texts: "Sequence[Text | Trouble]", checker: "Callable[[], Checker]", *, show_only: bool
) -> "Report":
    """Give manifests that list no pull secret ours, and look again; or show what would be written."""
    from webhook.check.fixing import fixes  # noqa: PLC0415
    from webhook.check.manifests import Trouble  # noqa: PLC0415

    troubles: list[Trouble] = []
    fixed, changed = 0, {}
    for fix in fixes(report, [text for text in texts if not isinstance(text, Trouble)], checker()):
        troubles += fix.troubles
        if show_only:
            show(fix.diff)
        elif fix.changed and _save(fix.file, fix.after, "w"):
            changed[fix.file] = fix.after
            fixed += fix.changed
    if not changed:
        return replace(report, troubles=(*report.troubles, *troubles))
    again = checker().run(_replaced(texts, changed))
    return replace(again, troubles=(*again.troubles, *troubles), fixed=fixed)


def _replaced(texts: "Sequence[Text | Trouble]", changed: dict[str, str]) -> "Iterator[Text | Trouble]":
    from webhook.check.sources import Text  # noqa: PLC0415

    for text in texts:
        yield replace(text, text=changed[text.name]) if isinstance(text, Text) and text.name in changed else text
