"""The commands as a plugin of the real kubectl: how it finds, calls and completes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.edges.plugin import as_plugin


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    contexts = [{"name": name, "context": {"cluster": "c", "user": ""}} for name in ("kind-ci", "kind-dev", "prod")]
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "contexts": contexts}))
    return path


def test_it_calls_itself_as_it_was_called(tmp_path: Path, kubeconfig: Path) -> None:
    done = as_plugin(tmp_path, kubeconfig, "ghcr-pull-secrets", "doctor", "--help")

    assert done.stdout.startswith("Usage: kubectl ghcr-pull-secrets doctor [OPTIONS]\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["doc"], ["doctor\tFind out why a cluster does not pull, and...", ":4"]),
        (
            ["doctor", "--ver"],
            ["--verify\tOnly tick off the way of a credential: source, sync, central, copies, pull.", ":4"],
        ),
        (["doctor", "--output", ""], ["text", "json", ":4"]),
        (["doctor", "--context", "kind"], ["kind-ci", "kind-dev", ":4"]),
        (["doctor", "--kubeconfig", ""], [":0"]),
    ],
)
def test_kubectl_completes_it(tmp_path: Path, kubeconfig: Path, typed: list[str], offered: list[str]) -> None:
    done = as_plugin(tmp_path, kubeconfig, "__complete", "ghcr-pull-secrets", *typed)

    assert done.stdout.splitlines() == offered
