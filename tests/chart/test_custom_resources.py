"""Custom resources that the chart renders, held to the schemas of their CRDs."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests import helm
from tests.chart import crds
from tests.chart.switches import SWITCHES, everything
from tests.chart.versions import CUSTOM

# Of examples/, and so held to their schemas in tests/docs/test_examples.py.
ELSEWHERE = {"Application", "HelmRelease", "OCIRepository"}


def rendered(switch: str) -> list[helm.Manifest]:
    return [each for each in everything(switch) if each["apiVersion"].startswith(CUSTOM)]


def test_what_any_switch_renders_follows_its_crd_and_every_kind_is_rendered() -> None:
    # One test for all switches: which of them render a custom resource is only known once they are rendered.
    kinds = set()
    for switch in SWITCHES:
        for manifest in rendered(switch):
            assert crds.faults(manifest) == [], f"{switch}: {manifest['kind']}"
            kinds.add(manifest["kind"])

    assert kinds == {kind for _, kind in crds.schemas()} - ELSEWHERE


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every object within one, but for those whose keys are the user's own."""
    if isinstance(value, dict):
        if path[-1:] and path[-1] in ("labels", "annotations", "matchLabels", "valuesObject", "values"):
            return
        if path[-2:] == ("template", "data"):
            return
        yield path
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*path, index))


@pytest.mark.parametrize("switch", ["external secret", "cert-manager", "monitoring"])
def test_a_misspelt_field_is_a_fault_wherever_it_stands(switch: str) -> None:
    for manifest in rendered(switch):
        for place in places(manifest):
            wrong = copy.deepcopy(manifest)
            node: Any = wrong
            for key in place:
                node = node[key]
            node["misspelt"] = "x"
            assert crds.faults(wrong), f"{manifest['kind']} {place}"


def test_no_schema_takes_what_it_does_not_know() -> None:
    def loose(node: Any, path: str = "") -> Iterator[str]:
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node and node.get("additionalProperties") is not False:
                yield path
            for key, each in node.items():
                yield from loose(each, f"{path}/{key}")

    assert [path for each in crds.schemas().values() for path in loose(each)] == []
