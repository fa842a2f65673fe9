"""Commands `cleanup`, `helm-test` and `helm-stop`: what the chart's hooks run."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.options import GroupedCommand, connected, options, reporting_faults
from webhook.config import CONNECTION_SETTINGS
from webhook.core.names import SECRET_NAME

if TYPE_CHECKING:
    from webhook.cluster import ClusterFacts
    from webhook.cluster.connecting import ChosenCluster
    from webhook.controller.cleanup import Removal
    from webhook.core.copies import Secret

_POLL_S: Final = 1.0


@click.command("helm-test", cls=GroupedCommand, hidden=True)
@click.option("--image", required=True, metavar="IMAGE", help="A selected image; nothing pulls it.")
@options(CONNECTION_SETTINGS)
def helm_test(*, image: str, **flags: Any) -> None:
    """Make a Pod of a selected image on dry run, and see whether it comes back with its pull secret."""
    with reporting_faults(), connected(flags) as (connection, namespace):
        from webhook.cluster.hooks import NotAdmitted, pull_secrets_of_trial_pod  # noqa: PLC0415 (not for `--help`)
        from webhook.ports import ClusterError  # noqa: PLC0415

        try:
            names = pull_secrets_of_trial_pod(connection.client, namespace, image)
        except NotAdmitted as refusal:
            sys.exit(f"The Pod was not admitted ({refusal})")
        except ClusterError as error:
            sys.exit(f"The API server could not be asked: {error}")
        if SECRET_NAME not in names:
            sys.exit(f"{SECRET_NAME} was not added to the Pod. Is {namespace} a namespace that is looked after?")
        click.echo(f"A Pod of {image} in {namespace} gets {SECRET_NAME}.")


@click.command("helm-stop", cls=GroupedCommand, hidden=True)
@click.option("--name", required=True, metavar="NAME", help="Full name of the release.")
@click.option("--last-configuration", metavar="NAME", help="Name of the mutating configuration that is called last.")
@click.option("--selector", required=True, metavar="SELECTOR", help="Labels of its Pods.")
@click.option("--timeout", type=click.IntRange(min=0), default=90, metavar="SECONDS", help="How long they may take.")
@options(CONNECTION_SETTINGS)
def helm_stop(*, name: str, last_configuration: str | None, selector: str, timeout: int, **flags: Any) -> None:
    """Delete a release's webhook configurations, scale it to nothing, and wait until its Pods have ended."""
    with reporting_faults(), connected(flags) as (connection, namespace):
        from webhook.cluster.hooks import ReleaseStopper  # noqa: PLC0415 (`--help` needs none of it)
        from webhook.ports import ClusterError  # noqa: PLC0415

        release = ReleaseStopper(connection.client, name=name, last=last_configuration, namespace=namespace)
        give_up = time.monotonic() + timeout
        try:
            release.stop()
            while release.running(selector):
                if time.monotonic() >= give_up:
                    sys.exit(f"Pods of {name} still run after {timeout} s")
                time.sleep(_POLL_S)
        except ClusterError as error:
            sys.exit(f"{error} ({error.cause})")


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
