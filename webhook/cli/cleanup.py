"""`ghcr-pull-secrets cleanup`."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from webhook.cli.options import EXIT_USAGE, options, reporting_faults
from webhook.config.controller import CLEANUP_SETTINGS, CleanupSettings

_LIST_S: Final = 120.0

_LEFT: Final = {
    "central": "the central secret is no copy",
    "foreign": "not ours: made by hand or by another tool, or its managed-by label was taken off",
    "owned": "not ours: it has an owner, such as an ExternalSecret",
    "deleting": "is being deleted already",
    "changed": "somebody changed it again and again meanwhile; run this again",
    "failed": "could not be deleted",
}


@click.command("cleanup")
@click.option("--dry-run", is_flag=True, help="Say what would be removed and left, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(CLEANUP_SETTINGS)
def command(*, dry_run: bool, yes: bool, **flags: Any) -> None:
    """Remove every copy that is ours from every namespace.

    Foreign secrets and the central secret are left. Stop the controller and the webhook first: they recreate copies
    (the chart does so on uninstall with cleanup.onUninstall=delete).

    Exits with 0 when no copy of ours remains, 1 when some do or the API server could not be asked, 2 when the command
    line is wrong.
    """
    with reporting_faults():
        settings = CleanupSettings.parse(flags, os.environ)
    sys.exit(_run(settings, dry_run=dry_run, yes=yes))


def _run(settings: CleanupSettings, *, dry_run: bool, yes: bool) -> int:
    # Imported late: `--help` and the report of a fault need none of it.
    from webhook.cluster import ConfigError  # noqa: PLC0415
    from webhook.cluster.copies import connect_copies, list_secrets  # noqa: PLC0415
    from webhook.controller.cleanup import Remover, sort  # noqa: PLC0415
    from webhook.ports import ClusterError, Deadline  # noqa: PLC0415

    try:
        cluster = connect_copies(str(settings.kubeconfig) if settings.kubeconfig else None, trust=settings.ca_bundle)
    except ConfigError as error:
        _fail(EXIT_USAGE, f"--kubeconfig: {error}")
    try:
        ours, left = sort(list_secrets(cluster.client, Deadline.after(_LIST_S)), release_namespace=settings.namespace)
        for removal in left:
            click.echo(_left_text(removal.namespace, removal.outcome))
        if dry_run:
            for copy in ours:
                click.echo(f"would remove {copy.namespace}/{copy.name}")
            click.echo(f"{len(ours)} to remove, {len(left)} left; nothing was changed")
            return 0
        if ours and not yes:
            click.confirm(f"Remove {len(ours)} copies? Pods that are still to pull will not be able to", abort=True)
        remover = Remover(cluster.facts, cluster.writer, release_namespace=settings.namespace)
        with _Progress(len(ours)) as progress:
            removals = remover.remove_all(
                ours, lambda removal: progress.tell(removal.namespace, removal.outcome, removal.detail)
            )
        back = {
            copy.namespace
            for copy in sort(
                list_secrets(cluster.client, Deadline.after(_LIST_S)), release_namespace=settings.namespace
            )[0]
        }
        returned = sorted(back & {removal.namespace for removal in removals if removal.outcome == "removed"})
        return _sum_up([removal.outcome for removal in removals], len(left), returned)
    except ClusterError as error:
        _fail(1, f"{error}: {error.cause}")
    finally:
        cluster.close()


def _sum_up(outcomes: Sequence[str], left: int, returned: Sequence[str]) -> int:
    counted = Counter(outcomes)
    for namespace in returned:
        click.echo(f"{namespace}: came back at once; is a controller or a webhook of ghcr-pull-secrets still running?")
    remaining = counted["changed"] + counted["failed"] + len(returned)
    removed = counted["removed"] - len(returned)
    others = left + len(outcomes) - counted["removed"] - counted["changed"] - counted["failed"]
    click.echo(f"{removed} removed, {others} left, {remaining} remain")
    return 1 if remaining else 0


def _left_text(namespace: str, outcome: str, detail: str = "") -> str:
    return f"{namespace}: left, {_LEFT[outcome]}" + (f" ({detail})" if detail else "")


def _fail(code: int, text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)


class _Progress:
    """A bar on a terminal, a line for each namespace elsewhere."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        self._bar = Progress(  # writes to standard output, like everything here
            TextColumn("Removing copies"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            disable=not sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, namespace: str, outcome: str, detail: str) -> None:
        """Take note of one more namespace."""
        if self._bar.disable:
            click.echo(f"{namespace}: removed" if outcome == "removed" else _left_text(namespace, outcome, detail))
        elif outcome != "removed":
            self._bar.console.print(_left_text(namespace, outcome, detail), markup=False, highlight=False)
        self._bar.advance(self._task)
