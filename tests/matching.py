"""Images and pod specs, hostile ones among them, with whether the default patterns select an image of theirs."""

from collections.abc import Mapping
from typing import Any, Final

from webhook.core.kinds import TemplatePath, WorkloadKind

RAY: Final = WorkloadKind(
    group="ray.io",
    version="v1",
    resource="rayclusters",
    templates=(("spec", "workerGroupSpecs", "[]", "template"), ("spec", "headGroupSpec", "template")),
)
PYTORCH: Final = WorkloadKind(
    group="kubeflow.org",
    version="v1",
    resource="pytorchjobs",
    templates=(("spec", "pytorchReplicaSpecs", "*", "template"),),
)
BAG: Final = WorkloadKind(group="example.com", version="v1", resource="bags", templates=(("spec", "templates", "[]"),))
EXTRA_KINDS: Final = [
    {"group": "argoproj.io", "version": "v1alpha1", "resource": "rollouts", "podTemplate": "/spec/template"},
    *(
        {
            "group": kind.group,
            "version": kind.version,
            "resource": kind.resource,
            "podTemplates": [
                "".join(token if token == "[]" else f"/{token}" for token in path) for path in kind.templates
            ],
        }
        for kind in (RAY, PYTORCH, BAG)
    ),
]
"""The same as values of the chart."""


def wrap(spec: Any, kind: WorkloadKind) -> dict[str, Any]:
    """Put a pod spec where this kind has it."""
    return {"metadata": {"name": "it"}, **placed({"spec": spec}, kind.templates[0])}


def placed(template: Any, path: TemplatePath) -> dict[str, Any]:
    """Put a pod template where a path leads: into a list of one, or a map of one."""
    for token in reversed(path):
        template = [template] if token == "[]" else {"one" if token == "*" else token: template}
    result: dict[str, Any] = template
    return result


def container(image: str | None) -> dict[str, Any]:
    """A container; `None` for one without an image."""
    return {"name": "c", **({} if image is None else {"image": image})}


def image_volume(reference: str | None) -> dict[str, Any]:
    """A volume made of an image; `None` for one without a reference."""
    return {"name": "v", "image": {} if reference is None else {"reference": reference}}


IMAGES: Final[Mapping[str, bool]] = {
    "ghcr.io/a/b": True,
    "ghcr.io/a/b:1": True,
    "ghcr.io/a/b@sha256:" + "0" * 64: True,
    "ghcr.io:443/a/b": True,
    "GHCR.IO/a/b": True,
    "Ghcr.Io:443/a/b:latest": True,
    "ghcr.io/A/b": True,
    "ghcr.io/": True,
    "ghcr.io:0443/a/b": True,
    "GHCR.io:000443/a/b": True,
    "ghcr.io:4430/a/b": False,
    "ghcr.io:0/a/b": False,
    "ghcr.io:444/a/b": False,
    "ghcr.io.example.com/a/b": False,
    "xghcr.io/a/b": False,
    "ghcrxio/a/b": False,
    "docker.io/ghcr.io/a": False,
    "ghcr.io": False,
    "ghcr.io:443": False,
    "nginx": False,
    "": False,
    " ghcr.io/a/b": False,
    "ghcr.io/a/b\n": True,
    "\nghcr.io/a/b": False,
    "ghcr.io/a\nb": True,
    "ghcr.ıo/a/b": False,
    "GHCR.İO/a/b": False,
}
SPECS: Final[Mapping[str, tuple[Any, bool]]] = {
    "a container": ({"containers": [container("ghcr.io/a/b")]}, True),
    "the last of many containers": ({"containers": [container("x")] * 5 + [container("GHCR.IO/a/b")]}, True),
    "an init container": ({"initContainers": [container("ghcr.io/a/b")], "containers": [container("nginx")]}, True),
    "an ephemeral container": ({"ephemeralContainers": [container("ghcr.io/a/b")]}, True),
    "an image volume": (
        {"containers": [], "volumes": [{"name": "t", "emptyDir": {}}, image_volume("ghcr.io/a/b")]},
        True,
    ),
    "an image volume without a reference": ({"volumes": [image_volume(None)]}, False),
    "volumes of other kinds": ({"volumes": [{"name": "t", "emptyDir": {}}]}, False),
    "a container without an image": ({"containers": [container(None)]}, False),
    "a container without an image, then one with": ({"containers": [container(None), container("ghcr.io/a/b")]}, True),
    "images from elsewhere": ({"containers": [container("nginx"), container("quay.io/ghcr.io/a")]}, False),
    "no containers": ({}, False),
    # Go writes a nil slice without omitempty as null, and validation comes after admission.
    "containers null": ({"containers": None}, False),
    "containers null beside an init container": (
        {"containers": None, "initContainers": [container("ghcr.io/a")]},
        True,
    ),
    "everything null": (dict.fromkeys(("containers", "initContainers", "ephemeralContainers", "volumes")), False),
    "null entries": ({"containers": [None], "volumes": [None, {"name": "v", "image": None}]}, False),
    "a null image": ({"containers": [{"name": "c", "image": None}]}, False),
    "a null reference": ({"volumes": [{"name": "v", "image": {"reference": None}}]}, False),
    "a spec that is null": (None, False),
    "fields of other kinds": (
        {"containers": "ghcr.io/a", "initContainers": {"image": "ghcr.io/a"}, "volumes": 1},
        False,
    ),
    "entries of other kinds": (
        {"containers": ["ghcr.io/a", 1, {"image": ["ghcr.io/a"]}], "volumes": [{"image": "ghcr.io/a"}]},
        False,
    ),
}


def secret_volume(name: Any) -> dict[str, Any]:
    """A volume made of a Secret."""
    return {"name": "v", "secret": {"secretName": name}}


def _env(name: Any) -> dict[str, Any]:
    return {"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": ".dockerconfigjson"}}}


_OURS: Final = "ghcr-secret"
MOUNTS: Final[Mapping[str, tuple[Any, bool]]] = {
    # pod specs without a selected image, and whether they take content from `ghcr-secret`
    "a Secret volume": ({"volumes": [{"name": "t", "emptyDir": {}}, secret_volume(_OURS)]}, True),
    "a projected volume": (
        {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {}}, {"secret": {"name": _OURS}}]}}]},
        True,
    ),
    "envFrom": ({"containers": [{"name": "c", "envFrom": [{"prefix": "A"}, {"secretRef": {"name": _OURS}}]}]}, True),
    "a variable": ({"containers": [{"name": "c", "env": [{"name": "A", "value": "B"}, _env(_OURS)]}]}, True),
    "a variable of an init container": ({"initContainers": [{"name": "c", "env": [_env(_OURS)]}]}, True),
    "envFrom of the last container": (
        {"containers": [{"name": "c"}, {"name": "d", "envFrom": [{"secretRef": {"name": _OURS, "optional": True}}]}]},
        True,
    ),
    "a Secret volume of another name": ({"volumes": [secret_volume("ghcr-secret2")]}, False),
    "a ConfigMap of that name": (
        {
            "volumes": [
                {"name": "v", "configMap": {"name": _OURS}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": _OURS}}]}},
            ],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": _OURS}}]}],
        },
        False,
    ),
    "a pull secret of that name": ({"imagePullSecrets": [{"name": _OURS}], "containers": [{"name": "c"}]}, False),
    "a volume that is only named so": ({"volumes": [{"name": _OURS, "emptyDir": {}}]}, False),
    "a value that only says so": ({"containers": [{"name": "c", "env": [{"name": "A", "value": _OURS}]}]}, False),
    "nothing": ({}, False),
    "lists that are null": (dict.fromkeys(("containers", "initContainers", "volumes")), False),
    "null entries": (
        {
            "volumes": [None, {"secret": None}, {"projected": None}, {"projected": {"sources": [None]}}],
            "containers": [
                None,
                {"env": None, "envFrom": None},
                {"env": [None, {"valueFrom": None}, {"valueFrom": {"secretKeyRef": None}}]},
                {"envFrom": [None, {"secretRef": None}, {"secretRef": {"name": None}}]},
            ],
        },
        False,
    ),
    "null entries, then a Secret volume": ({"volumes": [None, {"secret": None}, secret_volume(_OURS)]}, True),
    "fields of other kinds": (
        {"volumes": [{"secret": _OURS}, secret_volume(7), secret_volume([_OURS])], "containers": {"env": _OURS}},
        False,
    ),
    "entries of other kinds": (
        {"volumes": [_OURS, 1], "containers": [_OURS, {"env": [_OURS], "envFrom": _OURS}]},
        False,
    ),
    "a spec that is null": (None, False),
}
