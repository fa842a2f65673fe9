"""What the benchmarks share: an installation filled with namespaces, memory of a process, a load in another process."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.e2e.machinery.processes import Process
from tests.objects import RELEASE_NAMESPACE, RULES, payload
from webhook.core import copies
from webhook.core.names import SECRET_NAME, SECRET_TYPE


@contextmanager
def filled(namespaces: int, **values: Any) -> Iterator[Installation]:
    """An installation on the stand-in with so many namespaces, each with a ServiceAccount and a copy."""
    plane = StandIn()
    plane.start()
    try:
        installation = Installation(plane, values)
        try:
            installation.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
            installation.set_central(payload())
            plane.api.load(list(_objects(namespaces)))
            installation.kube.apply(*[each for each in installation.manifests if each["kind"] not in _LATER])
            installation.issue_certificates()
            yield installation
        finally:
            for process in (*installation.controllers, *installation.servers):
                process.stop()
    finally:
        plane.close()


_LATER = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Deployment")


def namespace_name(index: int) -> str:
    """Name of the n-th namespace."""
    return f"team-{index:05d}"


def _objects(count: int) -> Iterator[dict[str, Any]]:
    content = payload()
    data = base64.b64encode(content).decode()
    central = copies.Secret(namespace=RELEASE_NAMESPACE, payload=content)
    for index in range(count):
        name = namespace_name(index)
        wanted = copies.desired(name, central, RULES.patterns)
        yield {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        }
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": SECRET_NAME,
                "namespace": name,
                "labels": {key: value for key, value in wanted.marks.items() if key.endswith("managed-by")},
                "annotations": {key: value for key, value in wanted.marks.items() if not key.endswith("managed-by")},
            },
            "type": SECRET_TYPE,
            "data": {".dockerconfigjson": data},
        }


def children(pid: int) -> list[int]:
    """The processes a process has started, itself first."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


def resident_mb(process: Process) -> tuple[float, float]:
    """Memory of a process and its children: the largest one's resident set, and the proportional sum of all, in MB."""
    sizes, shares = [], 0.0
    for pid in children(process.pid):
        rollup = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if ":" in line and "kB" in line
        )
        sizes.append(int(rollup["Rss"].split()[0]) / 1024)
        shares += int(rollup["Pss"].split()[0]) / 1024
    return max(sizes), shares


def measure(
    address: tuple[str, int], ca_file: Path, body: bytes, *, connections: int, seconds: float = 3
) -> dict[str, float]:
    """Put a load on a server from another process."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.bench.load",
                "--address",
                f"{address[0]}:{address[1]}",
                "--ca",
                str(ca_file),
                "--body",
                file.name,
                "--connections",
                str(connections),
                "--seconds",
                str(seconds),
            ],
            check=True,
            capture_output=True,
            timeout=seconds + 60,
        )
    found: dict[str, float] = json.loads(run.stdout)
    return found
