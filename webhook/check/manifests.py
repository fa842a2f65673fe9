"""Manifests: objects of files, with the lines of their fields."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml
from yaml import ScalarNode

from webhook.core.review import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something about a text that a person should know.

    Attributes:
        file: Its name.
        line: From 1.
        problem: What is wrong, never a value.
        fatal: A document, or all of the file, could not be read.
    """

    file: str
    line: int
    problem: str
    fatal: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which object of which file: number of the document, of the one within it after `...`, and of each list's item."""

    file: str
    document: int
    within: int = 0
    items: tuple[int, ...] = ()


class Spot(NamedTuple):
    """Where a field is.

    Attributes:
        line: Of its key, from 1.
        columns: Of its value on that line, from 1, in Unicode code points: of its first character, and of the one that
            follows it. `None` if the value is not on that line alone.
    """

    line: int
    columns: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object.

    Attributes:
        origin: Where it is.
        line: Of its first key, from 1.
        group, version, kind: From `apiVersion` and `kind`.
        obj: The object.
        node: As it was composed.
        offset: Lines of the file before the text that was composed.
        start: Characters of the file before that text.
        exact: Nothing of that text was rewritten before it was composed, so that columns are the file's.
    """

    origin: Origin
    line: int
    group: str
    version: str
    kind: str
    obj: Json = field(repr=False)
    node: yaml.MappingNode = field(repr=False)
    offset: int
    start: int
    exact: bool

    def line_of(self, *path: str | int) -> int:
        """Say on which line a field is; that of the deepest one there if a merge key brought the rest."""
        return self.spots_below()(*path).line

    def spots_below(self, *path: str | int) -> Callable[..., Spot]:
        """Give what says where a field below a place is; the place itself is looked for once."""

        def walk(node: yaml.Node, line: int, path: tuple[str | int, ...]) -> tuple[yaml.Node | None, int]:
            for token in path:
                found = child(node, token)
                if found is None:
                    return None, line
                at, node = found
                line = at.start_mark.line + self.offset + 1
            return node, line

        place, first = walk(self.node, self.line, path)

        def spot(*below: str | int) -> Spot:
            node, line = (None, first) if place is None else walk(place, first, below)
            return Spot(line, self._columns(node, line - self.offset - 1))

        return spot

    def _columns(self, node: yaml.Node | None, line: int) -> tuple[int, int] | None:
        if not self.exact or not isinstance(node, ScalarNode):
            return None
        start, end = node.start_mark, node.end_mark
        return (start.column + 1, end.column + 1) if start.line == end.line == line else None


def child(node: yaml.Node, token: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Find a mapping's key and value, or a sequence's item (twice); the last of keys that occur twice."""
    if isinstance(node, yaml.SequenceNode):
        if isinstance(token, int) and token < len(node.value):
            return node.value[token], node.value[token]
    elif isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if isinstance(key, ScalarNode) and key.value == token:
                return key, value
    return None
