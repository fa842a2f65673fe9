"""matchConditions catch exactly what the core selects: an object nobody would look at never leaves the API server."""

import contextlib
import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests import helm
from tests.chart.cel import ENGINES, Condition
from tests.chart.shapes import SHAPES, pod_specs
from tests.matching import EXTRA_KINDS, IMAGES, MOUNTS, SPECS, container, placed, wrap
from tests.patterns import pattern_to_regex
from webhook.check.values import settings as check_settings
from webhook.core import workloads
from webhook.core.kinds import POD, WorkloadKind
from webhook.core.patterns import ImagePatterns

INCLUDE = ("ghcr.io/*", "registry.example.com:5000/team-*/app", "*.pkg.dev/*")
EXCLUDE = ("ghcr.io/public/*", "ghcr.io/*-mirror")
PATTERNS = {
    "defaults": ImagePatterns(include=("ghcr.io/*",)),
    "own": ImagePatterns(include=INCLUDE, exclude=EXCLUDE),
}


@functools.cache
def condition(half: str, shape: str, patterns: str, engine: str) -> Condition:
    chosen = PATTERNS[patterns]
    manifests = helm.render(
        {
            "images": {"include": list(chosen.include), "exclude": list(chosen.exclude)},
            "centralSecret": {"existing": True},
            "extraWorkloadKinds": EXTRA_KINDS,
        }
    )
    for webhook in helm.select(manifests, f"{half}WebhookConfiguration", "ghcr-pull-secrets")["webhooks"]:
        if webhook["name"] == shape:
            (selecting,) = [each for each in webhook["matchConditions"] if "has-selected-image" in each["name"]]
            return functools.partial(ENGINES[engine](selecting["expression"]), request={"operation": "CREATE"})
    raise LookupError(f"no webhook {shape}")


def core_selects(obj: dict[str, Any], kind: WorkloadKind, patterns: ImagePatterns) -> bool:
    # What the core calls malformed, no API server stores; it may pass by.
    with contextlib.suppress(workloads.MalformedObject):
        return any(patterns.selects(image.image) for each in workloads.read_all(kind, obj) for image in each.images)
    return False


every_engine = pytest.mark.parametrize("engine", ENGINES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_engine
@pytest.mark.parametrize("number", range(len(IMAGES)))
def test_each_image_is_caught_as_the_core_selects_it(number: int, engine: str) -> None:
    image, expected = list(IMAGES.items())[number]
    obj = wrap({"containers": [container(image)]}, POD)

    assert core_selects(obj, POD, PATTERNS["defaults"]) is expected
    assert condition("Mutating", "pods.ghcr-pull-secrets.io", "defaults", engine)(obj) is expected


@every_engine
@every_shape
@pytest.mark.parametrize("half", ["Mutating", "Validating"])
@pytest.mark.parametrize("case", SPECS)
def test_each_pod_spec_is_caught_as_the_core_selects_it(case: str, half: str, shape: str, engine: str) -> None:
    spec, expected = SPECS[case]
    obj = wrap(spec, SHAPES[shape])

    assert core_selects(obj, SHAPES[shape], PATTERNS["defaults"]) is expected
    assert condition(half, shape, "defaults", engine)(obj) is expected


@every_engine
@pytest.mark.parametrize("case", MOUNTS)
def test_a_pod_that_mounts_the_secret_is_caught_whatever_it_pulls(case: str, engine: str) -> None:
    spec, expected = MOUNTS[case]

    assert condition("Mutating", "pods.ghcr-pull-secrets.io", "defaults", engine)(wrap(spec, POD)) is expected
    for half, shape in (("Validating", "pods"), ("Mutating", "templates"), ("Validating", "cronjobs")):
        name = f"{shape}.ghcr-pull-secrets.io"
        assert condition(half, name, "defaults", engine)(wrap(spec, SHAPES[name])) is False


@every_engine
def test_knatives_service_is_looked_after_with_the_values_of_the_page(engine: str) -> None:
    page = (helm.CHART.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "knative" in each)
    found = helm.render(
        {"centralSecret": {"existing": True}, "images": {"include": ["ghcr.io/*"]}, **yaml.safe_load(block)}
    )
    service = json.loads(
        (helm.CHART.parents[1] / "tests/data/field/F03-knative-service.json").read_text(encoding="utf-8")
    )
    webhooks = [each for config in found for each in config.get("webhooks", ()) if each["name"].startswith("services.")]
    assert {each["clientConfig"]["service"]["path"] for each in webhooks} == {"/mutate", "/validate"}
    for condition in (each for webhook in webhooks for each in webhook["matchConditions"]):
        assert ENGINES[engine](condition["expression"])(service, request={"operation": "CREATE"})


def _container_of(image: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": image}], **more}}


OPERATORS: Mapping[str, tuple[dict[str, Any], int]] = {
    # the least of what each operator's documentation shows, and how many templates with a selected image it has
    "rayclusters": (
        {
            "spec": {
                "rayVersion": "2.46.0",
                "headGroupSpec": {"rayStartParams": {}, "template": _container_of("ghcr.io/a/ray")},
                "workerGroupSpecs": [
                    {"groupName": "small", "replicas": 1, "template": _container_of("nginx")},
                    {"groupName": "large", "replicas": 1, "template": _container_of("ghcr.io/a/ray")},
                ],
            }
        },
        2,
    ),
    "leaderworkersets": (
        {"spec": {"leaderWorkerTemplate": {"size": 4, "workerTemplate": _container_of("ghcr.io/a/vllm")}}},
        1,
    ),
    "pytorchjobs": (
        {
            "spec": {
                "pytorchReplicaSpecs": {
                    "Master": {"replicas": 1, "template": _container_of("ghcr.io/a/train", restartPolicy="OnFailure")},
                    "Worker": {"replicas": 2, "template": _container_of("ghcr.io/a/train")},
                }
            }
        },
        2,
    ),
}


@every_engine
@pytest.mark.parametrize("resource", OPERATORS)
def test_objects_with_several_templates_are_looked_after_with_the_values_of_the_page(
    resource: str, engine: str
) -> None:
    page = (helm.CHART.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "rayclusters" in each)
    values = {"centralSecret": {"existing": True}, "images": {"include": ["ghcr.io/*"]}, **yaml.safe_load(block)}
    obj, templates = OPERATORS[resource]
    webhooks = [
        each
        for config in helm.render(values)
        for each in config.get("webhooks", ())
        if each["name"].startswith(resource)
    ]
    assert {each["clientConfig"]["service"]["path"] for each in webhooks} == {"/mutate", "/validate"}
    for condition in (each for webhook in webhooks for each in webhook["matchConditions"]):
        assert ENGINES[engine](condition["expression"])(obj, request={"operation": "CREATE"})
    (kind,) = [each for each in check_settings([values]).kinds if each.resource == resource]
    assert (
        len([each for each in workloads.read_all(kind, obj) if each.images and "ghcr" in each.images[0].image])
        == templates
    )


@every_engine
@every_shape
def test_an_object_cut_off_above_its_pod_spec_is_passed_over_without_an_error(shape: str, engine: str) -> None:
    for template in SHAPES[shape].templates:
        path = (*template, "spec")
        for depth in range(len(path)):
            for end in ({}, None, "x", 7, [], [None], ["x"], {"x": None}, {"x": "x"}):
                obj: Any = placed(end, path[:depth])
                if isinstance(obj, dict):
                    assert condition("Validating", shape, "defaults", engine)(obj) is False


@every_engine
@pytest.mark.parametrize("patterns", PATTERNS)
@given(spec=pod_specs, shape=st.sampled_from(list(SHAPES)), half=st.sampled_from(["Mutating", "Validating"]))
def test_any_object_is_caught_if_and_only_if_the_core_selects_an_image_of_it(
    spec: dict[str, Any], shape: str, half: str, patterns: str, engine: str
) -> None:
    obj = wrap(spec, SHAPES[shape])

    assert condition(half, shape, patterns, engine)(obj) is core_selects(obj, SHAPES[shape], PATTERNS[patterns])


def chart_regex(include: list[str], exclude: list[str]) -> tuple[str, ...]:
    manifests = helm.render({"images": {"include": include, "exclude": exclude}, "centralSecret": {"existing": True}})
    webhook = helm.select(manifests, "MutatingWebhookConfiguration", "ghcr-pull-secrets")["webhooks"][0]
    found = re.findall(r"c\.image\.matches\(r'(.*?)'\)", webhook["matchConditions"][-1]["expression"])
    return tuple(dict.fromkeys(found))


@pytest.mark.parametrize(
    "pattern",
    [
        "ghcr.io/*",
        "GHCR.io/my-org/*",
        "ghcr.io:443/a",
        "ghcr.io:80/a_b.c/d--e*",
        "ghcr.io:4430/x",
        "ghcr.io:0443/x",
        "ghcr.io:0080/x",
        "ghcr.io:000/x",
        "*.pkg.dev/*",
        "reg-*.example.com:5000/*/*/app",
        "localhost/x",
        "localhost:5000/x",
        "registry:5000/*",
        "[2001:DB8::1]/x",
        "[::1]:5000/x",
        "[::1]:443/x",
        "*.*/*",
        "ghcr.io//x",
    ],
)
def test_the_chart_and_the_core_make_the_same_regular_expression_of_a_pattern(pattern: str) -> None:
    assert chart_regex([pattern], ["ghcr.io/excluded"]) == (
        pattern_to_regex(pattern),
        pattern_to_regex("ghcr.io/excluded"),
    )
    assert chart_regex(["ghcr.io/included"], [pattern])[1] == pattern_to_regex(pattern)


def test_many_patterns_make_one_regular_expression() -> None:
    include = [f"ghcr.io/org-{number}/*" for number in range(50)]

    paths = "|".join(f"org-{number}/[^:@\\n]*" for number in range(50))
    expected = pattern_to_regex("ghcr.io/x").replace("/x(", f"/({paths})(")
    assert chart_regex(include, []) == (expected,)
    # Of several hosts each is written once.
    other = ["quay.io/a", "ghcr.io/b", "quay.io/c"]
    ghcr, quay = pattern_to_regex("ghcr.io/b"), pattern_to_regex("quay.io/a").replace("/a(", "/(a|c)(")
    assert chart_regex(other, []) == (f"{quay}|{ghcr}",)


def cost_of_matches(image: int, regex: int) -> float:
    """Say what the API server charges for `matches`, given the lengths: cel-go's interpreter/runtimecost.go."""
    return math.ceil((1 + image) * 0.1) * math.ceil(regex * 0.25)


def test_fifty_patterns_on_fifty_long_images_cost_less_than_a_webhook_may() -> None:
    per_call_limit = 1_000_000  # k8s.io/apiserver/pkg/apis/cel/config.go: PerCallLimit
    (regex,) = chart_regex([f"ghcr.io/organisation-{number}/*" for number in range(50)], [])

    assert 50 * cost_of_matches(image=100, regex=len(regex)) < per_call_limit
