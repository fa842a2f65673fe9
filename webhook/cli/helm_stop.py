"""Command `helm-stop`: stop a release before its uninstallation."""

import sys
import time
from typing import Any, Final

import click

from webhook.cli.connecting import connected
from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config.connection import CONNECTION_SETTINGS

_POLL_S: Final = 1.0


@click.command("helm-stop", cls=GroupedCommand, hidden=True)
@click.option("--name", required=True, metavar="NAME", help="Full name of the release.")
@click.option("--last-configuration", metavar="NAME", help="Name of the mutating configuration that is called last.")
@click.option("--selector", required=True, metavar="SELECTOR", help="Labels of its Pods.")
@click.option("--patience", type=click.IntRange(min=0), default=90, metavar="SECONDS", help="How long they may take.")
@options(CONNECTION_SETTINGS)
def command(*, name: str, last_configuration: str | None, selector: str, patience: int, **flags: Any) -> None:
    """Delete a release's webhook configurations, scale it to nothing, and wait until its Pods have ended."""
    with reporting_faults(), connected(flags) as (connection, namespace):
        from webhook.cluster.hooks import ReleaseStopper  # noqa: PLC0415 (`--help` needs none of it)
        from webhook.ports import ClusterError  # noqa: PLC0415

        release = ReleaseStopper(connection.client, name=name, last=last_configuration, namespace=namespace)
        give_up = time.monotonic() + patience
        try:
            release.stop()
            while release.running(selector):
                if time.monotonic() >= give_up:
                    sys.exit(f"Pods of {name} still run after {patience} s")
                time.sleep(_POLL_S)
        except ClusterError as error:
            sys.exit(f"{error} ({error.cause})")
