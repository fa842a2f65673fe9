"""Atomic replacement of several files that belong together.

`write_pair` does what the kubelet does for a mounted Secret (its `AtomicWriter`):

    DIR/tls.crt -> ..data/tls.crt
    DIR/tls.key -> ..data/tls.key
    DIR/..data  -> ..2026_01_31_12_00_00.k3J9x2        the one thing that changes, by rename
    DIR/..2026_01_31_12_00_00.k3J9x2/                  a generation: written once, then never touched

A reader that resolves `..data` once (`current_generation`) and opens what it finds there gets a key and a certificate
of one generation. One that opens `DIR/tls.crt` and then `DIR/tls.key` resolves `..data` twice and, if it changes in
between, gets a certificate and a key that do not fit: it has to notice and open both again.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

DATA: Final = "..data"
"""The link whose change replaces all files of a directory in one step, in a Secret that the kubelet mounts too."""

_PUBLIC: Final = 0o644
_PRIVATE: Final = 0o600


class NotAFileNameError(ValueError):
    """A name that would leave the directory or hide among the generations.

    Args:
        name: The name as it was given.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not a plain file name")
        self.name = name


def write_file(path: Path, content: bytes, *, private: bool) -> None:
    """Write or replace one file; whoever opens it meanwhile gets all of the old or all of the new content.

    Args:
        path: The file; its directory exists.
        content: What it shall hold.
        private: Readable by its owner alone (0600), from the first moment on.

    Raises:
        OSError: It cannot be written. Nothing of the attempt is left.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _create(scratch, content, private=private)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_pair(directory: Path, files: Mapping[str, bytes]) -> bool:
    """Make a directory hold exactly these files, all of them changing at one moment.

    A crash at any point leaves the old set or the new one, and at most an unused generation that the next call removes.
    The generation before the current one is kept, so that a reader that has resolved `..data` can still open it.
    Concurrent calls, of other processes too, take turns.

    Args:
        directory: Made (0700) if absent. Entries in it that no call made are left alone, unless named like a file.
        files: Content by plain file name. All files are readable by the owner alone.

    Returns:
        Whether anything changed.

    Raises:
        NotAFileNameError: A name has a slash or begins with two dots.
        OSError: The files cannot be written; the old ones are served on.
    """
    for name in files:
        if not name or "/" in name or name == "." or name.startswith(".."):
            raise NotAFileNameError(name)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        previous = current_generation(directory)
        changed = previous is None or not _holds(previous, files)
        if changed:
            generation = _new_generation(directory, files)
            _link(directory / DATA, generation.name)
            _remove_generations(directory, keep={generation.name, previous.name if previous else ""})
        for name in files:
            changed |= _link(directory / name, f"{DATA}/{name}")
        for entry in directory.iterdir():
            if entry.name not in files and entry.is_symlink() and entry.readlink() == Path(DATA, entry.name):
                entry.unlink()
        _sync_directory(directory)
    return changed


def current_generation(directory: Path) -> Path | None:
    """Resolve `..data` once: a directory whose files fit each other; None before the first `write_pair`.

    It stays readable until the second `write_pair` from now; a reader that finds a file of it gone resolves again.
    """
    try:
        return directory / (directory / DATA).readlink()
    except FileNotFoundError:
        return None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory against other writers; the kernel lets go of it if this process dies."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _new_generation(directory: Path, files: Mapping[str, bytes]) -> Path:
    stamp = datetime.now(UTC).strftime("%Y_%m_%d_%H_%M_%S")
    generation = Path(tempfile.mkdtemp(prefix=f"..{stamp}.", dir=directory))
    try:
        for name, content in files.items():
            _create(generation / name, content, private=True)
        _sync_directory(generation)
    except OSError:
        shutil.rmtree(generation, ignore_errors=True)
        raise
    return generation


def _remove_generations(directory: Path, *, keep: set[str]) -> None:
    """Remove what no reader can be at any more: older generations, and what a crash left half made."""
    for entry in directory.glob("..*"):
        if entry.name == DATA or entry.name in keep:
            continue
        if entry.is_symlink():
            entry.unlink()
        else:
            # A file of it that cannot go is no reason not to serve the new certificate; the next call tries again.
            shutil.rmtree(entry, ignore_errors=True)


def _holds(generation: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return {entry.name: entry.read_bytes() for entry in generation.iterdir()} == dict(files)
    except OSError:
        return False  # somebody has been at it; a new generation does not depend on what they did


def _link(link: Path, target: str) -> bool:
    """Make or replace a symbolic link by rename; False if it is there already."""
    if link.is_symlink() and link.readlink() == Path(target):
        return False
    scratch = link.with_name(f"..{secrets.token_hex(4)}.tmp")
    scratch.symlink_to(target)
    scratch.replace(link)
    return True


def _create(path: Path, content: bytes, *, private: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE if private else _PUBLIC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
