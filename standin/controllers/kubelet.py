"""A node that runs nothing: Pods become Running and Ready, unless a registry says their image cannot be pulled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from standin.controllers.objects import Acts, controller_of, is_deleting, now, with_condition, write_status
from standin.controllers.workqueue import Key
from standin.interfaces import Change, ChangeType, Json, User

NODE_NAME = "fake-node"
NODE_USER = User(name=f"system:node:{NODE_NAME}", groups=("system:nodes", "system:authenticated"))
# A real kubelet backs off up to 300 s and does not care for changed Secrets (recorded); a test cannot wait for that,
# so a Secret that changes lets the Pods that list it try at once.
PULL_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFailure:
    """Why an image could not be pulled.

    Attributes:
        message: What the container's `waiting.message` quotes.
        reason: `waiting.reason` of the first attempt; the later ones are `ImagePullBackOff`. A malformed pull secret
            makes the parser's text the reason, for good.
    """

    message: str
    reason: str = "ErrImagePull"


class Registry(Protocol):
    """Decides on pulls."""

    def pull(self, image: str, secrets: Sequence[Json]) -> PullFailure | None:
        """Pull `image` with the Pod's pull secrets that exist, in the order listed; None when it works."""
        ...


class Kubelet:
    """Reports Pods' status.

    Args:
        acts: Its hands.
        registry: Decides on pulls; None lets all through.
        elsewhere: Namespaces whose Pods another node runs.
    """

    def __init__(self, acts: Acts, registry: Registry | None, elsewhere: Collection[str] = ()) -> None:
        self._acts = acts
        self._registry = registry
        self._elsewhere = elsewhere

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if metadata.get("namespace") in self._elsewhere:
            return []
        if change.resource.key == "pods" and change.type is not ChangeType.DELETED:
            # Its own report of a failed pull is no reason to pull again.
            is_news = change.old_object is None or change.old_object["spec"] != change.object["spec"]
            return [(metadata["namespace"], metadata["name"])] if is_news else []
        if change.resource.key == "secrets" and self._registry is not None:
            return [
                (metadata["namespace"], pod["metadata"]["name"])
                for pod in self._acts.store.list("pods", metadata["namespace"])
                if metadata["name"] in _pull_secret_names(pod) and _phase(pod) == "Pending"
            ]
        return []

    def reconcile(self, key: Key) -> float | None:
        pod = self._acts.store.get("pods", *key)
        if pod is None or is_deleting(pod) or _phase(pod) not in {"", "Pending"}:
            return None
        failures = self._pull_all(pod)
        if failures:
            self._report_waiting(pod, failures)
            return PULL_RETRY_SECONDS
        self._report_running(pod)
        return None

    def _pull_all(self, pod: Json) -> dict[str, PullFailure]:
        """Return container name → failure."""
        if self._registry is None:
            return {}
        namespace = pod["metadata"]["namespace"]
        secrets: list[Json] = []
        missing: list[str] = []
        for name in _pull_secret_names(pod):
            secret = self._acts.store.get("secrets", namespace, name)
            if secret is None:
                missing.append(name)
            else:
                secrets.append(secret)
        failures = {
            container["name"]: failure
            for container in _containers(pod)
            if container.get("imagePullPolicy") != "Never"
            and (failure := self._registry.pull(container["image"], secrets)) is not None
        }
        if missing:
            text = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._acts.event(pod, "FailedToRetrieveImagePullSecret", text, kind="Warning")
        return failures

    def _report_waiting(self, pod: Json, failures: dict[str, PullFailure]) -> None:
        before = {
            status["name"]: (status.get("state") or {}).get("waiting") or {}
            for field in ("initContainerStatuses", "containerStatuses")
            for status in (pod.get("status") or {}).get(field) or ()
        }

        def waiting(container: Json) -> Json:
            failure = failures.get(container["name"])
            if failure is None:
                return {"reason": "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"}
            text = f'failed to pull and unpack image "{container["image"]}": {failure.message}'
            tried = before.get(container["name"], {}).get("reason") in {"ErrImagePull", "ImagePullBackOff"}
            if failure.reason == "ErrImagePull" and tried:
                return {
                    "reason": "ImagePullBackOff",
                    "message": f'Back-off pulling image "{container["image"]}": ErrImagePull: {text}',
                }
            return {"reason": failure.reason, "message": text}

        for container in _containers(pod):
            if container["name"] in failures and waiting(container)["reason"] != "ImagePullBackOff":
                text = f'Failed to pull image "{container["image"]}": {failures[container["name"]].message}'
                self._acts.event(pod, "Failed", text, kind="Warning")
        names = ", ".join(container["name"] for container in pod["spec"]["containers"])
        unready = ("False", "ContainersNotReady", f"containers with unready status: [{names}]")
        self._write(
            pod,
            phase="Pending",
            conditions={
                "PodScheduled": ("True", "", ""),
                "Initialized": ("True", "", ""),
                "ContainersReady": unready,
                "Ready": unready,
            },
            statuses={
                container["name"]: _container_status(container, {"waiting": waiting(container)}, ready=False)
                for container in _containers(pod)
            },
        )

    def _report_running(self, pod: Json) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "Job":
            # What a Job runs here is over at once.
            ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}}
            done = ("False", "PodCompleted", "")
            self._write(
                pod,
                phase="Succeeded",
                conditions={
                    "PodScheduled": ("True", "", ""),
                    "Initialized": ("True", "PodCompleted", ""),
                    "ContainersReady": done,
                    "Ready": done,
                },
                statuses={
                    container["name"]: _container_status(container, ended, ready=False)
                    for container in _containers(pod)
                },
            )
            return
        fine = ("True", "", "")
        self._write(
            pod,
            phase="Running",
            conditions={"PodScheduled": fine, "Initialized": fine, "ContainersReady": fine, "Ready": fine},
            statuses={
                container["name"]: _container_status(container, {"running": {"startedAt": now()}}, ready=True)
                for container in _containers(pod)
            },
        )

    def _write(
        self, pod: Json, *, phase: str, conditions: dict[str, tuple[str, str, str]], statuses: dict[str, Json]
    ) -> None:
        old = pod.get("status") or {}
        merged: list[Json] = list(old.get("conditions") or [])
        for type_, (value, reason, message) in conditions.items():
            merged = with_condition(merged, type_, value, reason, message)
        status: Json = {
            **old,
            "phase": phase,
            "conditions": merged,
            "hostIP": "192.0.2.1",
            "startTime": old.get("startTime") or now(),
            "containerStatuses": [statuses[container["name"]] for container in pod["spec"]["containers"]],
        }
        if initial := pod["spec"].get("initContainers"):
            status["initContainerStatuses"] = [statuses[container["name"]] for container in initial]
        write_status(self._acts.client, "pods", pod, status)


def _container_status(container: Json, state: Json, *, ready: bool) -> Json:
    return {
        "name": container["name"],
        "state": state,
        "lastState": {},
        "ready": ready,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "",
        "started": ready,
    }


def _containers(pod: Json) -> list[Json]:
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def _pull_secret_names(pod: Json) -> list[str]:
    references = pod["spec"].get("imagePullSecrets") or ()
    return [reference["name"] for reference in references if reference.get("name")]


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "")
