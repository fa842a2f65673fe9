"""Image references parsed, and patterns that select images.

The grammar is that of github.com/distribution/reference v0.6.0 (``ParseNormalizedNamed``), which the kubelet calls
through ``parsers.ParseImageName``; digests are checked as github.com/opencontainers/go-digest v1.0.0 does.
"""

import functools
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from webhook.core.hostmatch import glob_matches

DEFAULT_TAG: Final = "latest"
MAX_PATH_LENGTH: Final = 255
"""Longest repository path, without the registry (``RepositoryNameTotalLengthMax``)."""

REMEMBERED_LENGTH: Final = 512
"""Longest image whose reading is remembered: room for any valid one (host, 255, a tag and a digest)."""

# No part can end where another could begin, so nothing is tried twice on hostile input. Single characters are repeated
# possessively, groups greedily: before CPython 3.11.5 (gh-106052), so on Debian 12, a possessive group kept what a
# failed last turn had taken, and `ghcr.io./a` was a reference.
_LABEL: Final = r"[a-zA-Z0-9]++(?:-++[a-zA-Z0-9]++)*"
_DOMAIN: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]++\])(?::[0-9]++)?"
_COMPONENT: Final = r"[a-z0-9]++(?:(?:__?+|\.|-++)[a-z0-9]++)*"
_ALGORITHM: Final = r"[A-Za-z][A-Za-z0-9]*+(?:[-_+.][A-Za-z][A-Za-z0-9]*+)*"
_REFERENCE: Final = re.compile(
    # A first component that is no valid domain (a_b.c/x) is not refused: it counts as part of the path.
    rf"(?P<name>(?:{_DOMAIN}/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*))"
    r"(?::(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}+))?"
    rf"(?:@(?P<digest>{_ALGORITHM}:[0-9a-fA-F]{{32,}}+))?"
)
_DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_IMAGE_ID: Final = re.compile(r"[a-f0-9]{64}")

_HUB: Final = "docker.io"
_HUB_HOSTS: Final = frozenset({_HUB, "index.docker.io"})


class ReferenceFault(StrEnum):
    """What makes an image reference invalid."""

    IMAGE_ID = "image_id"
    UPPERCASE = "uppercase_repository"
    FORMAT = "invalid_format"
    TOO_LONG = "repository_too_long"
    DIGEST = "invalid_digest"


class InvalidReference(ValueError):
    """An image the kubelet answers with ``InvalidImageName``; it is never pulled.

    Attributes:
        reference: The image as given.
        reason: What is wrong with it.
    """

    def __init__(self, reference: str, reason: ReferenceFault) -> None:
        """Keep the reference and what is wrong with it."""
        super().__init__(f"invalid image reference: {reason}")
        self.reference = reference
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A parsed image.

    Attributes:
        repository: Normalised name with registry, ``docker.io/library/nginx``.
        tag: "" if only a digest was given, ``latest`` if neither was.
        digest: ``sha256:…``, or "".
    """

    repository: str
    tag: str
    digest: str

    @property
    def registry(self) -> str:
        """The host with its port, case as written."""
        return self.repository.partition("/")[0]


def parse(reference: str) -> ImageReference:
    """Parse an image as the kubelet does.

    Raises:
        InvalidReference: With the reason.
    """
    # A cluster pulls the same images all day long.
    return _parse_remembered(reference) if len(reference) <= REMEMBERED_LENGTH else _parse(reference)


def _parse(reference: str) -> ImageReference:
    if _IMAGE_ID.fullmatch(reference):
        raise InvalidReference(reference, ReferenceFault.IMAGE_ID)
    domain, remainder = _split_domain(reference)
    repository = remainder.partition(":")[0]
    if repository.lower() != repository:
        raise InvalidReference(reference, ReferenceFault.UPPERCASE)
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None:
        raise InvalidReference(reference, ReferenceFault.FORMAT)
    if len(match["path"]) > MAX_PATH_LENGTH:
        raise InvalidReference(reference, ReferenceFault.TOO_LONG)
    tag, digest = match["tag"] or "", match["digest"] or ""
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidReference(reference, ReferenceFault.DIGEST)
    return ImageReference(repository=match["name"], tag=tag or ("" if digest else DEFAULT_TAG), digest=digest)


_parse_remembered = functools.lru_cache(maxsize=1024)(_parse)


def _split_domain(reference: str) -> tuple[str, str]:
    """Split off the registry; Docker Hub and its ``library/`` are supplied for short names."""
    first, slash, rest = reference.partition("/")
    if not slash:
        return _HUB, f"library/{reference}"
    if first in _HUB_HOSTS:
        return _HUB, rest if "/" in rest else f"library/{rest}"
    # Upper case is not allowed in a repository, so it makes the first part a host.
    if first == "localhost" or "." in first or ":" in first or first.lower() != first:
        return first, rest
    return _HUB, reference


def plain_host(host: str) -> str:
    """Write a registry's host as a pull secret's entry has it: in lower case, its port a number, without port 443.

    The kubelet compares both as texts, though `GHCR.IO`, `ghcr.io:443` and `ghcr.io:0443` are all pulled from ghcr.io.
    """
    name, port = split_port(host)
    return f"{name}:{port}".lower() if port and port != "443" else name.lower()


def written_plainly(image: str) -> bool:
    """Return whether an image's host is written as `plain_host` would."""
    host = image.partition("/")[0]
    return plain_host(host) == host


def split_port(host: str) -> tuple[str, str]:
    """Split a registry's host into name and port, a number without leading zeros; "" if there is none."""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        return host, ""
    return name, port.lstrip("0") or "0"


class InvalidPattern(ValueError):
    """An image pattern that could not select what its author means.

    Attributes:
        pattern: The pattern as given.
        reason: What is wrong with it, a sentence for its author.
        field: ``include`` or ``exclude``, "" if the pattern was not part of an `ImagePatterns`.
        index: Its place in that field.
    """

    def __init__(self, pattern: str, reason: str, *, field: str = "", index: int = 0) -> None:
        """Keep the pattern, its place and what is wrong with it."""
        super().__init__(f"invalid image pattern{field and f' {field}[{index}]'}: {reason}")
        self.pattern = pattern
        self.reason = reason
        self.field = field
        self.index = index


_PATTERN_HOST: Final = re.compile(r"(?P<name>[a-z0-9.*-]+|\[[a-f0-9:]+\])(?::(?P<port>[0-9]+))?")
_PATTERN_PATH: Final = re.compile(r"[a-z0-9._/*-]+")
_PATH_END: Final = re.compile(r"[:@\n]")
_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A valid pattern.

    Attributes:
        name: The host without its port, in lower case; may hold stars.
        port: As a suffix, `:5000`; "" for both none and 443.
        path: Behind the host's slash; may hold stars.
    """

    name: str
    port: str
    path: str
    _name: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _path: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Split both at their stars, once."""
        object.__setattr__(self, "_name", tuple(self.name.split("*")))
        object.__setattr__(self, "_path", tuple(self.path.split("*")))

    def selects(self, written: "_Written") -> bool:
        """Match without backtracking: patterns are an operator's, but images come from anyone and may be long."""
        name, port, path = written
        # First what tells most patterns apart at least cost: a workload may have thousands of images.
        if not path.startswith(self._path[0]) or port != (self.port[1:] or "443"):
            return False
        if len(self._name) > 1 and ":" in name:
            return False
        return glob_matches(self._name, name) and glob_matches(self._path, path)


_Written = tuple[str, str, str]
"""An image as far as patterns look at it: its host in lower case, the port as a number, the path."""


def _split_image(image: str) -> _Written | None:
    """Take an image apart for all patterns together; `None` if no pattern can select it."""
    host, slash, rest = image.partition("/")
    if not slash:
        return None
    name, port = split_port(host)
    return name.translate(_ASCII_LOWER), port or "443", _PATH_END.split(rest, maxsplit=1)[0]


def compile_pattern(pattern: str) -> Pattern:
    """Read a pattern as users write it (`HOST/PATH`, each with `*`).

    Raises:
        InvalidPattern: With the reason.
    """
    host, slash, path = pattern.partition("/")
    host_match = _PATTERN_HOST.fullmatch(host.translate(_ASCII_LOWER))
    if not slash or not path:
        raise InvalidPattern(pattern, "a pattern is HOST/PATH; HOST/* selects all images of a host")
    if host_match is None:
        raise InvalidPattern(pattern, "the host may hold letters, digits, '.', '-', '*' and a port")
    name, port = host_match["name"], host_match["port"]
    if name in _HUB_HOSTS:
        raise InvalidPattern(pattern, "images of Docker Hub are mostly written without a host, so it cannot be matched")
    if "." not in name and not port and name != "localhost" and not name.startswith("["):
        raise InvalidPattern(pattern, "a host has a dot or a port, or is localhost")
    if not _PATTERN_PATH.fullmatch(path):
        raise InvalidPattern(pattern, "the path may hold a-z, 0-9, '.', '_', '-', '/' and '*'; tags are not compared")
    number = (port or "443").lstrip("0") or "0"
    return Pattern(name=name, port="" if number == "443" else f":{number}", path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePatterns:
    """Which images are ours to care for: those matching a pattern of `include` and none of `exclude`.

    A pattern is ``HOST/PATH``. In the path ``*`` is any run of characters, slashes included; in the host any run
    without slash and colon. The host is compared without case, its port as a number (443 for none), the path with
    case; tag and digest are not compared. Matching is on the image as written, so ``nginx`` has no host.

    Attributes:
        include, exclude: The patterns as their author wrote them.
        included, excluded: The same, taken apart.
        digest: Tells one pair of lists from another, in 16 characters; the chart makes the same of its values.

    Raises:
        InvalidPattern: For the first pattern that is not valid, with its field and index.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    included: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)
    excluded: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the patterns once."""
        object.__setattr__(self, "included", _compile_all("include", self.include))
        object.__setattr__(self, "excluded", _compile_all("exclude", self.exclude))
        # Neither character can be in a pattern.
        written = f"{','.join(self.include)}|{','.join(self.exclude)}"
        object.__setattr__(self, "digest", hashlib.sha256(written.encode()).hexdigest()[:16])

    def selects(self, image: str) -> bool:
        """Return whether an image, as written in a pod spec, is selected."""
        return _selects_remembered(self, image) if len(image) <= REMEMBERED_LENGTH else self._selects(image)

    def _selects(self, image: str) -> bool:
        written = _split_image(image)
        return (
            written is not None
            and any(pattern.selects(written) for pattern in self.included)
            and not any(pattern.selects(written) for pattern in self.excluded)
        )


_selects_remembered = functools.lru_cache(maxsize=1024)(ImagePatterns._selects)  # noqa: SLF001 - this module's own


def _compile_all(name: str, patterns: tuple[str, ...]) -> tuple[Pattern, ...]:
    compiled = []
    for index, pattern in enumerate(patterns):
        try:
            compiled.append(compile_pattern(pattern))
        except InvalidPattern as error:
            raise InvalidPattern(pattern, error.reason, field=name, index=index) from None
    return tuple(compiled)
