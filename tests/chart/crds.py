"""Schemas of custom resources, in tests/data/crds: each describes one API version, and knows fewer fields than the CRD has.

What it knows is as the CRD says, so that a misspelt field, a wrong type or an unknown word is a fault. A field of the CRD that
nothing here uses is a fault too, until it is added.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

FOLDER: Final = Path(__file__).resolve().parent.parent / "data" / "crds"


@functools.cache
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """Read them, by API version and kind."""
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))]
    return {(each["properties"]["apiVersion"]["const"], each["properties"]["kind"]["const"]): each for each in found}


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """List what the API server would refuse or drop, each with its place.

    Raises:
        KeyError: There is no schema of that API version and kind.
    """
    validator = jsonschema.Draft202012Validator(schemas()[manifest["apiVersion"], manifest["kind"]])
    return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(manifest)]
