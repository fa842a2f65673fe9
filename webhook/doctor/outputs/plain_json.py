"""A diagnosis for programs: versioned JSON, described in docs/doctor.md."""

from dataclasses import asdict
from typing import Any, Final

import orjson

from webhook.doctor.model import Diagnosis, PodGroup, Station

VERSION: Final = 1
"""Changes when a field changes its meaning or goes after a release; new ones may come."""


def render(diagnosis: Diagnosis, *, pods: bool = True) -> str:
    """Write it; without the Pods for `status`, which looks at none."""
    document: dict[str, Any] = {
        "version": VERSION,
        "healthy": diagnosis.healthy,
        "stations": [_station(each) for each in diagnosis.stations],
        "skipped": [_station(each) for each in diagnosis.skipped],
    }
    if pods:
        document |= {"pods": asdict(diagnosis.counts), "groups": [_group(each) for each in diagnosis.groups]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _station(station: Station) -> dict[str, Any]:
    return asdict(station)


def _group(group: PodGroup) -> dict[str, Any]:
    return asdict(group)
