"""What of ValidatingAdmissionPolicies only the stand-in can be asked; the rest is in `tests/e2e/test_policy_engine.py`."""

from __future__ import annotations

import pytest

from standin.admission import AdmissionChain
from standin.admission.selection import BINDINGS, MUTATING_BINDINGS, MUTATING_POLICIES, POLICIES
from standin.errors import ApiError
from standin.interfaces import Json
from standin.tests.fake_cluster import FakeCluster, create, resource

GROUP = "admissionregistration.k8s.io"
KINDS = {
    "mutating": resource("mutatingadmissionpolicies", "MutatingAdmissionPolicy", group=GROUP, namespaced=False),
    "policy": resource("validatingadmissionpolicies", "ValidatingAdmissionPolicy", group=GROUP, namespaced=False),
    "binding": resource(
        "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", group=GROUP, namespaced=False
    ),
}
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def policy(**spec: object) -> Json:
    validations = [{"expression": "false", "message": "no"}]
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [PODS]}, "validations": validations, **spec},
    }


def binding(**spec: object) -> Json:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"], **spec},
    }


def mutating(**spec: object) -> Json:
    return {**policy(**spec), "kind": "MutatingAdmissionPolicy"}


def pod() -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "tr2"}, "spec": {}}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("policy", {"paramKind": {"apiVersion": "v1", "kind": "Service"}}),
        ("policy", {"variables": [{"name": "a", "expression": "1"}]}),
        ("policy", {"auditAnnotations": [{"key": "a", "valueExpression": "'b'"}]}),
        ("binding", {"paramRef": {"selector": {"matchLabels": {"a": "b"}}}}),
        ("mutating", {"mutations": [{"patchType": "ApplyConfiguration"}]}),
    ],
)
def test_what_is_not_evaluated_is_refused_rather_than_passed_over(kind: str, spec: Json) -> None:
    obj = {"policy": policy, "binding": binding, "mutating": mutating}[kind](**spec)
    with pytest.raises(ApiError, match=f"the stand-in does not evaluate spec.{next(iter(spec))}"):
        AdmissionChain(FakeCluster()).validate(create(obj, of=KINDS[kind]))


def test_a_binding_without_its_policy_and_a_policy_without_a_binding_do_nothing() -> None:
    for key, obj in ((POLICIES, policy()), (BINDINGS, binding())):
        cluster = FakeCluster()
        cluster.store.put(key, obj)
        assert AdmissionChain(cluster).validate(create(pod())) == []


@pytest.mark.parametrize("said", ["'a\\nb'", "'  '", f"'{'a' * 6000}'"], ids=["two lines", "nothing", "too much"])
def test_a_message_expression_that_gives_no_usable_text_leaves_it_to_the_message(said: str) -> None:
    cluster = FakeCluster()
    validation = {"expression": "false", "message": "fixed", "messageExpression": said}
    cluster.store.put(POLICIES, policy(validations=[validation]))
    cluster.store.put(BINDINGS, binding())
    with pytest.raises(ApiError, match="denied request: fixed"):
        AdmissionChain(cluster).validate(create(pod()))


PARAM = {"apiVersion": "v1", "kind": "ConfigMap"}


def with_param(cluster: FakeCluster, action: str) -> None:
    """A policy that denies by its parameter `a` of the request's namespace."""
    validations = [{"expression": "params.data.ok == 'yes'", "message": "no"}]
    cluster.store.put(POLICIES, policy(paramKind=PARAM, validations=validations))
    cluster.store.put(BINDINGS, binding(paramRef={"name": "a", "parameterNotFoundAction": action}))


def config_map(ok: str) -> Json:
    return {"metadata": {"name": "a", "namespace": "tr2"}, "data": {"ok": ok}}


def test_a_parameter_is_that_of_the_requests_namespace_and_its_absence_denies_or_passes() -> None:
    cluster = FakeCluster()
    with_param(cluster, "Deny")
    with pytest.raises(ApiError, match="denied request: failed to configure binding: no params found"):
        AdmissionChain(cluster).validate(create(pod()))
    cluster.store.put("configmaps", config_map("no"))
    with pytest.raises(ApiError, match="denied request: no"):
        AdmissionChain(cluster).validate(create(pod()))
    cluster.store.put("configmaps", config_map("yes"))
    assert AdmissionChain(cluster).validate(create(pod())) == []

    other = FakeCluster()
    with_param(other, "Allow")
    assert AdmissionChain(other).validate(create(pod())) == []


ADD = """[JSONPatch{op: "add", path: "/metadata/labels", value: {"seen": variables.word}}]"""


def with_mutation(cluster: FakeCluster, expression: str = ADD, **spec: object) -> None:
    made = mutating(
        variables=[{"name": "word", "expression": "object.metadata.name + 'y'"}],
        mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        **spec,
    )
    cluster.store.put(MUTATING_POLICIES, made)
    cluster.store.put(MUTATING_BINDINGS, {**binding(), "kind": "MutatingAdmissionPolicyBinding"})


def test_a_mutating_policy_patches_what_its_conditions_hold_for() -> None:
    for condition, labels in (("true", {"seen": "xy"}), ("false", None)):
        cluster = FakeCluster()
        with_mutation(cluster, matchConditions=[{"name": "c", "expression": condition}])
        made, warnings = AdmissionChain(cluster).mutate(create(pod()))
        assert made is not None
        assert made["metadata"].get("labels") == labels
        assert warnings == []


@pytest.mark.parametrize("expression", ["object.spec.missing", ADD.replace("/metadata/labels", "/a/b/c")])
def test_a_mutation_that_fails_denies_or_is_passed_over_as_its_failure_policy_says(expression: str) -> None:
    cluster = FakeCluster()
    with_mutation(cluster, expression, failurePolicy="Ignore")
    made, _ = AdmissionChain(cluster).mutate(create(pod()))
    assert made is not None
    assert "labels" not in made["metadata"]

    with_mutation(cluster, expression)
    with pytest.raises(ApiError, match="policy 'p' with binding 'b' denied request"):
        AdmissionChain(cluster).mutate(create(pod()))


def test_an_expression_of_a_mutating_policy_that_does_not_compile_is_refused() -> None:
    made = mutating(mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": "unknown"}}])
    with pytest.raises(ApiError, match="undeclared reference to 'unknown'"):
        AdmissionChain(FakeCluster()).validate(create(made, of=KINDS["mutating"]))
