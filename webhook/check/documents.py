"""YAML and JSON files parsed into Kubernetes objects with line numbers.

A text is split at its document markers first: what is of no interest (CustomResourceDefinitions make most of many
megabytes) is known by its top-level `kind` and never parsed, and a document that is broken does not hide the others.
The rest is composed to nodes once, by PyYAML's C parser, and the lines are read off them.
"""

import contextlib
import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml
from yaml import ScalarNode
from yaml._yaml import CParser

from webhook.check.manifests import MAX_DEPTH, Converter, Manifest, Origin, Trouble, Unusable

# Looked up once and not for each of millions of nodes.
_IMPLICIT: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = yaml.CSafeLoader.yaml_implicit_resolvers
_SCALAR: Final = str(yaml.CSafeLoader.DEFAULT_SCALAR_TAG)
_SEQUENCE: Final = str(yaml.CSafeLoader.DEFAULT_SEQUENCE_TAG)
_MAPPING: Final = str(yaml.CSafeLoader.DEFAULT_MAPPING_TAG)


class Loader(CParser):
    """PyYAML's C parser, used for its nodes alone.

    `yaml.CSafeLoader` is this parser with a constructor and a resolver. There is one for each document, and nothing
    is constructed; what the parser asks of Python for each node is cut to what is needed: no tag depends on its path.
    """

    # Called before and after each node; what they return is not looked at, and a call of C's own costs least.
    descend_resolver = staticmethod(operator.is_)
    ascend_resolver = staticmethod(tuple)

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Give a node the tag that PyYAML's resolver would."""
        if kind is ScalarNode:
            if implicit[0]:
                for tag, pattern in _IMPLICIT.get(value[:1], ()):
                    if pattern.match(value):
                        return tag
            return _SCALAR
        return _SEQUENCE if kind is yaml.SequenceNode else _MAPPING


MAX_ITEMS: Final = 100_000
"""Most objects that are read of one `List`."""

_START: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
# In a block mapping nothing but its own keys begins at column 0. `kind` also in quotes.
_KIND: Final = re.compile(r"""^["']?kind["']?[ \t]*:(.*)$""", re.MULTILINE)
_WORD: Final = re.compile(r"""[ \t]+(["']?)([A-Za-z0-9]+)\1[ \t]*(?:#.*)?\r?""")
_CONTENT: Final = re.compile(r"^(?!---[ \t]*(?:#.*)?\r?$)[ \t]*[^\s#%].*$", re.MULTILINE)
_RUN_OF_BLOCKS: Final = re.compile(rf"^(?=(?:[ ]|[-?:][ ]){{{MAX_DEPTH}}})", re.MULTILINE)

_SURROGATES: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")

RENDER_FIRST: Final = "this looks like a Helm template; render it first: helm template … | ghcr-pull-secrets check -"


Interest = Callable[[str, str, str], bool]
"""Whether an object of a group, version and kind bears on anything; group and version are empty where not known yet."""


class _Chunk(NamedTuple):
    """Where the text of one document stands in its file; fields as of `Manifest`."""

    offset: int
    start: int
    exact: bool


@dataclass(slots=True)
class Reader:
    """Reads texts.

    Attributes:
        interest: Which objects are read.
        documents: How many documents there were, those of no interest included.
    """

    interest: Interest
    documents: int = 0

    def read(self, file: str, text: str, *, found: bool = False) -> Iterator[Manifest | Trouble]:
        """Read the objects of one text, in order.

        Args:
            file: Its name, for people.
            text: What is in it.
            found: Nobody named the file, it was found in a folder: what has no `kind` is then nothing of ours,
                broken or not.
        """
        line = start = 0
        for number, chunk in enumerate(_split(text)):
            if content := _CONTENT.search(chunk):
                self.documents += 1
                if self._may_interest(chunk, content[0].lstrip()[0], found=found):
                    yield from self._document(Origin(file=file, document=number), chunk, line, start)
            line += chunk.count("\n")
            start += len(chunk)

    def _may_interest(self, chunk: str, first: str, *, found: bool) -> bool:
        kinds = _KIND.findall(chunk)
        if not kinds:
            return not found or "kind" in chunk
        if first in "{[":
            return True
        words = [_WORD.fullmatch(kind) for kind in kinds]
        return any(word is None or self._is_list(word[2]) or self.interest("", "", word[2]) for word in words)

    @staticmethod
    def _is_list(kind: str) -> bool:
        return kind.endswith("List")

    def _document(self, origin: Origin, chunk: str, offset: int, start: int) -> Iterator[Manifest | Trouble]:
        loader = None
        try:
            _check_depth(chunk)
            joined = _joined(chunk)
            loader = Loader(joined)
            place = _Chunk(offset=offset, start=start, exact=len(joined) == len(chunk))
            within = 0
            while loader.check_node():
                node = loader.get_node()
                found = Origin(file=origin.file, document=origin.document, within=within)
                yield from self._objects(found, node, "", place)
                within += 1
        except yaml.MarkedYAMLError as error:
            yield _broken(origin.file, chunk, offset, _line(error.problem_mark), error.problem or "not YAML")
        except yaml.reader.ReaderError as error:
            line = chunk.count("\n", 0, error.position)
            yield _broken(origin.file, chunk, offset, line, str(error.reason))
        except Unusable as error:
            yield Trouble(file=origin.file, line=offset + error.line + 1, problem=_hinted(error.problem, chunk))
        finally:
            if loader is not None:
                loader.dispose()

    def _objects(
        self,
        origin: Origin,
        node: yaml.Node | None,
        kind_of_items: str,
        chunk: _Chunk,
        api_of_items: str = "",
    ) -> Iterator[Manifest | Trouble]:
        if not isinstance(node, yaml.MappingNode):
            return
        top = {key.value: value for key, value in node.value if type(key) is ScalarNode}
        named, items = top.get("kind"), top.get("items")
        api, kind = _text(top.get("apiVersion")) or api_of_items, _text(named) or kind_of_items
        if kind.endswith("List") and isinstance(items, yaml.SequenceNode):
            if len(items.value) > MAX_ITEMS:
                raise Unusable(node.start_mark.line, f"a list of more than {MAX_ITEMS} objects")
            if len(origin.items) >= MAX_DEPTH:
                raise Unusable(node.start_mark.line, f"lists nested more than {MAX_DEPTH} levels deep")
            own = kind.removesuffix("List")
            for index, item in enumerate(items.value):
                inner = Origin(
                    file=origin.file, document=origin.document, within=origin.within, items=(*origin.items, index)
                )
                yield from self._objects(inner, item, own, chunk, api if own else "")
            return
        if named is not None and not isinstance(named, ScalarNode):
            raise Unusable(named.start_mark.line, "the kind is no string")
        group, _, version = api.rpartition("/")
        if not kind or not self.interest(group, version, kind):
            return
        converter = Converter()
        obj = converter.convert(node)
        for line, _ in converter.duplicates:
            problem = "this key stands in its mapping twice; the last one counts"
            yield Trouble(file=origin.file, line=chunk.offset + line + 1, problem=problem, fatal=False)
        yield Manifest(
            origin=origin,
            line=node.start_mark.line + chunk.offset + 1,
            group=group,
            version=version,
            kind=kind,
            obj=obj,
            node=node,
            offset=chunk.offset,
            start=chunk.start,
            exact=chunk.exact,
        )


def load(text: str) -> Any:
    """Read one plain document, such as a chart's values, with the same bounds.

    Raises:
        Unusable: It is broken, over a bound, or more than one document.
    """
    _check_depth(text)
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else Converter().convert(node)
    except yaml.MarkedYAMLError as error:
        raise Unusable(_line(error.problem_mark), error.problem or "not YAML") from None
    except yaml.reader.ReaderError as error:
        raise Unusable(text.count("\n", 0, error.position), str(error.reason)) from None
    finally:
        loader.dispose()


def _split(text: str) -> Iterator[str]:
    """Split a text before each document marker; `---` at the start of a line is nothing else, in block scalars too."""
    begin = 0
    for match in _START.finditer(text):
        if match.start() > begin:
            yield text[begin : match.start()]
        begin = match.start()
    yield text[begin:]


def _check_depth(chunk: str) -> None:
    """Refuse a text that is nested too deeply: the C parser's composer would use up the stack.

    Only brackets and indentation make depth; where there are too few of both nothing need be looked at closely.
    """
    if chunk.count("[") + chunk.count("{") <= MAX_DEPTH and not _RUN_OF_BLOCKS.search(chunk):
        return
    depth = 0
    with contextlib.suppress(yaml.YAMLError):  # composing it ends at the same place, and says what is wrong there
        for event in yaml.parse(chunk, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise Unusable(_line(event.start_mark), f"nested more than {MAX_DEPTH} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1


def _line(mark: Any) -> int:
    return int(mark.line) if mark is not None else 0


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _broken(file: str, chunk: str, offset: int, line: int, problem: str) -> Trouble:
    lines = chunk.split("\n")
    text = lines[line] if line < len(lines) else ""
    if "{{" not in chunk and "\t" in text[: len(text) - len(text.lstrip())]:
        problem = f"{problem}; there is a tab, and YAML indents with spaces"
    return Trouble(file=file, line=offset + line + 1, problem=_hinted(f"not YAML: {problem}", chunk))


def _hinted(problem: str, chunk: str) -> str:
    return f"{problem}; {RENDER_FIRST}" if "{{" in chunk else problem


def _joined(chunk: str) -> str:
    """Write JSON's pairs of surrogates as the one character they mean; the C parser knows no pairs."""
    if "\\u" not in chunk:
        return chunk
    return _SURROGATES.sub(lambda match: str(json.loads(f'"{match[0]}"')), chunk)
