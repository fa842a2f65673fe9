"""Fixes for findings: a pull secret inserted into a manifest's text.

Nothing is rewritten: comments, order, quotes and indentation stay because their bytes do. What comes out is read
again, and counts only if it is the same objects with `ghcr-secret` in the one list that lacked it.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from webhook.check.documents import Reader
from webhook.check.manifests import Manifest, Origin, Trouble, child
from webhook.check.report import Report
from webhook.check.run import Checker
from webhook.check.sources import STDIN_NAME, Text
from webhook.core.names import SECRET_NAME

_LIST: Final = "imagePullSecrets"
_FLOW: Final = f"{{name: {SECRET_NAME}}}"
_JSON: Final = f'{{"name": "{SECRET_NAME}"}}'


class CannotFix(Exception):
    """A manifest whose text cannot be changed in one place without changing anything else."""


PodSpec = tuple[Origin, tuple[str | int, ...]]
"""Which object, and where in it a pod spec is."""


def fix_text(text: str, wanted: Iterable[PodSpec], reader: Reader) -> tuple[str, list[PodSpec]]:
    """Add the pull secret to objects of one text.

    Args:
        text: Of the file.
        wanted: Which pod specs.
        reader: Reads a text as it was read before.

    Returns:
        The new text, and the pod specs that could not be changed.
    """
    left = []
    # From the end, so that what is before keeps its place.
    for origin, spec in sorted(
        wanted, key=lambda each: (each[0].document, each[0].within, each[0].items), reverse=True
    ):
        try:
            text = _fix_one(text, origin, spec, reader)
        except CannotFix:
            left.append((origin, spec))
    return text, left


def diff(name: str, before: str, after: str) -> str:
    """Show a change as a unified diff that `git apply` and `patch -p1` take."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _fix_one(text: str, origin: Origin, spec: tuple[str | int, ...], reader: Reader) -> str:
    before = _manifests(text, origin, reader)
    manifest = before.get(origin)
    if manifest is None:
        raise CannotFix
    at, insertion, removed = _edit(text, manifest, spec)
    changed = text[:at] + insertion + text[at + removed :]
    after = _manifests(changed, origin, reader)
    expected: dict[Origin, Any] = {each: found.obj for each, found in before.items()}
    expected[origin] = _with_secret(manifest.obj, spec)
    if {each: found.obj for each, found in after.items()} != expected:
        raise CannotFix
    return changed


def _manifests(text: str, origin: Origin, reader: Reader) -> dict[Origin, Manifest]:
    found: Iterable[object] = reader.read(origin.file, text)
    return {each.origin: each for each in found if isinstance(each, Manifest)}


def _with_secret(obj: Any, path: tuple[str | int, ...]) -> Any:
    changed = copy(obj)
    holder = changed
    for token in path:
        # Of what an alias shares only this place: text that changes the others too is not what is expected.
        holder[token] = copy(holder[token])
        holder = holder[token]
    holder[_LIST] = [*(holder.get(_LIST) or []), {"name": SECRET_NAME}]
    return changed


def _edit(text: str, manifest: Manifest, path: tuple[str | int, ...]) -> tuple[int, str, int]:
    """Say where to insert what, and how many characters it replaces."""
    key: yaml.Node | None = None
    spec: yaml.Node = manifest.node
    for token in path:
        found = child(spec, token)
        if found is None:
            raise CannotFix  # a merge key brought it
        key, spec = found
    if not isinstance(spec, yaml.MappingNode) or key is None or spec.start_mark.index < key.start_mark.index:
        raise CannotFix  # an alias: what it names belongs to others too
    start = manifest.start
    listed = child(spec, _LIST)
    is_json = text[start + key.start_mark.index] == '"'
    item = _JSON if is_json else _FLOW
    if listed is not None:
        return _edit_list(text, start, listed, item)
    if spec.flow_style:
        name = f'"{_LIST}"' if is_json else _LIST
        return _first_in_braces(text, start + spec.start_mark.index + 1, f"{name}: [{item}]", empty=not spec.value)
    # Right after the line of `spec:`, so that a comment stays above what it is about.
    line_end = _line_end(text, start + key.end_mark.index)
    indent = " " * spec.start_mark.column
    newline = _newline(text, line_end)
    dash = " " * _dash_column(spec)
    return line_end, f"{indent}{_LIST}:{newline}{indent}{dash}- name: {SECRET_NAME}{newline}", 0


def _edit_list(text: str, start: int, listed: tuple[yaml.Node, yaml.Node], item: str) -> tuple[int, str, int]:
    """Add an item to a list that is there, empty, null or with entries."""
    key, value = listed
    begin, end = start + value.start_mark.index, start + value.end_mark.index
    if isinstance(value, yaml.SequenceNode) and value.value:
        if value.flow_style:
            return end - 1, f", {item}", 0
        line_end = _line_end(text, start + _end(value))
        return line_end, f"{' ' * value.start_mark.column}- name: {SECRET_NAME}{_newline(text, line_end)}", 0
    if value.start_mark.index < key.start_mark.index:
        raise CannotFix
    if begin == end:  # nothing stands there
        return start + key.end_mark.index + 1, f" [{item}]", 0
    return begin, f"[{item}]", end - begin


def _first_in_braces(text: str, at: int, entry: str, *, empty: bool) -> tuple[int, str, int]:
    comma = "" if empty else ","
    rest = text[at:]
    space = rest[: len(rest) - len(rest.lstrip())]
    return at, f"{space}{entry}{comma}" + ("" if space or empty else " "), 0


def _dash_column(spec: yaml.MappingNode) -> int:
    """Say how far lists are indented in this pod spec; two columns if it has none."""
    for key, value in spec.value:
        if isinstance(value, yaml.SequenceNode) and not value.flow_style:
            return max(0, int(value.start_mark.column) - int(key.start_mark.column))
    return 2


def _end(node: yaml.Node) -> int:
    """Say where a node ends; a block collection's own mark is at what follows it, comments passed over."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _newline(text: str, line_end: int) -> str:
    return "\r\n" if text[line_end - 2 : line_end] == "\r\n" else "\n"


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    if end < 0:
        raise CannotFix
    return end + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFix:
    """What would be written to one file.

    Attributes:
        after: All of its new text.
        diff: The change.
        changed: How many pod specs it changes.
        troubles: Those that have to be changed by hand.
    """

    file: str
    after: str = field(repr=False)
    diff: str = field(repr=False)
    changed: int
    troubles: tuple[Trouble, ...] = ()


def fixes(report: Report, texts: Sequence[Text], checker: Checker) -> Iterator[FileFix]:
    """Give what fixes the findings that can be fixed in a file, file by file; nothing is written yet.

    Args:
        report: What was found.
        texts: In what.
        checker: As the one that found it: it knows what to read, and where pod specs are.
    """
    wanted: dict[str, dict[PodSpec, int]] = {}  # with the line
    for finding in report.findings:
        if finding.fixable is not None:
            wanted.setdefault(finding.place.file, {})[finding.fixable, finding.spec_path] = finding.place.line
    for text in texts:
        lines = wanted.get(text.name)
        if not lines:
            continue
        by_hand = list(lines)
        after = text.text
        if text.name != STDIN_NAME and text.exact:
            after, by_hand = fix_text(text.text, lines, Reader(checker.interest))
        yield FileFix(
            file=text.name,
            after=after,
            diff=diff(text.name, text.text, after),
            changed=len(lines) - len(by_hand),
            troubles=tuple(
                Trouble(
                    file=text.name,
                    line=line,
                    problem="cannot be changed in one place (an alias, a merge key, standard input); change it by hand",
                    fatal=False,
                )
                for line in sorted(lines[each] for each in by_hand)
            ),
        )
