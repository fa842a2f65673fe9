"""Files, folders and standard input read within bounds."""

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from webhook.check.manifests import Trouble

STDIN: Final = "-"
STDIN_NAME: Final = "stdin"

MAX_BYTES: Final = 256 << 20
"""Longest text that is read of one file: five times the largest bundle of CustomResourceDefinitions we know of."""

MAX_FILES: Final = 100_000
"""Most files that are read in one run."""

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The text of one file.

    Attributes:
        name: As a person would write it.
        text: What is in it.
        found: It was found in a folder, not named.
        exact: Its bytes are this text in UTF-8, so that it can be written back.
    """

    name: str
    text: str = field(repr=False)
    found: bool = False
    exact: bool = True


class Sources:
    """What a command line names, read in order, each file once.

    Args:
        stdin: Read for the path `-`; `None` where it is closed.
        skip: Patterns (`*`, `?`, `[…]`) of paths to leave out.
    """

    def __init__(self, stdin: BinaryIO | None, skip: Sequence[str] = ()) -> None:
        self._stdin = stdin
        self._skip = tuple(skip)
        self._seen: set[tuple[int, int]] = set()
        self._files = 0

    def read(self, paths: Sequence[str]) -> Iterator[Text | Trouble]:
        """Read everything; what cannot be read is reported, and the rest is read all the same."""
        for path in paths:
            if path == STDIN:
                yield self._standard_input()
            else:
                yield from self._path(Path(path), found=False)

    def _standard_input(self) -> Text | Trouble:
        if self._stdin is None:
            return _unread(STDIN_NAME, "cannot be read: it is closed")
        try:
            content = self._stdin.read(MAX_BYTES + 1)
        except OSError as error:
            return _unreadable(STDIN_NAME, error)
        return self._decoded(STDIN_NAME, content, found=False)

    def _path(self, path: Path, *, found: bool) -> Iterator[Text | Trouble]:
        name = path.as_posix()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self._skip):
            return
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:  # through a symbolic link, or named twice
                return
            if stat.S_ISDIR(status.st_mode):
                self._seen.add(identity)
                yield from self._folder(path)
                return
            if found and not (stat.S_ISREG(status.st_mode) and path.suffix.lower() in _SUFFIXES):
                return
            if stat.S_ISREG(status.st_mode):
                self._seen.add(identity)
            self._files += 1
            if self._files > MAX_FILES:
                if self._files == MAX_FILES + 1:
                    yield _unread(name, f"no more than {MAX_FILES} files are read in one run")
                return
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            yield self._decoded(name, content, found=found)
        except OSError as error:
            if not found or path.suffix.lower() in _SUFFIXES or error.errno == errno.EACCES:
                yield _unreadable(name, error)

    def _folder(self, path: Path) -> Iterator[Text | Trouble]:
        # Hidden folders (.git, .github) hold no manifests; whoever means one names it.
        for name in sorted(os.listdir(path)):  # noqa: PTH208 - names, not paths
            if not name.startswith("."):
                yield from self._path(path / name, found=True)

    @staticmethod
    def _decoded(name: str, content: bytes, *, found: bool) -> Text | Trouble:
        if len(content) > MAX_BYTES:
            return _unread(name, f"is larger than {MAX_BYTES >> 20} MiB")
        encoding = next((encoding for bom, encoding in _BOMS if content.startswith(bom)), "utf-8")
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            if b"\0" in content[:8192]:
                return _unread(name, "is no text")
            return Trouble(file=name, line=content.count(b"\n", 0, error.start) + 1, problem="is not UTF-8")
        if "\0" in text:
            return _unread(name, "is no text")
        return Text(name=name, text=text, found=found, exact=encoding == "utf-8")


def _unreadable(name: str, error: OSError) -> Trouble:
    return _unread(name, f"cannot be read: {(error.strerror or 'input/output error').lower()}")


def _unread(name: str, problem: str) -> Trouble:
    return Trouble(file=name, line=1, problem=problem)
