"""The table of values in the chart's README, made from values.yaml and values.schema.json.

After a change of either: ``python -m tests.chart.readme`` writes it again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from tests import helm

README: Final = helm.CHART / "README.md"
_BEGIN: Final = "<!-- values: made by python -m tests.chart.readme -->\n"
_END: Final = "<!-- end of values -->\n"
_KEY: Final = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]+):")


def comments(text: str) -> dict[str, str]:
    """Read the comments that begin with ``# --``, by the dotted path of the value they stand above."""
    found: dict[str, str] = {}
    path: list[str] = []
    pending: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            pending = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and pending:
            pending.append(stripped.removeprefix("# "))
        elif match := _KEY.match(line):
            path = [*path[: len(match["indent"]) // 2], match["key"]]
            if pending:
                found[".".join(path)] = " ".join(pending)
            pending = []
        else:
            pending = []
    return found


def leaves(
    values: Mapping[str, Any], schema: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """List what can be set: each value whose parts the schema does not name, with its default and its schema."""
    for key, value in values.items():
        node = schema["properties"][key]
        if "$ref" in node:
            node = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
        here = f"{path}.{key}" if path else key
        # A `$comment` names a type of Kubernetes, whose parts are documented there.
        if "properties" in node and "$comment" not in node:
            yield from leaves(value, node, here)
        else:
            yield here, value, node


def table() -> str:
    """Write the table."""
    text = (helm.CHART / "values.yaml").read_text(encoding="utf-8")
    told = comments(text)
    rows = ["| Value | Default | Allowed | Meaning |", "|---|---|---|---|"]
    for path, default, node in leaves(yaml.safe_load(text), _schema()):
        cells = (f"`{path}`", f"`{json.dumps(default)}`", _allowed(node), told[path])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def written() -> str:
    """Give the README's text with the table as it should be."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table()}{_END}{after}"


def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
    return found


def _allowed(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{each or json.dumps(each)}`" for each in node["enum"])
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    bounds = [
        f"{word} {node[name]}" for name, word in (("minimum", "at least"), ("maximum", "at most")) if name in node
    ]
    return ", ".join([" or ".join(types), *bounds])


if __name__ == "__main__":
    README.write_text(written(), encoding="utf-8")
