"""Pod specs found in objects of every kind, and what is read of them."""

import contextlib
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.kinds import KINDS, ROLLOUT, kind_named
from tests.objects import IMAGE, TEMPLATE_PATHS, workload
from webhook.core.kinds import WorkloadKind, find_kind
from webhook.core.workloads import MalformedObject, read, read_all


@pytest.mark.parametrize("kind", TEMPLATE_PATHS)
def test_the_pod_spec_of_every_kind_is_found(kind: str) -> None:
    found = read(kind_named(kind), workload(kind, secrets=["a", "b"], service_account="builder"))
    assert found.spec_path == (*TEMPLATE_PATHS[kind], "spec")
    assert [image.image for image in found.images] == [IMAGE]
    assert (found.pull_secrets, found.listed) == (("a", "b"), 2)
    assert found.service_account == "builder"
    assert found.is_pod == (kind == "Pod")


def test_a_configured_kind_is_found_at_its_own_version_only() -> None:
    assert find_kind(KINDS, group="argoproj.io", version="v1alpha1", resource="rollouts") is ROLLOUT
    assert find_kind(KINDS, group="argoproj.io", version="v2", resource="rollouts") is None
    assert find_kind(KINDS, group="", version="v1", resource="services") is None


def test_images_are_found_wherever_a_pod_names_them() -> None:
    pod = workload(images=["ghcr.io/a/main"])
    pod["spec"]["initContainers"] = [{"name": "i", "image": "ghcr.io/a/init"}]
    pod["spec"]["ephemeralContainers"] = [{"name": "e", "image": "ghcr.io/a/debug"}]
    pod["spec"]["volumes"] = [
        {"name": "v", "image": {"reference": "ghcr.io/a/model", "pullPolicy": "Never"}},
        {"name": "w", "emptyDir": {}},
    ]
    found = read(kind_named("Pod"), pod).images
    assert [(image.place, image.name, image.image) for image in found] == [
        ("initContainers", "i", "ghcr.io/a/init"),
        ("containers", "c0", "ghcr.io/a/main"),
        ("ephemeralContainers", "e", "ghcr.io/a/debug"),
        ("volumes", "v", "ghcr.io/a/model"),
    ]
    assert [image.can_be_pulled for image in found] == [True, True, True, False]


@pytest.mark.parametrize("absent", [None, "missing"])
def test_an_absent_list_of_pull_secrets_is_told_from_an_empty_one(absent: str | None) -> None:
    pod = workload()
    if absent is None:
        pod["spec"]["imagePullSecrets"] = None
    assert read(kind_named("Pod"), pod).listed is None
    pod["spec"]["imagePullSecrets"] = []
    assert read(kind_named("Pod"), pod).listed == 0


def test_an_entry_without_a_name_counts_but_names_nothing() -> None:
    pod = workload()
    pod["spec"]["imagePullSecrets"] = [{}, {"name": ""}, None, {"name": "a"}]
    found = read(kind_named("Pod"), pod)
    assert (found.pull_secrets, found.listed) == (("a",), 4)


def test_the_service_account_has_an_old_name_and_a_default() -> None:
    pod = workload()
    assert read(kind_named("Pod"), pod).service_account == "default"
    pod["spec"]["serviceAccount"] = "old"
    assert read(kind_named("Pod"), pod).service_account == "old"


def test_only_an_owner_that_controls_makes_an_object_controlled() -> None:
    assert read(kind_named("ReplicaSet"), workload("ReplicaSet", owner="Deployment")).controlled
    owned = workload("ReplicaSet", owner="Deployment")
    owned["metadata"]["ownerReferences"][0]["controller"] = False
    assert not read(kind_named("ReplicaSet"), owned).controlled


@pytest.mark.parametrize(("value", "out"), [("false", True), ("true", False), ("False", False), ("", False)])
def test_only_the_exact_annotation_opts_out(value: str, out: bool) -> None:
    mark = {"ghcr-pull-secrets.io/inject": value}
    assert read(kind_named("Pod"), workload(annotations=mark)).opted_out is out
    deployment = workload("Deployment")
    deployment["spec"]["template"]["metadata"]["annotations"] = mark
    assert read(kind_named("Deployment"), deployment).opted_out is out


@pytest.mark.parametrize(
    ("value", "unknown"),
    [
        ("false", False),
        ("true", False),
        ("False", True),
        ("no", True),
        ("", True),
        (False, True),
        ({}, True),
        (None, False),
    ],
)
def test_a_value_of_the_annotation_that_means_nothing_is_noted(value: Any, unknown: bool) -> None:
    mark = {"ghcr-pull-secrets.io/inject": value}
    assert read(kind_named("Pod"), workload(annotations=mark)).unknown_inject is unknown
    deployment = workload("Deployment")
    deployment["spec"]["template"]["metadata"]["annotations"] = mark
    assert read(kind_named("Deployment"), deployment).unknown_inject is unknown
    assert not read(kind_named("Deployment"), workload("Deployment")).unknown_inject


@pytest.mark.parametrize("kind", TEMPLATE_PATHS)
def test_only_a_pod_can_be_a_mirror_pod(kind: str) -> None:
    mark = {"kubernetes.io/config.mirror": "x"}
    assert read(kind_named(kind), workload(kind, annotations=mark)).mirror is (kind == "Pod")


@pytest.mark.parametrize(
    "place", ["containers", "initContainers", "ephemeralContainers", "volumes", "imagePullSecrets"]
)
def test_a_list_beyond_its_bound_is_refused_with_its_length(place: str) -> None:
    pod = workload()
    pod["spec"][place] = [{}] * 10_000
    read(kind_named("Pod"), pod)
    pod["spec"][place] = [{}] * 10_001
    with pytest.raises(MalformedObject) as refused:
        read(kind_named("Pod"), pod)
    assert refused.value.field == f"/spec/{place}"
    assert refused.value.problem == "holds 10001 entries; no more than 10000 are read"


def test_a_list_beyond_its_bound_is_not_read() -> None:
    pod = workload()
    pod["spec"]["imagePullSecrets"] = [{"name": "x"}] * 900_000
    tracemalloc.start()
    try:
        with pytest.raises(MalformedObject):
            read(kind_named("Pod"), pod)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_generated_name_is_shown_as_a_prefix() -> None:
    pod = workload()
    pod["metadata"] = {"generateName": "auth-api-"}
    assert read(kind_named("Pod"), pod).name == "auth-api-*"


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("containers", "x", "/spec/containers"),
        ("containers", ["x"], "/spec/containers/0"),
        ("containers", [{"image": 1}], "/spec/containers/0/image"),
        ("imagePullSecrets", {}, "/spec/imagePullSecrets"),
        ("imagePullSecrets", [{"name": []}], "/spec/imagePullSecrets/0/name"),
        ("serviceAccountName", 1, "/spec/serviceAccountName"),
        ("volumes", [{"image": "x"}], "/spec/volumes/0/image"),
        ("volumes", [{}, {"image": {"reference": 1}}], "/spec/volumes/1/image/reference"),
    ],
)
def test_a_field_of_a_kind_the_api_does_not_allow_is_named(place: str, value: object, field: str) -> None:
    pod = workload()
    pod["spec"][place] = value
    with pytest.raises(MalformedObject) as refused:
        read(kind_named("Pod"), pod)
    assert refused.value.field == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "template", "containers", "image", "name", "imagePullSecrets", "volumes"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@pytest.mark.slow
@given(document=st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), JSON), kind=st.sampled_from(KINDS))
def test_no_object_is_read_with_another_error_than_a_malformed_object(
    document: dict[str, object], kind: WorkloadKind
) -> None:
    with contextlib.suppress(MalformedObject):
        read(kind, document)


@pytest.mark.parametrize("kind", ["Pod", "Deployment"])
def test_without_templates_nothing_of_the_object_is_kept(kind: str) -> None:
    obj = workload(kind)
    (whole,) = read_all(kind_named(kind), obj)
    (bare,) = read_all(kind_named(kind), obj, templates=False)
    assert whole.template
    assert bare == replace(whole, template={})
