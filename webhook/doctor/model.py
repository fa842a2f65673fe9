"""A diagnosis as plain data: stations with their faults, Pods in groups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from webhook.core.copies import Secret
from webhook.core.display import shown
from webhook.core.scope import Rules
from webhook.core.vocabulary import CredentialState
from webhook.doctor.evidence import Unread
from webhook.telemetry.redaction import redact_text


class StationState(StrEnum):
    """How a station is; part of the JSON.

    `skipped` was not looked at: a permission is missing, or there is no such thing in this cluster.
    """

    OK = "ok"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One link of the chain from the credential's source to the Pods.

    Attributes:
        name: Which, such as `central`.
        state: How it is.
        text: What was seen, in one line for people; never a credential.
        code: Of a fault, what is wrong in one word of the public interface; `None` otherwise.
        remedy: Of a fault, what fixes it; `None` otherwise.
        commands: Shell commands that do what the remedy says, in their order.
    """

    name: str
    state: StationState
    text: str
    code: str | None = None
    remedy: str | None = None
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `pods.find_pod_groups(client, question, deadline, progress)` is asked.

    `progress` is called with the number of Pods looked at so far, for the progress bar.

    Attributes:
        namespace: Whose Pods to look at; "" for those of every namespace.
        rules: The release's settings, or its defaults where those may not be read.
        central: The central secret, `None` where there is none or it may not be read.
        now: The clock on the wall, timezone-aware.
        words: By repository, what the registry says of the central secret's credential, where it was asked.
    """

    namespace: str
    rules: Rules
    central: Secret | None
    now: datetime
    words: Mapping[str, CredentialState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup:
    """The Pods of one owner that do not run for one cause.

    Attributes:
        namespace: Where they are.
        owner_kind, owner_name: What is edited or restarted to change them: the Deployment of a ReplicaSet's Pods, the
            CronJob of a Job's; of a Pod without controller the Pod itself.
        pods: How many.
        since: Since when the first of them has waited, timezone-aware; `None` if that is not known.
        cause: What is wrong in one word: a value of the metric's label and a paragraph of docs/troubleshooting.md.
        detail: What was seen, in one line for people; never a credential.
        remedy: What fixes it.
        commands: Shell commands that do what the remedy says.
        pulled: The image was pulled: something else keeps the Pods from running. Such a group is shown, and is no
            finding.
        replaced: Names of those of the Pods of which nothing runs, and which their ReplicaSet or ReplicationController
            makes again once they are deleted; a bounded number.
        restart: The cause is gone or goes with a new Pod, so that a restart of the owner is all that is needed.
    """

    namespace: str
    owner_kind: str
    owner_name: str
    pods: int
    since: datetime | None
    cause: str
    detail: str = ""
    remedy: str = ""
    commands: tuple[str, ...] = ()
    pulled: bool = False
    restart: bool = False
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much was looked at.

    Attributes:
        namespaces: That were looked into.
        pods: That were looked at.
        selected: Those of them that have selected images.
        unable: Those of them that cannot pull.
    """

    namespaces: int = 0
    pods: int = 0
    selected: int = 0
    unable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFindings:
    """What `pods.find_pod_groups` returns; `skipped` as of `Diagnosis`."""

    groups: tuple[PodGroup, ...] = ()
    counts: Counts = field(default_factory=Counts)
    skipped: tuple[Station, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was found.

    Attributes:
        stations: The chain, in the order in which a credential passes through it.
        groups: The Pods that do not run, the worst first.
        counts: How much was looked at.
        skipped: What could not be looked at besides, such as the nodes; all of state `skipped`.
    """

    stations: tuple[Station, ...]
    groups: tuple[PodGroup, ...] = ()
    counts: Counts = field(default_factory=Counts)
    skipped: tuple[Station, ...] = ()

    @property
    def faults(self) -> tuple[Station, ...]:
        """The stations that are broken."""
        return tuple(station for station in self.stations if station.state is StationState.FAULT)

    @property
    def unable(self) -> tuple[PodGroup, ...]:
        """The groups whose Pods cannot pull."""
        return tuple(group for group in self.groups if not group.pulled)

    @property
    def looked(self) -> bool:
        """Return whether anything at all could be looked at."""
        return any(each.state is not StationState.SKIPPED for each in self.stations) or self.counts.pods > 0

    @property
    def healthy(self) -> bool:
        """Return whether there is nothing to fix in what was looked at; `False` where nothing was."""
        return self.looked and not self.faults and not self.unable


class Code(StrEnum):
    """What is wrong with a station; part of the JSON, explained in docs/doctor.md."""

    NOT_INSTALLED = "not_installed"
    STORE_MISSING = "store_missing"
    STORE_NOT_READY = "store_not_ready"
    SYNC_FAILED = "sync_failed"
    SYNC_NOT_BEGUN = "sync_not_begun"
    SYNC_STALE = "sync_stale"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_INSUFFICIENT = "credential_insufficient"
    CREDENTIAL_NO_ACCESS = "credential_no_access"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    COPIES_STALE = "copies_stale"
    COPIES_CONTESTED = "copies_contested"
    COPIES_ORPHANED = "copies_orphaned"
    WEBHOOKS_MISSING = "webhooks_missing"
    CA_BUNDLE_MISSING = "ca_bundle_missing"
    CA_BUNDLE_MISMATCH = "ca_bundle_mismatch"
    NO_ENDPOINTS = "no_endpoints"
    POLICY_MISSING = "policy_missing"
    POLICY_UNBOUND = "policy_unbound"
    SERVERS_NOT_READY = "servers_not_ready"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NEAR_EXPIRY = "certificate_near_expiry"
    CONTROLLER_NOT_READY = "controller_not_ready"
    NO_LEADER = "no_leader"


def ok(name: str, text: str) -> Station:
    """Make a station with nothing to fix."""
    return Station(name=name, state=StationState.OK, text=text)


def fault(name: str, code: Code, text: str, remedy: str, *commands: str) -> Station:
    """Make a station that is broken."""
    return Station(name=name, state=StationState.FAULT, text=text, code=code, remedy=remedy, commands=commands)


def skipped(name: str, unread: Unread) -> Station:
    """Make a station that was not looked at."""
    return Station(name=name, state=StationState.SKIPPED, text=f"not looked at: {unread.why}")


def foreign_text(text: str) -> str:
    """Cut what somebody else wrote to one line that can be shown, and blot out what looks like a credential."""
    return redact_text(shown(" ".join(text.split())))


_MAX_NAMES: Final = 5
"""Most names of a list that are shown; the rest is counted."""


def names(of: Iterable[str]) -> str:
    """List a few names, and count the others."""
    listed = list(of)
    rest = len(listed) - _MAX_NAMES
    return ", ".join(listed[:_MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def count(number: int, noun: str) -> str:
    """Say how many."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(length: timedelta) -> str:
    """Say how long, in one unit that is not too fine: `12 min`, `3 h`, `61 d`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 2 * 60:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} d"


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago."""
    return f"{span(now - then)} ago"
