"""`make`, on a machine of its own: a project with a lock, and an index in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.install.lock import ROOT

# A virtual environment takes seconds, and several of them on a busy machine a minute each.
pytestmark = [pytest.mark.xdist_group("make"), pytest.mark.timeout(600)]

_BACKEND = """
import pathlib, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "project-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("project-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1.0\\n")
        wheel.writestr("project-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("project-1.0.dist-info/RECORD", "")
    return name
"""
_PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "project"
version = "1.0"
"""
_LINE = "Making .venv, once, about a minute\n"


class Machine:
    """A clone of a project with the real Makefile, and an index that holds what is added to it."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "clone"
        self.index = folder / "index"
        (self.clone / "requirements").mkdir(parents=True)
        self.index.mkdir()
        shutil.copy(ROOT / "Makefile", self.clone)
        (self.clone / "backend.py").write_text(_BACKEND)
        (self.clone / "pyproject.toml").write_text(_PROJECT)

    def release(self, name: str, version: str, *metadata: str) -> str:
        """Put a wheel into the index, and return its line of a lock. One of its two modules is for no Python there is."""
        path = self.index / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata)
            wheel.writestr(f"{info}/METADATA", "\n".join(head) + "\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/template.py", "class {{ name }}:\n")
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def lock(self, *lines: str) -> None:
        (self.clone / "requirements" / "dev.txt").write_text("".join(lines))

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Make the virtual environment. The index that pip is told of besides has no folder of any package."""
        # `make test` is a make too, and its variables do not concern another: by MAKELEVEL one says which folder it enters.
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "MAKE", "MFLAGS"))
        }
        return subprocess.run(
            ["make", ".venv/.installed", f"PYTHON={sys.executable}", *arguments],
            cwd=self.clone,
            env={
                **environment,
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": (self.index / "none").as_uri(),
                "PIP_FIND_LINKS": str(self.index),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_newer_release_of_what_is_locked_breaks_nothing_and_one_line_is_said(machine: Machine) -> None:
    # As pytest-cov asks for coverage[toml]: older pip looks the extra up apart from the pin.
    asks = machine.release("asks", "1.0", "Requires-Dist: asked[more]>=1.0")
    asked = machine.release("asked", "1.0", "Provides-Extra: more")
    machine.release("asked", "2.0", "Provides-Extra: more")
    machine.lock(asks, asked)

    done = machine.make()

    assert (done.returncode, done.stdout, done.stderr) == (0, _LINE, "")
    assert machine.make().stdout == "make: '.venv/.installed' is up to date.\n"
    installed = [path.name for path in machine.clone.glob(".venv/lib/python3*/site-packages/asked-*")]
    assert installed == ["asked-1.0.dist-info"]
    compiled = [path.name for path in machine.clone.glob(".venv/lib/python3*/site-packages/asked/__pycache__/*")]
    assert compiled == [f"__init__.{sys.implementation.cache_tag}.pyc"]

    # The next lock no longer has what the last one had; what it left behind must not be found wanting.
    machine.lock(machine.release("asked", "0.9"))
    os.utime(machine.clone / "requirements" / "dev.txt", (2**32, 2**32))
    assert machine.make().returncode == 0
    assert not list(machine.clone.glob(".venv/lib/python3*/site-packages/asks-*"))


def test_what_is_wrong_is_said_in_full(machine: Machine) -> None:
    asks = machine.release("asks", "1.0", "Requires-Dist: asked>=1.0")
    machine.lock(asks)

    incomplete = machine.make()

    assert incomplete.returncode != 0
    assert "asks 1.0 requires asked, which is not installed." in incomplete.stderr
    assert not (machine.clone / ".venv" / ".installed").exists()

    machine.lock(asks.partition("sha256:")[0] + "sha256:" + "0" * 64 + "\n")
    forged = machine.make()

    assert forged.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in forged.stderr

    machine.lock("absent==1.0 --hash=sha256:" + "0" * 64 + "\n")
    absent = machine.make()

    assert absent.returncode != 0
    assert "No matching distribution found for absent==1.0" in absent.stderr


def test_an_old_python_is_refused_before_anything_is_made(machine: Machine, tmp_path: Path) -> None:
    machine.lock()
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); sys.version = \'3.10.1 (main)\'; exec(sys.argv[1])" "$2"\n'
    )
    python.chmod(0o755)

    done = machine.make(f"PYTHON={python}")

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, this is 3.10.1" in done.stderr
    assert not (machine.clone / ".venv").exists()


def test_what_is_compiled_is_kept_wherever_a_machine_says_otherwise(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["make", "--silent", "--file", str(ROOT / "Makefile"), "--eval", "environment: ; @env", "environment"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "KUBEBUILDER_ASSETS": "/somewhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    assert "KUBEBUILDER_ASSETS=/somewhere" in shown
    assert not [line for line in shown if line.startswith("PYTHONDONTWRITEBYTECODE")]
