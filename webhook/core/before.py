"""Pod specs that an object had before its UPDATE."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Final

import orjson

from webhook.core.kinds import TemplatePath, WorkloadKind
from webhook.core.review import Json
from webhook.core.workloads import MalformedObject, Workload, read_all


class Before:
    """Pod specs that an object had before its UPDATE; none on CREATE.

    A template of a list or map counts wherever it stood there.

    Args:
        workloads: Those that the same path led to (`Workload.path`).
    """

    def __init__(self, workloads: Iterable[Workload] = ()) -> None:
        self._workloads = tuple(workloads)

    @cached_property
    def pulled(self) -> frozenset[str]:
        """The images that the kubelet would ask a registry for."""
        return frozenset().union(*(workload.pulled for workload in self._workloads))

    def had(self, workload: Workload) -> bool:
        """Return whether a template was there as it is now."""
        if len(self._workloads) == 1:
            return workload.template == self._workloads[0].template
        return bool(self._workloads) and _canonical(workload.template) in self._templates

    def pulled_as(self, workload: Workload) -> bool:
        """Return whether a pod spec was there that pulls the same images with the same secrets and ServiceAccount."""
        return _pulls(workload) in self._pulls

    # Sets, since each template of one object is looked up among all of the other.
    @cached_property
    def _templates(self) -> frozenset[bytes]:
        return frozenset(_canonical(workload.template) for workload in self._workloads)

    @cached_property
    def _pulls(self) -> frozenset[tuple[object, ...]]:
        return frozenset(map(_pulls, self._workloads))


NOTHING_BEFORE: Final = Before()


def read_before(kind: WorkloadKind, old: Json) -> Mapping[TemplatePath, Before]:
    """Read the former pod specs at each path of a kind; none of an object that is malformed.

    Such an object was stored under a laxer schema than today's. Its successor is judged as if it were new.
    """
    with suppress(MalformedObject):
        found = read_all(kind, old)
        return {path: Before(each for each in found if each.path == path) for path in kind.templates}
    return {}


def _pulls(workload: Workload) -> tuple[object, ...]:
    return workload.pulled, frozenset(workload.pull_secrets), workload.service_account


def _canonical(template: Json) -> bytes:
    return orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
