"""How much memory a process of the add-on took at its peak, measured from outside.

`VmHWM` in `/proc` is the counter behind `ru_maxrss`. `ru_maxrss` itself also holds what the *parent* had at the time of
the fork, and here that is a whole test run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.machinery.processes import Process, free_port

LIMIT: int = 256 << 20
"""Memory limit of server and controller in the chart's values; held to them by a test."""

ROOT = Path(__file__).parents[2]


def peak_bytes(pid: int) -> int:
    """Say how much a process and its children took: the peak of each that has no child, and what a parent has alone.

    gunicorn's first process forks the one that works: what the two share is counted once, as a memory limit does.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    if not children:
        return _kilobytes(pid, "status", "VmHWM") * 1024
    alone = _kilobytes(pid, "smaps_rollup", "Private_Clean") + _kilobytes(pid, "smaps_rollup", "Private_Dirty")
    return alone * 1024 + sum(peak_bytes(int(child)) for child in children)


def _kilobytes(pid: int, file: str, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, (file, field)
    return int(found[1])


class Measured(Process):
    """A process of the add-on, and its memory."""

    @property
    def peak(self) -> int:
        """Bytes of memory at the highest so far, children included."""
        return peak_bytes(self.pid)

    def says(self, event: str) -> bool:
        """Tell whether it has logged that."""
        return any(f'"event":"{event}"' in line for line in self.lines)


@contextmanager
def server(kubeconfig: str, tls_dir: Path, *flags: str) -> Iterator[Measured]:
    """Run `serve` against an API server; its certificate is in that folder."""
    port, ops_port = free_port(), free_port()
    yield from _running(
        ["serve", "--tls-dir", str(tls_dir), "--bind", f"127.0.0.1:{port}", *_common(kubeconfig, ops_port), *flags],
        ops_port,
    )


@contextmanager
def controller(kubeconfig: str, *flags: str) -> Iterator[Measured]:
    """Run `controller` against an API server, with nothing but copies to look after."""
    ops_port = free_port()
    without = ["--no-manage-certificates", "--no-credential-check"]
    yield from _running(["controller", *_common(kubeconfig, ops_port), *without, *flags], ops_port)


def _common(kubeconfig: str, ops_port: int) -> list[str]:
    return ["--kubeconfig", kubeconfig, "--namespace", "ghcr", "--ops-bind", f"127.0.0.1:{ops_port}"]


def _running(arguments: list[str], ops_port: int) -> Iterator[Measured]:
    process = Measured(arguments, {}, ops_port=ops_port, folder=ROOT)
    try:
        yield process
    finally:
        process.stop()
