"""Whatever a tenant or a neighbour sends: memory stays below the chart's limit, and an ordinary review is answered beside it.

Server and controller run as the chart starts them, with its flags and limits. Each case of the corpus is ten times what
was seen to work, or as large as an API server, or our own bound of a body, allows. Times are ratios to the same review
alone, with air for a machine that has other things to do.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import helm
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.e2e.machinery.waiting import until
from tests.edges.peak_memory import LIMIT, peak_bytes
from tests.edges.raw_client import Target, http, pod_review
from tests.objects import IMAGE, RELEASE_NAMESPACE

pytestmark = [pytest.mark.xdist_group("invariant"), pytest.mark.processes]

AIR = 100
"""An ordinary review takes about 10 ms with its handshake, so this is the second that the invariant allows."""

AFTER_S = 5.0

WITHIN_S = 5.0 if "PYTEST_XDIST_WORKER" in os.environ else 1.0
"""An ordinary review is answered within a second; beside other tests, which take all the cores, before an API server gives up."""

BODY = 8 << 20
"""Longest body of a review; more is refused by its head."""

TENANT, BYSTANDER = "tenant", "bystander"


@dataclass
class World:
    """Server and controller, and how fast an ordinary review is with nobody else there."""

    installation: Installation
    target: Target
    alone: float = 0.0
    pids: list[list[int]] = field(default_factory=list)

    def running(self) -> list[list[int]]:
        """Each process and its children: all are the same at the end, so nothing was killed."""
        both = [*self.installation.servers, *self.installation.controllers]
        return [[each.pid, *children(each.pid)] for each in both]

    def holds(self, what: str, beside: list[tuple[int, float]]) -> None:
        """Assert the invariant after an attack, with what became of the ordinary reviews beside it."""
        until(
            lambda: (
                self.target.ordinary(BYSTANDER)[1] < max(5 * self.alone, 0.1)
                and all(each.ops("/readyz")[0] == 200 for each in self.installation.servers)
            ),
            f"all is as before {what}",
            timeout_s=AFTER_S,
        )
        peaks = [peak_bytes(each.pid) for each in (*self.installation.servers, *self.installation.controllers)]
        failed = [code for code, _ in beside if code != 200]
        worst = max(seconds for _, seconds in beside)
        print(
            f"{what}: {len(failed)} of {len(beside)} failed, worst {worst:.2f} s (alone {self.alone:.3f} s), "
            f"peaks {[peak >> 20 for peak in peaks]} MiB"
        )
        assert not failed, failed
        assert worst < max(AIR * self.alone, WITHIN_S)
        assert max(peaks) < LIMIT
        assert self.running() == self.pids


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    plane = StandIn()
    plane.start()
    installation = Installation(plane)
    try:
        installation.install(servers=1)
        installation.start_controller()
        for name in (TENANT, BYSTANDER):
            installation.namespace(name)
        service = helm.select(installation.manifests, "Service")["metadata"]["name"]
        target = Target(
            *installation.address, f"{service}.{RELEASE_NAMESPACE}.svc", installation.path / "tls" / "ca.crt"
        )
        world = World(installation, target)
        alone = [target.ordinary(BYSTANDER) for _ in range(15)]
        assert {code for code, _ in alone} == {200}
        world.alone = statistics.median(seconds for _, seconds in alone)
        world.pids = world.running()
        yield world
    finally:
        installation.uninstall()
        plane.close()


@contextmanager
def bystander(world: World) -> Iterator[list[tuple[int, float]]]:
    """Send ordinary reviews, one after the other, until the block ends, and at least three."""
    over = threading.Event()
    answers: list[tuple[int, float]] = []

    def keep_asking() -> None:
        while not over.is_set() or len(answers) < 3:
            answers.append(world.target.ordinary(BYSTANDER))
            over.wait(0.05)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def all_at_once(act: Callable[[int], object], number: int, each: int = 1) -> list[object]:
    """Do something in so many threads, so often in each; what the server does about it is no error here."""
    results: list[object] = []

    def work(index: int) -> None:
        for turn in range(each):
            with suppress(OSError):
                results.append(act(index * each + turn))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def raw_object(text: bytes) -> bytes:
    """A review whose object is that text, which need not be JSON."""
    return json.dumps(pod_review(TENANT, object="@")).encode().replace(b'"@"', text)


def containers(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"c{index}", "image": f"ghcr.io/t/i{index}", **fields} for index in range(number)]


def spec(**fields: Any) -> bytes:
    return http(pod_review(TENANT, spec={"containers": containers(1), **fields}))


BODIES: dict[str, Callable[[], bytes]] = {
    "uid of traps": lambda: http(pod_review(TENANT, uid="eyj" * 400_000)),
    "namespace of traps": lambda: http(pod_review("a-" * 1_000_000)),
    "kind of traps": lambda: http(pod_review(TENANT, kind={"group": "", "version": "v1", "kind": "ghp_" * 1_000_000})),
    "empty pull secrets": lambda: spec(imagePullSecrets=[{}] * 2_700_000),
    "named pull secrets": lambda: spec(imagePullSecrets=[{"name": "s"}] * 600_000),
    "9,000 pull secrets": lambda: spec(imagePullSecrets=[{"name": f"s{n}"} for n in range(9_000)]),
    "10,000 containers": lambda: http(pod_review(TENANT, spec={"containers": containers(10_000)})),
    "100,000 containers": lambda: http(pod_review(TENANT, spec={"containers": containers(100_000)})),
    "empty containers": lambda: http(pod_review(TENANT, spec={"containers": [{}] * 2_000_000})),
    "1,000 images": lambda: http(pod_review(TENANT, spec={"containers": containers(1_000)})),
    "one long image": lambda: http(pod_review(TENANT, spec={"containers": [{"name": "c", "image": "a/" * 3_000_000}]})),
    "image of colons": lambda: http(pod_review(TENANT, spec={"containers": [{"name": "c", "image": ":" * 7_000_000}]})),
    "10,000 long images": lambda: http(
        pod_review(TENANT, spec={"containers": [{"name": f"c{n}", "image": IMAGE + "x" * 700} for n in range(10_000)]})
    ),
    "annotation of 7 MB": lambda: http(
        pod_review(TENANT, object={"metadata": {"name": "p", "annotations": {"a": "\N{SPOUTING WHALE}" * 600_000}}})
    ),
    "environment": lambda: spec(volumes=[{"name": "v", "secret": {"secretName": "ghcr-secret"}}] * 100_000),
    "deep lists": lambda: http(raw_object(b"[" * 4_000_000)),
    "deep objects": lambda: http(raw_object(b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000)),
    "deep but legal": lambda: http(raw_object(b'{"a":' * 900 + b"1" + b"}" * 900)),
    "number of megabytes": lambda: http(raw_object(b'{"a":' + b"9" * 7_000_000 + b"}")),
    "huge exponent": lambda: http(raw_object(b'{"a":1e' + b"9" * 1_000_000 + b"}")),
    "doubled keys": lambda: http(raw_object(b"{" + b'"spec":{},' * 700_000 + b'"spec":{}}')),
    "lone surrogates": lambda: http(raw_object(b'{"metadata":{"name":"' + b"\\ud800" * 1_000_000 + b'"}}')),
    "NULs": lambda: http(raw_object(b'{"metadata":{"name":"' + b"\\u0000" * 1_000_000 + b'"}}')),
    "no UTF-8": lambda: http(raw_object(b'{"metadata":{"name":"' + b"\xff\xfe" * 3_000_000 + b'"}}')),
    "escapes": lambda: http(raw_object(b'{"a":"' + b'\\"' * 3_000_000 + b'"}')),
    "nothing but spaces": lambda: http(b" " * 8_000_000),
    "longest body": lambda: http(raw_object(b'{"a":"' + b"x" * (BODY - 1_000) + b'"}')),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_review_of_a_neighbour(world: World, case: str) -> None:
    request = BODIES[case]()
    with bystander(world) as beside:
        answers = all_at_once(lambda _: world.target.ask(request)[0], 3)
    assert set(answers) <= {0, 200, 400, 413, 500}, answers
    world.holds(f"{case} ({len(request) / 1e6:.1f} MB)", beside)


HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

SENT: dict[str, Callable[[int], bytes]] = {
    "pipelined requests": lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3_000,
    "pipelined reviews": lambda n: http(pod_review(f"n{n}")) * 300,
    "huge headers": lambda _: HEAD + b"X: " + b"y" * 4_000_000,
    "many headers": lambda _: HEAD + b"X: y\r\n" * 500_000,
    "headers that do not end": lambda _: HEAD * 3,
    "long request line": lambda _: b"GET /" + b"a" * 4_000_000,
    "chunks": lambda _: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500_000,
    "expectations": lambda _: HEAD + b"Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n",
    "lengths that lie": lambda _: HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "two lengths": lambda _: HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "body without end": lambda _: HEAD + b"Content-Length: 8000000\r\n\r\n" + b"x" * 7_900_000,
    "reviews of many namespaces": lambda n: http(pod_review(f"n{n}", dryRun=False)),
    "reviews of one namespace": lambda _: http(pod_review(TENANT, dryRun=False)),
    "reviews of no namespace": lambda _: http(pod_review("")),
}


@pytest.mark.parametrize("case", SENT)
def test_connections_of_a_neighbour_who_does_not_read_answers(world: World, case: str) -> None:
    with ExitStack() as stack, bystander(world) as beside:

        def send(number: int) -> None:
            # From many addresses: a bound by peer alone would be none.
            sock = stack.enter_context(closing(world.target.tls(f"127.{1 + number % 50}.0.1")))
            sock.settimeout(3)
            sock.sendall(SENT[case](number))

        all_at_once(send, 12, 8)
        time.sleep(0.3)
    world.holds(case, beside)


PLAIN: dict[str, bytes] = {
    "silence": b"",
    "half a handshake": b"\x16\x03\x01\x02\x00\x01",
    "garbage": b"\x00\xff" * 30_000,
    "HTTP without TLS": http(pod_review(TENANT)),
    "records without end": b"\x16\x03\x01\x40\x00" + b"\x01" * 30_000,
}


@pytest.mark.parametrize("case", PLAIN)
def test_connections_without_tls(world: World, case: str) -> None:
    with ExitStack() as stack, bystander(world) as beside:

        def send(number: int) -> None:
            sock = stack.enter_context(closing(world.target.plain(f"127.{1 + number % 200}.0.1")))
            sock.sendall(PLAIN[case])

        all_at_once(send, 10, 60)
        time.sleep(0.3)
    world.holds(f"600 connections of {case}", beside)


def globs(number: int) -> bytes:
    return json.dumps({"auths": {f"*.{'a.' * 5}{index}.io": {"auth": "eDp5"} for index in range(number)}}).encode()


def test_a_tenants_secret_and_pods_of_many_images(world: World) -> None:
    kube = world.installation.kube
    content = globs(25_000)
    kube.apply(secret_manifest(TENANT, content), args=["--server-side", "--force-conflicts"])
    request = http(pod_review(TENANT, spec={"containers": containers(250)}), path="/validate?timeout=5s")
    with bystander(world) as beside:
        all_at_once(lambda _: world.target.ask(request)[0], 16, 4)
    kube("delete", "secret", "ghcr-secret", "-n", TENANT)
    world.holds(f"a Secret of {len(content)} bytes and 64 Pods of 250 images", beside)


def test_a_tenants_service_accounts_and_events(world: World) -> None:
    kube = world.installation.kube
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    listed = [{"name": "ghcr-secret"}]
    with bystander(world) as beside:
        kube.apply(
            *[
                {**account, "metadata": {"name": f"a{number}", "namespace": TENANT}, "imagePullSecrets": listed}
                for number in range(300)
            ],
            {
                **account,
                "metadata": {"name": "large", "namespace": TENANT},
                "imagePullSecrets": [{"name": f"s{number:06}"} for number in range(40_000)],
            },
            args=["--server-side"],
        )
        request = http(pod_review(TENANT, spec={"containers": containers(1), "serviceAccountName": "large"}))
        all_at_once(lambda _: world.target.ask(request)[0], 8, 4)
    world.holds("300 ServiceAccounts that list it and one of 40,000 names", beside)


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["ghcr.io/", "a/", ":", "@sha256:", "*.", "eyJ", "\0", "\N{SPOUTING WHALE}"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
PIECES = st.recursive(
    LEAVES | st.builds(lambda text, times: text * times, TEXTS, st.sampled_from([1, 300, 50_000])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | st.sampled_from(["name", "image", "metadata", "containers"]), inner, max_size=4)
        | st.builds(lambda piece, times: [piece] * times, inner, st.sampled_from([2, 300, 20_000]))
    ),
    max_leaves=6,
)
PLACES = (
    "uid",
    "namespace",
    "name",
    "kind",
    "operation",
    "object",
    "oldObject",
    "containers",
    "imagePullSecrets",
    "image",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True, database=None)
@given(place=st.sampled_from(PLACES), piece=PIECES, half=st.sampled_from(["mutate", "validate"]), header=TEXTS)
def test_what_nobody_thought_of(world: World, place: str, piece: Any, half: str, header: str) -> None:
    match place:
        case "containers" | "imagePullSecrets":
            review = pod_review(TENANT, spec={"containers": containers(2), place: piece})
        case "image":
            review = pod_review(TENANT, spec={"containers": [{"name": "c", "image": piece}]})
        case _:
            review = pod_review(TENANT, **{place: piece})
    body = json.dumps(review).encode()[: 4 * BODY]
    safe = base64.b64encode(header.encode("utf-8", "surrogatepass")).decode()
    request = http(body, path=f"/{half}?timeout=5s&x={safe}", headers=[f"X-Any: {safe}"])
    with bystander(world) as beside:
        answers = all_at_once(lambda _: world.target.ask(request)[0], 2)
    assert set(answers) <= {0, 200, 400, 413, 500}, answers
    world.holds(f"{place} of {len(body)} bytes", beside)
