"""Registry locations parsed and matched as the kubelet does.

A location is what stands behind ``https://``: a key of a pull secret (``*.example.com:5000/team``) or an image's
repository. Rules: ``ParseSchemelessURL`` and ``URLsMatch`` of kubernetes pkg/credentialprovider, ``url.Parse`` of
Go 1.26 (brackets only around a whole IPv6 host, one colon), ``filepath.Match`` for each label of the host.
"""

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USERINFO: Final = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
# What may stand in a host as it is; an escape only for bytes beyond ASCII, or for the percent sign itself.
_HOST: Final = re.compile(r"""(?:[A-Za-z0-9!$&'()*+,;=:\]<>"._~-]|[^\x00-\x7f]|%[89A-Fa-f][0-9A-Fa-f]|%25)*""")
_PORT: Final = re.compile(r"(?::[0-9]*)?")

_REMEMBERED_LENGTH: Final = 512
"""Longest location that is remembered: tenants write locations of any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A parsed location.

    Attributes:
        host: With the port, unescaped, case kept.
        labels: The host without port, split at dots; in a credential's location each is a glob.
        port: Digits, "" if none.
        path: Unescaped, "" or beginning with a slash.
    """

    host: str
    labels: tuple[str, ...]
    port: str
    path: str

    def covers(self, target: "Location") -> bool:
        """Return whether a credential for this location is tried for the target: same port, same number of labels,
        each label matched by its glob, path a *string* prefix (``/ses`` covers ``/sesacthon``).
        """
        return self.port == target.port and target.path.startswith(self.path) and self.names(target.labels)

    def names(self, labels: tuple[str, ...]) -> bool:
        """Return whether the labels of this location match those of a host, each by its glob."""
        return len(self.labels) == len(labels) and _all_match(map(_matcher, self.labels), labels)


@dataclass(frozen=True, slots=True)
class _Glob:
    """One label that is no plain text, split once: `pieces` around its stars, or the characters of a class."""

    pieces: tuple[str, ...]
    characters: str | None = None

    def matches(self, label: str) -> bool:
        if self.characters is not None:
            return len(label) == 1 and label in self.characters
        return glob_matches(self.pieces, label)


def _matcher(label: str) -> str | _Glob:
    if label.startswith("["):
        # An IPv6 host without a port keeps its brackets, and filepath.Match takes them for a character class.
        return _Glob((), label[1:-1] if label.endswith("]") else "")
    return _Glob(tuple(label.split("*"))) if "*" in label else label


def _all_match(matchers: Iterable[str | _Glob], labels: tuple[str, ...]) -> bool:
    return all(
        matcher == label if isinstance(matcher, str) else matcher.matches(label)
        for matcher, label in zip(matchers, labels, strict=True)
    )


class HostIndex:
    """Finds the locations whose host and port match a target's, without trying each.

    Hosts without a glob are found by a dict; globs are kept by port and number of labels and tried one by one.
    """

    __slots__ = ("_exact", "_globs")

    def __init__(self, locations: Iterable[Location]) -> None:
        """Index locations by their place in the order given."""
        self._exact: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._globs: dict[tuple[str, int], list[tuple[int, tuple[str | _Glob, ...]]]] = {}
        matcher = functools.cache(_matcher)
        for number, location in enumerate(locations):
            matchers = tuple(map(matcher, location.labels))
            if matchers == location.labels:
                self._exact.setdefault((location.port, location.labels), []).append(number)
            else:
                self._globs.setdefault((location.port, len(matchers)), []).append((number, matchers))

    def at(self, target: Location) -> list[int]:
        """Say in ascending order which locations have the target's host; their paths are not looked at."""
        found = self._exact.get((target.port, target.labels), [])
        globs = self._globs.get((target.port, len(target.labels)))
        if not globs:
            return found
        return sorted((*found, *(number for number, matchers in globs if _all_match(matchers, target.labels))))


def parse(location: str) -> Location | None:
    """Parse a location, or return None where Go's ``url.Parse("https://" + location)`` fails.

    User information, query and fragment are checked as Go checks them, and dropped. An IPv6 zone is refused too:
    Go takes it, but no image reference can have one.
    """
    return _parse_remembered(location) if len(location) <= _REMEMBERED_LENGTH else _parse(location)


def _parse(location: str) -> Location | None:
    before_fragment, _, fragment = location.partition("#")
    if _CONTROL.search(before_fragment) or _BAD_ESCAPE.search(fragment):
        return None
    authority, slash, path = before_fragment.partition("?")[0].partition("/")
    userinfo, _, host = authority.rpartition("@")
    if not _USERINFO.fullmatch(userinfo) or _BAD_ESCAPE.search(userinfo) or _BAD_ESCAPE.search(path):
        return None
    split = _split_host(host)
    if split is None:
        return None
    name, port = split
    return Location(host=unquote(host), labels=tuple(unquote(name).split(".")), port=port, path=unquote(slash + path))


_parse_remembered = functools.lru_cache(maxsize=1024)(_parse)
"""One image is looked up in several Secrets, and again for the next review of its workload."""


def glob_matches(pieces: Sequence[str], text: str) -> bool:
    """Match a text against a glob given as the pieces around its stars, in time linear in the text for each piece.

    Taking every piece at its leftmost place is enough when a star is the only wildcard, so nothing is tried twice.
    """
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in pieces[1:-1]:
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def globs_meet(left: str, right: str, *, apart: str = "") -> bool:
    """Return whether some text matches both of two globs.

    Args:
        left: One; its stars match any run of characters.
        right: The other; its stars match runs of characters that are not in `apart`.
        apart: Characters that keep a run of `right` from going on.
    """
    # For each place in `left`, the places in `right` that one text can have reached at the same time.
    reached = _past_stars(right, {0})
    for character in left:
        if character == "*":
            reached = set(range(min(reached), len(right) + 1))
            continue
        steps = {place + (right[place] != "*") for place in reached if _takes(right, place, character, apart)}
        reached = _past_stars(right, steps)
        if not reached:
            return False
    return len(right) in reached


def _takes(glob: str, place: int, character: str, apart: str) -> bool:
    if place == len(glob):
        return False
    return character not in apart if glob[place] == "*" else glob[place] == character


def _past_stars(glob: str, places: set[int]) -> set[int]:
    """Add what can be reached without a character, since a star may match none."""
    for place in sorted(places):
        while place < len(glob) and glob[place] == "*":
            place += 1  # noqa: PLW2901
            places.add(place)
    return places


def _split_host(host: str) -> tuple[str, str] | None:
    """Split a host into name and port; None if Go refuses it."""
    if not host.startswith("["):
        name, colon, port = host.partition(":")
        if not _PORT.fullmatch(colon + port) or not _HOST.fullmatch(host):
            return None
        return name, port
    address, bracket, port = host[1:].rpartition("]")
    if not bracket or not _PORT.fullmatch(port) or not _is_ipv6(address):
        return None
    # net.SplitHostPort takes the brackets off only if there is a port.
    return (address, port[1:]) if port else (host, "")


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return "%" not in address
