"""Command `controller`: run the controller process."""

import os
from typing import Any

import click

from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config.controller import CONTROLLER_SETTINGS, ControllerSettings


@click.command("controller", cls=GroupedCommand)
@options(CONTROLLER_SETTINGS)
def command(**flags: Any) -> None:
    """Keep every copy equal to the central secret, renew the webhook's certificates, and check the credential."""
    with reporting_faults():
        settings = ControllerSettings.parse(flags, os.environ)
        # Imported late: what a controller needs would make `--help` and the report of a fault slow.
        from webhook.cli.controller_process import run  # noqa: PLC0415

        run(settings)
