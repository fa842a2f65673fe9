"""Manifests of workloads that an API server takes as they are."""

from tests.objects import pod_spec_of, workload


def deployment(name: str, namespace: str, **changes: object) -> dict[str, object]:
    """A Deployment with a selector; for the changes see `workload`."""
    manifest = workload("Deployment", name=name, namespace=namespace, **changes)  # type: ignore[arg-type]
    manifest["spec"]["selector"] = {"matchLabels": {"app": name}}
    return manifest


def in_namespace(kind: str, namespace: str, **changes: object) -> dict[str, object]:
    """A manifest of a kind that an API server takes as it is."""
    manifest = workload(kind, namespace=namespace, **changes)  # type: ignore[arg-type]
    labels = {"app": "auth-api"}
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        manifest["spec"]["selector"] = {"matchLabels": labels}
    if kind == "StatefulSet":
        manifest["spec"]["serviceName"] = "auth-api"
    if kind == "ReplicationController":
        manifest["spec"]["selector"] = labels
    if kind == "CronJob":
        manifest["spec"]["schedule"] = "0 0 1 1 *"
    if kind in ("Job", "CronJob"):
        pod_spec_of(manifest)["restartPolicy"] = "Never"
    return manifest


def listed(manifest: dict[str, object]) -> list[str]:
    """Names of the pull secrets that a workload lists."""
    return [entry["name"] for entry in pod_spec_of(manifest).get("imagePullSecrets", [])]
