"""The real kubectl, as a user would type it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.machinery.reading import NotThere, read

Manifest = Mapping[str, Any]


def kubectl_path() -> str:
    """The kubectl of the virtual environment this runs in, or the machine's."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise FileNotFoundError("no kubectl: it comes with requirements/dev.txt")
    return found


@dataclass(frozen=True)
class Done:
    """What a kubectl call printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it printed."""
        return self.out + self.err


class KubectlFailed(AssertionError):
    """A kubectl call ended otherwise than it had to."""


@dataclass(frozen=True)
class Kube:
    """kubectl with one kubeconfig."""

    kubeconfig: Path
    timeout_s: float = 60

    def __call__(self, *args: str, stdin: str | None = None, ok: bool | None = True) -> Done:
        """Run kubectl.

        Args:
            args: Its arguments.
            stdin: Its standard input.
            ok: Whether it must succeed (`True`), must fail (`False`), or may do either (`None`).

        Raises:
            KubectlFailed: It ended otherwise.
        """
        # Its discovery cache goes beside the kubeconfig: nothing outside is written.
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.kubeconfig.parent / "cache"),
        }
        run = subprocess.run(
            [kubectl_path(), *args],
            input=stdin if stdin is not None else "",
            env=environment,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
        )
        done = Done(run.returncode, run.stdout, run.stderr)
        if ok is not None and ok != (done.code == 0):
            raise KubectlFailed(f"kubectl {' '.join(args)} ended with {done.code}:\n{done.text}")
        return done

    def apply(self, *manifests: Manifest, args: Iterable[str] = (), ok: bool | None = True) -> Done:
        """Apply manifests."""
        # JSON, which is YAML that Go and Python read alike: a name `1e3` is no number.
        return self("apply", "-f", "-", *args, stdin="\n---\n".join(map(json.dumps, manifests)), ok=ok)

    def get(self, kind: str, name: str = "", namespace: str = "", *args: str) -> dict[str, Any]:
        """Read an object, or a list of them, as `kubectl get -o json` has it.

        Tests look again and again until something has come true, so it is kubectl itself only with further arguments.
        """
        if not args:
            return read(self.kubeconfig, kind, name, namespace)
        where = ["-n", namespace] if namespace else []
        what = [kind, name] if name else [kind]
        found: dict[str, Any] = json.loads(self("get", *what, *where, "-o", "json", *args).out)
        return found

    def exists(self, kind: str, name: str, namespace: str = "") -> bool:
        """Tell whether an object is there."""
        try:
            read(self.kubeconfig, kind, name, namespace)
        except NotThere:
            return False
        return True
