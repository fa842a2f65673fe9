"""The actions of a chaos run, done to a cluster with kubectl, signals, and the stand-in's faults."""

from __future__ import annotations

import base64
import heapq
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, assert_never

from tests.e2e.machinery.chaos_schedule import EXCLUDED, Action, Burst, Edit, Kind, Spoiled
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import ControlPlane, StandIn
from tests.e2e.machinery.processes import Process
from tests.objects import RELEASE_NAMESPACE, payload, workload

if TYPE_CHECKING:
    from standin.faults import RequestInfo

TOKEN: Final = "ghp_CANARYcanaryCHAOS"
"""How every token of a run begins; nothing but Secrets may hold it."""
OPT_LABEL: Final = "ghcr-pull-secrets.io/inject"
OURS: Final = {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}


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


class Deeds:
    """Does what a schedule says, and keeps what must be true afterwards.

    Args:
        plane: A control plane of its own, started.

    Attributes:
        installation: The add-on there; not installed yet.
        central: Content of the central secret.
        foreign: Namespace to its foreign secret, byte for byte.
        controllers: Those that were not killed.
        answers: All that kubectl was answered, and metrics that processes showed before they were killed.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._numbers = count(1)
        self._ends = _Ends()
        self.central = self.next_payload()
        values = {"namespaces": {"excluded": list(EXCLUDED)}}
        self.installation = Installation(plane, values, central=self.central)
        self._kube = self.installation.kube
        self.foreign: dict[str, str] = {}
        self.controllers: list[Process] = []
        self.answers: list[str] = []

    def act(self, action: Action) -> None:
        """Do one thing. Raises Missed."""
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
                self._try("label", "namespace", name, f"{OPT_LABEL}=false", "--overwrite")
            case Kind.OPT_IN:
                self._try("label", "namespace", name, f"{OPT_LABEL}-")
            case Kind.MAKE_NAMESPACE:
                self._try("delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=20s")
                self._try("create", "namespace", name)
                self._apply(deployment("first", name))
            case Kind.DELETE_NAMESPACE:
                self._try("delete", "namespace", name, "--wait=false")
            case Kind.APPLY_WORKLOAD:
                self._apply(deployment(f"more-{int(action.at_s * 1000)}", name))
            case _:
                assert_never(action.kind)

    def _kill_leader(self) -> None:
        leader = self.leader()
        if leader is None:
            raise Missed
        self.controllers.remove(leader)
        leader.kill()
        self.start_controller()

    def _edit(self, name: str, edit: Edit) -> None:
        other = base64.b64encode(self.next_payload()).decode()
        patches: Mapping[Edit, Mapping[str, Any]] = {
            Edit.CONTENT: {"data": {".dockerconfigjson": other}},
            Edit.EXTRA_KEY: {"data": {"more": other}},
            Edit.NO_ANNOTATIONS: {"metadata": {"annotations": None}},
            Edit.FROZEN: {"data": {".dockerconfigjson": other}, "immutable": True},
        }
        if edit in patches:
            self._patch(name, patches[edit])
            return
        metadata = {"name": "ghcr-secret", "namespace": name, "labels": OURS}
        wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {"a": other}}
        self._try("delete", "secret", "ghcr-secret", "-n", name, "--ignore-not-found")
        # The controller may have been faster with a good one: then it was a deletion.
        self.answers.append(self._kube("create", "-f", "-", stdin=json.dumps(wrong), ok=None).text)

    def _disown_or_adopt(self, name: str) -> None:
        if name in self.foreign:
            self._patch(name, {"metadata": {"annotations": {"ghcr-pull-secrets.io/adopt": "true"}}})
            del self.foreign[name]
            return
        other = base64.b64encode(self.next_payload()).decode()
        metadata = {"labels": {next(iter(OURS)): None}, "annotations": {"ghcr-pull-secrets.io/adopt": None}}
        version = self._patch(name, {"metadata": metadata, "data": {".dockerconfigjson": other}})
        raw = self.raw(name)
        # Had we written in between, no later reading may pass for untouched.
        untouched = bool(raw) and json.loads(raw)["metadata"]["resourceVersion"] == version
        self.foreign[name] = raw if untouched else "touched"

    def _patch(self, name: str, patch: Mapping[str, Any]) -> str:
        version = ("-o", "jsonpath={.metadata.resourceVersion}")
        return self._try(
            "patch", "secret", "ghcr-secret", "-n", name, "--type=merge", "-p", json.dumps(patch), *version
        )

    def _rotate(self) -> None:
        self.central = self.next_payload()
        self.installation.set_central(self.central)

    def _spoil_central(self, how: Spoiled) -> None:
        if how is Spoiled.UNUSABLE:
            self.installation.set_central(b'{"auths": {"ghcr.io": {"auth": "!!!"}}}')
        else:
            self._try("delete", "secret", "ghcr-secret", "-n", RELEASE_NAMESPACE)

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        # During a fault a rejection is what should happen.
        done = self._kube.apply(manifest, ok=None)
        self.answers.append(done.text)
        if done.code:
            raise Missed

    def _try(self, *arguments: str, stdin: str | None = None) -> str:
        done = self._kube(*arguments, stdin=stdin, ok=None)
        self.answers.append(done.text)
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

    def start_controller(self) -> None:
        """Start a controller, and do not wait."""
        self.controllers.append(self.installation.start_controller(wait=False))

    def leader(self) -> Process | None:
        """The controller that says it leads."""
        for process in self.controllers:
            try:
                metrics = process.ops("/metrics")[1]
            except OSError:
                continue  # it has not begun to listen yet
            self.answers.append(metrics)
            if "ghcr_pull_secrets_leading 1.0" in metrics:
                return process
        return None

    def raw(self, namespace: str) -> str:
        """The `ghcr-secret` of a namespace as the API server tells it; empty if there is none."""
        return self._kube("get", "--raw", f"/api/v1/namespaces/{namespace}/secrets/ghcr-secret", ok=None).out

    def end_due(self, now: float) -> None:
        """End what had to last until now, by `time.monotonic`."""
        self._ends.due(now)

    def next_payload(self) -> bytes:
        """Content of a pull secret that there was not before."""
        return _payload(next(self._numbers))

    def payloads(self) -> tuple[bytes, ...]:
        """All content there was."""
        return tuple(_payload(number) for number in range(1, next(self._numbers)))


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
    return payload(token=f"{TOKEN}{number:06d}")


def deployment(name: str, namespace: str) -> dict[str, Any]:
    """A Deployment that lists `ghcr-secret`."""
    manifest = workload("Deployment", name=name, namespace=namespace, secrets=["ghcr-secret"])
    manifest["spec"]["selector"] = {"matchLabels": {"app": name}}
    return manifest
