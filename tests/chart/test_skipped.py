"""matchConditions keep from us what both halves let through unseen, so that it goes on while no server answers."""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests import helm
from tests.chart.cel import ENGINES, Condition
from tests.chart.shapes import SHAPES
from tests.matching import EXTRA_KINDS, container, wrap
from tests.objects import RULES
from webhook.core import policy, workloads
from webhook.core.before import read_before
from webhook.core.parts import parts
from webhook.core.scope import Namespace

Object = dict[str, Any]
IMAGE, OTHER = "ghcr.io/a/b:1", "ghcr.io/a/b:2"
HALVES = ("Mutating", "Validating")
OWNER: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"}

every_engine = pytest.mark.parametrize("engine", ENGINES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


@functools.cache
def conditions(half: str, shape: str, engine: str) -> Mapping[str, Condition]:
    manifests = helm.render({"centralSecret": {"existing": True}, "extraWorkloadKinds": EXTRA_KINDS})
    configuration = helm.select(manifests, f"{half}WebhookConfiguration", "ghcr-pull-secrets")
    (webhook,) = [each for each in configuration["webhooks"] if each["name"] == shape]
    return {each["name"]: ENGINES[engine](each["expression"]) for each in webhook["matchConditions"]}


def called(shape: str, engine: str, operation: str, new: Object, old: Object | None = None) -> bool:
    """Whether both halves are, which must agree."""
    found = {
        all(
            holds(new, request={"operation": operation}, **({} if old is None else {"oldObject": old}))
            for holds in conditions(half, shape, engine).values()
        )
        for half in HALVES
    }
    (answer,) = found
    return answer


def made(shape: str, image: str = IMAGE) -> Object:
    return {**wrap({"containers": [container(image)]}, SHAPES[shape]), "metadata": {"name": "x", "labels": {"a": "b"}}}


def spec_of(obj: Object, shape: str) -> Object:
    found: Any = obj
    for token in (*SHAPES[shape].templates[0], "spec"):
        found = found[0 if token == "[]" else "one" if token == "*" else token]
    spec: Object = found
    return spec


def let_through_unseen(shape: str, new: Object, old: Object | None) -> bool:
    """Whether the core's two decisions come to nothing, so that nobody need ask for them."""
    kind = SHAPES[shape]
    before = None if old is None else read_before(kind, old)
    for part in parts(workloads.read_all(kind, new), RULES, update=old is not None, before=before):
        decision = policy.decide(
            part,
            namespace=Namespace(name="auth"),
            service_account=policy.ServiceAccount(),
            rules=RULES,
        )
        exempt = policy.exempt(part, namespace="auth", rules=RULES)
        if decision.add or decision.provision or exempt is None:
            return False
    return True


UPDATES: Mapping[str, tuple[Callable[[Object, str], Any], bool]] = {
    "nothing": (lambda _obj, _shape: None, False),
    "a label": (lambda obj, _: obj["metadata"]["labels"].update(a="c"), False),
    "a finalizer": (lambda obj, _: obj["metadata"].update(finalizers=["batch.kubernetes.io/job-tracking"]), False),
    "the opt-out": (
        lambda obj, _: obj["metadata"].update(annotations={"ghcr-pull-secrets.io/inject": "false"}),
        False,
    ),
    "the status": (lambda obj, _: obj.update(status={"replicas": 2}), False),
    "the image": (lambda obj, shape: spec_of(obj, shape)["containers"][0].update(image=OTHER), True),
    "the pull secrets": (lambda obj, shape: spec_of(obj, shape).update(imagePullSecrets=[{"name": "other"}]), True),
    "the ServiceAccount": (lambda obj, shape: spec_of(obj, shape).update(serviceAccountName="other"), True),
    "a new container": (lambda obj, shape: spec_of(obj, shape)["containers"].append(container(OTHER)), True),
    "a debug container": (lambda obj, shape: spec_of(obj, shape).update(ephemeralContainers=[container(OTHER)]), True),
}


@every_engine
@every_shape
@pytest.mark.parametrize("change", UPDATES)
def test_an_update_is_asked_about_only_if_it_may_matter(change: str, shape: str, engine: str) -> None:
    edit, expected = UPDATES[change]
    old = made(shape)
    new = copy.deepcopy(old)
    edit(new, shape)

    assert called(shape, engine, "UPDATE", new, old) is expected
    assert expected or let_through_unseen(shape, new, old)


@every_engine
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not SHAPES[shape].is_pod])
def test_scaling_is_not_asked_about(shape: str, engine: str) -> None:
    old, new = made(shape), made(shape)
    new["spec"]["replicas"] = 7

    assert not called(shape, engine, "UPDATE", new, old)
    assert let_through_unseen(shape, new, old)


OWNERS: Mapping[str, tuple[Any, bool]] = {
    "none": (None, False),
    "an empty list": ([], False),
    "an owner that does not control": ([OWNER], False),
    "one that says so": ([{**OWNER, "controller": False}], False),
    "a controller": ([{**OWNER, "controller": True}], True),
    "a controller among others": ([OWNER, {**OWNER, "controller": True}], True),
}


@every_engine
@every_shape
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
@pytest.mark.parametrize("case", OWNERS)
def test_what_a_controller_made_is_asked_about_only_if_it_is_a_pod(
    case: str, operation: str, shape: str, engine: str
) -> None:
    owners, controlled = OWNERS[case]
    new, old = made(shape, OTHER), made(shape)
    new["metadata"]["ownerReferences"] = owners
    before = old if operation == "UPDATE" else None

    skipped = controlled and not SHAPES[shape].is_pod
    assert called(shape, engine, operation, new, before) is not skipped
    assert not skipped or let_through_unseen(shape, new, before)


@every_engine
@every_shape
@pytest.mark.parametrize(
    "odd", [{}, {"metadata": None}, {"metadata": "x"}, {"metadata": {"ownerReferences": "x"}}, {"spec": None}]
)
def test_what_has_an_odd_form_makes_no_expression_err(odd: Object, shape: str, engine: str) -> None:
    # An expression that errs refuses the object in our name.
    good = made(shape)
    for new, old in ((good, odd), (odd, good), ({**good, **odd}, good), (odd, odd)):
        for half in HALVES:
            for holds in conditions(half, shape, engine).values():
                holds(new, request={"operation": "UPDATE"}, oldObject=old)
