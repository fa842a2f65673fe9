"""Report of one check run: findings, workloads, unread input."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from webhook.check.evidence import Position
from webhook.check.manifests import Origin, Spot, Trouble
from webhook.core.display import named
from webhook.core.texts import template_named
from webhook.core.vocabulary import Reason

Level = Literal["error", "warning"]
"""What a finding leads to: the webhook would reject, or warn."""


class ManifestOutcome(StrEnum):
    """What would become of a workload with selected images."""

    REJECTED = "rejected"
    WARNED = "warned"
    NOT_ENFORCED = "not_enforced"
    ON_TRUST = "on_trust"
    INJECTED = "injected"
    COVERED = "covered"
    LEFT_OUT = "left_out"


INVALID_SETTING: Final = "invalid_setting"
"""Reason of the finding that a label or annotation of ours has a value that means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image and where it stands; `kind` is `container` or `volume`."""

    kind: str
    name: str
    image: str
    spot: Spot

    @property
    def line(self) -> int:
        """The line of the image."""
        return self.spot.line


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another manifest that bears on a finding."""

    text: str
    place: Position


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
    place: Position
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
        return template_named(self.kind, name, self.template)

    @property
    def line(self) -> int:
        """Say which line to look at: the first image's, if it is about one."""
        return self.spot.line

    @property
    def spot(self) -> Spot:
        """Say where to look: at the first image, if it is about one."""
        return self.pulls[0].spot if self.pulls else Spot(self.place.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A workload with selected images, or one pod template of several that it has, and what would become of it."""

    place: Position
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
        return template_named(self.kind, f"{self.namespace}/{named(self.name)}", self.template)


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
        return least is not None and any(finding.level == "error" or least == "warning" for finding in self.findings)
