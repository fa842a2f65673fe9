"""What each kind does to an object just before it is stored: `PrepareForCreate` and `PrepareForUpdate`."""

import copy
import hashlib
from typing import Any

from standin.interfaces import Json, ResourceInfo
from standin.store import json_equal

# Kinds with a metadata.generation that counts changes of what is desired.
_COUNTED = frozenset(
    {
        "pods",
        "replicationcontrollers",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "poddisruptionbudgets.policy",
        "networkpolicies.networking.k8s.io",
        "ingresses.networking.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "priorityclasses.scheduling.k8s.io",
        "endpointslices.discovery.k8s.io",
    }
)
# `AllowUnconditionalUpdate` is false: an update must name the resourceVersion. So it is for custom resources.
CONDITIONAL_ONLY = frozenset(
    {
        "leases.coordination.k8s.io",
        "poddisruptionbudgets.policy",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    }
)
_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name")


def counts_generation(resource: ResourceInfo, *, custom: bool) -> bool:
    """Tell whether a kind has a generation."""
    return custom or resource.key in _COUNTED


def qos_class(spec: Json) -> str:
    """Return a Pod's quality of service class, from its containers' cpu and memory."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requested, guaranteed = False, True
    for container in containers:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            requested |= name in requests or name in limits
            guaranteed &= name in limits and requests.get(name, limits[name]) == limits[name]
    if not requested:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def prepare_create(resource: ResourceInfo, obj: Json, *, custom: bool) -> None:
    """Complete a new object in place. Its uid is set already."""
    if counts_generation(resource, custom=custom):
        obj["metadata"]["generation"] = 1
    if "status" in resource.subresources and custom:
        obj.pop("status", None)
    match resource.key:
        case "pods":
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        case "namespaces":
            obj["spec"]["finalizers"] = ["kubernetes"]
            obj["status"] = {"phase": "Active"}
        case "jobs.batch":
            _prepare_job(obj)
        case "services":
            _prepare_service(obj)
        case "customresourcedefinitions.apiextensions.k8s.io":
            _establish(obj)
        case "deployments.apps" | "cronjobs.batch" | "resourcequotas":
            obj["status"] = {}
        case "replicasets.apps" | "replicationcontrollers":
            obj["status"] = {"replicas": 0}
        case "statefulsets.apps":
            obj["status"] = {"replicas": 0, "availableReplicas": 0}
        case _:
            pass


def _prepare_job(obj: Json) -> None:
    obj["status"] = {}
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    uid, name = metadata["uid"], metadata["name"]
    values = dict(zip(_JOB_LABELS, (uid, uid, name, name), strict=True))
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **values}
    # The defaults of the Job's own labels are those of its template.
    if not metadata.get("labels"):
        metadata["labels"] = dict(template["labels"])
    spec["selector"] = {"matchLabels": {_JOB_LABELS[0]: uid}}


def _prepare_service(obj: Json) -> None:
    obj["status"] = {"loadBalancer": {}}
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    if not spec.get("clusterIP"):
        # Of the loopback range: whoever plays kube-proxy can listen there, and webhooks are called there.
        digest = hashlib.sha256(obj["metadata"]["uid"].encode()).digest()
        spec["clusterIP"] = f"127.77.{digest[0]}.{digest[1] % 254 + 1}"
    spec["clusterIPs"] = [spec["clusterIP"]]


def _establish(obj: Json) -> None:
    names = obj["spec"]["names"]
    at = obj["metadata"]["creationTimestamp"]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": at, "reason": reason, "message": message}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version["name"] for version in obj["spec"].get("versions") or () if version.get("storage")]
    obj["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}


def finalizers(resource: ResourceInfo, obj: Json) -> list[str]:
    """Return what an object's deletion waits for; a namespace has such in its spec too."""
    found: list[str] = list(obj["metadata"].get("finalizers") or ())
    if resource.key == "namespaces":
        found += (obj.get("spec") or {}).get("finalizers") or ()
    return found


_KEPT_METADATA = (
    "name",
    "namespace",
    "generateName",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


def keep_system_metadata(old: Json, new: Json) -> Json:
    """Return `new` with the metadata that only the server sets taken from `old`."""
    metadata = dict(new["metadata"])
    for key in _KEPT_METADATA:
        if key in old["metadata"]:
            metadata[key] = old["metadata"][key]
        else:
            metadata.pop(key, None)
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    return {**new, "metadata": metadata}


def prepare_update(resource: ResourceInfo, old: Json, new: Json, subresource: str, *, custom: bool) -> Json:
    """Return `new` with only what this endpoint may change; a changed spec counts the generation up."""
    new = keep_system_metadata(old, new)
    if subresource in {"status", "approval"}:
        metadata = {**old["metadata"], "managedFields": new["metadata"].get("managedFields", [])}
        kept: Json = {**old, "metadata": metadata}
        if "status" in new:
            kept["status"] = new["status"]
        return kept
    if subresource == "ephemeralcontainers":
        added = new["spec"].get("ephemeralContainers")
        spec = {**old["spec"], **({"ephemeralContainers": added} if added else {})}
        new = {
            **old,
            "metadata": {**old["metadata"], "managedFields": new["metadata"].get("managedFields", [])},
            "spec": spec,
        }
    elif subresource == "finalize":
        return {**old, "spec": new.get("spec") or {}}
    elif subresource == "resize":
        new = {**old, "metadata": new["metadata"], "spec": _resized(old["spec"], new["spec"])}
    if "status" in resource.subresources:
        new = {**new, "status": old["status"]} if "status" in old else {k: v for k, v in new.items() if k != "status"}
    if resource.key == "namespaces":
        new = {**new, "spec": old.get("spec", {})}
    if resource.key == "services" and new["spec"].get("type") != "ExternalName" and "clusterIP" not in new["spec"]:
        given = {key: old["spec"][key] for key in ("clusterIP", "clusterIPs") if key in old["spec"]}
        new = {**new, "spec": {**new["spec"], **given}}
    if resource.key == "jobs.batch" and "selector" not in new["spec"]:
        new = _keep_job_selector(old, new)
    if counts_generation(resource, custom=custom) and not json_equal(_desired(old), _desired(new)):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return new


def _keep_job_selector(old: Json, new: Json) -> Json:
    spec = copy.deepcopy(new["spec"])
    spec["selector"] = old["spec"]["selector"]
    template = spec["template"].setdefault("metadata", {})
    owned = {k: v for k, v in (old["spec"]["template"]["metadata"].get("labels") or {}).items() if k in _JOB_LABELS}
    template["labels"] = {**(template.get("labels") or {}), **owned}
    return {**new, "spec": spec}


def _resized(old: Json, new: Json) -> Json:
    wanted: dict[str, Any] = {item["name"]: item.get("resources") for item in new.get("containers") or ()}
    containers = [{**item, "resources": wanted.get(item["name"]) or item["resources"]} for item in old["containers"]]
    return {**old, "containers": containers}


def _desired(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status", "kind", "apiVersion"}}
