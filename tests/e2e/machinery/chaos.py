"""Chaos: faults by a seed's schedule, and what the cluster must look like a minute after the last.

`python -m tests.e2e.machinery.chaos --seed 1 --seconds 180` runs it on the stand-in, or on a real control plane if
`KUBEBUILDER_ASSETS` names its binaries; there what only the stand-in can do is left out.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.e2e.machinery import chaos_judge as judge
from tests.e2e.machinery.chaos_deeds import OPT_LABEL, OURS, TOKEN, Deeds, Missed, deployment
from tests.e2e.machinery.chaos_schedule import DISOWNED, EXCLUDED, FOREIGN, OUT, TOGGLED, WORKED, Kind, schedule
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.planes import ControlPlane, control_plane
from tests.e2e.machinery.waiting import until

CONVERGED_WITHIN_S: Final = 60.0
"""What issue 3 promises after the end of any fault."""
_CRASHES: Final = ("work_crashed", "watch_failed", "listener_failed", "Traceback")
"""What our processes print when they were taken by surprise. Faults from outside are none."""


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


class Chaos:
    """One run.

    Args:
        plane: A control plane of its own, started.
        say: Told of each action, for a person to follow.
    """

    def __init__(self, plane: ControlPlane, *, seed: int, seconds: float, say: Callable[[str], None]) -> None:
        self._seed = seed
        self._seconds = seconds
        self._say = say
        self._deeds = Deeds(plane)
        self._installation = self._deeds.installation
        self._kube = self._installation.kube
        self._done: Counter[Kind] = Counter()
        self._missed: Counter[Kind] = Counter()

    def run(self) -> Report:
        """Set up, let everything go wrong, wait, judge, take away."""
        converged_s: float | None = None
        faults: tuple[str, ...] = ()
        try:
            self._set_up()
            self._play()
            converged_s, faults = self._settle()
            faults = (*faults, *self._crashes(), *self._leaks())
        finally:
            faults = (*faults, *self._take_away())
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
            self._installation.namespace(name, {OPT_LABEL: "false"} if name in OUT else None)
        owner = self._owner(FOREIGN[1])
        foreign: Mapping[str, Mapping[str, Any]] = {
            OUT[1]: {"annotations": {"team": "theirs"}},
            EXCLUDED[1]: {"labels": OURS},
            FOREIGN[0]: {"annotations": {"team": "theirs"}},
            # As after ESO took a copy of ours over.
            FOREIGN[1]: {"labels": OURS, "ownerReferences": [owner]},
        }
        for name, marks in foreign.items():
            metadata = {"name": "ghcr-secret", "namespace": name, **marks}
            manifest = secret_manifest(name, self._deeds.next_payload(), metadata=metadata)
            self._kube("create", "-f", "-", stdin=json.dumps(manifest))
            self._deeds.foreign[name] = self._deeds.raw(name)
        for name in (*WORKED, *TOGGLED, DISOWNED, *FOREIGN):
            self._kube.apply(deployment("first", name))
        for _ in range(2):
            self._deeds.start_controller()
        until(lambda: self._deeds.leader() is not None, "a controller leads")

    def _owner(self, namespace: str) -> dict[str, Any]:
        self._kube("create", "configmap", "owner", "-n", namespace)
        uid = self._kube.get("configmap", "owner", namespace)["metadata"]["uid"]
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}

    # --- meanwhile

    def _play(self) -> None:
        begun = time.monotonic()
        for action in schedule(self._seed, self._seconds):
            while (left := begun + action.at_s - time.monotonic()) > 0:
                self._deeds.end_due(time.monotonic())
                time.sleep(min(left, 0.1))
            self._deeds.end_due(time.monotonic())
            try:
                self._deeds.act(action)
                self._done[action.kind] += 1
                outcome = ""
            except Missed:
                self._missed[action.kind] += 1
                outcome = " (missed)"
            late = time.monotonic() - begun
            self._say(f"{late:6.1f} s  {action.kind} {action.subject} {action.variant}".rstrip() + outcome)
        self._deeds.end_due(float("inf"))

    # --- after

    def _settle(self) -> tuple[float | None, tuple[str, ...]]:
        ended = time.monotonic()
        late = "late"

        def well() -> bool:
            # Who comes late is served too: the servers' watches have to have converged as well.
            self._kube("create", "namespace", late, ok=None)
            self._kube.apply(deployment("first", late), ok=None)
            served = self._kube.exists("secret", "ghcr-secret", late)
            return served and not self._differences()

        try:
            until(well, "all is well", timeout_s=CONVERGED_WITHIN_S, every_s=0.5)
        except AssertionError:
            return None, self._differences() or (f"{late}: a workload that came late has no copy",)
        return time.monotonic() - ended, ()

    def _differences(self) -> tuple[str, ...]:
        everywhere = ("-A", "--field-selector=metadata.name=ghcr-secret")
        expected = judge.Expected(central=self._deeds.central, foreign=self._deeds.foreign, excluded=set(EXCLUDED))
        observed = judge.Observed(
            namespaces=self._kube.get("namespaces")["items"],
            secrets=self._kube.get("secrets", "", "", *everywhere)["items"],
            pods=self._kube.get("pods", "", "", "-A")["items"],
            foreign={name: self._deeds.raw(name) for name in self._deeds.foreign},
        )
        return judge.differences(expected, observed)

    def _crashes(self) -> tuple[str, ...]:
        printed = self._installation.everything_printed()
        crashes = [f"a process printed {word}" for word in _CRASHES if word in printed]
        for process in (*self._deeds.controllers, *self._installation.servers):
            try:
                process.ops("/readyz")
            except OSError:
                crashes.append(f"{process.arguments[0]} no longer runs")
        return tuple(crashes)

    def _leaks(self) -> tuple[str, ...]:
        places = {
            "what our processes printed or measured": self._installation.everything_printed(),
            "what people were answered": "\n".join(self._deeds.answers),
            "events": self._kube("get", "events", "-A", "-o", "json").out,
        }
        words = [TOKEN, *(base64.b64encode(content).decode() for content in self._deeds.payloads())]
        return tuple(f"a token is in {place}" for place, text in places.items() if any(word in text for word in words))

    def _take_away(self) -> tuple[str, ...]:
        try:
            self._installation.uninstall()
        except AssertionError as error:
            # It looks for tokens too; the rest of the report, and the seed, must not be lost to it.
            return (f"when it was taken away: {error}",)
        return ()


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
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.machinery.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=180)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    report = run(seed=arguments.seed, seconds=arguments.seconds, say=lambda text: print(text, flush=True))
    print(report)
    return 0 if report.converged_s is not None and not report.faults else 1


if __name__ == "__main__":
    sys.exit(main())
