"""Certificate files written from a Secret."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from certs.files import write_pair
from certs.state import CERTIFICATE, KEY, SecretData
from webhook.server.certificate import CertificateUnusable, judge
from webhook.server.memory import directory_in_memory


class SecretFiles:
    """Takes a Secret's data and writes them to files, key and certificate in one step, if they can be served.

    What cannot is not written: the last good pair stays, for a worker that has to be replaced too.

    Args:
        directory: Where the files go.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._problem = "not read yet"
        self._log = structlog.get_logger()

    @property
    def problem(self) -> str:
        """What is wrong with the Secret as it is now; empty if nothing is."""
        return self._problem

    def take(self, data: SecretData | None) -> None:
        """Take what the Secret holds now; `None` if there is no such Secret.

        Raises:
            OSError: It cannot be written.
        """
        try:
            files = _usable(data)
        except CertificateUnusable as fault:
            if fault.problem != self._problem:
                self._log.warning("certificate_secret_rejected", problem=fault.problem)
            self._problem = fault.problem
            return
        self._problem = "it could not be written"
        write_pair(self._directory, files)
        self._problem = ""


def _usable(data: SecretData | None) -> SecretData:
    if data is None:
        raise CertificateUnusable("there is no such Secret")
    try:
        files = {name: data[name] for name in (CERTIFICATE, KEY)}
    except KeyError as missing:
        raise CertificateUnusable(f"it has no {missing.args[0]}") from None
    judge(files[CERTIFICATE], files[KEY])
    return files


@contextmanager
def files_directory(chosen: Path | None) -> Iterator[Path]:
    """Give the directory to use: the chosen one, or one of our own in memory that goes with this process.

    A child of this process leaves it alone, however it ends.
    """
    if chosen is not None:
        yield chosen
        return
    directory = Path(tempfile.mkdtemp(prefix="ghcr-pull-secrets-", dir=directory_in_memory()))
    owner = os.getpid()
    try:
        yield directory
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)
