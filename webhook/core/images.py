"""Image references parsed, and how a registry's host is written.

The grammar is that of github.com/distribution/reference v0.6.0 (``ParseNormalizedNamed``), which the kubelet calls
through ``parsers.ParseImageName``; digests are checked as github.com/opencontainers/go-digest v1.0.0 does.
"""

import functools
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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

HUB_INDEX: Final = "index.docker.io"
"""The host that Docker's tools keep Docker Hub's login under."""

HUB_REGISTRY: Final = "registry-1.docker.io"
"""The host that a container runtime asks for images of Docker Hub."""

HUB_HOSTS: Final = frozenset({_HUB, HUB_INDEX})
"""The hosts that an image of Docker Hub is named by."""


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
    if first in HUB_HOSTS:
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


def login_server(host: str) -> str:
    """Name the entry of a pull secret for a registry; Docker's own tools keep the login of Docker Hub under a URL."""
    return f"https://{HUB_INDEX}/v1/" if host == _HUB else host


def split_port(host: str) -> tuple[str, str]:
    """Split a registry's host into name and port, a number without leading zeros; "" if there is none."""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        return host, ""
    return name, port.lstrip("0") or "0"
