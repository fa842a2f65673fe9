"""The chart, rendered by Helm's own engine: the one source of the manifests that tests, demo and e2e apply."""

import functools
import json
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import helm_python
import yaml

CHART: Final = Path(__file__).resolve().parent.parent / "charts" / "ghcr-pull-secrets"
GIVEN: Final[dict[str, Any]] = {"include": ["ghcr.io/*"]}
"""`images` of every installation that says nothing else: the chart has no default for it."""

_HOOK: Final = "helm.sh/hook"
_LAST: Final = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
_FIRST: Final = (
    "Namespace",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
)

Manifest = dict[str, Any]


def render(
    values: Mapping[str, Any], *, name: str = "ghcr-pull-secrets", namespace: str = "ghcr-pull-secrets"
) -> list[Manifest]:
    """Render what `helm install` would apply, in an order in which it can be applied; hooks are left out.

    Args:
        values: As in a values file, over the chart's defaults.
        name: Of the release.
        namespace: Of the release.

    Raises:
        helm_python.HelmError: the values break the schema, or a template fails.
    """
    return sorted(_manifests(values, name, namespace, hooks=False), key=_rank)


def hooks(
    values: Mapping[str, Any], *, name: str = "ghcr-pull-secrets", namespace: str = "ghcr-pull-secrets"
) -> list[Manifest]:
    """Render the release's hooks (`helm test`, `helm uninstall`); arguments and errors as `render`."""
    return list(_manifests(values, name, namespace, hooks=True))


def notes(values: Mapping[str, Any], *, name: str = "ghcr-pull-secrets", namespace: str = "ghcr-pull-secrets") -> str:
    """Render what Helm prints after an install; arguments and errors as `render`."""
    return files(values, name=name, namespace=namespace)[f"{CHART.name}/templates/NOTES.txt"]


def files(
    values: Mapping[str, Any],
    *,
    name: str = "ghcr-pull-secrets",
    namespace: str = "ghcr-pull-secrets",
    chart: Path = CHART,
) -> dict[str, str]:
    """Render every template to text, by its path; arguments and errors as `render`."""
    images = values.get("images", {})
    given = {**values, "images": {**GIVEN, **images}} if isinstance(images, Mapping) else dict(values)
    if chart == CHART:
        return dict(_rendered(json.dumps(given), name, namespace))
    return _render(chart, given, name, namespace)


@functools.cache
def _rendered(values: str, name: str, namespace: str) -> dict[str, str]:
    # Many tests ask for the same, and a test process does not change the chart.
    return _render(CHART, json.loads(values), name, namespace)


def _render(chart: Path, values: dict[str, Any], name: str, namespace: str) -> dict[str, str]:
    with helm_python.Chart.load(chart) as loaded:
        return loaded.render(values, name=name, namespace=namespace)


_ASKED: Final = '(index . 0).Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1/%s" (index . 1))'


def render_for(values: Mapping[str, Any], *served: str) -> list[Manifest]:
    """Render as for a cluster that serves these kinds of admission policy: offline, Helm's engine takes no word for it."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / CHART.name
        shutil.copytree(CHART, chart)
        template = chart / "templates" / "_covered.tpl"
        text = template.read_text(encoding="utf-8")
        assert _ASKED in text
        answer = f"has (index . 1) (list {' '.join(map(json.dumps, served))})"
        template.write_text(text.replace(_ASKED, answer), encoding="utf-8")
        rendered = files(values, chart=chart)
    return sorted(_parsed(rendered, hooks=False), key=_rank)


def select(manifests: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Pick the one manifest of a kind, or of a kind and name.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = [each for each in manifests if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    if len(found) != 1:
        raise LookupError(f"{len(found)} manifests are {kind} {name or ''}".rstrip())
    return found[0]


def _manifests(values: Mapping[str, Any], name: str, namespace: str, *, hooks: bool) -> Iterator[Manifest]:
    yield from _parsed(files(values, name=name, namespace=namespace), hooks=hooks)


def _parsed(rendered: Mapping[str, str], *, hooks: bool) -> Iterator[Manifest]:
    for path, text in sorted(rendered.items()):
        if not path.endswith(".yaml"):
            continue
        for manifest in pickle.loads(_documents(text)):
            if manifest is not None and (_HOOK in manifest["metadata"].get("annotations", {})) is hooks:
                yield manifest


@functools.cache
def _documents(text: str) -> bytes:
    # Most values leave most files as they are. Pickled, as tests change what they are given.
    return pickle.dumps(list(yaml.load_all(text, Loader=yaml.CSafeLoader)))


def _rank(manifest: Manifest) -> int:
    # As Helm does: what others refer to comes first, and what could stop the rest from getting in comes last.
    kind = manifest["kind"]
    if kind in _LAST:
        return len(_FIRST) + 1
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)
