"""What README.md shows: its commands are run, and the refusal it quotes is asked for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import commands
from tests.e2e.release import Release, bare_cluster
from tests.e2e.waiting import until
from tests.objects import CANARY, workload

BLOCKS = commands.blocks(commands.ROOT / "README.md")


def block(containing: str) -> str:
    (found,) = [each.text for each in BLOCKS if containing in each.text]
    return found


@pytest.fixture
def cluster() -> Iterator[Release]:
    with bare_cluster() as release:
        yield release


def test_what_it_says_to_install_works_and_what_it_quotes_is_said(cluster: Release, tmp_path: Path) -> None:
    commands.run(block("helm install"), cluster.kube.kubeconfig, stdin=f"{CANARY}\n")
    until(cluster.ready, "the servers are ready", timeout_s=60)
    namespace = cluster.namespace("by-hand", {"ghcr-pull-secrets.io/inject": "false"})
    deployment = workload("Deployment", name="auth-api", namespace=namespace)
    deployment["spec"]["selector"] = {"matchLabels": {"app": "auth-api"}}
    (tmp_path / "deployment.yaml").write_text(json.dumps(deployment))
    command, _, quoted = block("denied the request").removeprefix("$ ").partition("\n")

    def said() -> str:
        with pytest.raises(AssertionError) as failed:
            commands.run(command, cluster.kube.kubeconfig, cwd=tmp_path)
        return " ".join(str(failed.value).split())

    # An API server learns of a webhook by its own watch, a moment after `helm install`.
    until(lambda: " ".join(quoted.split()) in said(), "it is refused in these words")


def test_the_targets_it_names_are_there() -> None:
    makefile = (commands.ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", block("make demo"), re.MULTILINE))

    assert named == {"demo", "test"}
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named)
