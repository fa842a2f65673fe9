"""The add-on's processes, started as the chart's Deployments would start them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.waiting import until


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def container_command(container: Mapping[str, Any], *, namespace: str) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment a kubelet would give a container; fields of the Pod are filled in."""
    fields = {"metadata.namespace": namespace, "metadata.name": f"pod-{free_port()}", "status.podIP": "127.0.0.1"}
    environment = {}
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environment[entry["name"]] = fields[source] if source else entry.get("value", "")
    arguments = []
    for argument in container["args"]:
        for name, value in environment.items():
            argument = argument.replace(f"$({name})", value)  # noqa: PLW2901 - as the kubelet does, one after another
        arguments.append(argument)
    return arguments, environment


def with_flags(arguments: Sequence[str], flags: Mapping[str, str | None]) -> list[str]:
    """Replace or add flags; `None` takes a flag away. Both `--flag=value` and `--flag value` are understood."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument.partition("=")[0] in flags:
            skip = "=" not in argument
        else:
            kept.append(argument)
    return kept + [f"{flag}={value}" for flag, value in flags.items() if value is not None]


class Process:
    """One process of the add-on, its output kept line by line, or in a file for benchmarks: reading costs time."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        ops_port: int,
        folder: Path,
        output: Path | None = None,
    ) -> None:
        self.arguments = list(arguments)
        self.ops_port = ops_port
        self.lines: list[str] = []
        self._file = output.open("ab") if output else None
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "webhook", *arguments],
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", "COVERAGE_PROCESS_START": ""},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._file or subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def output(self) -> str:
        """All it has printed."""
        return "\n".join(self.lines)

    def _read(self) -> None:
        if self._popen.stdout is None:
            return
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

    def ops(self, path: str) -> tuple[int, str]:
        """Ask the plain listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Wait until `/readyz` says so.

        Raises:
            AssertionError: It did not in time, or the process ended; with what it printed.
        """

        def ready() -> bool:
            if self._popen.poll() is not None:
                return True
            return self.ops("/readyz")[0] == 200

        try:
            until(ready, f"{self.arguments[0]} is ready", timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        if self._popen.poll() is not None:
            self._reader.join(5)
            raise AssertionError(f"{self.arguments[0]} ended with {self._popen.returncode}:\n{self.output}")

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM), and do not wait."""
        self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, timeout_s: float = 30) -> int:
        """Stop it as a kubelet would and return its exit code."""
        if self._popen.poll() is None:
            self.terminate()
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._reader.join(5)
        for opened in (self._popen.stdout, self._file):
            if opened is not None:
                opened.close()
        return self._popen.returncode
