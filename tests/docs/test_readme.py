"""What README.md shows: its commands are run, and the refusal it quotes is asked for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs import commands
from tests.e2e.machinery.release import Release, bare_cluster
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY, workload

README = (commands.ROOT / "README.md").read_text(encoding="utf-8")
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


def test_the_picture_it_shows_is_there() -> None:
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)

    # That it is what `make demo` prints, tests/e2e/test_demo.py says.
    assert shown == ["docs/demo.svg"]
    assert (commands.ROOT / shown[0]).read_text(encoding="utf-8").startswith("<svg ")


def test_it_opens_with_the_story_before_anything_that_has_to_be_done() -> None:
    order = [
        README.index(each) for each in ("**Before.**", "**After.**", "docs/demo.svg", "## See it", "## Install it")
    ]

    assert order == sorted(order)


def test_the_versions_it_names_are_those_of_the_chart_and_of_ci() -> None:
    (sentence,) = re.findall(r"^Kubernetes ([\d.]+) or newer; CI runs it on ([\d., and]+)\. ", README, re.MULTILINE)
    chart = yaml.safe_load((commands.ROOT / "charts/ghcr-pull-secrets/Chart.yaml").read_text(encoding="utf-8"))
    workflow = yaml.safe_load((commands.ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    tried = [str(row["kubernetes"]) for row in workflow["jobs"]["e2e"]["strategy"]["matrix"]["include"]]

    assert chart["kubeVersion"] == f">={sentence[0]}.0-0"
    assert re.findall(r"\d+\.\d+", sentence[1]) == tried


def test_what_it_says_of_failure_and_of_the_mode_are_values_of_the_chart() -> None:
    values = yaml.safe_load((commands.ROOT / "charts/ghcr-pull-secrets/values.yaml").read_text(encoding="utf-8"))
    section = README.partition("## When not to use this")[2].partition("\n## ")[0]

    assert (
        values["webhooks"]["validating"]["failurePolicy"] == values["webhooks"]["mutating"]["failurePolicy"] == "Fail"
    )
    assert "`failurePolicy: Fail`, the default" in section
    assert "`namespaces.mode: opt-in`" in section
    assert values["namespaces"]["mode"] == "opt-out"


def test_every_page_and_folder_it_links_to_is_there() -> None:
    linked = re.findall(r"[^!]\[[^]]+\]\(([^)#]+)\)", README)

    assert len(linked) > 8
    assert [each for each in linked if not (commands.ROOT / each).exists()] == []
