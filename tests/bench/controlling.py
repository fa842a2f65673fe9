"""The controller: how fast a rotation is next to a bare loop, how large it is, and what it asks for when idle."""

from __future__ import annotations

import base64
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.harness import filled, namespace_name, resident_mb
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.objects import payload
from webhook.core.names import SECRET_NAME

ROUNDS = 3
TEAMS = 7


def rotation() -> Iterator[tuple[str, str, str]]:
    """Rotation over 1,000 namespaces without a rate limit, in turn with the bare loop."""
    with filled(1_000) as installation:
        _start(installation, qps="0")
        ours, bare = [], []
        for turn in range(ROUNDS):
            run = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.bench.bare_patch",
                    str(installation.kube.kubeconfig),
                    "1000",
                    payload(token=f"bare-{turn}").decode(),
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
            )
            bare.append(float(run.stdout))
            # The controller brings every copy back from what the bare loop has written before its own turn begins.
            _rotated(installation, 1_000, payload(token=f"between-{turn}"))
            ours.append(_rotated(installation, 1_000, payload(token=f"ours-{turn}")))
        mine, other = statistics.median(ours), statistics.median(bare)
        yield (
            "rotation over 1,000 namespaces / a bare loop",
            f"{mine:.2f} s / {other:.2f} s = {mine / other:.2f}",
            "≤ 1.5",
        )


def seven() -> Iterator[tuple[str, str, str]]:
    """Twenty rotations with seven namespaces."""
    with filled(TEAMS) as installation:
        _start(installation)
        times = sorted(_rotated(installation, TEAMS, payload(token=f"turn-{turn}")) for turn in range(20))
        yield (
            "20 rotations with 7 namespaces, the last copy equal after",
            f"p50 {times[9]:.3f} s, p99 {times[-1]:.3f} s",
            "≤ 1 s",
        )


def holding() -> Iterator[tuple[str, str, str]]:
    """Memory with 10,000 copies, and an idle time."""
    with filled(10_000) as installation:
        _start(installation)
        time.sleep(10)  # for what a beginning leader has to look at
        largest, _ = resident_mb(installation.controllers[0])
        yield "resident, 10,000 copies", f"{largest:.0f} MB", "≤ 200 MB"
        log = _api(installation).requests
        log.clear()
        seconds = 90
        time.sleep(seconds)
        user = "system:serviceaccount:ghcr-pull-secrets:"
        asked = log.matching(lambda info: info.user.startswith(user))
        writes = [
            each
            for each in asked
            if each.info.verb not in ("get", "list", "watch") and not each.info.resource.startswith("leases")
        ]
        yield "idle: requests a second, the Lease's renewals included", f"{len(asked) / seconds:.2f}", "< 1"
        yield "idle: writes but the Lease's", str(len(writes)), "0"


def _start(installation: Installation, qps: str = "200") -> None:
    installation.log_file = installation.path / "log"
    process = installation.start_controller(qps=qps)
    deadline = time.monotonic() + 60
    while "ghcr_pull_secrets_leading 1.0" not in process.ops("/metrics")[1]:
        assert time.monotonic() < deadline, "the controller does not lead"
        time.sleep(0.1)


def _api(installation: Installation):  # type: ignore[no-untyped-def]
    assert isinstance(installation.plane, StandIn)
    return installation.plane.api


def _rotated(installation: Installation, count: int, content: bytes) -> float:
    """Change the central secret and return the seconds until the last copy is equal."""
    api = _api(installation)
    data = {".dockerconfigjson": base64.b64encode(content).decode()}
    waiting = {namespace_name(index) for index in range(count)}
    central = api.admin.get("secrets", "ghcr-pull-secrets", SECRET_NAME)
    begun = time.perf_counter()
    api.admin.update("secrets", "ghcr-pull-secrets", {**central, "data": data})
    while waiting:
        time.sleep(0.02)
        waiting = {name for name in waiting if api.store.get("secrets", name, SECRET_NAME)["data"] != data}
        assert time.perf_counter() - begun < 120, f"{len(waiting)} copies are still stale"
    return time.perf_counter() - begun
