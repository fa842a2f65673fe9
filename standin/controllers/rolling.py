"""The arithmetic of a rolling update, without a cluster (k8s.io/kubernetes/pkg/controller/deployment/rolling.go)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCounts:
    """Replicas of the new ReplicaSet and of all old ones together."""

    desired: int
    new: int
    new_available: int
    old: int
    old_available: int


def bounds(strategy: dict[str, Any], desired: int) -> tuple[int, int]:
    """Return maxSurge and maxUnavailable in Pods: percentages round up and down; both zero means one unavailable."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = _resolve(rolling.get("maxSurge", "25%"), desired, up=True)
    unavailable = _resolve(rolling.get("maxUnavailable", "25%"), desired, up=False)
    return surge, unavailable if surge or unavailable else 1


def _resolve(value: int | str, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = int(value.rstrip("%")) * total / 100
    return math.ceil(share) if up else math.floor(share)


def new_size(counts: ReplicaCounts, surge: int) -> int:
    """Return how large the new ReplicaSet may be now."""
    if counts.new >= counts.desired:
        return counts.desired
    room = counts.desired + surge - counts.new - counts.old
    return counts.new + max(0, min(room, counts.desired - counts.new))


def old_size(counts: ReplicaCounts, unavailable: int) -> int:
    """Return how many old replicas must stay, so that `desired - unavailable` are available; the broken go first."""
    new_unavailable = counts.new - counts.new_available
    removable = counts.new + counts.old - (counts.desired - unavailable) - new_unavailable
    if removable <= 0:
        return counts.old
    broken = min(counts.old - counts.old_available, removable)
    working = counts.new_available + counts.old_available - (counts.desired - unavailable)
    return counts.old - broken - max(0, min(working, counts.old_available, removable - broken))
