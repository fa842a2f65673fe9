"""A tenant with the ClusterRole `edit` in one namespace, and a neighbour at the port, against an installed release.

Beside each attack a bystander makes ordinary Pods in a namespace of its own. On a real control plane, alone on the machine, everything is larger.
One server answers for all: two would share what is sent here.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from tests import helm
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import control_plane, service_account_kubeconfig
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until
from tests.edges.peak_memory import LIMIT, peak_bytes
from tests.edges.raw_client import Target, http, pod_review
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload
from webhook.core.names import SECRET_NAME

# On a busy machine the larger objects take a minute to be read, by whoever reads them.
pytestmark = [pytest.mark.xdist_group("attacks"), pytest.mark.timeout(600)]

FULL = bool(os.environ.get("KUBEBUILDER_ASSETS")) and "PYTEST_XDIST_WORKER" not in os.environ
"""On a real control plane, alone on the machine (`make e2e`): beside other tests the API server would be measured, not we."""

TIMES = 4 if FULL else 1
"""More objects; and larger ones, which the stand-in would take longer to read than anybody waits."""

SIZE = 10 if FULL else 1

TENANT, BYSTANDER = "tenant", "bystander"
LOOP_S = 6.0

_names = count()


class World:
    """A release, and the two attackers."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        kube = installation.kube
        for name in (TENANT, BYSTANDER):
            installation.namespace(name)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mallory", "namespace": TENANT}}
        kube.apply(account)
        # The ClusterRole is there on a real control plane; what of it these attacks need is the same on both.
        kube.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "edit", "namespace": TENANT},
                "rules": [{"apiGroups": [""], "resources": ["pods", "secrets", "serviceaccounts"], "verbs": ["*"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "edit", "namespace": TENANT},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "edit"},
                "subjects": [{"kind": "ServiceAccount", "name": "mallory", "namespace": TENANT}],
            },
        )
        self.tenant = RawApi(
            service_account_kubeconfig(kube, TENANT, "mallory", installation.path / "mallory.kubeconfig")
        )
        self.admin = RawApi(kube.kubeconfig)
        service = helm.select(installation.manifests, "Service")["metadata"]["name"]
        self.neighbour = Target(
            *installation.address, f"{service}.{RELEASE_NAMESPACE}.svc", installation.path / "tls" / "ca.crt"
        )

    def make(self, resource: str, name: str, **fields: Any) -> int:
        """As the tenant; gives the code."""
        kind = {"pods": "Pod", "secrets": "Secret", "serviceaccounts": "ServiceAccount"}[resource]
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": TENANT}, **fields}
        return self.tenant("POST", f"/api/v1/namespaces/{TENANT}/{resource}", body).code

    def dry_pod(self, spec: Any, **metadata: Any) -> None:
        """A Pod as a dry run; whatever becomes of it."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"dry-{next(_names)}", "namespace": TENANT, **metadata},
            "spec": spec,
        }
        with suppress(HTTPError):
            self.tenant("POST", f"/api/v1/namespaces/{TENANT}/pods?dryRun=All", body)

    @contextmanager
    def survives(self, what: str) -> Iterator[None]:
        """Make ordinary Pods until the block ends: none fails, nothing is killed, and no memory limit is met.

        How long one may take needs no bound of its own: beyond the `timeoutSeconds` of the chart the API server refuses it.
        """
        before = self.processes()
        over = threading.Event()
        made: list[tuple[int, float, Any]] = []

        def keep_making() -> None:
            while not over.is_set() or len(made) < 3:
                pod = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": f"p{next(_names)}", "namespace": BYSTANDER},
                    "spec": {"containers": [{"name": "c", "image": IMAGE}]},
                }
                begun = time.monotonic()
                answer = self.admin("POST", f"/api/v1/namespaces/{BYSTANDER}/pods", pod)
                listed = answer.body.get("spec", {}).get("imagePullSecrets")
                made.append((answer.code, time.monotonic() - begun, listed))
                over.wait(0.1)

        thread = threading.Thread(target=keep_making)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        peaks = [peak_bytes(process.pid) >> 20 for process in self._all()]
        failed = [each for each in made if each[0] != 201 or each[2] != [{"name": SECRET_NAME}]]
        slowest = max(seconds for _, seconds, _ in made)
        print(f"{what}: {len(failed)} of {len(made)} Pods failed, slowest {slowest:.2f} s, peaks {peaks} MiB")
        assert not failed
        assert max(peaks) < LIMIT >> 20
        assert before <= self.processes()

    def processes(self) -> set[tuple[int, int | None]]:
        """Who runs, with an exit code of those that do not any more."""
        return {(each.pid, each.code) for each in self._all()}

    def _all(self) -> list[Any]:
        return [*self.installation.servers, *self.installation.controllers]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane)
        try:
            installation.install(servers=1)
            installation.start_controller()
            world = World(installation)
            with closing(world.tenant), closing(world.admin):
                yield world
        finally:
            installation.uninstall()
    finally:
        plane.close()


def together(act: Callable[[int], object], number: int) -> None:
    threads = [threading.Thread(target=act, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def containers(number: int) -> list[dict[str, Any]]:
    return [{"name": f"c{index}", "image": f"ghcr.io/t/i{index}:1"} for index in range(number)]


def test_globs_in_a_secret_and_pods_of_many_images(world: World) -> None:
    auths: dict[str, Any] = {f"*.{index}.io": {} for index in range(45_000)}
    data = base64.b64encode(json.dumps({"auths": auths}, separators=(",", ":")).encode()).decode()
    manifest = secret_manifest(TENANT)
    assert world.make("secrets", SECRET_NAME, type=manifest["type"], data={".dockerconfigjson": data}) == 201
    with world.survives(f"{len(data)} bytes of globs, {16 * TIMES} Pods of 100 images"):
        for _ in range(TIMES):
            together(lambda _: world.dry_pod({"containers": containers(100)}), 16)
    assert world.tenant("DELETE", f"/api/v1/namespaces/{TENANT}/secrets/{SECRET_NAME}").code == 200


PODS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    f"{90_000 * SIZE} empty pull secrets": lambda: (
        {"containers": containers(1), "imagePullSecrets": [{}] * (90_000 * SIZE)},
        {},
    ),
    f"{10_000 * SIZE} named pull secrets": lambda: (
        {"containers": containers(1), "imagePullSecrets": [{"name": f"s{n}"} for n in range(10_000 * SIZE)]},
        {},
    ),
    f"{1_000 * SIZE} containers": lambda: ({"containers": containers(1_000 * SIZE)}, {}),
    f"an annotation of {250 * SIZE} kB": lambda: (
        {"containers": containers(1)},
        {"annotations": {"a": "é" * (125_000 * SIZE)}},
    ),
    f"an image of {250 * SIZE} kB": lambda: (
        {"containers": [{"name": "c", "image": "ghcr.io/" + "a/" * (125_000 * SIZE)}]},
        {},
    ),
    "lone surrogates and NULs": lambda: (
        {"containers": [{"name": "c", "image": "ghcr.io/\x00\N{SPOUTING WHALE}"}]},
        {},
    ),
}


@pytest.mark.parametrize("case", PODS)
def test_a_pod_as_a_dry_run(world: World, case: str) -> None:
    spec, metadata = PODS[case]()
    with world.survives(f"{4 * TIMES} dry runs of {case}"):
        for _ in range(TIMES):
            together(lambda _: world.dry_pod(spec, **metadata), 4)


def test_a_uid_and_connections_of_a_neighbour(world: World) -> None:
    request = http(pod_review(TENANT, uid="eyj" * 300_000))
    half = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999\r\n\r\n{"
    held = []
    with world.survives(f"uids of 900 kB, {100 * TIMES} half-sent bodies and handshakes each"):
        together(lambda _: world.neighbour.ask(request), 4)

        def open_some(index: int) -> None:
            for _ in range(25 * TIMES):
                try:
                    held.append(world.neighbour.tls(f"127.0.{index}.9"))
                    held[-1].sendall(half)
                    held.append(world.neighbour.plain(f"127.1.{index}.9"))  # type: ignore[arg-type]
                    held[-1].sendall(b"\x16\x03\x01\x02\x00\x01")
                except OSError:
                    continue

        together(open_some, 4)
        time.sleep(1)
    for sock in held:
        sock.close()


def test_large_service_accounts_and_a_restart(world: World) -> None:
    names = [{"name": f"s{number:06}"} for number in range(5_000 * SIZE)]
    for number in range(6 * TIMES):
        assert world.make("serviceaccounts", f"large-{number}", imagePullSecrets=names) == 201
    with world.survives(f"{6 * TIMES} ServiceAccounts of {100 * SIZE} kB"):
        time.sleep(1)
    begun = time.monotonic()
    fresh = world.installation.start_server()
    took = time.monotonic() - begun
    peak = peak_bytes(fresh.pid)
    print(f"a new server: ready after {took:.1f} s, peak {peak >> 20} MiB")
    assert peak < LIMIT
    world.installation.servers.remove(fresh)
    assert fresh.stop() == 0


def test_large_pods_and_a_restart_of_the_controller(world: World) -> None:
    variables = [{"name": f"E{number:06}", "value": "x"} for number in range(2_800 * SIZE)]
    for number in range(8 * TIMES):
        spec = {"containers": [{"name": "c", "image": "docker.io/a/b", "env": variables}]}
        assert world.make("pods", f"large-{number}", spec=spec) == 201
    old = world.installation.controllers.pop()
    assert old.stop() == 0
    with world.survives(f"{8 * TIMES} Pods of {100 * SIZE} kB"):
        fresh = world.installation.start_controller()
        until(lambda: any('"swept"' in line for line in fresh.lines), "a first sweep", timeout_s=300)
        assert peak_bytes(fresh.pid) < LIMIT


def copy_path(world: World) -> str:
    """Where the tenant's copy is, once it is there."""
    assert world.make("pods", f"wants-{next(_names)}", spec={"containers": containers(1)}) == 201
    path = f"/api/v1/namespaces/{TENANT}/secrets/{SECRET_NAME}"
    until(lambda: world.tenant("GET", path).code == 200, "there is a copy")
    return path


def test_a_copy_that_is_rewritten_in_a_loop(world: World) -> None:
    path = copy_path(world)
    evil = {"data": {".dockerconfigjson": base64.b64encode(b'{"auths":{"ghcr.io":{"auth":"ZTpl"}}}').decode()}}
    repaired = written = 0
    with world.survives("a copy that is rewritten in a loop"):
        end = time.monotonic() + LOOP_S
        while time.monotonic() < end:
            now = world.tenant("GET", path)
            if now.code == 200 and now.body["data"] != evil["data"]:
                repaired += 1
                world.tenant("PATCH", path, evil, content_type="application/merge-patch+json")
                written += 1
    print(f"repaired {repaired} times in {LOOP_S:.0f} s")
    assert 1 <= repaired <= 10


def test_a_copy_that_is_deleted_in_a_loop(world: World) -> None:
    namespace = world.installation.namespace(f"deleted-{next(_names)}", {"ghcr-pull-secrets.io/provision": "true"})
    path = f"/api/v1/namespaces/{namespace}/secrets/{SECRET_NAME}"
    deleted = 0
    with world.survives("a copy that is deleted in a loop"):
        end = time.monotonic() + LOOP_S
        while time.monotonic() < end:
            deleted += world.admin("DELETE", path).code == 200
    events = world.admin("GET", f"/api/v1/namespaces/{namespace}/events").body["items"]
    print(f"made again {deleted} times in {LOOP_S:.0f} s, {len(events)} Events")
    assert 1 <= deleted <= 10
    assert len(events) <= deleted + 1  # that of the first copy


def test_labels_that_flap_and_accounts_that_ask_for_copies(world: World) -> None:
    namespace = world.installation.namespace(f"flaps-{next(_names)}")
    with world.survives(f"a label that flaps, {100 * TIMES} ServiceAccounts that list the secret"):
        for number in range(50 * TIMES):
            labels = {"ghcr-pull-secrets.io/provision": "true" if number % 2 else None}
            patch = {"metadata": {"labels": labels}}
            path = f"/api/v1/namespaces/{namespace}"
            assert world.admin("PATCH", path, patch, content_type="application/merge-patch+json").code == 200
        for number in range(100 * TIMES):
            assert world.make("serviceaccounts", f"asks-{number}", imagePullSecrets=[{"name": SECRET_NAME}]) == 201


def test_copies_of_many_namespaces_that_are_rewritten_in_a_loop(world: World) -> None:
    kube = world.installation.kube
    names = [
        world.installation.namespace(f"many-{number}", {"ghcr-pull-secrets.io/provision": "true"})
        for number in range(20 * TIMES)
    ]
    paths = [f"/api/v1/namespaces/{name}/secrets/{SECRET_NAME}" for name in names]
    until(lambda: all(world.admin("GET", path).code == 200 for path in paths), "each has its copy", timeout_s=60)
    evil = {"data": {".dockerconfigjson": base64.b64encode(b'{"auths":{"ghcr.io":{"auth":"ZTpl"}}}').decode()}}
    over = threading.Event()
    repaired = [0] * len(paths)

    def rewrite(share: int) -> None:
        with closing(RawApi(kube.kubeconfig)) as api:
            while not over.is_set():
                for number in range(share, len(paths), 4):
                    now = api("GET", paths[number])
                    if now.code == 200 and now.body["data"] != evil["data"]:
                        repaired[number] += 1
                        api("PATCH", paths[number], evil, content_type="application/merge-patch+json")

    writers = [threading.Thread(target=rewrite, args=(share,)) for share in range(4)]
    with world.survives(f"copies of {len(names)} namespaces that are rewritten in a loop"):
        for writer in writers:
            writer.start()
        time.sleep(LOOP_S)
        # What concerns the whole cluster is not held up by what they make the controller do and say.
        rotated = payload(token="ghp_CANARYcanaryROTATED789canaryCANARY42")
        world.installation.set_central(rotated)
        until(lambda: world.installation.payload_of(BYSTANDER) == rotated, "a rotation reaches the others")
        world.installation.set_central(b'{"auths":{}}')
        until(
            lambda: "CentralSecretUnusable" in kube("get", "events", "-n", RELEASE_NAMESPACE).out,
            "people hear of the central secret",
        )
        over.set()
        for writer in writers:
            writer.join()
        world.installation.set_central(payload())
        until(lambda: world.installation.payload_of(BYSTANDER) == payload(), "it is spread again")
    print(f"repaired at most {max(repaired)} times in {LOOP_S:.0f} s")
    assert min(repaired) >= 1
    assert max(repaired) <= 10


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stolen_token_does_not_reach_the_central_secret(world: World, method: str) -> None:
    account = next(
        each["spec"]["template"]["spec"]["serviceAccountName"]
        for each in world.installation.manifests
        if each["kind"] == "Deployment" and each["spec"]["template"]["spec"]["containers"][0]["args"][0] == "controller"
    )
    path = f"/api/v1/namespaces/{RELEASE_NAMESPACE}/secrets/{SECRET_NAME}"
    with closing(RawApi(world.installation.kubeconfig_of(account))) as thief:
        body = {"data": {".dockerconfigjson": "ZXZpbA=="}} if method == "PATCH" else None
        answer = thief(method, path, body, content_type="application/merge-patch+json")
    assert answer.code in (403, 422), answer
    assert world.admin("GET", path).code == 200
