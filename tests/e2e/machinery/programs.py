"""Programs the tests start, their output kept."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Program:
    """A program, its output kept line by line, or in a file for benchmarks: reading costs time.

    Args:
        command: What to run.
        environment: Over the environment of the tests.
        folder: Where it runs.
        output: The file.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, folder: Path, output: Path | None = None
    ) -> None:
        self.lines: list[str] = []
        self._file = output.open("ab") if output else None
        self._popen = subprocess.Popen(
            command,
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

    @property
    def code(self) -> int | None:
        """Its exit code; `None` while it runs."""
        return self._popen.poll()

    def _read(self) -> None:
        if self._popen.stdout is None:
            return
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

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
