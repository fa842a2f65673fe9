"""`meta.k8s.io/v1` Tables: what `kubectl get` prints."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from standin.interfaces import Json, ResourceInfo

Cell: TypeAlias = Callable[[Json], Any]
Column: TypeAlias = tuple[str, str, int, Cell]
NONE = "<none>"


def age(timestamp: str | None) -> str:
    """Return how long ago a time was, as `duration.HumanDuration` writes it."""
    if not timestamp:
        return "<unknown>"
    seconds = int((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(timestamp)).total_seconds())
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 48:
        return f"{hours}h"
    return f"{hours // 24}d"


def at(*path: str, default: Any = None) -> Cell:
    """Return a cell that reads a path."""

    def read(obj: Json) -> Any:
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value is None else value

    return read


def _selector(value: Json | None) -> str:
    labels = (value or {}).get("matchLabels", value) or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels) if isinstance(labels[key], str)) or NONE


def _containers(*path: str) -> list[Column]:
    spec = at(*path, default={})
    return [
        ("Containers", "string", 1, lambda obj: ",".join(c["name"] for c in spec(obj).get("containers", ()))),
        ("Images", "string", 1, lambda obj: ",".join(c.get("image", "") for c in spec(obj).get("containers", ()))),
    ]


def _pod_status(obj: Json) -> str:
    status = obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        reason = (container.get("state") or {}).get("waiting", {}).get("reason")
        if reason:
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "Unknown")


def _pod_ready(obj: Json) -> str:
    statuses = (obj.get("status") or {}).get("containerStatuses", ())
    return f"{sum(bool(c.get('ready')) for c in statuses)}/{len(obj['spec'].get('containers', ()))}"


def _restarts(obj: Json) -> str:
    return str(sum(c.get("restartCount", 0) for c in (obj.get("status") or {}).get("containerStatuses", ())))


def _job_status(obj: Json) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    conditions = (obj.get("status") or {}).get("conditions") or ()
    names = {c["type"] for c in conditions if c.get("status") == "True"}
    return next((name for name in ("Complete", "Failed", "Suspended") if name in names), "Running")


def _age_of(*path: str, default: str) -> Cell:
    read = at(*path)
    return lambda obj: age(when) if (when := read(obj)) else default


def _count(*path: str) -> Cell:
    return at(*path, default=0)


NAME: Column = ("Name", "string", 0, at("metadata", "name"))
AGE: Column = ("Age", "string", 0, lambda obj: age(obj["metadata"].get("creationTimestamp")))
_CREATED: Column = ("Created At", "date", 0, at("metadata", "creationTimestamp"))
_TEMPLATE = ("spec", "template", "spec")


def _replicas(*names: tuple[str, str]) -> list[Column]:
    return [(title, "integer", 0, _count(*path.split("."))) for title, path in names]


COLUMNS: Mapping[str, list[Column]] = MappingProxyType(
    {
        "pods": [
            NAME,
            ("Ready", "string", 0, _pod_ready),
            ("Status", "string", 0, _pod_status),
            ("Restarts", "string", 0, _restarts),
            AGE,
            ("IP", "string", 1, at("status", "podIP", default=NONE)),
            ("Node", "string", 1, at("spec", "nodeName", default=NONE)),
            ("Nominated Node", "string", 1, at("status", "nominatedNodeName", default=NONE)),
            ("Readiness Gates", "string", 1, lambda _: NONE),
        ],
        "deployments.apps": [
            NAME,
            ("Ready", "string", 0, lambda obj: f"{_count('status', 'readyReplicas')(obj)}/{_count('spec', 'replicas')(obj)}"),
            *_replicas(("Up-to-date", "status.updatedReplicas"), ("Available", "status.availableReplicas")),
            AGE,
            *_containers(*_TEMPLATE),
            ("Selector", "string", 1, lambda obj: _selector(obj["spec"].get("selector"))),
        ],
        "replicasets.apps": [
            NAME,
            *_replicas(("Desired", "spec.replicas"), ("Current", "status.replicas"), ("Ready", "status.readyReplicas")),
            AGE,
            *_containers(*_TEMPLATE),
            ("Selector", "string", 1, lambda obj: _selector(obj["spec"].get("selector"))),
        ],
        "replicationcontrollers": [
            NAME,
            *_replicas(("Desired", "spec.replicas"), ("Current", "status.replicas"), ("Ready", "status.readyReplicas")),
            AGE,
            *_containers(*_TEMPLATE),
        ],
        "statefulsets.apps": [
            NAME,
            ("Ready", "string", 0, lambda obj: f"{_count('status', 'readyReplicas')(obj)}/{_count('spec', 'replicas')(obj)}"),
            AGE,
            *_containers(*_TEMPLATE),
        ],
        "daemonsets.apps": [
            NAME,
            *_replicas(
                ("Desired", "status.desiredNumberScheduled"),
                ("Current", "status.currentNumberScheduled"),
                ("Ready", "status.numberReady"),
                ("Up-to-date", "status.updatedNumberScheduled"),
                ("Available", "status.numberAvailable"),
            ),
            ("Node Selector", "string", 0, lambda obj: _selector(at(*_TEMPLATE, "nodeSelector")(obj))),
            AGE,
            *_containers(*_TEMPLATE),
        ],
        "jobs.batch": [
            NAME,
            ("Status", "string", 0, _job_status),
            ("Completions", "string", 0, lambda obj: f"{_count('status', 'succeeded')(obj)}/{obj['spec'].get('completions', 1)}"),
            ("Duration", "string", 0, _age_of("status", "startTime", default="")),
            AGE,
            *_containers(*_TEMPLATE),
        ],
        "cronjobs.batch": [
            NAME,
            ("Schedule", "string", 0, at("spec", "schedule")),
            ("Timezone", "string", 0, at("spec", "timeZone", default=NONE)),
            ("Suspend", "string", 0, lambda obj: str(bool(obj["spec"].get("suspend")))),
            ("Active", "integer", 0, lambda obj: len(at("status", "active", default=())(obj))),
            ("Last Schedule", "string", 0, _age_of("status", "lastScheduleTime", default=NONE)),
            AGE,
        ],
        "secrets": [
            NAME,
            ("Type", "string", 0, at("type")),
            ("Data", "integer", 0, lambda obj: len(obj.get("data") or {})),
            AGE,
        ],
        "configmaps": [
            NAME,
            ("Data", "integer", 0, lambda obj: len(obj.get("data") or {}) + len(obj.get("binaryData") or {})),
            AGE,
        ],
        "namespaces": [NAME, ("Status", "string", 0, at("status", "phase")), AGE],
        "nodes": [NAME, ("Status", "string", 0, lambda _: "Ready"), AGE],
        "serviceaccounts": [NAME, AGE],
        "services": [
            NAME,
            ("Type", "string", 0, at("spec", "type")),
            ("Cluster-IP", "string", 0, at("spec", "clusterIP", default=NONE)),
            ("External-IP", "string", 0, at("spec", "externalName", default=NONE)),
            ("Port(s)", "string", 0, lambda obj: ",".join(f"{p['port']}/{p['protocol']}" for p in obj["spec"].get("ports", ())) or NONE),
            AGE,
            ("Selector", "string", 1, lambda obj: _selector(obj["spec"].get("selector"))),
        ],
        "events": [
            ("Last Seen", "string", 0, lambda obj: age(obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp"))),
            ("Type", "string", 0, at("type", default="")),
            ("Reason", "string", 0, at("reason", default="")),
            ("Object", "string", 0, lambda obj: f"{obj['involvedObject'].get('kind', '').lower()}/{obj['involvedObject'].get('name', '')}"),
            ("Subobject", "string", 1, at("involvedObject", "fieldPath", default="")),
            ("Source", "string", 1, at("source", "component", default="")),
            ("Message", "string", 0, at("message", default="")),
            ("Count", "integer", 1, at("count", default=1)),
            ("Name", "string", 1, at("metadata", "name")),
        ],
        "leases.coordination.k8s.io": [NAME, ("Holder", "string", 0, at("spec", "holderIdentity", default="")), AGE],
        "resourcequotas": [
            NAME,
            ("Request", "string", 0, lambda obj: ", ".join(f"{k}: {(at('status', 'used', default={})(obj)).get(k, 0)}/{v}" for k, v in (obj["spec"].get("hard") or {}).items())),
            AGE,
        ],
        "poddisruptionbudgets.policy": [
            NAME,
            ("Min Available", "string", 0, lambda obj: str(obj["spec"].get("minAvailable", "N/A"))),
            ("Max Unavailable", "string", 0, lambda obj: str(obj["spec"].get("maxUnavailable", "N/A"))),
            ("Allowed Disruptions", "integer", 0, _count("status", "disruptionsAllowed")),
            AGE,
        ],
        "horizontalpodautoscalers.autoscaling": [
            NAME,
            ("Reference", "string", 0, lambda obj: f"{obj['spec']['scaleTargetRef']['kind']}/{obj['spec']['scaleTargetRef']['name']}"),
            ("MinPods", "string", 0, at("spec", "minReplicas", default=1)),
            ("MaxPods", "string", 0, at("spec", "maxReplicas")),
            ("Replicas", "integer", 0, _count("status", "currentReplicas")),
            AGE,
        ],
        "roles.rbac.authorization.k8s.io": [NAME, _CREATED],
        "clusterroles.rbac.authorization.k8s.io": [NAME, _CREATED],
        "rolebindings.rbac.authorization.k8s.io": [
            NAME,
            ("Role", "string", 0, lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"),
            AGE,
        ],
        "clusterrolebindings.rbac.authorization.k8s.io": [
            NAME,
            ("Role", "string", 0, lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"),
            AGE,
        ],
        "mutatingwebhookconfigurations.admissionregistration.k8s.io": [
            NAME, ("Webhooks", "integer", 0, lambda obj: len(obj.get("webhooks") or ())), AGE,
        ],
        "validatingwebhookconfigurations.admissionregistration.k8s.io": [
            NAME, ("Webhooks", "integer", 0, lambda obj: len(obj.get("webhooks") or ())), AGE,
        ],
        "customresourcedefinitions.apiextensions.k8s.io": [NAME, _CREATED],
        "ingresses.networking.k8s.io": [NAME, AGE],
        "networkpolicies.networking.k8s.io": [NAME, ("Pod-Selector", "string", 0, lambda obj: _selector(obj["spec"].get("podSelector"))), AGE],
    }
)  # fmt: skip


def _aged(read: Cell) -> Cell:
    return lambda obj: age(read(obj) or None)


def _crd_columns(version: Json) -> list[Column]:
    columns = [NAME]
    for column in version.get("additionalPrinterColumns") or ():
        read = at(*str(column["jsonPath"]).strip(".").split("."), default="")
        kind = column.get("type", "string")
        columns.append((column["name"], kind, column.get("priority", 0), _aged(read) if kind == "date" else read))
    return columns if version.get("additionalPrinterColumns") else [NAME, AGE]


def columns_of(resource: ResourceInfo, crd_version: Json | None) -> list[Column]:
    """Return the columns of a resource."""
    if crd_version is not None:
        return _crd_columns(crd_version)
    return COLUMNS.get(resource.key, [NAME, AGE])


def table(
    columns: list[Column],
    objects: Sequence[Json],
    metadata: Json,
    *,
    include: str = "Metadata",
    definitions: bool = True,
) -> Json:
    """Return a Table.

    Args:
        include: `includeObject`: `None`, `Metadata` (PartialObjectMetadata) or `Object`.
        definitions: Whether the columns are described; a watch does so once.
    """
    rows = []
    for obj in objects:
        row: Json = {"cells": [cell(obj) for _, _, _, cell in columns]}
        if include == "Object":
            row["object"] = obj
        elif include == "Metadata":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": obj["metadata"],
            }
        rows.append(row)
    described = [
        {
            "name": name,
            "type": kind,
            "format": "name" if name == "Name" else "",
            "description": name,
            "priority": priority,
        }
        for name, kind, priority, _ in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": described if definitions else None,
        "rows": rows,
    }
