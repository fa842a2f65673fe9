"""Command `status`: say whether the set-up is healthy."""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.connecting import cluster_of, diagnosis_options
from webhook.cli.options import GroupedCommand, reporting_faults, show
from webhook.config import ConfigError, Fault

if TYPE_CHECKING:
    from webhook.doctor.model import Diagnosis
    from webhook.doctor.run import Doctor

_POLL_S: Final = 1.0


@click.command("status", cls=GroupedCommand)
@click.option("--wait", metavar="DURATION", help="Wait so long for it to be healthy, such as 2m.")
@diagnosis_options
def command(*, wait: str | None, output: str, release_namespace: str | None, **flags: Any) -> None:
    """Say whether the set-up is healthy: what `doctor` says first.

    For pipelines, after the add-on was installed or upgraded.

    \b
    Examples:
      ghcr-pull-secrets status
      helm upgrade --install ... && ghcr-pull-secrets status --wait 2m
      ghcr-pull-secrets status --output json

    Exits with 0 when it is healthy, 1 with findings, 2 when nothing could be
    looked at or the command line is wrong.
    """  # noqa: D301 (click wants the character itself)
    with reporting_faults():
        timeout = _seconds(wait)
        with cluster_of(flags, release_namespace) as connection:
            # Imported late: `--help` needs none of it.
            from webhook.doctor.asking import ClusterAsks  # noqa: PLC0415
            from webhook.doctor.outputs import plain_json, text  # noqa: PLC0415
            from webhook.doctor.run import Doctor, exit_code  # noqa: PLC0415

            diagnosis = _waited(Doctor(ClusterAsks(connection.client)), release_namespace or "", timeout)
            show(plain_json.render(diagnosis, pods=False) if output == "json" else text.status(diagnosis))
            sys.exit(exit_code(diagnosis))


def _waited(doctor: "Doctor", release_namespace: str, timeout: float) -> "Diagnosis":
    """Look until it is healthy or the time is up; meanwhile, say what it waits for on standard error."""
    from webhook.doctor.run import Wanted  # noqa: PLC0415
    from webhook.ports import DeadlineExceeded, Unavailable  # noqa: PLC0415

    give_up = time.monotonic() + timeout
    told: object = None
    while True:
        waits_for: tuple[str, ...]
        try:
            _, diagnosis = doctor.look(Wanted(release_namespace=release_namespace), datetime.now(UTC))
            # Where nothing may be read, waiting shows nothing either.
            if diagnosis.healthy or not diagnosis.looked or time.monotonic() >= give_up:
                return diagnosis
            waits_for = tuple(f"{each.name}: {each.text}" for each in diagnosis.faults)
        except (Unavailable, DeadlineExceeded) as error:
            if time.monotonic() >= give_up:
                raise
            waits_for = (str(error),)
        if waits_for != told:
            told = waits_for
            for line in waits_for:
                click.echo(f"waiting for {line}", err=True)
        _pause(min(_POLL_S, max(0.0, give_up - time.monotonic())))


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _seconds(text: str | None) -> float:
    from webhook.config.values import BadValue, seconds  # noqa: PLC0415

    try:
        return seconds(text) if text else 0.0
    except BadValue as error:
        raise ConfigError([Fault("--wait", str(error))]) from None
