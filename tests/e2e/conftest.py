"""One control plane and one installation a test process; each test has namespaces of its own.

The files that use them are in the `xdist_group` "installation", so that one worker has them.
"""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.planes import ControlPlane, control_plane
from tests.matching import EXTRA_KINDS
from tests.objects import payload


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    plane = control_plane()
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


@pytest.fixture(scope="session")
def installation(plane: ControlPlane) -> Iterator[Installation]:
    installation = Installation(plane, {"extraWorkloadKinds": EXTRA_KINDS})
    try:
        yield installation.install(servers=2)
    finally:
        installation.uninstall()


@pytest.fixture
def kube(installation: Installation) -> Kube:
    return installation.kube


_numbers = count()


@pytest.fixture
def namespace(installation: Installation) -> Iterator[str]:
    """A namespace nobody else uses."""
    name = installation.namespace(f"ns-{next(_numbers)}")
    yield name
    installation.forget(name)


@pytest.fixture
def central(installation: Installation) -> Iterator[Installation]:
    """For a test that spoils the central secret: it is made good again afterwards."""
    yield installation
    installation.kube("delete", "secret", "ghcr-secret", "-n", "ghcr-pull-secrets", "--ignore-not-found")
    installation.set_central(payload())
