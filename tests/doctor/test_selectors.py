"""Label selectors, as apimachinery has them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor.builders import convert
from webhook.doctor.chain_admission import selects
from webhook.doctor.objects import Selector


def expression(operator: str, *values: str, key: str = "a") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, ["none", "a=1", "a=2", "a=1,b=1"]),
        ({"matchLabels": {"a": "1"}}, ["a=1", "a=1,b=1"]),
        ({"matchLabels": {"a": "1", "b": "1"}}, ["a=1,b=1"]),
        (expression("In", "1"), ["a=1", "a=1,b=1"]),
        (expression("In", "1", "2"), ["a=1", "a=2", "a=1,b=1"]),
        (expression("In"), []),
        (expression("NotIn", "1"), ["none", "a=2"]),
        (expression("NotIn"), ["none", "a=1", "a=2", "a=1,b=1"]),
        (expression("Exists"), ["a=1", "a=2", "a=1,b=1"]),
        (expression("DoesNotExist"), ["none"]),
        (expression("DoesNotExist", key="b"), ["none", "a=1", "a=2"]),
        (expression("Unheard", "1"), []),
        ({"matchLabels": {"a": "1"}, **expression("DoesNotExist", key="b")}, ["a=1"]),
    ],
)
def test_a_selector_selects_these_labels_and_no_others(selector: dict[str, Any], selected: list[str]) -> None:
    every = {
        text: dict(part.split("=") for part in text.split(",") if "=" in part)
        for text in ("none", "a=1", "a=2", "a=1,b=1")
    }

    assert [text for text, labels in every.items() if selects(convert(Selector, selector), labels)] == selected


def test_no_selector_selects_everything() -> None:
    assert selects(None, {})
    assert selects(None, {"a": "1"})
