"""Golden files of three typical installations (`python -m tests.chart.golden` writes them anew)."""

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
            for word in (
                "lookup",
                "genCA",
                "genSelfSigned",
                "genSigned",
                "genPrivateKey",
                "rand",
                "uuidv4",
                "now |",
                "{{ now",
            ):
                assert f" {word} " not in text, f"{source.name} uses {word}"
