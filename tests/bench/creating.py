"""Creating Pods at a real API server: without a webhook, with a bare injector, with ours, with our policies."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests import helm
from tests.bench.serving import bare_route
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE

ROUNDS: Final = 500
WARM_UP: Final = 50
OURS, FREE, BARE = "bench-ours", "bench-free", "bench-bare"
COVERED: Final = "ghcr-pull-secrets.io/covered"


@dataclass(frozen=True, slots=True)
class Way:
    """A way of admitting a Pod: who is asked, by its namespace and image, and what the Pod looks like afterwards."""

    namespace: str
    image: str = IMAGE
    injected: bool = True
    covered: bool = False


NOTHING: Final = Way(FREE, injected=False)
INJECTOR: Final = Way(BARE)


@dataclass(frozen=True, slots=True)
class Release:
    """A way to install the chart.

    Attributes:
        ours: What our part of it is called in a table.
        enabled: `inApiServer.enabled`.
        way: Ours.
        bound: Of what ours adds, in parts of what a bare injector adds.
    """

    ours: str
    enabled: bool | str
    way: Way
    bound: str


RELEASES: Final = (
    Release("policies (1.36 and later)", True, Way(OURS, covered=True), "≤ 0.5"),
    Release("webhook, one call (1.30 to 1.35)", "auto", Way(OURS, covered=True), "≤ 0.75"),
    Release("webhook, two calls", False, Way(OURS), "≤ 0.75"),
)


def creating() -> Iterator[tuple[str, str, str]]:
    """p50, p95 and p99 of one Pod after the other, over one connection, each way in turn.

    The order is another one each time: what a request leaves to be done is paid for by the one after it.
    """
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        yield "creating Pods at a real API server", "not measured: set KUBEBUILDER_ASSETS", ""
        return
    for release in RELEASES:
        unselected = Way(OURS, "registry.example.com/team/app:1", injected=False)
        ways = {
            "no webhook": NOTHING,
            "a bare Flask injector": INJECTOR,
            f"ours by {release.ours}": release.way,
            "an image that is not selected": unselected,
        }
        with _installed(release, ways) as api:
            found = _measure(api, ways)
        for name, times in found.items():
            yield (
                f"creating a Pod, {name}: p50, p95, p99",
                " ".join(f"{_at(times, p):.2f}" for p in (50, 95, 99)) + " ms",
                "",
            )
        free, bare, ours, other = (_at(times, 50) for times in found.values())
        for name, added, bound in (
            (f"ours by {release.ours}", ours - free, release.bound),
            ("an image that is not selected", other - free, ""),
        ):
            text = f"{added:.2f} / {bare - free:.2f} = {added / (bare - free):.2f}"
            yield f"added by {name}, to a bare Flask injector", text, bound


def _measure(api: RawApi, ways: Mapping[str, Way]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    numbers = itertools.count()
    order = list(ways.items())
    for turn in range(WARM_UP + ROUNDS):
        random.shuffle(order)
        for name, way in order:
            body = _pod(f"pod-{next(numbers)}", way)
            begun = time.perf_counter()
            answer = api("POST", f"/api/v1/namespaces/{way.namespace}/pods", body)
            took = time.perf_counter() - begun
            assert answer.code == 201, answer.body
            if turn >= WARM_UP:
                found[name].append(took * 1000)
            elif turn == WARM_UP - 1:
                _assert_way(name, way, answer.body)
    return found


def _at(times: list[float], percent: int) -> float:
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


def _pod(name: str, way: Way) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": way.namespace},
        # Gated, so that no controller looks at it.
        "spec": {
            "schedulingGates": [{"name": "bench.test/never"}],
            "containers": [{"name": "c", "image": way.image}],
        },
    }


def _assert_way(name: str, way: Way, pod: Mapping[str, Any]) -> None:
    """Check that a Pod went the way it was meant to."""
    covered = pod["metadata"].get("labels", {}).get(COVERED) == "true"
    injected = {"name": "ghcr-secret"} in pod["spec"].get("imagePullSecrets", ())
    assert (covered, injected) == (way.covered, way.injected), f"{name}: covered {covered}, injected {injected}"


@contextlib.contextmanager
def _installed(release: Release, ways: Mapping[str, Way]) -> Iterator[RawApi]:
    """Install a release, and a bare injector beside it that has a namespace of its own."""
    with contextlib.ExitStack() as stack:
        plane = control_plane()
        stack.callback(plane.close)
        plane.start()
        values = {"inApiServer": {"enabled": release.enabled}, "namespaces": {"excluded": [FREE, BARE]}}
        installation = Installation(plane, values)
        if release.enabled == "auto":
            installation.manifests = helm.render_for(installation.values, "ValidatingAdmissionPolicy")
        stack.callback(installation.uninstall)
        kube = installation.install(servers=1).kube
        kube.apply(
            *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (OURS, FREE, BARE))
        )
        for name in (OURS, FREE, BARE):
            until(lambda name=name: kube.exists("serviceaccount", "default", name), "it has its ServiceAccount")  # type: ignore[misc]
        port = stack.enter_context(bare_route(installation.path / "tls", "stock"))
        kube.apply(*_injector(port, installation.ca_pem))
        api = stack.enter_context(contextlib.closing(RawApi(kube.kubeconfig)))
        numbers = itertools.count()
        for name, way in ways.items():

            def arrived(name: str = name, way: Way = way) -> bool:
                made = api("POST", f"/api/v1/namespaces/{way.namespace}/pods", _pod(f"first-{next(numbers)}", way))
                assert made.code == 201, made.body
                _assert_way(name, way, made.body)
                return True

            # A copy has to be 30 s old before the server labels a Pod.
            until(arrived, f"{name} works", timeout_s=120, every_s=0.5)
        yield api


def _injector(port: int, ca_pem: bytes) -> Iterator[dict[str, Any]]:
    for kind, path in (("MutatingWebhookConfiguration", "inject"), ("ValidatingWebhookConfiguration", "allow")):
        yield {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "bare"},
            "webhooks": [
                {
                    "name": "bare.bench.test",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {
                        "url": f"https://localhost:{port}/{path}",
                        "caBundle": base64.b64encode(ca_pem).decode(),
                    },
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": BARE}},
                    "rules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
                    ],
                }
            ],
        }
