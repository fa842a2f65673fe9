"""The commands in the pages of docs/, and a shell to run them in.

A block of shell commands says in its info string what a test does with it: `sh run` is run as it stands, `sh helm` is
one helm command whose values are put through the chart, and `sh not-run` needs what no test has, which the page says.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kube import kubectl_path

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
    """Run a block with bash, the real kubectl on its path, and return what it printed.

    Raises:
        AssertionError: One of its commands failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kubectl").symlink_to(kubectl_path())
        environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
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


@dataclass(frozen=True)
class HelmCommand:
    """A helm command: its verb, release, chart, namespace and values; other flags by name."""

    verb: str
    positional: tuple[str, ...]
    flags: Mapping[str, str]
    values: dict[str, Any]


_SWITCHES = frozenset({"--create-namespace", "--reuse-values", "--wait", "--rollback-on-failure"})
_WITH_VALUE = frozenset({"--namespace", "--timeout", "--version"})


def helm_command(text: str) -> HelmCommand:
    """Read a helm command.

    Raises:
        ValueError: It has a flag that is not known here; helm 4 might not know it either.
    """
    program, verb, *rest = shlex.split(text.replace("\\\n", " "))
    if program != "helm":
        raise ValueError(f"not a helm command: {program}")
    flags: dict[str, str] = {}
    positional: list[str] = []
    values: dict[str, Any] = {}
    words = iter(rest)
    for word in words:
        if word == "--set":
            _set(values, next(words))
        elif word == "--values":
            values |= yaml.safe_load((ROOT / next(words)).read_text(encoding="utf-8"))
        elif word in _WITH_VALUE:
            flags[word] = next(words)
        elif word in _SWITCHES:
            flags[word] = ""
        elif word.startswith("-"):
            raise ValueError(f"unknown flag {word}")
        else:
            positional.append(word)
    return HelmCommand(verb, tuple(positional), flags, values)


def _set(values: dict[str, Any], assignment: str) -> None:
    """As `helm --set`, for what the pages use: dotted paths, YAML scalars, and lists in braces."""
    path, _, text = assignment.partition("=")
    value = text.strip("{}").split(",") if text.startswith("{") else yaml.safe_load(text)
    *parents, last = path.split(".")
    for part in parents:
        values = values.setdefault(part, {})
    values[last] = value
