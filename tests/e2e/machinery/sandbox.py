"""One Pod of a `Node`: its containers as processes, started, watched and stopped as a kubelet would."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tests.e2e.machinery.containers import pod_fields, program_of
from tests.e2e.machinery.processes import asked
from tests.e2e.machinery.programs import Program

_LOOK_S: Final = 0.1
"""Between two looks at probes and processes; the chart's periods are for clusters, not for tests."""

Json = dict[str, Any]


class Phase(StrEnum):
    """Of a Pod that has been started."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Sandbox:
    """Runs one Pod.

    Args:
        pod: As the API server has it.
        kubeconfig_of: ServiceAccount's name → a kubeconfig with its token.
        report: Called with a `status` whenever it has changed; from a thread of its own.
        folder: Where its processes run.

    Attributes:
        address: Of the Pod: one of the loopback range that nobody else has, so that its ports are those of the chart.
        programs: All its processes, ended ones too.
    """

    def __init__(
        self, pod: Json, *, kubeconfig_of: Callable[[str], Path], report: Callable[[Json], None], folder: Path
    ) -> None:
        self.address = f"127.88.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        self.programs: list[Program] = []
        self._pod = pod
        self._kubeconfig_of = kubeconfig_of
        self._report = report
        self._folder = folder
        self._stop = threading.Event()
        self._restarts = 0
        self._reported: Json | None = None
        self._thread = threading.Thread(target=self._run, name=f"pod-{self.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the Pod."""
        return str(self._pod["metadata"]["name"])

    @property
    def restarts(self) -> int:
        """How often a container was started again."""
        return self._restarts

    @property
    def output(self) -> str:
        """All that was printed in it."""
        return "\n".join(program.output for program in self.programs)

    def end(self) -> None:
        """Stop it within its grace period: SIGTERM, then SIGKILL. Returns when nothing of it runs any more."""
        self._stop.set()
        self._thread.join()
        grace: float = self._pod["spec"]["terminationGracePeriodSeconds"]
        for program in self.programs:
            program.stop(grace)

    def _run(self) -> None:
        spec = self._pod["spec"]
        for container in spec.get("initContainers", []):
            if self._to_its_end(self._start(container)) != 0:
                self._tell(Phase.FAILED)
                return
        running = [(container, self._start(container)) for container in spec["containers"]]
        while not self._stop.is_set():
            ended = [program.code for _, program in running if program.code is not None]
            if len(ended) == len(running) and spec["restartPolicy"] == "Never":
                self._tell(Phase.FAILED if any(ended) else Phase.SUCCEEDED)
                return
            if ended and spec["restartPolicy"] == "Always":
                self._restarts += 1
                running = [(each, program if program.code is None else self._start(each)) for each, program in running]
            self._tell(Phase.RUNNING, ready=all(self._is_ready(container) for container, _ in running))
            self._stop.wait(_LOOK_S)

    def _start(self, container: Json) -> Program:
        spec, metadata = self._pod["spec"], self._pod["metadata"]
        fields = pod_fields(metadata["namespace"], name=metadata["name"], address=self.address)
        command, environment = program_of(
            container, fields, self._kubeconfig_of(spec["serviceAccountName"]), listening_at(container, self.address)
        )
        program = Program(command, environment, folder=self._folder)
        self.programs.append(program)
        return program

    def _to_its_end(self, program: Program) -> int | None:
        while program.code is None and not self._stop.is_set():
            time.sleep(_LOOK_S)
        return program.code

    def _is_ready(self, container: Json) -> bool:
        probe = container.get("readinessProbe")
        if probe is None:
            return True
        port = port_of(container, probe["httpGet"]["port"])
        try:
            return asked(f"http://{self.address}:{port}{probe['httpGet']['path']}")[0] == 200
        except OSError:
            return False

    def _tell(self, phase: Phase, *, ready: bool = False) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        over = phase is not Phase.RUNNING
        state: Json = {"terminated": {"exitCode": 1 if phase is Phase.FAILED else 0}} if over else {"running": {}}
        status = {
            "phase": phase.value,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [
                {"type": kind, "status": "True" if ready or kind in ("PodScheduled", "Initialized") else "False"}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "started": not over,
                    "restartCount": self._restarts,
                    "state": state,
                }
                for container in self._pod["spec"]["containers"]
            ],
        }
        if status != self._reported:
            self._reported = status
            stamped = [{**condition, "lastTransitionTime": now} for condition in _list(status["conditions"])]
            self._report({**status, "conditions": stamped})


def port_of(container: Mapping[str, Any], port: str | int) -> int:
    """A port of a container, by name or number."""
    if isinstance(port, int):
        return port
    return next(int(each["containerPort"]) for each in container["ports"] if each["name"] == port)


def listening_at(container: Mapping[str, Any], address: str) -> dict[str, str]:
    """Flags that have it listen at the Pod's own address, where the chart has all of a Pod's."""
    flags = {}
    for argument in container["args"]:
        flag, _, value = argument.partition("=")
        host, _, port = value.rpartition(":")
        if flag.startswith("--") and host == "0.0.0.0":
            flags[flag] = f"{address}:{port}"
    return flags


def _list(value: Any) -> Sequence[Json]:
    found: Sequence[Json] = value
    return found
