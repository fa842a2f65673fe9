"""Chaos: faults by a seed's schedule, and what the cluster must look like a minute after the last.

`python -m tests.e2e.chaos --seed 1 --seconds 180` runs it on the stand-in, or on a real control plane if
`KUBEBUILDER_ASSETS` names its binaries; there what only the stand-in can do is left out.
"""

from __future__ import annotations

import argparse
import base64
import heapq
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, assert_never

from tests.e2e import chaos_judge as judge
from tests.e2e.chaos_schedule import (
    DISOWNED,
    EXCLUDED,
    FOREIGN,
    OUT,
    TOGGLED,
    WORKED,
    Action,
    Burst,
    Edit,
    Kind,
    Spoiled,
    schedule,
)
from tests.e2e.installation import Installation, secret_manifest
from tests.e2e.planes import ControlPlane, StandIn, control_plane
from tests.e2e.processes import Process
from tests.e2e.waiting import until
from tests.objects import RELEASE_NAMESPACE, payload, workload

if TYPE_CHECKING:
    from tests.apiserver.faults import RequestInfo

CONVERGED_WITHIN_S: Final = 60.0
"""What issue 3 promises after the end of any fault."""
_TOKEN: Final = "ghp_CANARYcanaryCHAOS"
_CRASHES: Final = ("work_crashed", "watch_failed", "listener_failed", "Traceback")
"""What our processes print when they were taken by surprise. Faults from outside are none."""
_OUT_LABEL: Final = "ghcr-pull-secrets.io/inject"
_OURS: Final = {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run went.

    Attributes:
        done, missed: How often each kind of action took effect, or found nothing to act on.
        converged_s: Seconds from the last fault's end until all was well; `None` if it was not in time.
        faults: What was not as it must be in the end, without content of any Secret.
    """

    seed: int
    seconds: float
    done: Mapping[Kind, int]
    missed: Mapping[Kind, int]
    converged_s: float | None
    faults: tuple[str, ...]

    def __str__(self) -> str:
        took = "not converged" if self.converged_s is None else f"converged in {self.converged_s:.1f} s"
        counts = ", ".join(f"{kind} {self.done.get(kind, 0)}/{self.missed.get(kind, 0)}" for kind in Kind)
        lines = [f"seed {self.seed}, {self.seconds:g} s: {took}; done/missed: {counts}"]
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])


class Missed(Exception):
    """An action found nothing to act on."""


@dataclass(slots=True)
class _Ends:
    """What lasts, and how it ends."""

    heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def add(self, at: float, end: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (at, next(self.numbers), end))

    def due(self, now: float) -> None:
        while self.heap and self.heap[0][0] <= now:
            heapq.heappop(self.heap)[2]()


class Chaos:
    """One run.

    Args:
        plane: A control plane of its own, started.
        say: Told of each action, for a person to follow.
    """

    def __init__(self, plane: ControlPlane, *, seed: int, seconds: float, say: Callable[[str], None]) -> None:
        self._plane = plane
        self._seed = seed
        self._seconds = seconds
        self._say = say
        self._numbers = count(1)
        self._central = self._next_payload()
        self._installation = Installation(plane, {"namespaces": {"excluded": list(EXCLUDED)}}, central=self._central)
        self._kube = self._installation.kube
        self._foreign: dict[str, str] = {}
        self._alive: list[Process] = []
        self._answers: list[str] = []
        self._ends = _Ends()
        self._done: Counter[Kind] = Counter()
        self._missed: Counter[Kind] = Counter()

    def run(self) -> Report:
        """Set up, let everything go wrong, wait, judge, take away."""
        try:
            self._set_up()
            self._play()
            converged_s, faults = self._settle()
            faults = (*faults, *self._crashes(), *self._leaks())
        finally:
            self._installation.uninstall()
        return Report(
            seed=self._seed,
            seconds=self._seconds,
            done=self._done,
            missed=self._missed,
            converged_s=converged_s,
            faults=faults,
        )

    # --- before

    def _set_up(self) -> None:
        self._installation.install(servers=1)
        for name in (*WORKED, *TOGGLED, DISOWNED, *OUT, *EXCLUDED, *FOREIGN):
            self._installation.namespace(name, {_OUT_LABEL: "false"} if name in OUT else None)
        owner = self._owner(FOREIGN[1])
        by_hand = {"name": "ghcr-secret", "annotations": {"team": "theirs"}}
        for name, metadata in {
            OUT[1]: by_hand,
            EXCLUDED[1]: {"name": "ghcr-secret", "labels": _OURS},
            FOREIGN[0]: by_hand,
            # As after ESO took a copy of ours over.
            FOREIGN[1]: {"name": "ghcr-secret", "labels": _OURS, "ownerReferences": [owner]},
        }.items():
            manifest = secret_manifest(name, self._next_payload(), metadata={**metadata, "namespace": name})
            self._kube("create", "-f", "-", stdin=json.dumps(manifest))
            self._foreign[name] = self._raw(name)
        for name in (*WORKED, *TOGGLED, DISOWNED, *FOREIGN):
            self._kube.apply(_deployment("first", name))
        for _ in range(2):
            self._start_controller()
        until(lambda: self._leader() is not None, "a controller leads")

    def _owner(self, namespace: str) -> dict[str, Any]:
        self._kube("create", "configmap", "owner", "-n", namespace)
        uid = self._kube.get("configmap", "owner", namespace)["metadata"]["uid"]
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}

    def _start_controller(self) -> None:
        self._alive.append(self._installation.start_controller(wait=False))

    def _leader(self) -> Process | None:
        for process in self._alive:
            try:
                metrics = process.ops("/metrics")[1]
            except OSError:
                continue  # it has not begun to listen yet
            self._answers.append(metrics)
            if "ghcr_pull_secrets_leading 1.0" in metrics:
                return process
        return None

    # --- meanwhile

    def _play(self) -> None:
        begun = time.monotonic()
        for action in schedule(self._seed, self._seconds):
            while (left := begun + action.at_s - time.monotonic()) > 0:
                self._ends.due(time.monotonic())
                time.sleep(min(left, 0.1))
            self._ends.due(time.monotonic())
            try:
                self._act(action)
                self._done[action.kind] += 1
                outcome = ""
            except Missed:
                self._missed[action.kind] += 1
                outcome = " (missed)"
            late = time.monotonic() - begun
            self._say(f"{late:6.1f} s  {action.kind} {action.subject} {action.variant}".rstrip() + outcome)
        self._ends.due(float("inf"))

    def _act(self, action: Action) -> None:
        name = action.subject
        match action.kind:
            case Kind.KILL_LEADER:
                self._kill_leader()
            case Kind.RESTART_API:
                self._plane.stop()
                time.sleep(action.lasts_s)
                self._plane.start()
            case Kind.HALF_OPEN:
                self._fault(action, verb="watch", resource=name, half_open=True)
            case Kind.EXPIRE_HISTORY:
                # Who watches on is not hurt; who begins again is.
                self._stand_in().api.expire_history()
                self._stand_in().api.drop_connections()
            case Kind.BURST:
                self._fault(action, **_BURSTS[Burst(action.variant)])
            case Kind.DELETE_COPY:
                self._try("delete", "secret", "ghcr-secret", "-n", name)
            case Kind.EDIT_COPY:
                self._edit(name, Edit(action.variant))
            case Kind.DISOWN_COPY:
                self._disown_or_adopt(name)
            case Kind.ROTATE:
                self._rotate()
            case Kind.SPOIL_CENTRAL:
                self._spoil_central(Spoiled(action.variant))
                self._ends.add(time.monotonic() + action.lasts_s, self._rotate)
            case Kind.OPT_OUT:
                self._try("label", "namespace", name, f"{_OUT_LABEL}=false", "--overwrite")
            case Kind.OPT_IN:
                self._try("label", "namespace", name, f"{_OUT_LABEL}-")
            case Kind.MAKE_NAMESPACE:
                self._try("delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=20s")
                self._try("create", "namespace", name)
                self._apply(_deployment("first", name))
            case Kind.DELETE_NAMESPACE:
                self._try("delete", "namespace", name, "--wait=false")
            case Kind.APPLY_WORKLOAD:
                self._apply(_deployment(f"more-{int(action.at_s * 1000)}", name))
            case _:
                assert_never(action.kind)

    def _kill_leader(self) -> None:
        leader = self._leader()
        if leader is None:
            raise Missed
        self._alive.remove(leader)
        leader.kill()
        self._start_controller()

    def _edit(self, name: str, edit: Edit) -> None:
        other = base64.b64encode(self._next_payload()).decode()
        patches: Mapping[Edit, Mapping[str, Any]] = {
            Edit.CONTENT: {"data": {".dockerconfigjson": other}},
            Edit.EXTRA_KEY: {"data": {"more": other}},
            Edit.NO_ANNOTATIONS: {"metadata": {"annotations": None}},
            Edit.FROZEN: {"data": {".dockerconfigjson": other}, "immutable": True},
        }
        if edit in patches:
            self._patch(name, patches[edit])
            return
        metadata = {"name": "ghcr-secret", "namespace": name, "labels": _OURS}
        wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {"a": other}}
        self._try("delete", "secret", "ghcr-secret", "-n", name, "--ignore-not-found")
        # The controller may have been faster with a good one.
        self._try("create", "-f", "-", stdin=json.dumps(wrong))

    def _disown_or_adopt(self, name: str) -> None:
        if name in self._foreign:
            del self._foreign[name]
            self._patch(name, {"metadata": {"annotations": {"ghcr-pull-secrets.io/adopt": "true"}}})
            return
        other = base64.b64encode(self._next_payload()).decode()
        metadata = {"labels": {next(iter(_OURS)): None}, "annotations": {"ghcr-pull-secrets.io/adopt": None}}
        version = self._patch(name, {"metadata": metadata, "data": {".dockerconfigjson": other}})
        raw = self._raw(name)
        # Had we written in between, no later reading may pass for untouched.
        untouched = bool(raw) and json.loads(raw)["metadata"]["resourceVersion"] == version
        self._foreign[name] = raw if untouched else "touched"

    def _patch(self, name: str, patch: Mapping[str, Any]) -> str:
        version = ("-o", "jsonpath={.metadata.resourceVersion}")
        return self._try(
            "patch", "secret", "ghcr-secret", "-n", name, "--type=merge", "-p", json.dumps(patch), *version
        )

    def _rotate(self) -> None:
        self._central = self._next_payload()
        self._installation.set_central(self._central)

    def _spoil_central(self, how: Spoiled) -> None:
        if how is Spoiled.UNUSABLE:
            self._installation.set_central(b'{"auths": {"ghcr.io": {"auth": "!!!"}}}')
        else:
            self._try("delete", "secret", "ghcr-secret", "-n", RELEASE_NAMESPACE)

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        # During a fault a rejection is what should happen.
        done = self._kube.apply(manifest, ok=None)
        self._answers.append(done.text)
        if done.code:
            raise Missed

    def _try(self, *arguments: str, stdin: str | None = None) -> str:
        done = self._kube(*arguments, stdin=stdin, ok=None)
        self._answers.append(done.text)
        if done.code:
            raise Missed
        return done.out

    def _stand_in(self) -> StandIn:
        if not isinstance(self._plane, StandIn):
            raise Missed
        return self._plane

    def _fault(self, action: Action, *, verb: str | tuple[str, ...] = (), resource: str = "", **fault: Any) -> None:
        faults = self._stand_in().api.faults

        def ours(request: RequestInfo) -> bool:
            verbs = (verb,) if isinstance(verb, str) else verb
            return (
                request.user.startswith(f"system:serviceaccount:{RELEASE_NAMESPACE}:")
                and (not verbs or request.verb in verbs)
                and (not resource or request.resource == resource)
            )

        number = faults.add(match=ours, **fault)
        self._ends.add(time.monotonic() + action.lasts_s, lambda: faults.remove(number))

    # --- after

    def _settle(self) -> tuple[float | None, tuple[str, ...]]:
        ended = time.monotonic()
        late = "late"

        def well() -> bool:
            # Who comes late is served too: the servers' watches have to have converged as well.
            self._kube("create", "namespace", late, ok=None)
            self._kube.apply(_deployment("first", late), ok=None)
            served = self._kube.exists("secret", "ghcr-secret", late)
            return served and not self._differences()

        try:
            until(well, "all is well", timeout_s=CONVERGED_WITHIN_S, every_s=0.5)
        except AssertionError:
            return None, self._differences()
        return time.monotonic() - ended, ()

    def _differences(self) -> tuple[str, ...]:
        everywhere = ("-A", "--field-selector=metadata.name=ghcr-secret")
        expected = judge.Expected(central=self._central, foreign=self._foreign, excluded=set(EXCLUDED))
        observed = judge.Observed(
            namespaces=self._kube.get("namespaces")["items"],
            secrets=self._kube.get("secrets", "", "", *everywhere)["items"],
            pods=self._kube.get("pods", "", "", "-A")["items"],
            foreign={name: self._raw(name) for name in self._foreign},
        )
        return judge.differences(expected, observed)

    def _raw(self, namespace: str) -> str:
        return self._kube("get", "--raw", f"/api/v1/namespaces/{namespace}/secrets/ghcr-secret", ok=None).out

    def _crashes(self) -> tuple[str, ...]:
        printed = self._installation.everything_printed()
        crashes = [f"a process printed {word}" for word in _CRASHES if word in printed]
        for process in (*self._alive, *self._installation.servers):
            try:
                process.ops("/readyz")
            except OSError:
                crashes.append(f"{process.arguments[0]} no longer runs")
        return tuple(crashes)

    def _leaks(self) -> tuple[str, ...]:
        places = {
            "what our processes printed or measured": self._installation.everything_printed(),
            "what people were answered": "\n".join(self._answers),
            "events": self._kube("get", "events", "-A", "-o", "json").out,
        }
        words = [_TOKEN, *(base64.b64encode(_payload(number)).decode() for number in range(next(self._numbers)))]
        return tuple(f"a token is in {place}" for place, text in places.items() if any(word in text for word in words))

    def _next_payload(self) -> bytes:
        return _payload(next(self._numbers))


_BURSTS: Final[Mapping[Burst, Mapping[str, Any]]] = {
    Burst.CONFLICT: {"verb": ("create", "update", "patch", "delete"), "conflict": True, "probability": 0.8},
    Burst.TOO_MANY: {"status": 429, "reason": "TooManyRequests", "retry_after": 1, "probability": 0.8},
    Burst.INTERNAL: {"status": 500, "reason": "InternalError", "probability": 0.8},
    Burst.UNAVAILABLE: {"status": 503, "reason": "ServiceUnavailable", "probability": 0.8},
    Burst.RESET: {"reset": True, "probability": 0.5},
    # Only writes: a watch that is answered has no answer that could be lost.
    Burst.LOST_ANSWER: {
        "verb": ("create", "update", "patch", "delete"), "after": True, "status": 500, "reason": "InternalError",
        "probability": 0.8,
    },
}  # fmt: skip


def _payload(number: int) -> bytes:
    return payload(token=f"{_TOKEN}{number:06d}")


def _deployment(name: str, namespace: str) -> dict[str, Any]:
    manifest = workload("Deployment", name=name, namespace=namespace, secrets=["ghcr-secret"])
    manifest["spec"]["selector"] = {"matchLabels": {"app": name}}
    return manifest


def run(*, seed: int, seconds: float, say: Callable[[str], None]) -> Report:
    """Run once, on a control plane made for it."""
    plane = control_plane()
    try:
        plane.start()
        return Chaos(plane, seed=seed, seconds=seconds, say=say).run()
    finally:
        plane.close()


def main() -> int:
    """Run from the command line; 1 if all was not well in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=180)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    report = run(seed=arguments.seed, seconds=arguments.seconds, say=lambda text: print(text, flush=True))
    print(report)
    return 0 if report.converged_s is not None and not report.faults else 1


if __name__ == "__main__":
    sys.exit(main())
