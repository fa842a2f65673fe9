"""One check run from input texts to a report."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from webhook.check import findings
from webhook.check.documents import RENDER_FIRST, Reader
from webhook.check.evidence import KINDS, ManifestEvidence, Position
from webhook.check.findings import ManifestPart
from webhook.check.judging import Assumptions, preview
from webhook.check.manifests import Manifest, Trouble, Unusable
from webhook.check.report import Report
from webhook.check.sources import Text
from webhook.core import workloads
from webhook.core.kinds import WorkloadKind, find_kind
from webhook.core.parts import parts, repositories_together
from webhook.core.review import kind_of
from webhook.core.workloads import MalformedObject

MAX_WORKLOADS: Final = 200_000
"""Most workloads with selected images that are judged in one run: more than any cluster has."""

_MOST_KNOWN: Final = 1000
"""Kinds that are remembered with what they are to us: a bundle has a few, but may name any number."""

_EVIDENCE: Final = frozenset(kind for _, kind in KINDS)


@dataclass(slots=True)
class Checker:
    """Reads texts, then judges what was in them.

    Attributes:
        assumptions: What is taken for granted.
        kinds: What has a pod spec.
        namespace: Where objects go that do not say.
        evidence: What is known so far; the command line may have added to it.
    """

    assumptions: Assumptions
    kinds: Sequence[WorkloadKind]
    namespace: str
    evidence: ManifestEvidence = field(default_factory=ManifestEvidence)
    _found: list[ManifestPart] = field(default_factory=list)
    _troubles: list[Trouble] = field(default_factory=list)
    _resources: frozenset[str] = field(init=False)
    _known: dict[tuple[str, str, str], WorkloadKind | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note what the kinds are served as."""
        self._resources = frozenset(kind.resource for kind in self.kinds)

    def run(self, texts: Iterable[Text | Trouble]) -> Report:
        """Read and judge."""
        # Many small objects without cycles, which all stay until the end: the collector would look at them in vain.
        collected = gc.isenabled()
        gc.disable()
        try:
            return self._run(texts)
        finally:
            if collected:
                gc.enable()

    def _run(self, texts: Iterable[Text | Trouble]) -> Report:
        reader = Reader(self.interest)
        for text in texts:
            if isinstance(text, Trouble):
                self._troubles.append(text)
                continue
            for found in reader.read(text.name, text.text, found=text.found):
                if isinstance(found, Trouble):
                    self._troubles.append(found)
                else:
                    self._take(found)
        return self._report(reader.documents)

    def interest(self, group: str, version: str, kind: str) -> bool:
        """Return whether an object bears on anything."""
        if not version:  # of the kind alone
            return kind in _EVIDENCE or resource_of(kind) in self._resources
        return (group, kind) in KINDS or self._kind(group, version, kind) is not None

    def _kind(self, group: str, version: str, kind: str) -> WorkloadKind | None:
        key = (group, version, kind)
        if key not in self._known:
            if len(self._known) == _MOST_KNOWN:
                self._known.clear()
            self._known[key] = find_kind(self.kinds, group=group, version=version, resource=resource_of(kind))
        return self._known[key]

    def _take(self, manifest: Manifest) -> None:
        kind = self._kind(manifest.group, manifest.version, manifest.kind)
        try:
            if kind is None:
                self.evidence.add(manifest, self.namespace)
            else:
                self._take_workload(manifest, kind if kind.kind else replace(kind, kind=manifest.kind))
        except Unusable as error:
            self._fault(manifest, error.line + 1, error.problem)
        except MalformedObject as error:
            self._fault(manifest, manifest.line_of(*_tokens(error.field)), f"{error.field}: {error.problem}")

    def _take_workload(self, manifest: Manifest, kind: WorkloadKind) -> None:
        found = workloads.read_all(kind, manifest.obj, templates=False)
        for workload in found:
            for image in workload.images:
                if "{{" in image.image:
                    spot = findings.image_spots(manifest, workload).get(image)
                    self._fault(manifest, spot.line if spot else manifest.line, RENDER_FIRST)
                    return
        pulling = [each for each in parts(found, self.assumptions.rules) if each.images]
        if not pulling:
            return
        together = repositories_together(pulling)
        if len(self._found) >= MAX_WORKLOADS:
            raise Unusable(manifest.line - 1, f"no more than {MAX_WORKLOADS} workloads are judged in one run")
        namespace = manifest.obj["metadata"].get("namespace") if manifest.obj.get("metadata") else None
        if not isinstance(namespace, str | None):
            raise MalformedObject("/metadata/namespace", f"expected a string, got {kind_of(namespace)}")
        self._found += [
            ManifestPart(
                part=each,
                namespace=namespace or self.namespace,
                origin=manifest.origin,
                place=Position(file=manifest.origin.file, line=_line_of(manifest, each.workload)),
                repositories=together,
                spots=findings.image_spots(manifest, each.workload),
            )
            for each in pulling
        ]

    def _fault(self, manifest: Manifest, line: int, problem: str) -> None:
        self._troubles.append(Trouble(file=manifest.origin.file, line=line, problem=f"{manifest.kind}: {problem}"))

    def _report(self, documents: int) -> Report:
        found = list(findings.of_namespaces(self.evidence))
        checked = []
        for each in self._found:
            namespace = self.evidence.namespace(each.namespace)
            seen = preview(each.part, each.repositories, namespace, self.evidence, self.assumptions)
            found.extend(findings.findings(each, seen, self.evidence))
            checked.append(findings.checked(each, seen))
        return Report(
            findings=tuple(found), troubles=tuple(self._troubles), checked=tuple(checked), documents=documents
        )


def resource_of(kind: str) -> str:
    """Guess the plural name that a kind is served under, as apimachinery does (`UnsafeGuessKindToResource`)."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _line_of(manifest: Manifest, workload: workloads.Workload) -> int:
    """Say where an object begins; of one with several pod templates, this one."""
    return manifest.line_of(*workload.spec_path[:-1]) if workload.place else manifest.line


def _tokens(pointer: str) -> Iterator[str | int]:
    for token in pointer.split("/")[1:]:
        yield int(token) if token.isdigit() else token.replace("~1", "/").replace("~0", "~")
