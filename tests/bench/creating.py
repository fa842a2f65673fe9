"""Creating Pods at a real API server: without a webhook, with a bare injector, with ours, with our policies."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.serving import bare_route
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import control_plane
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE

ROUNDS: Final = 500
WARM_UP: Final = 50
OURS, FREE, BARE = "bench-ours", "bench-free", "bench-bare"


@dataclass(frozen=True, slots=True)
class Way:
    """What decides who is asked about a Pod: its namespace, its image, and pull secrets it lists already."""

    namespace: str
    image: str
    listed: tuple[str, ...] = ()


WAYS: Final[Mapping[str, Way]] = {
    "no webhook": Way(FREE, IMAGE),
    "a bare Flask injector": Way(BARE, IMAGE),
    # A list with another Secret in it is one that the policies leave to the webhook.
    "ours, by webhook": Way(OURS, IMAGE, ("another",)),
    "ours, by policies": Way(OURS, IMAGE),
    "an image that is not selected": Way(OURS, "registry.example.com/team/app:1"),
}


def creating() -> Iterator[tuple[str, str, str]]:
    """p50, p95 and p99 of one Pod after the other, over one connection, each way in turn."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        yield "creating Pods at a real API server", "not measured: set KUBEBUILDER_ASSETS", ""
        return
    with _release() as api:
        found: dict[str, list[float]] = {name: [] for name in WAYS}
        numbers = itertools.count()
        for turn in range(WARM_UP + ROUNDS):
            for name, way in WAYS.items():
                body = _pod(f"pod-{next(numbers)}", way)
                begun = time.perf_counter()
                answer = api("POST", f"/api/v1/namespaces/{way.namespace}/pods", body)
                took = time.perf_counter() - begun
                assert answer.code == 201, answer.body
                if turn >= WARM_UP:
                    found[name].append(took * 1000)
                elif turn == WARM_UP - 1:
                    _assert_way(name, answer.body)
    for name, times in found.items():
        yield (
            f"creating a Pod, {name}: p50, p95, p99",
            " ".join(f"{_at(times, p):.2f}" for p in (50, 95, 99)) + " ms",
            "",
        )
    added = {name: _at(times, 50) - _at(found["no webhook"], 50) for name, times in found.items()}
    bare = added["a bare Flask injector"]
    for name, bound in (
        ("ours, by policies", "≤ 0.5"),
        ("ours, by webhook", "≤ 0.75"),
        ("an image that is not selected", ""),
    ):
        yield (
            f"added by {name}, to a bare Flask injector",
            f"{added[name]:.2f} / {bare:.2f} = {added[name] / bare:.2f}",
            bound,
        )


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
            "imagePullSecrets": [{"name": listed} for listed in way.listed],
        },
    }


def _assert_way(name: str, pod: Mapping[str, Any]) -> None:
    """Check that a Pod went the way it was meant to."""
    covered = pod["metadata"].get("labels", {}).get("ghcr-pull-secrets.io/covered") == "true"
    injected = {"name": "ghcr-secret"} in pod["spec"].get("imagePullSecrets", ())
    expected = {
        "no webhook": (False, False),
        "a bare Flask injector": (False, True),
        "ours, by webhook": (False, True),
        "ours, by policies": (True, True),
        "an image that is not selected": (False, False),
    }
    assert (covered, injected) == expected[name], f"{name}: covered {covered}, injected {injected}"


@contextlib.contextmanager
def _release() -> Iterator[RawApi]:
    """A release with policies, and a bare injector beside it that has a namespace of its own."""
    with contextlib.ExitStack() as stack:
        plane = control_plane()
        stack.callback(plane.close)
        plane.start()
        values = {"inApiServer": {"enabled": True}, "namespaces": {"excluded": [FREE, BARE]}}
        installation = Installation(plane, values)
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
        for name in ("a bare Flask injector", "ours, by webhook", "ours, by policies"):

            def arrived(name: str = name) -> bool:
                way = WAYS[name]
                made = api("POST", f"/api/v1/namespaces/{way.namespace}/pods", _pod(f"first-{next(numbers)}", way))
                assert made.code == 201, made.body
                _assert_way(name, made.body)
                return True

            until(arrived, f"{name} works", timeout_s=60, every_s=0.2)
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
