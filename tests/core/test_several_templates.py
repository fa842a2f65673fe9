"""Kinds with several pod templates: where they are found, what each is called, what an UPDATE changed of them."""

import copy
from typing import Any

import jsonpatch
import pytest

from tests.matching import PYTORCH, RAY, container
from tests.objects import RULES
from webhook.core import answers, policy
from webhook.core.before import Before, read_before
from webhook.core.display import dotted
from webhook.core.kinds import BUILT_IN_KINDS, POD, WorkloadKind
from webhook.core.parts import Part, parts
from webhook.core.policy import Decision, ServiceAccount
from webhook.core.scope import Namespace
from webhook.core.vocabulary import Reason
from webhook.core.workloads import MAX_TEMPLATES, MalformedObject, Workload, read_all

Object = dict[str, Any]
LEADER_WORKER = WorkloadKind(
    group="leaderworkerset.x-k8s.io",
    version="v1",
    resource="leaderworkersets",
    templates=(
        ("spec", "leaderWorkerTemplate", "leaderTemplate"),
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    ),
)


def template(image: str = "ghcr.io/a/b", *secrets: str, **spec: Any) -> Object:
    body: Object = {"containers": [container(image)], **spec}
    if secrets:
        body["imagePullSecrets"] = [{"name": name} for name in secrets]
    return {"spec": body}


def ray(*workers: Any, head: Any = None) -> Object:
    return {
        "metadata": {"name": "ray"},
        "spec": {
            "headGroupSpec": {"template": head},
            "workerGroupSpecs": [None if each is None else {"template": each} for each in workers],
        },
    }


def places(kind: WorkloadKind, obj: Object) -> list[str]:
    """Of the pod specs with an image."""
    return [each.place for each in read_all(kind, obj) if each.images]


FOUND = [
    (RAY, {}, []),
    (RAY, {"spec": {"workerGroupSpecs": []}}, []),
    (RAY, {"spec": {"workerGroupSpecs": None, "headGroupSpec": None}}, []),
    (RAY, ray(None, {}, head={}), []),
    (RAY, ray(head=template()), ["spec.headGroupSpec.template"]),
    (
        RAY,
        ray(template(), None, {}, template(), head=template()),
        ["spec.workerGroupSpecs[0].template", "spec.workerGroupSpecs[3].template", "spec.headGroupSpec.template"],
    ),
    (PYTORCH, {"spec": {"pytorchReplicaSpecs": {}}}, []),
    (
        PYTORCH,
        {"spec": {"pytorchReplicaSpecs": {"Master": {"template": template()}, "W": None, "X": {"template": None}}}},
        ["spec.pytorchReplicaSpecs.Master.template"],
    ),
    (
        LEADER_WORKER,
        {"spec": {"leaderWorkerTemplate": {"workerTemplate": template()}}},
        ["spec.leaderWorkerTemplate.workerTemplate"],
    ),
]


@pytest.mark.parametrize(("kind", "obj", "expected"), FOUND)
def test_each_pod_template_is_found_and_what_is_not_there_is_none(
    kind: WorkloadKind, obj: Object, expected: list[str]
) -> None:
    assert places(kind, obj) == expected


@pytest.mark.parametrize("kind", BUILT_IN_KINDS)
def test_where_there_is_one_pod_template_nothing_need_say_which(kind: WorkloadKind) -> None:
    (workload,) = read_all(kind, {"metadata": {"name": "x"}})
    assert (workload.place, kind.several) == ("", False)


@pytest.mark.parametrize(
    ("kind", "obj", "field", "problem"),
    [
        (RAY, {"spec": {"workerGroupSpecs": "x"}}, "/spec/workerGroupSpecs", "expected an array, got string"),
        (RAY, {"spec": {"workerGroupSpecs": {}}}, "/spec/workerGroupSpecs", "expected an array, got object"),
        (RAY, {"spec": {"workerGroupSpecs": [{}, 1]}}, "/spec/workerGroupSpecs/1", "expected an object, got number"),
        (RAY, ray({}, "x"), "/spec/workerGroupSpecs/1/template", "expected an object, got string"),
        (RAY, ray({"spec": []}), "/spec/workerGroupSpecs/0/template/spec", "expected an object, got array"),
        (
            RAY,
            ray(template(volumes="x")),
            "/spec/workerGroupSpecs/0/template/spec/volumes",
            "expected an array, got string",
        ),
        (RAY, {"spec": {"headGroupSpec": []}}, "/spec/headGroupSpec", "expected an object, got array"),
        (PYTORCH, {"spec": {"pytorchReplicaSpecs": []}}, "/spec/pytorchReplicaSpecs", "expected an object, got array"),
        (
            PYTORCH,
            {"spec": {"pytorchReplicaSpecs": {"a/b~": 1}}},
            "/spec/pytorchReplicaSpecs/a~1b~0",
            "expected an object, got number",
        ),
        (
            PYTORCH,
            {"spec": {"pytorchReplicaSpecs": {"\x1b" + "k" * 300: 1}}},
            f"/spec/pytorchReplicaSpecs/?{'k' * 255}…",
            "expected an object, got number",
        ),
    ],
)
def test_another_kind_of_value_than_the_path_says_is_named(
    kind: WorkloadKind, obj: Object, field: str, problem: str
) -> None:
    with pytest.raises(MalformedObject) as refused:
        read_all(kind, obj)
    assert (refused.value.field, refused.value.problem) == (field, problem)


def test_no_more_pod_templates_are_read_than_the_bound_wherever_they_are() -> None:
    fits = ray(*[template()] * (MAX_TEMPLATES - 1), head=template())
    assert len(read_all(RAY, fits)) == MAX_TEMPLATES
    fits["spec"]["workerGroupSpecs"].append({})
    with pytest.raises(MalformedObject) as refused:
        read_all(RAY, fits)
    assert str(refused.value) == (
        "/spec/headGroupSpec/template: is one pod template more than the 128 that are read of one object"
    )
    replicas: Object = {str(number): {} for number in range(10**5)}
    with pytest.raises(MalformedObject):
        read_all(PYTORCH, {"spec": {"pytorchReplicaSpecs": replicas}})


def test_an_annotation_of_the_object_counts_for_each_template_and_a_templates_own_for_itself() -> None:
    obj = ray(template(), template())
    obj["spec"]["workerGroupSpecs"][1]["template"]["metadata"] = {
        "annotations": {"ghcr-pull-secrets.io/inject": "false"}
    }
    assert [each.opted_out for each in read_all(RAY, obj)] == [False, True, False]
    obj["metadata"]["annotations"] = {"ghcr-pull-secrets.io/inject": "false"}
    assert [each.opted_out for each in read_all(RAY, obj)] == [True, True, True]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (("spec", "template"), "spec.template"),
        (("spec", "groups", 3, "template"), "spec.groups[3].template"),
        (("spec", "by", "Worker-1", "template"), "spec.by.Worker-1.template"),
        (("spec", "by", "a.b/c", "template"), 'spec.by["a.b/c"].template'),
        (("spec", "by", "", "template"), 'spec.by[""].template'),
        (("spec", "by", "a\x1b[31m\n", "template"), 'spec.by["a?[31m?"].template'),
        (("spec", "by", "k" * 300), f'spec.by["{"k" * 256}…"]'),
    ],
)
def test_a_place_is_written_as_people_know_it_whatever_a_user_calls_things(tokens: Any, expected: str) -> None:
    assert dotted(tokens) == expected


# --- what is done


def read(kind: WorkloadKind, obj: Object, old: Object | None = None) -> tuple[Part, ...]:
    before = read_before(kind, old) if old else None
    return parts(read_all(kind, obj), RULES, update=old is not None, before=before)


def decisions(kind: WorkloadKind, obj: Object, old: Object | None = None, **accounts: ServiceAccount) -> list[Decision]:
    return [
        policy.decide(
            each,
            namespace=Namespace(name="ml"),
            service_account=accounts.get(each.workload.service_account, ServiceAccount()),
            rules=RULES,
        )
        for each in read(kind, obj, old)
    ]


def operations(kind: WorkloadKind, obj: Object, old: Object | None = None) -> list[Object]:
    found = zip(read_all(kind, obj), decisions(kind, obj, old), strict=True)
    return [operation for each, decision in found for operation in answers.append_pull_secrets(each, decision.add)]


OURS = [{"name": "ghcr-secret"}]


def test_the_patch_of_a_list_has_the_numbers_of_its_entries() -> None:
    obj = ray(template("nginx"), template(), template("ghcr.io/a/b", "ghcr-secret"), head=template())
    made = operations(RAY, obj)
    assert made == [
        {"op": "add", "path": "/spec/workerGroupSpecs/1/template/spec/imagePullSecrets", "value": OURS},
        {"op": "add", "path": "/spec/headGroupSpec/template/spec/imagePullSecrets", "value": OURS},
    ]
    patched = jsonpatch.apply_patch(obj, made)
    assert patched["spec"]["workerGroupSpecs"][1]["template"]["spec"]["imagePullSecrets"] == OURS
    assert operations(RAY, patched) == []


def test_the_patch_of_a_map_escapes_its_keys() -> None:
    obj = {"spec": {"pytorchReplicaSpecs": {key: {"template": template()} for key in ("Master", "a/b~c", "~1", "")}}}
    made = operations(PYTORCH, obj)
    assert [each["path"].removesuffix("/template/spec/imagePullSecrets") for each in made] == [
        "/spec/pytorchReplicaSpecs/Master",
        "/spec/pytorchReplicaSpecs/a~1b~0c",
        "/spec/pytorchReplicaSpecs/~01",
        "/spec/pytorchReplicaSpecs/",
    ]
    assert all(
        each["template"]["spec"]["imagePullSecrets"] == OURS
        for each in jsonpatch.apply_patch(obj, made)["spec"]["pytorchReplicaSpecs"].values()
    )


def test_each_template_is_decided_on_by_itself() -> None:
    obj = ray(
        template("nginx"),
        template(),
        template("ghcr.io/a/b", "ghcr-secret"),
        template("ghcr.io/a/b", "other"),
        template(serviceAccountName="builder"),
        template(serviceAccountName="late"),
        head=template(),
    )
    found = decisions(RAY, obj, builder=ServiceAccount(secrets=("a",)), late=ServiceAccount(exists=False))
    assert [each.reason for each in found] == [
        Reason.NO_SELECTED_IMAGE,
        Reason.INJECTED,
        Reason.ALREADY_LISTED,
        Reason.LEFT_TO_POD,
        Reason.LEFT_TO_POD,
        Reason.LEFT_TO_POD,
        Reason.INJECTED,
    ]


MOVES = [
    ("nothing", ray(template("ghcr.io/a/1"), template("ghcr.io/a/2")), [Reason.UNCHANGED] * 2),
    ("another order", ray(template("ghcr.io/a/2"), template("ghcr.io/a/1")), [Reason.UNCHANGED] * 2),
    ("one in front", ray(template(), template("ghcr.io/a/1")), [Reason.INJECTED, Reason.UNCHANGED]),
    ("one twice", ray(template("ghcr.io/a/1"), template("ghcr.io/a/1")), [Reason.UNCHANGED] * 2),
    ("keys in another order", ray({"spec": {"containers": [{"image": "ghcr.io/a/1", "name": "c"}]}}), [Reason.UNCHANGED]),
    ("from the head", ray(template("ghcr.io/a/head")), [Reason.INJECTED]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "new", "expected"), MOVES)
def test_a_template_of_a_list_is_unchanged_wherever_it_stands(case: str, new: Object, expected: list[Reason]) -> None:
    old = ray(template("ghcr.io/a/1"), template("ghcr.io/a/2"), head=template("ghcr.io/a/head"))
    found = [each for each in decisions(RAY, new, old) if each.reason is not Reason.NO_SELECTED_IMAGE]
    assert [each.reason for each in found] == expected
    for each in read(RAY, new, old):
        reason = policy.exempt(each, namespace="ml", rules=RULES)
        assert (reason is None) is bool(each.images and not each.before.had(each.workload))


def test_a_template_that_pulls_as_one_did_is_not_judged_though_it_is_another() -> None:
    old, new = ray(template()), ray(template(restartPolicy="Never"))
    worker, _ = read(RAY, new, old)
    assert not worker.before.had(worker.workload)
    assert policy.exempt(worker, namespace="ml", rules=RULES) is Reason.UNCHANGED


def test_nothing_was_there_before_what_is_created() -> None:
    (pod,) = read_all(POD, {"metadata": {}, "spec": {}})
    assert not Before().had(pod)
    assert not Before().pulled_as(pod)
    assert Before().pulled == frozenset()


def test_many_large_templates_are_told_apart_without_comparing_each_with_each() -> None:
    compared = 0

    class Value(dict[str, Any]):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return dict.__eq__(self, other)

        __hash__ = None

    def made(number: int) -> Workload:
        spec_path = ("spec", number)
        return Workload(kind=RAY, name="x", spec_path=spec_path, template=Value(n=[0] * 100, last=number))

    there = Before(made(number) for number in range(MAX_TEMPLATES))
    assert all(there.had(made(number)) for number in range(MAX_TEMPLATES))
    assert not there.had(made(-1))
    assert compared == 0


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], Reason.NO_SELECTED_IMAGE),
        ([Reason.NO_SELECTED_IMAGE, Reason.UNCHANGED], Reason.UNCHANGED),
        ([Reason.UNCHANGED, Reason.ALREADY_LISTED, Reason.LEFT_TO_POD], Reason.ALREADY_LISTED),
        ([Reason.LEFT_TO_POD, Reason.NO_SELECTED_IMAGE, Reason.INJECTED], Reason.INJECTED),
    ],
)
def test_the_decision_that_does_the_most_stands_for_all(reasons: list[Reason], expected: Reason) -> None:
    made = [
        Decision(
            reason=reason,
            add=("ghcr-secret",) if reason is Reason.INJECTED else (),
            provision=reason not in (Reason.NO_SELECTED_IMAGE, Reason.UNCHANGED),
        )
        for reason in reasons
    ]
    assert policy.leading(made).reason is expected


def test_a_further_kind_named_jobs_can_be_changed() -> None:
    volcano = WorkloadKind(
        group="batch.volcano.sh", version="v1alpha1", resource="jobs", templates=(("spec", "tasks", "[]", "template"),)
    )
    old: Object = {"metadata": {"name": "x"}, "spec": {"tasks": [{"template": template("ghcr.io/a/1")}]}}
    new = copy.deepcopy(old)
    new["spec"]["tasks"][0]["template"] = template("ghcr.io/a/2")
    assert [each.reason for each in decisions(volcano, new, old)] == [Reason.INJECTED]
