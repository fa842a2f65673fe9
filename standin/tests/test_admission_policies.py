"""What of ValidatingAdmissionPolicies only the stand-in can be asked; the rest is in `tests/e2e/test_policy_engine.py`."""

from __future__ import annotations

import pytest

from standin.admission import AdmissionChain
from standin.admission.fake_cluster import FakeCluster, create, resource
from standin.admission.selection import BINDINGS, POLICIES
from standin.errors import ApiError
from standin.interfaces import Json

GROUP = "admissionregistration.k8s.io"
KINDS = {
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


def pod() -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "tr2"}, "spec": {}}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("policy", {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}),
        ("policy", {"variables": [{"name": "a", "expression": "1"}]}),
        ("policy", {"auditAnnotations": [{"key": "a", "valueExpression": "'b'"}]}),
        ("binding", {"paramRef": {"name": "a"}}),
    ],
)
def test_what_is_not_evaluated_is_refused_rather_than_passed_over(kind: str, spec: Json) -> None:
    obj = policy(**spec) if kind == "policy" else binding(**spec)
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
