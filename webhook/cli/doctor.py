"""Commands `doctor` and `status`: find out what is wrong in a cluster."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.options import (
    GroupedCommand,
    checked_namespace,
    diagnosed_cluster,
    diagnosis_options,
    reporting_faults,
    show,
)
from webhook.config import ConfigError, Fault

if TYPE_CHECKING:
    from webhook.cluster.connecting import ChosenCluster
    from webhook.doctor.evidence import Evidence
    from webhook.doctor.model import Diagnosis
    from webhook.doctor.run import Doctor

_PODS_S: Final = 300.0
"""Time for all Pods of a large cluster, and for what is around those that wait."""


@click.command("doctor", cls=GroupedCommand)
@click.option(
    "-n", "--namespace", metavar="NAME", help="Namespace whose Pods to look at.  [default: that of the context]"
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Look at the Pods of every namespace.")
@click.option(
    "--check-credential", is_flag=True, help="Ask the registry about the central credential, for the images in use."
)
@click.option(
    "--verify", is_flag=True, help="Only tick off the way of a credential: source, sync, central, copies, pull."
)
@click.option("--fix", is_flag=True, help="Offer the fixes that can do no harm, and do those you agree to.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@diagnosis_options
def doctor(**options: Any) -> None:
    """Find out why a cluster does not pull, and what fixes it.

    Looks at the set-up, from the ExternalSecret to the certificate, and at the
    Pods that cannot pull. Reads with the permissions of your kubeconfig, says
    what it may not read, and changes nothing without --fix.

    \b
    Examples:
      kubectl ghcr-pull-secrets doctor -A
      kubectl ghcr-pull-secrets doctor -n auth --check-credential
      ghcr-pull-secrets doctor -A --verify
      ghcr-pull-secrets doctor -A --output json

    --fix makes a copy that is missing, restarts an owner whose Pods were made
    before the remedy, or deletes them where what made them makes them again,
    and has an ExternalSecret read again; it does what was found, and does not
    look again.

    Exits with 0 when there is nothing to fix, 1 with findings (those just fixed
    too), 2 when nothing could be looked at or the command line is wrong.
    """  # noqa: D301 (click wants the character itself)
    given = {name: options.pop(name) for name in ("namespace", "all_namespaces", "check_credential", "verify", "fix")}
    yes, output, release_namespace = (options.pop(name) for name in ("yes", "output", "release_namespace"))
    with reporting_faults():
        _refuse(given, yes=yes, output=output)
        with diagnosed_cluster(options, release_namespace) as connection:
            sys.exit(_run(connection, given, yes=yes, output=output, release_namespace=release_namespace or ""))


def _refuse(given: dict[str, Any], *, yes: bool, output: str) -> None:
    """Refuse flags that do not go together."""
    faults = []
    if given["namespace"] and given["all_namespaces"]:
        faults.append(Fault("--all-namespaces", "does not go with --namespace"))
    if given["fix"] and not yes and not _asks_a_person():
        faults.append(Fault("--fix", "nobody can be asked, since standard input is no terminal; --yes does not ask"))
    if yes and not given["fix"]:
        faults.append(Fault("--yes", "goes with --fix only"))
    if output == "json" and (given["fix"] or given["verify"]):
        faults.append(Fault("--output", "json goes with neither --fix nor --verify"))
    if faults:
        raise ConfigError(faults)
    checked_namespace("--namespace", given["namespace"])


def _asks_a_person() -> bool:
    return sys.stdin.isatty()


def _run(connection: "ChosenCluster", given: dict[str, Any], *, yes: bool, output: str, release_namespace: str) -> int:
    # Imported late: `--help` needs none of it.
    from webhook.doctor import rendering  # noqa: PLC0415
    from webhook.doctor.run import Wanted, exit_code  # noqa: PLC0415

    namespace = "" if given["all_namespaces"] else given["namespace"] or connection.namespace or "default"
    now = datetime.now(UTC)
    with _progress() as progress:
        doctor = _doctor(connection, progress, check_credential=given["check_credential"])
        evidence, diagnosis = doctor.look(Wanted(namespace=namespace, release_namespace=release_namespace), now)
    if output == "json":
        show(rendering.as_json(diagnosis))
    else:
        show(rendering.verified(diagnosis) if given["verify"] else rendering.as_text(diagnosis, now))
    if given["fix"]:
        _fix(connection, evidence, diagnosis, yes=yes)
    return exit_code(diagnosis)


def _doctor(connection: "ChosenCluster", progress: Callable[[int], None], *, check_credential: bool) -> "Doctor":
    from webhook.cluster.pods import ClusterPods  # noqa: PLC0415
    from webhook.core.review import Json  # noqa: PLC0415
    from webhook.doctor.asking import ClusterAsks  # noqa: PLC0415
    from webhook.doctor.pods import find_pod_groups  # noqa: PLC0415
    from webhook.doctor.run import Doctor  # noqa: PLC0415
    from webhook.ports import Deadline  # noqa: PLC0415
    from webhook.registry import HttpsRegistry  # noqa: PLC0415

    client = connection.client
    deadline = Deadline.after(_PODS_S)

    def pods(namespace: str) -> Iterator[Json]:
        for pending in (True, False):
            yield from ClusterPods(client).list(deadline, namespace=namespace, pending=pending)

    return Doctor(
        ClusterAsks(client),
        find_pods=lambda question: find_pod_groups(client, question, deadline, progress),
        registry=HttpsRegistry(trust=connection.trust) if check_credential else None,
        list_pods=pods,
    )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many Pods were looked at; standard error, so that the report stays alone."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Looking at the set-up")
        yield lambda seen: progress.update(task, description=f"Looking at Pods: {seen}")


def _fix(connection: "ChosenCluster", evidence: "Evidence", diagnosis: "Diagnosis", *, yes: bool) -> None:
    from webhook.doctor.fixes import harmless  # noqa: PLC0415
    from webhook.doctor.fixing import Fixer  # noqa: PLC0415
    from webhook.ports import ClusterError  # noqa: PLC0415

    fixes = harmless(evidence, diagnosis)
    click.echo()
    if not fixes:
        click.echo("Nothing here can be fixed without a decision of yours.")
    fixer = Fixer(connection.client)
    for fix in fixes:
        said = f"{fix}"
        if not yes and not click.confirm(f"{said[0].upper()}{said[1:]} ({connection.where})?"):
            continue
        try:
            remark = fixer.do(fix, datetime.now(UTC))
            click.echo(f"done: {fix}{remark and '; '}{remark}")
        except ClusterError as error:
            click.echo(f"not done: {fix}: {error.cause}")


_POLL_S: Final = 1.0


@click.command("status", cls=GroupedCommand)
@click.option("--wait", metavar="DURATION", help="Wait so long for it to be healthy, such as 2m.")
@diagnosis_options
def status(*, wait: str | None, output: str, release_namespace: str | None, **flags: Any) -> None:
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
        with diagnosed_cluster(flags, release_namespace) as connection:
            # Imported late: `--help` needs none of it.
            from webhook.doctor import rendering  # noqa: PLC0415
            from webhook.doctor.asking import ClusterAsks  # noqa: PLC0415
            from webhook.doctor.run import Doctor, exit_code  # noqa: PLC0415

            diagnosis = _waited(Doctor(ClusterAsks(connection.client)), release_namespace or "", timeout)
            show(rendering.as_json(diagnosis, pods=False) if output == "json" else rendering.status(diagnosis))
            sys.exit(exit_code(diagnosis))


def _waited(doctor: "Doctor", release_namespace: str, timeout: float) -> "Diagnosis":
    """Look until it is healthy or the time is up; meanwhile, say what it waits for on standard error."""
    from webhook.doctor.run import Wanted  # noqa: PLC0415
    from webhook.ports import DeadlineExceeded, Unavailable  # noqa: PLC0415

    give_up = time.monotonic() + timeout
    reported: object = None
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
        if waits_for != reported:
            reported = waits_for
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
