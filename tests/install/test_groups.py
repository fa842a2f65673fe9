"""Tests that share a costly set-up run in one process, however many there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
GROUPED = """
import os, pathlib, pytest
pytestmark = pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(20))
def test_it(number):
    pathlib.Path(__file__).with_name(f"{os.environ['PYTEST_XDIST_WORKER']}.seen").touch()
"""


@pytest.mark.parametrize(("ours", "workers"), [(True, 1), (False, 2)])
def test_a_group_of_files_runs_in_one_process(tmp_path: Path, ours: bool, workers: int) -> None:
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(GROUPED, encoding="utf-8")
    if ours:
        (tmp_path / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist=loadgroup", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert "40 passed" in done.stdout, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.seen"))) == workers, (
        "pytest and xdist agree on groups again: take the scheduler out"
    )
