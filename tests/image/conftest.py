"""The tests of the built image need an image: `make image-test` builds it and names it in `IMAGE`.

Without that they are not collected, since building takes minutes and `make test` is for every change.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.engines import Buildah, Docker, Image

collect_ignore = [] if os.environ.get("IMAGE") else ["test_container.py", "test_processes.py"]


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """What `scripts/build-image` built, ready to run."""
    engine, name = os.environ["IMAGE"].split()
    with (Docker if engine == "docker" else Buildah)(name) as image:
        yield image


@pytest.fixture
def folder() -> Iterator[Path]:
    """What a container sees at /mnt; unlike `tmp_path` its owner's alone, and gone afterwards: kubeconfigs hold tokens."""
    with tempfile.TemporaryDirectory(prefix="image-") as made:
        path = Path(made)
        (path / "mnt").mkdir()
        yield path / "mnt"
