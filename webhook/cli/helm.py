"""Commands `helm-test` and `helm-stop`: what the chart's hooks run."""

import sys
import time
from typing import Any, Final

import click

from webhook.cli.options import GroupedCommand, connected, options, reporting_faults
from webhook.config import CONNECTION_SETTINGS
from webhook.core.names import SECRET_NAME


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


_POLL_S: Final = 1.0


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
