"""The command as a plugin of kubectl."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.docs.commands import ROOT
from tests.e2e.machinery.kube import kubectl_path


def as_plugin(folder: Path, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run kubectl with the executables on its path that installing the package makes."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        (folder / name).write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        (folder / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(folder), os.environ["PATH"]]),
        "KUBECONFIG": str(kubeconfig),
        "KUBECACHEDIR": str(folder / "cache"),
    }
    command = [kubectl_path(), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
