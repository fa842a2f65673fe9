"""Equality of objects as apimachinery's `equality.Semantic.DeepEqual` has it."""

from __future__ import annotations

from typing import Any


def semantically_equal(first: Any, second: Any) -> bool:
    """Compare JSON where what is empty equals what is absent."""
    if isinstance(first, dict) and isinstance(second, dict):
        return all(semantically_equal(first.get(key), second.get(key)) for key in first.keys() | second.keys())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(semantically_equal, first, second))
    if first in (None, [], {}) and second in (None, [], {}):
        return True
    return type(first) is type(second) and bool(first == second)
