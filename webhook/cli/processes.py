"""Commands `serve` and `controller`: run one of the two processes."""

import os
from typing import Any

import click

from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config import SERVE_SETTINGS, ServeSettings
from webhook.config.controller import CONTROLLER_SETTINGS, ControllerSettings


@click.command("serve", cls=GroupedCommand)
@options(SERVE_SETTINGS)
def serve(**flags: Any) -> None:
    """Answer the API server's admission reviews."""
    with reporting_faults():
        settings = ServeSettings.parse(flags, os.environ)
        # Imported late: what a server needs would make `--help` and the report of a fault slow.
        from webhook.server.serve import run  # noqa: PLC0415

        run(settings)


@click.command("controller", cls=GroupedCommand)
@options(CONTROLLER_SETTINGS)
def controller(**flags: Any) -> None:
    """Keep every copy equal to the central secret, renew the webhook's certificates, and check the credential."""
    with reporting_faults():
        settings = ControllerSettings.parse(flags, os.environ)
        # Imported late: what a controller needs would make `--help` and the report of a fault slow.
        from webhook.cli.controller_process import run  # noqa: PLC0415

        run(settings)
