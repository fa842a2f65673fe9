"""What holds for every test."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

# These machines are shared: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_LONGEST_FIRST = ("tests/e2e/", "tests/docs/", "tests/install/", "tests/edges/", "tests/chart/")
"""Folders whose files take tens of seconds: whichever starts last is what the other workers wait for."""

_GROUP = re.compile(r'xdist_group\("([^"]+)"\)')


@functools.cache
def group_of(path: Path) -> str:
    """Say which group the tests of a file are marked to be in, "" if in none."""
    found = _GROUP.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found[1] if found else ""


class FilesInGroups(LoadGroupScheduling):  # type: ignore[misc]
    """Sends a file, or a group of files, to one worker, which sets up what its tests share once.

    xdist 3.8 writes the group of a test into its `_nodeid`, which pytest 9 no longer reads: it would set up everything in
    each worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return group_of(self.config.rootpath / path) or path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    """Schedule by groups where that is asked for."""
    return FilesInGroups(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest folders first, in a worker of xdist; who runs tests in one process sees them as they are."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    found = [number for number, folder in enumerate(_LONGEST_FIRST) if nodeid.startswith(folder)]
    return found[0] if found else len(_LONGEST_FIRST)
