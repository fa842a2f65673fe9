"""The add-on's processes, started as the chart's Deployments would start them."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.machinery.programs import Program
from tests.e2e.machinery.waiting import until


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def asked(url: str) -> tuple[int, str]:
    """Ask a plain listener; returns status and body."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Process(Program):
    """One process of the add-on.

    Args:
        arguments: Of `python -m webhook`.
        ops_port: Where its plain listener is.
        environment, folder, output: As for a `Program`.
    """

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
        super().__init__([sys.executable, "-m", "webhook", *arguments], environment, folder=folder, output=output)

    def ops(self, path: str) -> tuple[int, str]:
        """Ask the plain listener."""
        return asked(f"http://127.0.0.1:{self.ops_port}{path}")

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Wait until `/readyz` says so.

        Raises:
            AssertionError: It did not in time, or the process ended; with what it printed.
        """

        def ready() -> bool:
            return self.code is not None or self.ops("/readyz")[0] == 200

        try:
            until(ready, f"{self.arguments[0]} is ready", timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        if self.code is not None:
            self._reader.join(5)
            raise AssertionError(f"{self.arguments[0]} ended with {self.code}:\n{self.output}")
