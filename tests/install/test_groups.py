"""Tests that share a costly set-up run in one process, however many there are, and what takes longest begins first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
ALONE = """
import os, pathlib, pytest
@pytest.mark.parametrize("number", range(20))
def test_it(number):
    with pathlib.Path(os.environ["PYTEST_XDIST_WORKER"]).open("a") as seen:
        print(pathlib.Path(__file__).stem, file=seen)
"""
ARGUMENTS = ("-q", "-n", "2", "--dist=loadgroup", "--no-loadscope-reorder")
GROUPED = f"{ALONE}\npytestmark = pytest.mark.xdist_group('together')\n".replace("'", '"')


def workers_of_tests(folder: Path, *files: str, ours: bool) -> list[list[str]]:
    """Run files of tests in two workers; gives for each worker the files of the tests it ran, in their order."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GROUPED if "grouped" in name else ALONE, encoding="utf-8")
    if ours:
        (folder / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist.plugin", "-p", "no:cacheprovider", *ARGUMENTS, str(folder)],
        # The other plugins have nothing to do here, and take a second to import.
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert f"{20 * len(files)} passed" in done.stdout, done.stdout + done.stderr
    return [path.read_text(encoding="utf-8").split() for path in sorted(folder.glob("gw*"))]


def test_a_file_and_a_group_of_files_run_in_one_process_and_the_longest_first(tmp_path: Path) -> None:
    files = ("test_a_grouped.py", "test_alone.py", "test_b_grouped.py", "tests/e2e/test_long.py")

    seen = workers_of_tests(tmp_path, *files, ours=True)

    assert seen[0][:20] == ["test_long"] * 20
    assert sorted(name for worker in seen for name in set(worker)) == sorted(Path(name).stem for name in files)
    assert any({"test_a_grouped", "test_b_grouped"} <= set(worker) for worker in seen)


def test_xdist_alone_splits_a_group(tmp_path: Path) -> None:
    seen = workers_of_tests(tmp_path, "test_a_grouped.py", "test_b_grouped.py", ours=False)

    assert [set(worker) for worker in seen] == [{"test_a_grouped", "test_b_grouped"}] * 2, (
        "pytest and xdist agree on groups again: take the scheduler out"
    )
