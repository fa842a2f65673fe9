"""Label and field selectors of list, watch and deletecollection requests."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from standin.errors import bad_request
from standin.interfaces import Json, ResourceInfo

Predicate: TypeAlias = Callable[[Json], bool]

# `AddFieldLabelConversionFunc` and `selectableFields` of each kind; metadata.name and .namespace hold for all.
FIELD_LABELS: Mapping[str, tuple[str, ...]] = {
    "secrets": ("type",),
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
    "jobs.batch": ("status.successful",),
}

_TERM = re.compile(r"^(?P<key>[^=!]+?)\s*(?P<op>==|!=|=)\s*(?P<value>.*)$")


def field_terms(selector: str) -> list[tuple[str, bool, str]]:
    """Return (label, equal, value) of each term. Raises ApiError(400)."""
    terms = []
    for part in filter(None, selector.split(",")):
        match = _TERM.match(part)
        if match is None:
            raise bad_request(f'Unable to find "{selector}" that matches the required format')
        terms.append((match["key"].strip(), match["op"] != "!=", match["value"].strip()))
    return terms


def selected_name(terms: list[tuple[str, bool, str]]) -> str:
    """Return the name that a `metadata.name=` term limits a request to, or nothing."""
    return next((value for label, equal, value in terms if label == "metadata.name" and equal), "")


def _field_value(obj: Json, label: str) -> str:
    value: Any = obj
    if label == "source" and isinstance(obj.get("source"), dict):
        return str(obj["source"].get("component", ""))
    for step in label.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def fields(resource: ResourceInfo, terms: list[tuple[str, bool, str]]) -> Predicate | None:
    """Return the predicate of a field selector, None if it selects everything. Raises ApiError(400)."""
    known = (
        "metadata.name",
        *(("metadata.namespace",) if resource.namespaced else ()),
        *FIELD_LABELS.get(resource.key, ()),
    )
    for label, _, _ in terms:
        if label not in known:
            raise bad_request(f"field label not supported: {label}")
    if not terms:
        return None
    if len(terms) == 1 and terms[0][:2] == ("metadata.name", True):
        name = terms[0][2]
        return lambda obj: bool(obj["metadata"]["name"] == name)
    return lambda obj: all((_field_value(obj, label) == value) is equal for label, equal, value in terms)


_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)$")


def _split(selector: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _label_term(part: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.match(part):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if match := _TERM.match(part):
        key, value = match["key"].strip(), match["value"].strip()
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if re.fullmatch(r"[\w./-]+", part):
        return lambda labels: part in labels
    if re.fullmatch(r"![\w./-]+", part):
        return lambda labels: part[1:] not in labels
    raise bad_request(f"unable to parse requirement: {part}")


def labels(selector: str) -> Predicate | None:
    """Return the predicate of a label selector, None if it selects everything. Raises ApiError(400)."""
    terms = [_label_term(part) for part in _split(selector)]
    if not terms:
        return None

    def matches(obj: Json) -> bool:
        found = obj["metadata"].get("labels") or {}
        return all(term(found) for term in terms)

    return matches


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """Return the conjunction; None stands for everything."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)
