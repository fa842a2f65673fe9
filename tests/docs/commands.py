"""The commands in the pages of docs/, and a shell to run them in.

A block of shell commands says in its info string what a test does with it: `sh run` is run as it stands, and `sh not-run`
needs what no test has, which the page says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.machinery.kube import kubectl_path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is where it begins."""

    page: str
    line: int
    info: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Read the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page.name, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"])
        for match in _FENCE.finditer(text)
    ]


def run(text: str, kubeconfig: Path, *, stdin: str = "", cwd: Path = ROOT) -> str:
    """Run a block with bash, and return what it printed. On its path are the real kubectl, Helm and our own command.

    Raises:
        AssertionError: One of its commands failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kubectl").symlink_to(kubectl_path())
        helm = Path(folder) / "helm"
        helm.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.e2e.machinery.helm_cli "$@"\n'
        )
        helm.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([folder, str(Path(sys.executable).parent), os.environ["PATH"]]),
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(kubeconfig.parent / "cache"),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            input=stdin,
            env=environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
