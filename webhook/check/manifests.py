"""Manifests: objects as kubectl reads them, with their fields' lines.

PyYAML's nodes carry their lines; its constructor would lose them. kubectl reads YAML by rules between 1.1 and 1.2
(sigs.k8s.io/yaml): `on` and `yes` are booleans, a date is a string, and of a key that occurs twice the last one counts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

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


MAX_DEPTH: Final = 200
"""Deepest nesting that is read. A Deployment has about 12 levels; Python ends a recursion after 1,000 calls."""

MAX_MERGED: Final = 100_000
"""Most entries that merge keys (`<<`) of one document may copy: aliases of aliases grow without end."""

_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = f"{_TAG}str"
_MERGE: Final = f"{_TAG}merge"
_TRUE: Final = frozenset({"true", "yes", "on"})
_PENDING: Final = object()


class Unusable(Exception):
    """A document that is YAML and yet no object.

    Attributes:
        line: Where, from 0 within the text that was read.
        problem: What is wrong, without a value.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


class Converter:
    """Converts the nodes of one document.

    Attributes:
        duplicates: Line (from 0) and text of each key that occurs twice in one mapping.
    """

    def __init__(self) -> None:
        self.duplicates: list[tuple[int, str]] = []
        self._done: dict[int, Any] = {}
        self._merged = 0

    def convert(self, node: yaml.Node) -> Any:
        """Convert a node; nodes that aliases share become one object.

        Raises:
            Unusable: An alias within what it names, or merge keys over their bound.
        """
        if type(node) is ScalarNode:
            return node.value if node.tag == _STR else scalar(node.tag, node.value)
        key = id(node)
        known = self._done.get(key)
        if known is _PENDING:
            raise Unusable(node.start_mark.line, "an alias refers to what it is part of")
        if known is not None:
            return known
        self._done[key] = _PENDING
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self.convert(item) for item in node.value]
        else:
            value = self._mapping(node)
        self._done[key] = value
        return value

    def _mapping(self, node: yaml.Node) -> Json:
        found: Json = {}
        merges: list[tuple[int, yaml.Node]] = []
        for key_node, value_node in node.value:
            if type(key_node) is ScalarNode:
                tag = key_node.tag
                if tag == _MERGE:
                    merges.append((key_node.start_mark.line, value_node))
                    continue
                key = key_node.value if tag == _STR else _key(tag, key_node.value)
                if key in found:
                    self.duplicates.append((key_node.start_mark.line, key))
                if type(value_node) is ScalarNode and value_node.tag == _STR:  # most of them, without a call
                    found[key] = value_node.value
                else:
                    found[key] = self.convert(value_node)
            else:
                raise Unusable(key_node.start_mark.line, "a key is no scalar")
        for line, merge in merges:
            for mapping in self._sources(line, merge):
                self._merged += len(mapping)
                if self._merged > MAX_MERGED:
                    raise Unusable(line, f"merge keys copy more than {MAX_MERGED} entries")
                found = {**mapping, **found}
        return found

    def _sources(self, line: int, node: yaml.Node) -> Iterator[Mapping[str, Any]]:
        value = self.convert(node)
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise Unusable(line, "a merge key (<<) needs a mapping")
            yield source


def scalar(tag: str, value: str) -> Any:
    """Convert a scalar that is no plain string: by its kind, as far as decisions tell kinds apart."""
    match tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return value.lower() in _TRUE
        case "int" if ":" not in value:  # sexagesimal in YAML 1.1, and a string for kubectl
            return _number(value)
        case "float" if ":" not in value:
            return _number(value)
        case _:
            return value


def _number(value: str) -> float:
    try:
        return int(value) if len(value) < 20 else 0.0
    except ValueError:
        return 0.0  # octal, hexadecimal, with underscores: no decision needs the number


def _key(tag: str, value: str) -> str:
    converted = scalar(tag, value)
    if isinstance(converted, bool):
        return "true" if converted else "false"
    return value
