"""doctor's look at the Pods of a large cluster: how long, and how large, next to a bare list of the same Pods."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.harness import filled, namespace_name
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.objects import workload

NAMESPACES = 1_000
PODS_EACH = 10
ANONYMOUS = "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"


def looking() -> Iterator[tuple[str, str, str]]:
    """A healthy cluster of 1,000 namespaces and 10,000 Pods, and the same with three Pods of each that cannot pull."""
    with filled(NAMESPACES) as installation:
        for number in range(PODS_EACH):
            _load(installation, number, stuck=False)
        yield from _rows(installation, "all Pods run", groups=0)
        for number in range(3):
            _load(installation, number, stuck=True)
        yield from _rows(installation, "3,000 Pods cannot pull", groups=3 * NAMESPACES)


def _load(installation: Installation, number: int, *, stuck: bool) -> None:
    assert isinstance(installation.plane, StandIn)
    api = installation.plane.api
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "x": {ANONYMOUS}'}}
    state = waiting if stuck else {"running": {"startedAt": "2026-05-04T12:00:00Z"}}
    for index in range(NAMESPACES):
        name, namespace = f"api-{number}", namespace_name(index)
        if not stuck:
            pod = workload("Pod", name=name, namespace=namespace, secrets=["ghcr-secret"])
            pod["spec"]["containers"][0]["env"] = [{"name": f"SETTING_{each}", "value": "x" * 60} for each in range(40)]
            api.load([pod])
        stored = api.admin.get("pods", namespace, name)
        del stored["metadata"]["resourceVersion"]  # whoever looks after Pods there may have touched it
        status = {
            "phase": "Pending" if stuck else "Running",
            "startTime": "2026-05-04T12:00:00Z",
            "containerStatuses": [{"name": "c0", "state": state}],
        }
        api.admin.update("pods", namespace, {**stored, "status": status}, subresource="status")


def _rows(installation: Installation, what: str, *, groups: int) -> Iterator[tuple[str, str, str]]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench.find_pods", str(installation.kube.kubeconfig)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(run.stdout)
    assert (found["pods"], found["groups"]) == (NAMESPACES * PODS_EACH, groups), found
    yield (
        f"1,000 namespaces, 10,000 Pods, {what}: found / a bare list of them",
        f"{found['seconds']:.1f} s / {found['bare']:.1f} s = {found['seconds'] / found['bare']:.1f}",
        "seconds",
    )
    yield f"the same: largest resident set, {what}", f"{found['peak_mb']:.0f} MB", "< 200 MB"
