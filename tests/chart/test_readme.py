"""The chart's README says what values.yaml and values.schema.json say (`python -m tests.chart.readme` writes it again)."""

import json

import yaml

from tests import helm
from tests.chart import readme


def test_the_readme_has_not_drifted_from_values_and_schema() -> None:
    assert readme.written() == readme.README.read_text(encoding="utf-8")


def test_every_value_and_every_section_has_a_comment_of_its_own() -> None:
    text = (helm.CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
    told = readme.comments(text)
    sections = set()
    for path, _, _ in readme.leaves(yaml.safe_load(text), schema):
        parts = path.split(".")
        sections |= {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}

    assert sections - told.keys() == set()
    assert told.keys() - sections == set()


def test_a_comment_of_several_lines_is_read_whole_and_belongs_to_the_next_value_only() -> None:
    text = "# -- One\n# two.\na:\n  # plain\n  b: 1\n  # -- Three.\n  c: 2\nd: 3\n"

    assert readme.comments(text) == {"a": "One two.", "a.c": "Three."}
