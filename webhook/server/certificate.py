"""Served certificate: written from a Secret, reloaded when its files change.

It is kept while its successor cannot be used.
"""

import os
import shutil
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from certs.facts import CertificateFacts, Unreadable
from certs.files import DATA, write_pair
from certs.inspection import inspect, split_bundle
from certs.state import CERTIFICATE, KEY, SecretData
from webhook.server.limits import directory_in_memory

_Version = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate in use.

    Attributes:
        fingerprint: SHA-256 of the leaf, lower-case hex.
        not_after: End of the leaf's life, timezone-aware.
    """

    context: ssl.SSLContext = field(repr=False)
    fingerprint: str
    not_after: datetime
    dns_names: tuple[str, ...]


class CertificateUnusable(Exception):
    """Files that are no certificate to serve.

    Attributes:
        problem: What is wrong with them; nothing of their content.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def check_pair(chain: bytes, key: bytes) -> CertificateFacts:
    """Look at what a server is to show: a leaf, perhaps with intermediates after it, and the leaf's key.

    Raises:
        CertificateUnusable: It cannot be shown.
    """
    facts = inspect((split_bundle(chain) or (chain,))[0], key)
    if isinstance(facts, Unreadable):
        raise CertificateUnusable(f"tls.crt is {facts.reason}")
    if not facts.key_matches:
        raise CertificateUnusable("tls.key is damaged or another certificate's")
    return facts


class CertificateFiles:
    """Gives the TLS context to serve with; looks at the files each time and reads them only if they have changed.

    Looking is two `stat` calls, a few microseconds against the handshake's millisecond. Files that are missing or do
    not fit each other, as in the middle of a replacement, leave the last good pair in use; each such state is logged
    once.

    Args:
        directory: Holds `tls.crt` (leaf first, then intermediates) and `tls.key`.
        client_ca: CAs, one of which must have signed the certificate that a client shows; without it none is asked for.

    Attributes:
        directory: As given.
    """

    def __init__(self, directory: Path, client_ca: Path | None = None) -> None:
        self.directory = directory
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._seen: _Version | None = None
        self._served: LoadedCertificate | None = None
        self._problem = "not read yet"
        self._log = structlog.get_logger()

    def current(self) -> LoadedCertificate | None:
        """Give what is to be served now, `None` if there has been no good pair yet."""
        version = self._version()
        if version != self._seen:
            with self._lock:
                if version != self._seen:
                    self._read()
        return self._served

    @property
    def problem(self) -> str:
        """What is wrong with the files as they are now; empty if nothing is."""
        return self._problem

    def expiry(self) -> float | None:
        """Give the end of the served certificate's life as a POSIX timestamp."""
        served = self.current()
        return served.not_after.timestamp() if served else None

    def _version(self) -> _Version:
        stamps = []
        for path in (self.directory / CERTIFICATE, self.directory / KEY, self._client_ca):
            try:
                if path is None:
                    continue
                status = path.stat()
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:
                stamps.append((0, 0, 0))
        return tuple(stamps)

    def _read(self) -> None:
        # Taken before reading: a change meanwhile makes the next caller read again.
        version = self._version()
        try:
            served = self._load()
        except CertificateUnusable as fault:
            self._problem = fault.problem
            self._log.warning("certificate_rejected", problem=fault.problem, still_served=self._served is not None)
        else:
            self._served, self._problem = served, ""
            self._log.info(
                "certificate_loaded",
                fingerprint=served.fingerprint,
                not_after=served.not_after.isoformat(),
                dns_names=served.dns_names,
            )
        self._seen = version

    def _load(self) -> LoadedCertificate:
        link = self.directory / DATA
        try:
            directory = link.resolve(strict=True) if link.is_symlink() else self.directory
            chain, key = (directory / CERTIFICATE).read_bytes(), (directory / KEY).read_bytes()
        except OSError as error:
            raise CertificateUnusable(f"tls.crt and tls.key cannot be read ({type(error).__name__})") from None
        facts = check_pair(chain, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        self._ask_for_certificates(context)
        try:
            context.load_cert_chain(directory / CERTIFICATE, directory / KEY)
        except (OSError, ValueError) as error:
            raise CertificateUnusable(f"OpenSSL does not take the pair ({type(error).__name__})") from None
        return LoadedCertificate(context, facts.fingerprint, facts.not_after, facts.dns_names)

    def _ask_for_certificates(self, context: ssl.SSLContext) -> None:
        if self._client_ca is None:
            return
        try:
            context.load_verify_locations(self._client_ca)
        except (OSError, ValueError) as error:
            raise CertificateUnusable(f"the client CA cannot be read ({type(error).__name__})") from None
        context.verify_mode = ssl.CERT_REQUIRED


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
    check_pair(files[CERTIFICATE], files[KEY])
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
