"""Selection of kinds, images and namespaces, and their enforcement."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL, SYSTEM_NAMESPACES
from webhook.core.patterns import ImagePatterns


class Enforcement(StrEnum):
    """What happens to a workload that would pull without credentials."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


_ENFORCEMENTS: Final = frozenset(Enforcement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The installation's settings, as far as decisions need them.

    Attributes:
        patterns: Which images are selected.
        release_namespace: Home of the central secret.
        excluded: Further namespaces that are never touched.
        opt_in: Only namespaces labelled `inject: "true"` are in; without it, all but those labelled `"false"`.
        allow_unverifiable: Pull secrets we may not read count as credentials for what `ghcr-secret` does not cover.
        leave_templates: Every template without a list is left to its Pods.
    """

    patterns: ImagePatterns
    release_namespace: str
    excluded: frozenset[str] = frozenset()
    opt_in: bool = False
    enforcement: Enforcement = Enforcement.DENY
    allow_unverifiable: bool = True
    leave_templates: bool = False

    def untouchable(self, namespace: str) -> bool:
        """Return whether a namespace is never touched, whatever its labels."""
        return namespace in SYSTEM_NAMESPACES or namespace == self.release_namespace or namespace in self.excluded

    def injects_into(self, namespace: "Namespace") -> bool:
        """Return whether a namespace is in."""
        if self.untouchable(namespace.name):
            return False
        if self.opt_in:
            return namespace.inject == "true"
        return namespace.inject != "false"

    def provisions_in(self, namespace: "Namespace") -> bool:
        """Return whether a namespace asks for a copy outright, before anything in it does.

        So may one that is not in with `opt-in`; one that says `inject: "false"` gets none whatever else it says.
        """
        return namespace.provision == "true" and namespace.inject != "false" and not self.untouchable(namespace.name)

    def may_have_copy(self, namespace: "Namespace") -> bool:
        """Return whether a copy may be in a namespace: it is in, or asks for one."""
        return self.injects_into(namespace) or self.provisions_in(namespace)

    def enforcement_in(self, namespace: "Namespace") -> Enforcement:
        """Say how strict we are in a namespace.

        Its own label decides; one with any other value is passed over, and warned about (`Namespace.unknown_labels`).
        With opt-in, a namespace that has neither label is none of our business yet.
        """
        if self.untouchable(namespace.name):
            return Enforcement.OFF
        if namespace.enforce in _ENFORCEMENTS:
            return Enforcement(namespace.enforce)
        if self.opt_in and namespace.inject != "true":
            return Enforcement.OFF
        return self.enforcement


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A Namespace as decisions need it; `inject`, `enforce` and `provision` are its labels' values, empty if absent."""

    name: str
    inject: str = ""
    enforce: str = ""
    provision: str = ""
    terminating: bool = False

    @property
    def unknown_labels(self) -> tuple[str, ...]:
        """Keys of those of our labels whose value means nothing."""
        values = ((INJECT_KEY, self.inject), (ENFORCE_LABEL, self.enforce), (PROVISION_LABEL, self.provision))
        return tuple([key for key, value in values if value and value not in _MEANINGFUL[key]])


_SWITCH: Final = frozenset({"true", "false"})
_MEANINGFUL: Final = {INJECT_KEY: _SWITCH, ENFORCE_LABEL: _ENFORCEMENTS, PROVISION_LABEL: _SWITCH}


TemplatePath = tuple[str, ...]
"""Tokens from an object to what has the pod spec as its `spec`; empty for a Pod. One of them may be one of `EACH`."""

EACH_ENTRY: Final = "[]"
"""Token of a path: every entry of a list."""

EACH_VALUE: Final = "*"
"""Token of a path: every value of a map."""

EACH: Final = frozenset({EACH_ENTRY, EACH_VALUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadKind:
    """A kind of object that holds pod specs.

    Attributes:
        group, version, resource: As in a webhook rule. An empty version stands for any (built-in kinds, whose shape is
            the same in each version a supported API server serves).
        kind: Name for people, and how `check` finds it in a manifest. Empty for a configured kind whose name is
            not known; any kind served at that resource then fits.
        templates: Where its pod templates are.
    """

    group: str
    version: str = ""
    resource: str
    kind: str = ""
    templates: tuple[TemplatePath, ...]

    @property
    def title(self) -> str:
        """Name for people; where the kind's own is not known, its resource's."""
        return self.kind or self.resource

    @property
    def configured(self) -> bool:
        """Tell a further kind, which an administrator has configured, from a built-in one."""
        return bool(self.version)

    @property
    def is_pod(self) -> bool:
        """Tell Pods from what holds templates of Pods."""
        return self.templates == ((),)

    @property
    def is_job(self) -> bool:
        """Tell the built-in Job, whose template cannot be changed; other groups have kinds of that name."""
        return (self.group, self.resource) == ("batch", "jobs")

    @property
    def several(self) -> bool:
        """Return whether an object may hold more than one pod template, so that a text must say which."""
        return len(self.templates) > 1 or any(EACH.intersection(path) for path in self.templates)


_TEMPLATE: Final = (("spec", "template"),)

POD: Final = WorkloadKind(group="", resource="pods", kind="Pod", templates=((),))
BUILT_IN_KINDS: Final = (
    POD,
    WorkloadKind(group="apps", resource="deployments", kind="Deployment", templates=_TEMPLATE),
    WorkloadKind(group="apps", resource="statefulsets", kind="StatefulSet", templates=_TEMPLATE),
    WorkloadKind(group="apps", resource="daemonsets", kind="DaemonSet", templates=_TEMPLATE),
    WorkloadKind(group="apps", resource="replicasets", kind="ReplicaSet", templates=_TEMPLATE),
    WorkloadKind(group="", resource="replicationcontrollers", kind="ReplicationController", templates=_TEMPLATE),
    WorkloadKind(group="batch", resource="jobs", kind="Job", templates=_TEMPLATE),
    WorkloadKind(
        group="batch", resource="cronjobs", kind="CronJob", templates=(("spec", "jobTemplate", "spec", "template"),)
    ),
)


def find_kind(kinds: Iterable[WorkloadKind], *, group: str, version: str, resource: str) -> WorkloadKind | None:
    """Find the workload kind served at a group, version and resource."""
    for kind in kinds:
        if kind.resource == resource and kind.group == group and kind.version in ("", version):
            return kind
    return None
