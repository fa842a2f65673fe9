"""Command `serve`: run the webhook server process."""

import os
from typing import Any

import click

from webhook.cli.options import GroupedCommand, options, reporting_faults
from webhook.config import SERVE_SETTINGS, ServeSettings


@click.command("serve", cls=GroupedCommand)
@options(SERVE_SETTINGS)
def command(**flags: Any) -> None:
    """Answer the API server's admission reviews."""
    with reporting_faults():
        settings = ServeSettings.parse(flags, os.environ)
        # Imported late: what a server needs would make `--help` and the report of a fault slow.
        from webhook.server.serve import run  # noqa: PLC0415

        run(settings)
