"""Rotation over 1,000 namespaces at a real API server, next to a bare loop of patches."""

from __future__ import annotations

import base64
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import orjson

from tests.bench.harness import namespace_name
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import RELEASE_NAMESPACE, payload
from webhook.core.names import SECRET_NAME

NAMESPACES: Final = 1_000
ROUNDS: Final = 5


def rotating() -> Iterator[tuple[str, str, str]]:
    """Without a rate limit, in turn with the bare loop; then once with the default rate."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        yield "rotation at a real API server", "not measured: set KUBEBUILDER_ASSETS", ""
        return
    with contextlib.ExitStack() as stack:
        plane = control_plane()
        stack.callback(plane.close)
        plane.start()
        installation = Installation(plane)
        stack.callback(installation.uninstall)
        installation.install(servers=1)
        installation.log_file = installation.path / "log"
        api = stack.enter_context(contextlib.closing(RawApi(installation.kube.kubeconfig)))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda index: _make(api, index), range(NAMESPACES)))
        controller = installation.start_controller(qps="0")
        until(lambda: len(_contents(api)) == NAMESPACES, "every namespace has its copy", timeout_s=300, every_s=1)
        bare, ours = [], []
        for turn in range(ROUNDS):
            assert controller.stop() == 0
            bare.append(_bare(installation, f"bare-{turn}"))
            controller = installation.start_controller(qps="0")
            # What the bare loop has written is brought back before our own turn begins.
            _rotate(installation, api, f"between-{turn}")
            ours.append(_rotate(installation, api, f"ours-{turn}"))
        mine, other = statistics.median(ours), statistics.median(bare)
        yield (
            f"rotation over {NAMESPACES} namespaces at a real API server / a bare loop",
            f"{mine:.2f} s / {other:.2f} s = {mine / other:.2f}",
            "≤ 1.3",
        )
        assert controller.stop() == 0
        installation.start_controller()
        _rotate(installation, api, "before")
        yield "… with the default --qps", f"{_rotate(installation, api, 'limited'):.2f} s", ""


def _make(api: RawApi, index: int) -> None:
    # Asked for by label, so that no Pod is needed.
    metadata = {"name": namespace_name(index), "labels": {"ghcr-pull-secrets.io/provision": "true"}}
    answer = api("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert answer.code == 201, answer.body


def _bare(installation: Installation, token: str) -> float:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.bench.bare_loop",
            str(installation.kube.kubeconfig),
            str(NAMESPACES),
            payload(token=token).decode(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return float(run.stdout)


def _contents(api: RawApi) -> list[str]:
    """The contents of all copies."""
    found = api("GET", f"/api/v1/secrets?fieldSelector=metadata.name={SECRET_NAME}&resourceVersion=0").body["items"]
    return [each["data"][".dockerconfigjson"] for each in found if each["metadata"]["namespace"] != RELEASE_NAMESPACE]


def _rotate(installation: Installation, api: RawApi, token: str) -> float:
    """Change the central secret and return the seconds until the last copy is equal.

    That is seen by a watch: to list a thousand Secrets again and again would slow down what is measured.
    """
    data = base64.b64encode(payload(token=token)).decode()
    path = f"/api/v1/namespaces/{RELEASE_NAMESPACE}/secrets/{SECRET_NAME}"
    answer = api("GET", "/api/v1/secrets?limit=1")
    version = answer.body["metadata"]["resourceVersion"]
    events = api.lines(
        f"/api/v1/secrets?watch=1&fieldSelector=metadata.name={SECRET_NAME}&resourceVersion={version}&timeoutSeconds=120"
    )
    begun = time.perf_counter()
    answer = api("PATCH", path, {"data": {".dockerconfigjson": data}}, content_type="application/merge-patch+json")
    assert answer.code == 200, answer.body
    equal: set[str] = set()
    for line in events:
        event = orjson.loads(line)["object"]
        if event["data"][".dockerconfigjson"] == data and event["metadata"]["namespace"] != RELEASE_NAMESPACE:
            equal.add(event["metadata"]["namespace"])
        if len(equal) == NAMESPACES:
            return time.perf_counter() - begun
    raise AssertionError(f"{NAMESPACES - len(equal)} copies are still stale")
