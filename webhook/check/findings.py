"""Findings from decisions: what is wrong, where, and the fix."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from webhook.check.documents import Manifest, Origin, Trouble
from webhook.check.evidence import Evidence, Place
from webhook.check.judging import Judgement
from webhook.core import remedies, texts
from webhook.core.display import shown
from webhook.core.judging import Problem
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Enforcement, label_faults
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload


class Level(StrEnum):
    """What a finding leads to: the webhook would reject, or warn."""

    ERROR = "error"
    WARNING = "warning"


class ManifestOutcome(StrEnum):
    """What would become of a workload with selected images."""

    REJECTED = "rejected"
    WARNED = "warned"
    NOT_ENFORCED = "not_enforced"
    ON_TRUST = "on_trust"
    INJECTED = "injected"
    COVERED = "covered"
    LEFT_OUT = "left_out"


INVALID_SETTING = "invalid_setting"
"""Reason of the finding that a label or annotation of ours has a value that means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image and where it stands; `kind` is `container` or `volume`."""

    kind: str
    name: str
    image: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another manifest that bears on a finding."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one object.

    Attributes:
        reason: A `Reason`, or `INVALID_SETTING`.
        place: Of the object.
        kind, namespace, name: Of the object.
        template: Which of its pod templates, where its kind has several.
        pulls: The images that are concerned.
        cause: What is wrong.
        remedy: What fixes it.
        hint: What an option of the command would do about it.
        related: Where else to look.
        fixable: The object whose list of pull secrets would fix it.
        spec_path: Where the pod spec is in that.
    """

    level: Level
    reason: str
    place: Place
    kind: str
    namespace: str
    name: str
    template: str = ""
    pulls: tuple[Pull, ...] = ()
    cause: str
    remedy: str = ""
    hint: str = ""
    related: tuple[Related, ...] = ()
    fixable: Origin | None = None
    spec_path: tuple[str | int, ...] = ()

    @property
    def subject(self) -> str:
        """Name the object."""
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return _subject(self.kind, name, self.template)

    @property
    def line(self) -> int:
        """Say which line to look at: the first image's, if it is about one."""
        return self.pulls[0].line if self.pulls else self.place.line


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A workload with selected images, or one pod template of several that it has, and what would become of it."""

    place: Place
    kind: str
    namespace: str
    name: str
    template: str = ""
    decision: Reason
    verdict: Reason
    outcome: ManifestOutcome

    @property
    def subject(self) -> str:
        """Name it as its findings do."""
        return _subject(self.kind, f"{self.namespace}/{self.name or '(unnamed)'}", self.template)


def _subject(kind: str, name: str, template: str) -> str:
    return f"{kind} {name} (pod template {template})" if template else f"{kind} {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of one run.

    Attributes:
        documents: YAML documents that were read.
        fixed: Objects that were given the pull secret.
        seconds: How long it took.
    """

    findings: tuple[Finding, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    checked: tuple[Checked, ...] = ()
    documents: int = 0
    fixed: int = 0
    seconds: float = 0.0

    @property
    def unread(self) -> bool:
        """Return whether something could not be read."""
        return any(trouble.fatal for trouble in self.troubles)

    def fails(self, least: Level | None) -> bool:
        """Return whether there is a finding of a level or a worse one; `None` is worse than any."""
        return least is not None and any(
            finding.level is Level.ERROR or least is Level.WARNING for finding in self.findings
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A workload of the manifests, as far as it is kept until all of them are read.

    Attributes:
        workload: Without its template.
        namespace: Where it goes.
        lines: Of its images.
        among: The selected images of its object, whatever pod templates that has.
    """

    workload: Workload
    namespace: str
    origin: Origin
    place: Place
    lines: dict[PodImage, int] = field(default_factory=dict, repr=False)
    among: tuple[PodImage, ...] = field(default=(), repr=False)


def image_lines(manifest: Manifest, workload: Workload) -> dict[PodImage, int]:
    """Find the lines of a workload's images."""
    spec = workload.spec_path
    holder: Any = manifest.obj
    for token in spec:
        holder = holder[token]
    lines: dict[PodImage, int] = {}
    for image in workload.images:
        path = ("image", "reference") if image.place == "volumes" else ("image",)
        for index, entry in enumerate(holder.get(image.place) or ()):
            if entry and entry.get("name", "") == image.name and _at(entry, *path) == image.image:
                lines.setdefault(image, manifest.line_of(*spec, image.place, index, *path))
    return lines


def _at(entry: object, *path: str) -> object:
    for token in path:
        entry = entry.get(token) if isinstance(entry, dict) else None
    return entry


def checked(subject: Subject, judgement: Judgement) -> Checked:
    """Say what would become of a workload."""
    return Checked(
        place=subject.place,
        kind=subject.workload.kind.kind or subject.workload.kind.resource,
        namespace=subject.namespace,
        name=shown(subject.workload.name),
        template=subject.workload.place,
        decision=judgement.decision.reason,
        verdict=judgement.verdict.reason,
        outcome=_outcome(judgement),
    )


def _outcome(judgement: Judgement) -> ManifestOutcome:
    verdict = judgement.verdict
    if verdict.problems:
        return {
            Enforcement.DENY: ManifestOutcome.REJECTED,
            Enforcement.WARN: ManifestOutcome.WARNED,
            Enforcement.OFF: ManifestOutcome.NOT_ENFORCED,
        }[judgement.enforcement]
    if verdict.reason in (Reason.OPTED_OUT, Reason.CONTROLLER_OWNED, Reason.NOT_APPLICABLE):
        return ManifestOutcome.LEFT_OUT
    if judgement.on_trust:
        return ManifestOutcome.ON_TRUST
    injected = judgement.decision.reason in (Reason.INJECTED, Reason.LEFT_TO_POD)
    return ManifestOutcome.INJECTED if injected else ManifestOutcome.COVERED


def findings(subject: Subject, judgement: Judgement, evidence: Evidence) -> Iterator[Finding]:
    """Say what is wrong with a workload."""
    workload, verdict = subject.workload, judgement.verdict
    about = _About(subject, judgement, evidence)
    if workload.unknown_inject:
        yield about.finding(Level.WARNING, INVALID_SETTING, texts.unknown_inject(workload))
    if verdict.problems and judgement.enforcement is not Enforcement.OFF:
        level = Level.ERROR if judgement.enforcement is Enforcement.DENY else Level.WARNING
        yield from about.problems(level)
    elif not verdict.problems and verdict.reason in (Reason.UNVERIFIABLE, Reason.TOO_LARGE):
        yield about.unverified()


class _About:
    """Makes the findings of one workload."""

    def __init__(self, subject: Subject, judgement: Judgement, evidence: Evidence) -> None:
        self._subject = subject
        self._judgement = judgement
        self._evidence = evidence

    def finding(self, level: Level, reason: str, cause: str, **more: object) -> Finding:
        subject = self._subject
        return Finding(
            level=level,
            reason=reason,
            place=subject.place,
            kind=subject.workload.kind.kind or subject.workload.kind.resource,
            namespace=subject.namespace,
            name=shown(subject.workload.name) or "(unnamed)",
            template=subject.workload.place,
            cause=cause,
            **more,  # type: ignore[arg-type]
        )

    def problems(self, level: Level) -> Iterator[Finding]:
        """Give one finding for all images with the same problem."""
        refusal = self._judgement.refusal
        grouped: dict[tuple[Reason, str, str], list[Problem]] = {}
        for problem in self._judgement.verdict.problems:
            key = (problem.reason, texts.CAUSES[problem.reason](problem, refusal), remedies.remedy(problem, refusal))
            grouped.setdefault(key, []).append(problem)
        for (reason, cause, remedy), problems in grouped.items():
            images = [problem.image for problem in problems if problem.image] or list(self._judgement.images)
            fixable = reason is Reason.NOT_LISTED
            yield self.finding(
                level,
                reason,
                cause,
                pulls=self._pulls(images),
                remedy=remedy,
                hint=self._hint(reason, problems[0]),
                related=self._related(problems[0]),
                fixable=self._subject.origin if fixable else None,
                spec_path=self._subject.workload.spec_path if fixable else (),
            )

    def unverified(self) -> Finding:
        verdict, home = self._judgement.verdict, self._subject.namespace
        names = [shown(name) for name in verdict.unverifiable]
        if verdict.reason is Reason.TOO_LARGE:
            cause, hint = texts.unverified(self._subject.workload, verdict), ""
        else:
            absent = "which are in none of these files" if names[1:] else "which is in none of these files"
            cause = f"lists {', '.join(names[:3])}{' and more' if names[3:] else ''}, {absent}"
            hint = f"--assume-secret {home}/{names[0]} takes it on trust"
        return self.finding(Level.WARNING, verdict.reason, cause, pulls=self._pulls(self._judgement.images), hint=hint)

    def _pulls(self, images: list[PodImage] | tuple[PodImage, ...]) -> tuple[Pull, ...]:
        return tuple(
            Pull(
                kind="volume" if image.place == "volumes" else "container",
                name=shown(image.name),
                image=shown(image.image),
                line=self._subject.lines.get(image, self._subject.place.line),
            )
            for image in images
        )

    def _hint(self, reason: Reason, problem: Problem) -> str:
        if reason is Reason.NOT_LISTED:
            return "--fix writes it, --diff shows it"
        if reason in (Reason.SECRET_MISSING, Reason.UNVERIFIABLE) and problem.secret:
            return f"--assume-secret {self._subject.namespace}/{shown(problem.secret)} takes it on trust"
        return ""

    def _related(self, problem: Problem) -> tuple[Related, ...]:
        home = self._subject.namespace
        related = []
        if self._judgement.refusal.opted_out and home in self._evidence.places:
            related.append(Related(text=f"Namespace {home}", place=self._evidence.places[home]))
        known = self._evidence.secrets.get((home, problem.secret))
        if problem.secret == SECRET_NAME and known is None:
            home = self._judgement.refusal.release_namespace
            known = self._evidence.secrets.get((home, SECRET_NAME))
        if known is not None and known.place is not None:
            name = known.secret.owner or f"Secret {home}/{shown(known.secret.name)}"
            related.append(Related(text=name, place=known.place))
        return tuple(related)


def of_namespaces(evidence: Evidence) -> Iterator[Finding]:
    """Say which labels of ours on a Namespace mean nothing."""
    for name, namespace in evidence.namespaces.items():
        for fault in label_faults(namespace):
            yield Finding(
                level=Level.WARNING,
                reason=INVALID_SETTING,
                place=evidence.places[name],
                kind="Namespace",
                namespace="",
                name=shown(name),
                cause=fault,
            )
