"""Command `cleanup`: remove every copy from the cluster."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.connecting import connected
from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config.connection import CONNECTION_SETTINGS

if TYPE_CHECKING:
    from webhook.cluster.connecting import Connection
    from webhook.controller.cleanup import Removal
    from webhook.core.copies import Secret

_LIST_S: Final = 120.0

_LEFT: Final = {
    "central": "the central secret is no copy",
    "foreign": "not ours: made by hand or by another tool, or its managed-by label was taken off",
    "given_away": "not ours: somebody applied their own over our copy",
    "other_release": "not ours: another release of the add-on keeps it",
    "owned": "not ours: it has an owner, such as an ExternalSecret",
    "deleting": "is being deleted already",
    "changed": "somebody changed it again and again meanwhile; run this again",
    "failed": "could not be deleted",
}


@click.command("cleanup", cls=GroupedCommand)
@click.option("--dry-run", is_flag=True, help="Say what would be removed and left, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(CONNECTION_SETTINGS)
def command(*, dry_run: bool, yes: bool, **flags: Any) -> None:
    """Remove every copy that is ours from every namespace.

    Foreign secrets and the central secret are left. Stop the controller and the webhook first: they recreate copies
    (the chart does so on uninstall with cleanup.onUninstall=delete).

    Exits with 0 when no copy of ours remains, 1 when some do or the API server could not be asked, 2 when the command
    line is wrong.
    """
    with reporting_faults(), connected(flags) as (connection, namespace):
        sys.exit(_run(connection, namespace, dry_run=dry_run, yes=yes))


def _run(connection: "Connection", namespace: str, *, dry_run: bool, yes: bool) -> int:
    # Imported late: `--help` and the report of a fault need none of it.
    from webhook.cluster.copies import copies_of  # noqa: PLC0415
    from webhook.controller.cleanup import Remover  # noqa: PLC0415
    from webhook.ports import ClusterError  # noqa: PLC0415

    cluster = copies_of(connection.client)
    try:
        ours, left = _found(connection, namespace)
        for removal in left:
            click.echo(_left_text(removal.namespace, removal.outcome))
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
            removals = remover.remove_all(
                ours, lambda removal: progress.tell(removal.namespace, removal.outcome, removal.detail)
            )
        back = {copy.namespace for copy in _found(connection, namespace)[0]}
        returned = sorted(back & {removal.namespace for removal in removals if removal.outcome == "removed"})
        return _sum_up([removal.outcome for removal in removals], len(left), returned)
    except ClusterError as error:
        click.echo(f"{error}: {error.cause}" if error.code else str(error), err=True)
        return 1


def _found(connection: "Connection", namespace: str) -> "tuple[Sequence[Secret], Sequence[Removal]]":
    from webhook.cluster.copies import list_secrets  # noqa: PLC0415
    from webhook.controller.cleanup import sort  # noqa: PLC0415
    from webhook.ports import Deadline  # noqa: PLC0415

    return sort(list_secrets(connection.client, Deadline.after(_LIST_S)), release_namespace=namespace)


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
