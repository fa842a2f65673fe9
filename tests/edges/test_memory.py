"""A server and a controller that start beside the largest objects a tenant can make stay well under their limit."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.machinery.waiting import until
from tests.edges.cluster_script import Json
from tests.edges.large_objects import Large, cluster_with
from tests.edges.peak_memory import LIMIT, ROOT, controller, server
from tests.edges.server_double import Authority, write_pair
from webhook.core.names import SECRET_NAME, SECRET_TYPE

pytestmark = pytest.mark.processes

MEGABYTE = 1_000_000

Make = Callable[[int, int], Large]

WELL_UNDER = LIMIT * 2 // 3


@pytest.fixture(scope="module")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    leaf = Authority().leaf()
    write_pair(folder, leaf.certificate_pem, leaf.key_pem)
    return folder


def metadata(name: str) -> Json:
    return {"namespace": "tenant", "name": name, "resourceVersion": "7", "uid": "u"}


def names(size: int) -> list[dict[str, str]]:
    """Entries as small as a name can be: those take the most memory for their size."""
    return [{"name": f"s{number:06}"} for number in range(size // 19)]


def data(size: int) -> dict[str, str]:
    return {".dockerconfigjson": base64.b64encode(b"x" * (size * 3 // 4)).decode()}


def environment(size: int) -> list[dict[str, str]]:
    return [{"name": f"E{number:06}"} for number in range(size // 19)]


def accounts(count: int, size: int) -> Large:
    return Large("serviceaccounts", count, {"metadata": metadata("default"), "imagePullSecrets": names(size)})


def foreign(count: int, size: int) -> Large:
    return Large("secrets", count, {"metadata": metadata(SECRET_NAME), "type": SECRET_TYPE, "data": data(size)})


def pods(count: int, size: int) -> Large:
    container = {"name": "c", "image": "docker.io/a/b", "env": environment(size // 2)}
    spec = {"containers": [container], "imagePullSecrets": names(size // 2)}
    return Large("pods", count, {"metadata": metadata("p"), "spec": spec})


def test_the_limit_is_the_charts() -> None:
    values = yaml.safe_load((ROOT / "charts/ghcr-pull-secrets/values.yaml").read_text(encoding="utf-8"))
    for component in ("server", "controller"):
        assert values[component]["resources"]["limits"]["memory"] == f"{LIMIT >> 20}Mi"


@pytest.mark.parametrize(
    ("make", "count", "size"),
    [
        (accounts, 60, MEGABYTE),
        (accounts, 60, 10 * MEGABYTE),
        (accounts, 600, MEGABYTE),
        (foreign, 60, MEGABYTE),
        (foreign, 600, MEGABYTE),
        (foreign, 60, 10 * MEGABYTE),
        (foreign, 600, 64 * 1024 * 4 // 3),
    ],
)
def test_a_server_starts_beside_them(make: Make, count: int, size: int, tmp_path: Path, tls_dir: Path) -> None:
    with cluster_with(make(count, size), tmp_path) as kubeconfig, server(kubeconfig, tls_dir) as process:
        process.wait_ready(60)
        print(f"peak of {make.__name__} {count} x {size}: {process.peak / MEGABYTE:.0f} MB")
        assert process.peak < WELL_UNDER


@pytest.mark.parametrize(
    ("make", "count", "size"),
    [
        (accounts, 60, MEGABYTE),
        (foreign, 60, MEGABYTE),
        (pods, 80, MEGABYTE),
        (pods, 16, 10 * MEGABYTE),
        (pods, 200, MEGABYTE),
    ],
)
def test_a_controller_starts_beside_them(make: Make, count: int, size: int, tmp_path: Path) -> None:
    with cluster_with(make(count, size), tmp_path) as kubeconfig, controller(kubeconfig) as process:
        until(lambda: process.says("swept"), "a first sweep", timeout_s=120)
        print(f"peak of {make.__name__} {count} x {size}: {process.peak / MEGABYTE:.0f} MB")
        assert process.peak < WELL_UNDER
