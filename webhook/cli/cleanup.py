"""Command `cleanup`: remove every copy from the cluster."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from webhook.cli.options import GroupedCommand, connected, options, reporting_faults
from webhook.config import CONNECTION_SETTINGS

if TYPE_CHECKING:
    from webhook.cluster.connecting import ChosenCluster
    from webhook.cluster.facts import ClusterFacts
    from webhook.controller.cleanup import Removal
    from webhook.core.copies import Secret


@click.command("cleanup", cls=GroupedCommand)
@click.option("--dry-run", is_flag=True, help="Say what would be removed and left, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(CONNECTION_SETTINGS)
def cleanup(*, dry_run: bool, yes: bool, **flags: Any) -> None:
    """Remove every copy that is ours from every namespace.

    Foreign secrets and the central secret are left. Stop the controller and the webhook first: they recreate copies
    (the chart does so on uninstall with cleanup.onUninstall=delete).

    Exits with 0 when no copy of ours remains, 1 when some do or the API server could not be asked, 2 when the command
    line is wrong.
    """
    with reporting_faults(), connected(flags) as (connection, namespace):
        sys.exit(_run(connection, namespace, dry_run=dry_run, yes=yes))


def _run(connection: "ChosenCluster", namespace: str, *, dry_run: bool, yes: bool) -> int:
    # Imported late: `--help` and the report of a fault need none of it.
    from webhook.cluster import cluster_of  # noqa: PLC0415
    from webhook.controller.cleanup import Remover  # noqa: PLC0415
    from webhook.ports import ClusterError  # noqa: PLC0415

    cluster = cluster_of(connection.client)
    try:
        ours, left = _found(cluster.facts, namespace)
        for removal in left:
            click.echo(_text(removal))
        if dry_run:
            for copy in ours:
                click.echo(f"would remove {copy.namespace}/{copy.name}")
            click.echo(f"{len(ours)} to remove, {len(left)} left; nothing was changed")
            return 0
        if ours and not yes:
            question = (
                f"Remove {len(ours)} copies ({connection.where})? Pods that are still to pull will not be able to"
            )
            click.confirm(question, abort=True)
        remover = Remover(cluster.facts, cluster.writer, release_namespace=namespace)
        with _Progress(len(ours)) as progress:
            removals = remover.remove_all(ours, progress.report)
        back = {copy.namespace for copy in _found(cluster.facts, namespace)[0]}
        returned = sorted(back & {removal.namespace for removal in removals if removal.removed})
        return _sum_up(removals, len(left), returned)
    except ClusterError as error:
        click.echo(f"{error}: {error.cause}" if error.code else str(error), err=True)
        return 1


def _found(facts: "ClusterFacts", namespace: str) -> "tuple[Sequence[Secret], Sequence[Removal]]":
    from webhook.controller.cleanup import sort  # noqa: PLC0415
    from webhook.ports import LIST_S, Deadline  # noqa: PLC0415

    return sort(facts.copies(Deadline.after(LIST_S)), release_namespace=namespace)


def _sum_up(removals: "Sequence[Removal]", left: int, returned: Sequence[str]) -> int:
    for namespace in returned:
        click.echo(f"{namespace}: came back at once; is a controller or a webhook of ghcr-pull-secrets still running?")
    removed = sum(removal.removed for removal in removals) - len(returned)
    others = left + sum(removal.left is not None for removal in removals)
    remaining = sum(removal.error is not None for removal in removals) + len(returned)
    click.echo(f"{removed} removed, {others} left, {remaining} remain")
    return 1 if remaining else 0


def _text(removal: "Removal") -> str:
    from webhook.controller.cleanup import why_left  # noqa: PLC0415
    from webhook.ports import Conflict  # noqa: PLC0415

    if removal.left is not None:
        return f"{removal.namespace}: left, {why_left(removal.left)}"
    if removal.error is None:
        return f"{removal.namespace}: removed"
    changed = isinstance(removal.error, Conflict)
    why = "somebody changed it again and again meanwhile; run this again" if changed else "could not be deleted"
    return f"{removal.namespace}: left, {why} ({removal.error.cause})"


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

    def report(self, removal: "Removal") -> None:
        """Take note of one more namespace."""
        if self._bar.disable:
            click.echo(_text(removal))
        elif not removal.removed:
            self._bar.console.print(_text(removal), markup=False, highlight=False)
        self._bar.advance(self._task)
