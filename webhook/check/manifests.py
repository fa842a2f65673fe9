"""Manifests: objects of files, with the lines of their fields."""

from collections.abc import Callable
from dataclasses import dataclass, field

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

    def line_of(self, *path: str | int) -> int:
        """Say on which line a field is; that of the deepest one there if a merge key brought the rest."""
        return self.lines_below()(*path)

    def lines_below(self, *path: str | int) -> Callable[..., int]:
        """Give what says on which line a field below a place is, which need not be looked for again each time."""

        def walk(node: yaml.Node, line: int, path: tuple[str | int, ...]) -> tuple[yaml.Node | None, int]:
            for token in path:
                found = child(node, token)
                if found is None:
                    return None, line
                at, node = found
                line = at.start_mark.line + self.offset + 1
            return node, line

        place, line = walk(self.node, self.line, path)
        return lambda *below: line if place is None else walk(place, line, below)[1]


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
