"""Job → Pods until as many have succeeded as asked for. CronJobs are not scheduled: time does not pass in tests."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from standin.controllers.objects import (
    Acts,
    controlled_by,
    controller_of,
    is_active,
    is_deleting,
    is_ready,
    now,
    pod_from_template,
    with_condition,
    write_status,
)
from standin.controllers.workqueue import Key
from standin.errors import ApiError
from standin.interfaces import Change, Json

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
# Put into a Job's template by the API server. Unlike the owner reference it stays with a Pod that is left behind.
NAME_LABEL = "batch.kubernetes.io/job-name"


class JobController:
    """Runs Jobs, and lets go of their Pods: each carries a finalizer until it has been counted."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def keys(self, change: Change) -> Iterable[Key]:
        metadata = change.object["metadata"]
        if change.resource.key == JOBS:
            return [(metadata["namespace"], metadata["name"])]
        if change.resource.key == "pods":
            owner = controller_of(change.object)
            if owner and owner["kind"] == "Job":
                return [(metadata["namespace"], owner["name"])]
        return []

    def reconcile(self, key: Key) -> float | None:
        job = self._acts.store.get(JOBS, *key)
        self._release(key, job)
        if job is None or is_deleting(job) or _finished(job):
            return None
        pods = controlled_by(self._acts.store, "pods", job)
        succeeded = sum((pod.get("status") or {}).get("phase") == "Succeeded" for pod in pods)
        wanted = job["spec"].get("completions", 1)
        if not job["spec"].get("suspend"):
            active = sum(map(is_active, pods))
            parallel = job["spec"].get("parallelism", 1)
            for _ in range(min(parallel, wanted - succeeded) - active):
                self._create(job)
        self._sync_status(job, wanted)
        return None

    def _create(self, job: Json) -> None:
        pod = pod_from_template(job, job["spec"]["template"], finalizers=[TRACKING])
        try:
            created = self._acts.client.create("pods", job["metadata"]["namespace"], pod)
        except ApiError as error:
            self._acts.event(job, "FailedCreate", f"Error creating: {error.message}", kind="Warning")
            raise
        self._acts.event(job, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")

    def _release(self, key: Key, job: Json | None) -> None:
        """Take the finalizer off Pods that have ended, are going, or have lost their Job."""
        namespace, name = key
        for pod in self._acts.store.list("pods", namespace):
            finalizers = pod["metadata"].get("finalizers") or []
            if TRACKING not in finalizers or (pod["metadata"].get("labels") or {}).get(NAME_LABEL) != name:
                continue
            owner = controller_of(pod)
            orphan = job is None or owner is None or job["metadata"]["uid"] != owner["uid"]
            if orphan or not is_active(pod):
                body = copy.deepcopy(pod)
                body["metadata"]["finalizers"] = [finalizer for finalizer in finalizers if finalizer != TRACKING]
                self._acts.client.update("pods", namespace, body)

    def _sync_status(self, job: Json, wanted: int) -> None:
        pods = controlled_by(self._acts.store, "pods", job)
        old = job.get("status") or {}
        succeeded = sum((pod.get("status") or {}).get("phase") == "Succeeded" for pod in pods)
        counts = {"active": sum(map(is_active, pods)), "succeeded": succeeded}
        status: Json = {
            "startTime": old.get("startTime") or now(),
            **{name: count for name, count in counts.items() if count},
            "terminating": 0,
            "ready": sum(is_ready(pod) for pod in pods if is_active(pod)),
            "uncountedTerminatedPods": {},
        }
        if succeeded >= wanted:
            status["completionTime"] = now()
            text = "Reached expected number of succeeded pods"
            conditions = with_condition([], "SuccessCriteriaMet", "True", "CompletionsReached", text)
            status["conditions"] = with_condition(conditions, "Complete", "True", "CompletionsReached", text)
            self._acts.event(job, "Completed", "Job completed")
        write_status(self._acts.client, JOBS, job, status)


def _finished(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] in {"Complete", "Failed"} and condition["status"] == "True" for condition in conditions
    )
