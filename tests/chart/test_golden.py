"""Golden files of three typical installations (`python -m tests.chart.golden` writes them again)."""

import re

import pytest

from tests import helm
from tests.chart import golden


@pytest.mark.parametrize("installation", golden.INSTALLATIONS)
def test_a_typical_installation_renders_as_recorded(installation: str) -> None:
    assert golden.rendered(installation) == golden.path(installation).read_text(encoding="utf-8")


@pytest.mark.parametrize("installation", golden.INSTALLATIONS)
def test_rendering_twice_gives_the_same_bytes(installation: str) -> None:
    assert helm.files(golden.values(installation)) == helm.files(golden.values(installation))


def test_no_template_asks_the_cluster_or_makes_something_up() -> None:
    """`lookup` and the generators give other bytes each time, and Argo CD has no cluster to look up."""
    for source in sorted((helm.CHART / "templates").rglob("*")):
        if source.is_file():
            text = source.read_text(encoding="utf-8")
            for action in re.findall(r"\{\{(?!-? ?/\*)(.*?)\}\}", text, re.DOTALL):
                words = re.sub(r'"(?:[^"\\]|\\.)*"|`[^`]*`', "", action)
                found = re.search(
                    r"\b(lookup|gen[A-Z]\w+|rand\w+|uuidv4|now|htpasswd|bcrypt|derivePassword|getHostByName)\b", words
                )
                assert found is None, f"{source.name}: {action}"
