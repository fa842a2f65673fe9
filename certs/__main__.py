"""`python -m certs issue`: a server certificate without a cluster, for development, tests and operators."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from certs.authority import (
    InvalidDnsNameError,
    UnusableAuthorityError,
    issue_leaf,
    new_ca,
)
from certs.facts import CA_VALIDITY, LEAF_VALIDITY, KeyPair
from certs.files import write_file
from certs.state import BUNDLE, CERTIFICATE, KEY

CA_COMMON_NAME: Final = "ghcr-pull-secrets webhook CA"

_CA_CERTIFICATE: Final = BUNDLE
_CA_KEY: Final = "ca.key"
_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Make TLS certificates for an admission webhook."""


@main.command()
@click.option(
    "--dns-name",
    "dns_names",
    metavar="NAME",
    multiple=True,
    required=True,
    help="A name the server is called by, such as SERVICE.NAMESPACE.svc. Repeat it for more.",
)
@click.option(
    "--out",
    type=_DIRECTORY,
    required=True,
    help="Where tls.crt, tls.key (mode 0600) and ca.crt go. Made with mode 0700 if absent.",
)
@click.option(
    "--days",
    type=click.IntRange(1, CA_VALIDITY.days),
    default=LEAF_VALIDITY.days,
    show_default=True,
    help="How long the certificate is valid, at most as long as its CA.",
)
@click.option(
    "--ca-dir",
    type=_DIRECTORY,
    help="Sign with the CA in ca.crt and ca.key of this directory, and make it there if there is neither. "
    "Without this option a CA is made for this one certificate and its key is thrown away.",
)
@click.option("--force", is_flag=True, help="Overwrite the files in --out. A CA in --ca-dir is never overwritten.")
def issue(dns_names: tuple[str, ...], out: Path, days: int, ca_dir: Path | None, *, force: bool) -> None:
    """Issue a server certificate.

    Exits with 0 when all files are written, 1 when they could not be, 2 when the command line is wrong.
    """
    now = datetime.now(UTC)
    try:
        ca, ca_is_new = _authority(ca_dir, now=now)
        leaf = issue_leaf(ca, dns_names=dns_names, now=now, validity=timedelta(days=days))
        files = {
            KEY: leaf.key_pem,
            CERTIFICATE: leaf.certificate_pem,
            _CA_CERTIFICATE: ca.certificate_pem,
        }
        _refuse_overwriting(out, files, force=force, ca_dir=ca_dir)
        if ca_dir is not None and ca_is_new:
            _write(ca_dir, {_CA_KEY: ca.key_pem, _CA_CERTIFICATE: ca.certificate_pem})
        _write(out, files)
    except InvalidDnsNameError as error:
        raise click.BadParameter(str(error), param_hint="--dns-name") from error
    except UnusableAuthorityError as error:
        raise click.ClickException(f"{ca_dir}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or out}: {error.strerror}") from error
    click.echo(f"{out / CERTIFICATE}: for {', '.join(dns_names)}; valid for {days} days, or as long as its CA")
    made = "a new CA" if ca_is_new else "the CA"
    click.echo(f"{out / _CA_CERTIFICATE}: {made}" + (f" of {ca_dir}" if ca_dir else ", whose key was thrown away"))


def _authority(ca_dir: Path | None, *, now: datetime) -> tuple[KeyPair, bool]:
    """Read the CA of a directory, or make one; say whether it is new."""
    if ca_dir is not None:
        certificate, key = ca_dir / _CA_CERTIFICATE, ca_dir / _CA_KEY
        # A half is an error to report, not a reason to replace the other half.
        if certificate.exists() or key.exists():
            return KeyPair(certificate_pem=certificate.read_bytes(), key_pem=key.read_bytes()), False
    return new_ca(common_name=CA_COMMON_NAME, now=now), True


def _refuse_overwriting(out: Path, files: Mapping[str, bytes], *, force: bool, ca_dir: Path | None) -> None:
    paths = [out / name for name in files if (out / name).exists() or (out / name).is_symlink()]
    # The CA's own certificate, where --out and --ca-dir are one directory.
    in_the_way = [path for path in paths if not (path.name == _CA_CERTIFICATE and ca_dir and ca_dir.samefile(out))]
    if in_the_way and not force:
        names = ", ".join(str(path) for path in in_the_way)
        raise click.ClickException(f"already there: {names}. Use --force to overwrite.")


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        write_file(directory / name, content, private=name.endswith(".key"))


if __name__ == "__main__":
    main(prog_name="python -m certs")
