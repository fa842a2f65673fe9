"""YAML nodes converted to plain objects as kubectl reads them.

PyYAML's nodes carry their lines; its constructor would lose them. kubectl reads YAML by rules between 1.1 and 1.2
(sigs.k8s.io/yaml): `on` and `yes` are booleans, a date is a string, and of a key that occurs twice the last one counts.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from yaml import ScalarNode

from webhook.core.review import Json

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
