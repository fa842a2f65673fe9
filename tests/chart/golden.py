"""Three typical installations, rendered: what a change of the chart does to them is seen in the diff.

After a change that is meant: ``python -m tests.chart.golden`` writes them again.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from tests import helm

FOLDER: Final = Path(__file__).resolve().parent.parent / "data" / "golden" / "chart"
INSTALLATIONS: Final = ("plain", "argocd-external-secret", "cert-manager-monitoring")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def values(installation: str) -> dict[str, Any]:
    """Read an installation's values."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{installation}.values.yaml").read_text(encoding="utf-8"))
    return found


def rendered(installation: str) -> str:
    """Render an installation, hooks at the end, as one YAML stream."""
    manifests = [*helm.render(values(installation)), *helm.hooks(values(installation))]
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=True)


def path(installation: str) -> Path:
    """Say where an installation's golden file is."""
    return FOLDER / f"{installation}.yaml"


if __name__ == "__main__":
    for each in INSTALLATIONS:
        path(each).write_text(rendered(each), encoding="utf-8")
