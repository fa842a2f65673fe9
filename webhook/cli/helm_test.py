"""Command `helm-test`: try an installed release end to end."""

import sys
from typing import Any

import click

from webhook.cli.connecting import connected
from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config.connection import CONNECTION_SETTINGS
from webhook.core.names import SECRET_NAME


@click.command("helm-test", cls=GroupedCommand, hidden=True)
@click.option("--image", required=True, metavar="IMAGE", help="A selected image; nothing pulls it.")
@options(CONNECTION_SETTINGS)
def command(*, image: str, **flags: Any) -> None:
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
