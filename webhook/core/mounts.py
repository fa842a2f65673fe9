"""Pods that use a Secret's content as volume or variable."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from webhook.core.review import Json
from webhook.core.workloads import CONTAINER_LISTS, MAX_ENTRIES


def mounts(spec: Json, name: str) -> bool:
    """Return whether a pod spec takes content from a Secret other than to pull images.

    Args:
        spec: The pod spec as it came. What has not the shape of one counts as absent: it is stored nowhere.
        name: Of the Secret.

    Looked at are volumes `secret` and `projected`, and of each container `envFrom` and `env`; of each list the first
    `MAX_ENTRIES`. The chart's matchConditions say the same (`gps.celMounts`).
    """
    return any(_of_volume(volume, name) for volume in _each(spec, "volumes")) or any(
        _of_container(container, name) for place in CONTAINER_LISTS for container in _each(spec, place)
    )


def _of_volume(volume: Json, name: str) -> bool:
    if _at(volume, "secret", "secretName") == name:
        return True
    sources = _each(_at(volume, "projected"), "sources")
    return any(_at(source, "secret", "name") == name for source in sources)


def _of_container(container: Json, name: str) -> bool:
    return any(_at(entry, "secretRef", "name") == name for entry in _each(container, "envFrom")) or any(
        _at(entry, "valueFrom", "secretKeyRef", "name") == name for entry in _each(container, "env")
    )


def _at(holder: Any, *path: str) -> Any:
    for token in path:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(token)
    return holder


def _each(holder: Any, name: str) -> Iterator[Json]:
    entries = _at(holder, name)
    if isinstance(entries, list):
        yield from (entry for entry in islice(entries, MAX_ENTRIES) if isinstance(entry, dict))
