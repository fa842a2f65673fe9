"""Findings from previews: what is wrong, where, and the fix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook.check.evidence import ManifestEvidence, Position
from webhook.check.judging import Preview
from webhook.check.manifests import Manifest, Origin, Spot
from webhook.check.report import INVALID_SETTING, Checked, Finding, Level, ManifestOutcome, Pull, Related
from webhook.core import remedies, texts
from webhook.core.display import named, shown
from webhook.core.judging import Problem
from webhook.core.names import SECRET_NAME
from webhook.core.parts import Part
from webhook.core.scope import Enforcement
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPart:
    """A part that manifests hold, as far as it is kept until all of them are read.

    Attributes:
        part: Its workload without the template.
        namespace: Where it goes.
        repositories: What its object as a whole pulls from.
        spots: Of its images.
    """

    part: Part
    namespace: str
    origin: Origin
    place: Position
    repositories: tuple[str, ...] = ()
    spots: dict[PodImage, Spot] = field(default_factory=dict, repr=False)

    @property
    def workload(self) -> Workload:
        """The workload."""
        return self.part.workload


def image_spots(manifest: Manifest, workload: Workload) -> dict[PodImage, Spot]:
    """Find where a workload's images are."""
    spec = workload.spec_path
    holder: Any = manifest.obj
    for token in spec:
        holder = holder[token]
    spots: dict[PodImage, Spot] = {}
    spot_of = manifest.spots_below(*spec)
    for image in workload.images:
        path = ("image", "reference") if image.place == "volumes" else ("image",)
        for index, entry in enumerate(holder.get(image.place) or ()):
            if entry and entry.get("name", "") == image.name and _at(entry, *path) == image.image:
                spots.setdefault(image, spot_of(image.place, index, *path))
    return spots


def _at(entry: object, *path: str) -> object:
    for token in path:
        entry = entry.get(token) if isinstance(entry, dict) else None
    return entry


def checked(found: ManifestPart, preview: Preview) -> Checked:
    """Say what would become of a workload."""
    return Checked(
        place=found.place,
        kind=found.workload.kind.title,
        namespace=found.namespace,
        name=shown(found.workload.name),
        template=found.workload.place,
        decision=preview.decision.reason,
        verdict=preview.verdict.reason,
        outcome=_outcome(preview),
    )


def _outcome(preview: Preview) -> ManifestOutcome:
    verdict = preview.verdict
    if verdict.problems:
        return {
            Enforcement.DENY: ManifestOutcome.REJECTED,
            Enforcement.WARN: ManifestOutcome.WARNED,
            Enforcement.OFF: ManifestOutcome.NOT_ENFORCED,
        }[preview.enforcement]
    if verdict.reason in (Reason.OPTED_OUT, Reason.CONTROLLER_OWNED, Reason.NOT_APPLICABLE):
        return ManifestOutcome.LEFT_OUT
    if preview.on_trust:
        return ManifestOutcome.ON_TRUST
    injected = preview.decision.reason in (Reason.INJECTED, Reason.LEFT_TO_POD)
    return ManifestOutcome.INJECTED if injected else ManifestOutcome.COVERED


def findings(found: ManifestPart, preview: Preview, evidence: ManifestEvidence) -> Iterator[Finding]:
    """Say what is wrong with a workload."""
    workload, verdict = found.workload, preview.verdict
    about = _About(found, preview, evidence)
    if workload.unknown_inject:
        yield about.finding("warning", INVALID_SETTING, texts.unknown_inject(workload))
    if verdict.problems and preview.enforcement is not Enforcement.OFF:
        level: Level = "error" if preview.enforcement is Enforcement.DENY else "warning"
        yield from about.problems(level)
    elif not verdict.problems and verdict.reason in (Reason.UNVERIFIABLE, Reason.TOO_LARGE):
        yield about.unverified()


class _About:
    """Makes the findings of one workload."""

    def __init__(self, found: ManifestPart, preview: Preview, evidence: ManifestEvidence) -> None:
        self._found = found
        self._preview = preview
        self._evidence = evidence

    def finding(self, level: Level, reason: str, cause: str, **more: object) -> Finding:
        found = self._found
        return Finding(
            level=level,
            reason=reason,
            place=found.place,
            kind=found.workload.kind.title,
            namespace=found.namespace,
            name=named(found.workload.name),
            template=found.workload.place,
            cause=cause,
            **more,  # type: ignore[arg-type]
        )

    def problems(self, level: Level) -> Iterator[Finding]:
        """Give one finding for all images with the same problem."""
        refusal = self._preview.refusal
        grouped: dict[tuple[Reason, str, str], list[Problem]] = {}
        for problem in self._preview.verdict.problems:
            key = (problem.reason, texts.cause(problem, refusal), remedies.remedy(problem, refusal))
            grouped.setdefault(key, []).append(problem)
        for (reason, cause, remedy), problems in grouped.items():
            images = [problem.image for problem in problems if problem.image] or self._found.part.images
            fixable = reason is Reason.NOT_LISTED
            yield self.finding(
                level,
                reason,
                cause,
                pulls=self._pulls(images),
                remedy=remedy,
                hint=self._hint(reason, problems[0]),
                related=self._related(problems[0]),
                fixable=self._found.origin if fixable else None,
                spec_path=self._found.workload.spec_path if fixable else (),
            )

    def unverified(self) -> Finding:
        verdict, home = self._preview.verdict, self._found.namespace
        names = [shown(name) for name in verdict.unverifiable]
        if verdict.reason is Reason.TOO_LARGE:
            cause, hint = texts.unverified(self._found.workload, verdict), ""
        else:
            absent = "which are in none of these files" if names[1:] else "which is in none of these files"
            cause = f"lists {', '.join(names[:3])}{' and more' if names[3:] else ''}, {absent}"
            hint = f"--assume-secret {home}/{names[0]} takes it on trust"
        return self.finding("warning", verdict.reason, cause, pulls=self._pulls(self._found.part.images), hint=hint)

    def _pulls(self, images: Sequence[PodImage]) -> tuple[Pull, ...]:
        elsewhere = Spot(self._found.place.line)
        return tuple(
            Pull(
                kind="volume" if image.place == "volumes" else "container",
                name=shown(image.name),
                image=shown(image.image),
                spot=self._found.spots.get(image, elsewhere),
            )
            for image in images
        )

    def _hint(self, reason: Reason, problem: Problem) -> str:
        if reason is Reason.NOT_LISTED:
            return "--fix writes it, --diff shows it"
        if reason in (Reason.SECRET_MISSING, Reason.UNVERIFIABLE) and problem.secret:
            return f"--assume-secret {self._found.namespace}/{shown(problem.secret)} takes it on trust"
        return ""

    def _related(self, problem: Problem) -> tuple[Related, ...]:
        home = self._found.namespace
        related = []
        if self._preview.refusal.opted_out and home in self._evidence.places:
            related.append(Related(text=f"Namespace {home}", place=self._evidence.places[home]))
        known = self._evidence.secrets.get((home, problem.secret))
        if problem.secret == SECRET_NAME and known is None:
            home = self._preview.refusal.release_namespace
            known = self._evidence.secrets.get((home, SECRET_NAME))
        if known is not None and known.place is not None:
            name = known.secret.owner or f"Secret {home}/{shown(known.secret.name)}"
            related.append(Related(text=name, place=known.place))
        return tuple(related)


def of_namespaces(evidence: ManifestEvidence) -> Iterator[Finding]:
    """Say which labels of ours on a Namespace mean nothing."""
    for name, namespace in evidence.namespaces.items():
        for cause in texts.unknown_labels(namespace):
            yield Finding(
                level="warning",
                reason=INVALID_SETTING,
                place=evidence.places[name],
                kind="Namespace",
                namespace="",
                name=shown(name),
                cause=cause,
            )
