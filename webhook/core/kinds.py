"""Kinds of object that hold pod templates, and where in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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
        """Return whether it is a further kind, which an administrator has configured, and no built-in one."""
        return bool(self.version)

    @property
    def is_pod(self) -> bool:
        """Return whether it is the Pod itself, and no kind that holds templates of Pods."""
        return self.templates == ((),)

    @property
    def is_job(self) -> bool:
        """Return whether it is the built-in Job, whose template cannot be changed; other groups have Jobs too."""
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
