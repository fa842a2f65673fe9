"""Kinds whose objects hold several pod templates: the API server asks about those that the core would act on, and no others."""

import copy
import functools
from typing import Any

import helm_python
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import helm
from tests.chart.cel import ENGINES, Condition
from tests.matching import BAG, EXTRA_KINDS, PYTORCH, RAY, container, placed
from tests.objects import RULES
from webhook.core import workloads
from webhook.core.before import Before
from webhook.core.kinds import WorkloadKind
from webhook.core.parts import selected_images
from webhook.core.workloads import MAX_TEMPLATES, MalformedObject

Object = dict[str, Any]
SHAPES = {"rayclusters.v1.ray.io": RAY, "pytorchjobs.v1.kubeflow.org": PYTORCH, "bags.v1.example.com": BAG}
FIRST, LAST, VALIDATING = "Mutating", "Mutating last", "Validating"

every_engine = pytest.mark.parametrize("engine", ENGINES)


@functools.cache
def conditions(half: str, shape: str, engine: str) -> tuple[Condition, ...]:
    manifests = helm.render({"centralSecret": {"existing": True}, "extraWorkloadKinds": EXTRA_KINDS})
    name = "zz-ghcr-pull-secrets" if half == LAST else "ghcr-pull-secrets"
    configuration = helm.select(manifests, f"{half.partition(' ')[0]}WebhookConfiguration", name)
    last = "last." if half == LAST else ""
    (webhook,) = [each for each in configuration["webhooks"] if each["name"] == f"{shape}.{last}ghcr-pull-secrets.io"]
    return tuple(ENGINES[engine](each["expression"]) for each in webhook["matchConditions"])


def called(half: str, shape: str, engine: str, new: Object, old: Object | None) -> bool:
    request = {"operation": "CREATE" if old is None else "UPDATE"}
    others = {"request": request, **({} if old is None else {"oldObject": old})}
    return all(holds(new, **others) for holds in conditions(half, shape, engine))


def wanted(kind: WorkloadKind, new: Object, old: Object | None, *, unlisted_only: bool) -> bool:
    """Whether a template that is new or changed has an image to look after."""
    there = workloads.read_all(kind, old) if old else ()
    return any(
        selected_images(each, RULES)
        and not Before(other for other in there if other.path == each.path).had(each)
        and not (unlisted_only and "ghcr-secret" in each.pull_secrets)
        for each in workloads.read_all(kind, new)
    )


def template(image: str, *secrets: str) -> Object:
    spec: Object = {"containers": [container(image)]}
    if secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in secrets]
    return {"spec": spec}


def ray(*workers: Any, head: Any = None) -> Object:
    entries = [{"groupName": f"g{n}", "replicas": 1, "template": each} for n, each in enumerate(workers)]
    return {"spec": {"headGroupSpec": {"template": head}, "workerGroupSpecs": entries}}


GHCR, OTHER, NGINX = template("ghcr.io/a/b:1"), template("ghcr.io/a/b:2"), template("nginx")
UPDATES = {
    "nothing": (ray(GHCR, OTHER), ray(GHCR, OTHER), False),
    "another order": (ray(GHCR, OTHER, NGINX), ray(NGINX, OTHER, GHCR), False),
    "one removed": (ray(GHCR, OTHER), ray(OTHER), False),
    "one as another": (ray(GHCR), ray(GHCR, GHCR), False),
    "a new one": (ray(GHCR), ray(GHCR, OTHER), True),
    "a new one in front": (ray(GHCR), ray(OTHER, GHCR), True),
    "a new one without a selected image": (ray(GHCR), ray(NGINX, GHCR), False),
    "another image": (ray(GHCR, NGINX), ray(OTHER, NGINX), True),
    "another image in what is not selected": (ray(GHCR, NGINX), ray(GHCR, template("redis")), False),
    "the head": (ray(GHCR, head=GHCR), ray(GHCR, head=OTHER), True),
    "the head, to what a worker is": (ray(GHCR, head=NGINX), ray(GHCR, head=GHCR), True),
    "a head, though a worker was that": (ray(GHCR), ray(GHCR, head=GHCR), True),
}


@every_engine
@pytest.mark.parametrize("case", UPDATES)
def test_an_update_is_asked_about_if_a_template_with_a_selected_image_is_new_or_changed(case: str, engine: str) -> None:
    old, new, expected = UPDATES[case]
    assert wanted(RAY, new, old, unlisted_only=False) is expected
    for half in (FIRST, VALIDATING, LAST):
        assert called(half, "rayclusters.v1.ray.io", engine, new, old) is expected


@every_engine
def test_scaling_a_group_is_not_asked_about(engine: str) -> None:
    old = ray(GHCR, OTHER, head=GHCR)
    new = copy.deepcopy(old)
    new["spec"]["workerGroupSpecs"][1]["replicas"] = 7
    new["spec"]["workerGroupSpecs"][0]["scaleStrategy"] = {"workersToDelete": ["a"]}
    assert not called(VALIDATING, "rayclusters.v1.ray.io", engine, new, old)


@every_engine
def test_the_last_configuration_is_called_for_a_template_that_lists_nothing_yet(engine: str) -> None:
    listing = template("ghcr.io/a/b:1", "ghcr-secret")
    for obj, expected in (
        (ray(listing, head=listing), False),
        (ray(listing, NGINX, head=listing), False),
        (ray(listing, GHCR, head=listing), True),
        (ray(listing, head=GHCR), True),
        (ray(listing, template("ghcr.io/a/b:1", "other")), True),
    ):
        assert called(LAST, "rayclusters.v1.ray.io", engine, obj, None) is expected
        assert called(FIRST, "rayclusters.v1.ray.io", engine, obj, None)


@every_engine
def test_more_templates_than_are_read_are_not_looked_up(engine: str) -> None:
    # Looking up each of N among N costs more than the API server allows; `read_all` says what is wrong with so many.
    def scaled(groups: int) -> tuple[Object, Object]:
        old = ray(*[GHCR] * groups)
        new = copy.deepcopy(old)
        new["spec"]["workerGroupSpecs"][0]["replicas"] = 7
        return new, old

    assert not called(VALIDATING, "rayclusters.v1.ray.io", engine, *scaled(MAX_TEMPLATES))
    assert called(VALIDATING, "rayclusters.v1.ray.io", engine, *scaled(MAX_TEMPLATES + 1))
    many = ray(*[GHCR] * (MAX_TEMPLATES + 1))
    labelled = {**many, "metadata": {"labels": {"a": "b"}, "finalizers": []}}
    assert not called(VALIDATING, "rayclusters.v1.ray.io", engine, labelled, many)
    with pytest.raises(MalformedObject, match=r"^/spec/workerGroupSpecs/128/template: is one pod template more than"):
        workloads.read_all(RAY, many)


templates: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(GHCR, GHCR, OTHER, NGINX, template("ghcr.io/a/b:1", "ghcr-secret"), template("ghcr.io/a/b:1", "x")),
        *({}, None, {"spec": None}, {"spec": {}}, {"spec": {"containers": None}}, {"metadata": None, "spec": {}}),
    ]
)
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, {}, [], "x", 7, ["x"], [None], {"one": "x"}, {"one": None}, [[]], [{"template": "x"}]]
)
entries: st.SearchStrategy[Any] = (
    st.none() | st.just({}) | st.builds(lambda each: {"replicas": 1, "template": each}, templates)
)
RANDOM: dict[str, st.SearchStrategy[Object]] = {
    "rayclusters.v1.ray.io": st.fixed_dictionaries(
        {},
        optional={
            "spec": odd
            | st.fixed_dictionaries(
                {},
                optional={
                    "headGroupSpec": odd | st.builds(lambda each: {"template": each}, templates),
                    "workerGroupSpecs": odd | st.lists(entries, max_size=3),
                },
            )
        },
    ),
    "pytorchjobs.v1.kubeflow.org": st.fixed_dictionaries(
        {},
        optional={
            "spec": odd
            | st.fixed_dictionaries(
                {},
                optional={
                    "pytorchReplicaSpecs": odd
                    | st.dictionaries(st.sampled_from(["Master", "Worker", "a/b", "~", ""]), entries, max_size=3)
                },
            )
        },
    ),
    "bags.v1.example.com": st.builds(lambda each: placed(each, ("spec", "templates")), odd | st.lists(templates)),
}


@every_engine
@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), half=st.sampled_from([FIRST, LAST, VALIDATING]))
def test_any_object_is_asked_about_if_and_only_if_the_core_acts_on_a_template_of_it(
    shape: str, engine: str, data: st.DataObject, half: str
) -> None:
    new, old = data.draw(RANDOM[shape], label="new"), data.draw(st.none() | RANDOM[shape], label="old")
    asked = called(half, shape, engine, new, old)  # whatever the object, no expression errs
    try:
        expected = wanted(SHAPES[shape], new, old, unlisted_only=half == LAST)
    except MalformedObject:
        return
    assert asked is expected


def test_expressions_longer_than_the_api_server_compiles_are_refused_when_they_are_rendered() -> None:
    paths = [f"/spec/group{number}[]/template" for number in range(8)]
    kind = {"group": "example.com", "version": "v1", "resource": "bags", "podTemplates": paths}
    values = {"centralSecret": {"existing": True}, "extraWorkloadKinds": [kind]}
    helm.render(values)
    include = [f"ghcr.io/{'a-long-name/' * 4}{number}/*" for number in range(50)]
    with pytest.raises(helm_python.HelmError, match=r"extraWorkloadKinds: bags\.v1\.example\.com has too many"):
        helm.render({**values, "images": {"include": include}})
