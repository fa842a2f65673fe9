"""Workload kinds: the built-in ones, and one that is configured."""

from tests.objects import RESOURCES
from webhook.core.kinds import BUILT_IN_KINDS, WorkloadKind, find_kind

ROLLOUT = WorkloadKind(group="argoproj.io", version="v1alpha1", resource="rollouts", templates=(("spec", "template"),))
KINDS = (*BUILT_IN_KINDS, ROLLOUT)


def kind_named(name: str) -> WorkloadKind:
    group, version, resource = RESOURCES[name]
    kind = find_kind(KINDS, group=group, version=version, resource=resource)
    assert kind is not None
    return kind
