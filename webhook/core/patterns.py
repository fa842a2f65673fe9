"""Patterns that select images."""

import functools
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from webhook.core.hostmatch import glob_matches
from webhook.core.images import HUB_HOSTS, REMEMBERED_LENGTH, split_port


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
    if name in HUB_HOSTS:
        raise InvalidPattern(pattern, "images of Docker Hub are mostly written without a host, so it cannot be matched")
    if "." not in name and not port and name != "localhost" and not name.startswith("["):
        raise InvalidPattern(pattern, "a host has a dot or a port, or is localhost")
    if not _PATTERN_PATH.fullmatch(path):
        raise InvalidPattern(pattern, "the path may hold a-z, 0-9, '.', '_', '-', '/' and '*'; tags are not compared")
    number = (port or "443").lstrip("0") or "0"
    return Pattern(name=name, port="" if number == "443" else f":{number}", path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePatterns:
    """Selection of images: those that match a pattern of `include` and none of `exclude`.

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
