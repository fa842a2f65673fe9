"""A diagnosis as text for people, and as JSON for programs."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import orjson

from webhook.doctor.model import Diagnosis, PodGroup, Station, StationState, count, span

MARKS: Final = {StationState.OK: "✓", StationState.FAULT: "✗", StationState.SKIPPED: "–"}
_CODE_COLUMN: Final = 2
_WIDTH: Final = 96
_NARROWEST: Final = 40
"""Columns within which a remedy is broken into lines."""

VERIFIED: Final = ("source", "sync", "central", "copies")
"""The stations that `--verify` checks, in their order; then comes `pull`."""


def as_text(diagnosis: Diagnosis, now: datetime) -> str:
    """Write the set-up, the Pods that cannot pull, and the remedies."""
    parts = [set_up(diagnosis), _pods(diagnosis, now), _remedies(diagnosis), _sum(diagnosis)]
    return "\n\n".join(part for part in parts if part) + "\n"


def set_up(diagnosis: Diagnosis) -> str:
    """Write the stations."""
    return "\n".join(["Set-up", *_stations((*diagnosis.stations, *diagnosis.skipped))])


def status(diagnosis: Diagnosis) -> str:
    """Write the stations and what fixes them."""
    return "\n\n".join(part for part in (set_up(diagnosis), _remedies(diagnosis)) if part) + "\n"


def verified(diagnosis: Diagnosis) -> str:
    """Write the stations that a credential passes through, in order, with a mark each; and what fixes the others."""
    stations = {each.name: each for each in diagnosis.stations}
    chosen = [stations[name] for name in VERIFIED if name in stations]
    return "\n\n".join(filter(None, ["\n".join(_stations([*chosen, pull(diagnosis)])), _remedies(diagnosis)])) + "\n"


def pull(diagnosis: Diagnosis) -> Station:
    """Make the last station of all from the Pods."""
    counts, unable = diagnosis.counts, diagnosis.counts.unable
    if not counts.pods and any(each.name == "pods" for each in diagnosis.skipped):
        return Station(name="pull", state=StationState.SKIPPED, text="not looked at")
    of = f"{counts.selected} Pods with selected images"
    if diagnosis.unable:
        return Station(
            name="pull", state=StationState.FAULT, text=f"{unable} of {of} cannot pull", code=diagnosis.unable[0].cause
        )
    return Station(name="pull", state=StationState.OK, text=f"none of {of} fails to pull")


def _stations(stations: Sequence[Station]) -> list[str]:
    width = max((len(each.name) for each in stations), default=0)
    lines = []
    for each in stations:
        code = f"   {each.code}" if each.code else ""
        lines.append(f"  {MARKS[each.state]} {each.name:<{width}}  {each.text}{code}")
    return lines


def _pods(diagnosis: Diagnosis, now: datetime) -> str:
    if not diagnosis.groups:
        return ""
    counts = diagnosis.counts
    head = f"Pods that cannot pull: {counts.unable} of {counts.selected} with selected images"
    rows = [("NAMESPACE", "OWNER", "PODS", "FOR", "CAUSE", ""), *(_row(group, now) for group in diagnosis.groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    marks = [" ", *(" " if group.pulled else MARKS[StationState.FAULT] for group in diagnosis.groups)]
    return "\n".join([head, *(_line(mark, row, widths) for mark, row in zip(marks, rows, strict=True))])


def _row(group: PodGroup, now: datetime) -> tuple[str, str, str, str, str, str]:
    waited = span(now - group.since).replace(" min", "m").replace(" ", "") if group.since else "?"
    cause = f"({group.detail or group.cause})" if group.pulled else group.cause
    detail = "" if group.pulled else group.detail
    return group.namespace, f"{group.owner_kind}/{group.owner_name}", str(group.pods), waited, cause, detail


def _line(mark: str, row: Sequence[str], widths: Sequence[int]) -> str:
    namespace, owner, pods, waited, cause, detail = row
    cells = (
        f"{namespace:<{widths[0]}}  {owner:<{widths[1]}}  {pods:>{widths[2]}}  {waited:<{widths[3]}}  "
        f"{cause:<{widths[4] if detail else 0}}  {detail}"
    )
    return f"{mark} {cells}".rstrip()


def _remedies(diagnosis: Diagnosis) -> str:
    """Write each remedy once, however many have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for code, remedy, commands in _fixes(diagnosis):
        known = found.setdefault((code, remedy), [])
        known.extend(each for each in commands if each not in known)
    if not found:
        return ""
    width = max(len(code) for code, _ in found)
    lines = ["Remedies"]
    indent = " " * (width + 2 + _CODE_COLUMN)
    for (code, remedy), known in found.items():
        first, *more = _broken(remedy, _WIDTH - len(indent))
        lines.append(f"  {code:<{width}}  {first}".rstrip())
        # A command stays on one line, to be copied.
        lines += [f"{indent}{text}" for text in (*more, *known)]
    return "\n".join(lines)


def _broken(text: str, width: int) -> list[str]:
    # Names and commands have hyphens, and are to stay whole.
    return textwrap.wrap(text, max(width, _NARROWEST), break_long_words=False, break_on_hyphens=False) or [""]


def _fixes(diagnosis: Diagnosis) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    for station in diagnosis.faults:
        yield station.code or "", station.remedy or "", station.commands
    for group in diagnosis.unable:
        yield group.cause, group.remedy, group.commands


def _sum(diagnosis: Diagnosis) -> str:
    if not diagnosis.looked:
        return 'Nothing could be looked at; docs/doctor.md, "Permissions", has what it takes'
    if diagnosis.healthy:
        looked = diagnosis.counts.selected
        return f"Nothing to fix; {count(looked, 'Pod')} with selected images looked at"
    causes = {group.cause for group in diagnosis.unable}
    parts = []
    if diagnosis.faults:
        parts.append(count(len(diagnosis.faults), "station"))
    if causes:
        parts.append(f"{count(len(causes), 'cause')}, {count(diagnosis.counts.unable, 'Pod')}")
    pages = "docs/doctor.md" + (" and docs/troubleshooting.md have" if causes else " has")
    return f"{'; '.join(parts)}; {pages} a paragraph for each"


_JSON_VERSION: Final = 1
"""Changes when a field changes its meaning or goes after a release; new ones may come."""


def as_json(diagnosis: Diagnosis, *, pods: bool = True) -> str:
    """Write it as versioned JSON, described in docs/doctor.md; without the Pods for `status`, which looks at none."""
    document: dict[str, Any] = {
        "version": _JSON_VERSION,
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
