"""How an API server goes by ValidatingAdmissionPolicies, word for word: the stand-in is held to what a real one says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.machinery.planes import ControlPlane
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until

pytestmark = pytest.mark.xdist_group("policy-engine")

GROUP = "admissionregistration.k8s.io"
PATHS = {
    "ValidatingAdmissionPolicy": f"/apis/{GROUP}/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": f"/apis/{GROUP}/v1/validatingadmissionpolicybindings",
}
SECRETS = "/api/v1/namespaces/default/secrets"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
FAILS = "object.metadata.generateName == 'x'"


def case(
    said: str | None,
    *,
    code: int = 422,
    reason: str = "Invalid",
    warning: str | None = None,
    actions: tuple[str, ...] = ("Deny",),
    constraints: Mapping[str, Any] | None = None,
    binding: Mapping[str, Any] | None = None,
    validations: list[dict[str, str]],
    **spec: Any,
) -> dict[str, Any]:
    return {
        "said": said,
        "code": code,
        "reason": reason,
        "warning": warning,
        "actions": list(actions),
        "binding": dict(binding or {}),
        "spec": {
            "matchConstraints": {"resourceRules": [RULE], **(constraints or {})},
            "validations": validations,
            **spec,
        },
    }


NO = {"expression": "false", "message": "no"}
ERRED = f"expression '{FAILS}' resulted in error: no such key: generateName"
ELSEWHERE = {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}
CASES: dict[str, dict[str, Any]] = {
    "a-message": case("no", validations=[NO]),
    "of-two-failures-the-first-is-told": case("no", validations=[NO, {"expression": "false", "message": "second"}]),
    "one-that-holds-is-not-told": case("no", validations=[{"expression": "true", "message": "first"}, NO]),
    "no-message": case(
        "failed expression: object.metadata.name ==\n 'ok'",
        validations=[{"expression": "object.metadata.name ==\n 'ok'\n"}],
    ),
    "a-message-expression": case(
        "is a-message-expression",
        validations=[{"expression": "false", "message": "m", "messageExpression": "'is ' + object.metadata.name"}],
    ),
    "a-message-expression-that-fails": case(
        "m",
        validations=[
            {"expression": "false", "message": "m", "messageExpression": "'is ' + object.metadata.generateName"}
        ],
    ),
    "a-reason": case("no", code=403, reason="Forbidden", validations=[{**NO, "reason": "Forbidden"}]),
    "an-error": case(ERRED, validations=[{"expression": FAILS, "message": "m", "reason": "Forbidden"}]),
    "an-error-ignored": case(None, validations=[{"expression": FAILS}], failurePolicy="Ignore"),
    "an-error-of-a-condition": case(ERRED, validations=[NO], matchConditions=[{"name": "c", "expression": FAILS}]),
    "two-errors-of-conditions": case(
        f"[{ERRED}, expression 'object.foo == 1' resulted in error: no such key: foo]",
        validations=[NO],
        matchConditions=[{"name": "c", "expression": FAILS}, {"name": "d", "expression": "object.foo == 1"}],
    ),
    "an-error-beside-a-condition-that-is-false": case(
        None,
        validations=[NO],
        matchConditions=[{"name": "c", "expression": FAILS}, {"name": "d", "expression": "false"}],
    ),
    "an-error-of-a-condition-ignored": case(
        None, validations=[NO], matchConditions=[{"name": "c", "expression": FAILS}], failurePolicy="Ignore"
    ),
    "a-condition-on-the-user": case(
        "no", validations=[NO], matchConditions=[{"name": "c", "expression": "request.userInfo.username == 'admin'"}]
    ),
    "a-condition-on-another-user": case(
        None, validations=[NO], matchConditions=[{"name": "c", "expression": "request.userInfo.username == 'x'"}]
    ),
    "the-namespace": case("no", validations=[{**NO, "expression": "namespaceObject.metadata.name == 'x'"}]),
    "a-warning": case(None, warning="no", actions=("Warn",), validations=[NO]),
    "an-audit": case(None, actions=("Audit",), validations=[NO]),
    "audit-and-deny": case("no", actions=("Audit", "Deny"), validations=[NO]),
    "another-operation": case(
        None, validations=[NO], constraints={"resourceRules": [{**RULE, "operations": ["UPDATE"]}]}
    ),
    "another-resource": case(
        None, validations=[NO], constraints={"resourceRules": [{**RULE, "resources": ["configmaps"]}]}
    ),
    "a-resource-name": case(
        "no", validations=[NO], constraints={"resourceRules": [{**RULE, "resourceNames": ["a-resource-name"]}]}
    ),
    "another-resource-name": case(
        None, validations=[NO], constraints={"resourceRules": [{**RULE, "resourceNames": ["x"]}]}
    ),
    "an-excluded-resource-name": case(
        None,
        validations=[NO],
        constraints={"excludeResourceRules": [{**RULE, "resourceNames": ["an-excluded-resource-name"]}]},
    ),
    "another-namespace": case(None, validations=[NO], constraints={"namespaceSelector": ELSEWHERE}),
    "another-object": case(None, validations=[NO], constraints={"objectSelector": {"matchLabels": {"a": "b"}}}),
    "a-binding-to-another-namespace": case(
        None, validations=[NO], binding={"matchResources": {"namespaceSelector": ELSEWHERE}}
    ),
    "a-binding-to-this-namespace": case(
        "no",
        validations=[NO],
        binding={"matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}},
    ),
}


def policy(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}


def bound(name: str, actions: list[str], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": f"{name}-b"},
        "spec": {"policyName": name, "validationActions": actions, **spec},
    }


def secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[RawApi]:
    with contextlib.closing(RawApi(plane.kube.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="module")
def policies(api: RawApi) -> Iterator[None]:
    """A policy and a binding for each case, in force, for the Secret of the case's name only."""
    made = []
    for name, case in {**CASES, "sentinel": CASES["a-message"]}.items():
        conditions = [
            {"name": "of-this-case", "expression": f"object.metadata.name == '{name}'"},
            *case["spec"].get("matchConditions", []),
        ]
        made += [
            policy(name, {**case["spec"], "matchConditions": conditions}),
            bound(name, case["actions"], **case["binding"]),
        ]
    for each in made:
        answer = api("POST", PATHS[each["kind"]], each)
        assert answer.code == 201, answer.body
    until(lambda: api("POST", f"{SECRETS}?dryRun=All", secret("sentinel")).code == 422, "policies are in force")
    yield
    for each in made:
        api("DELETE", f"{PATHS[each['kind']]}/{each['metadata']['name']}")


@pytest.mark.usefixtures("policies")
@pytest.mark.parametrize("name", CASES)
def test_a_policy_says_word_for_word_what_it_says_on_a_real_api_server(name: str, api: RawApi) -> None:
    case = CASES[name]
    answer = api("POST", f"{SECRETS}?dryRun=All", secret(name))

    which = f"ValidatingAdmissionPolicy '{name}' with binding '{name}-b'"
    warned = case["warning"]
    assert answer.warnings == ((f"Validation failed for {which}: {warned}",) if warned else ())
    if case["said"] is None:
        assert answer.code == 201
        return
    text = f"{which} denied request: {case['said']}"
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'secrets "{name}" is forbidden: {text}',
        "reason": case["reason"],
        "details": {"name": name, "kind": "secrets", "causes": [{"message": text}]},
        "code": case["code"],
    }
    assert answer.code == case["code"]


@pytest.mark.usefixtures("policies")
def test_a_generated_name_is_there_when_policies_are_asked(api: RawApi) -> None:
    known = policy("generated", {"matchConstraints": {"resourceRules": [RULE]}, "validations": [
        {"expression": "!object.metadata.name.startsWith('generated-') || object.metadata.name == 'generated-'",
         "messageExpression": "'named ' + object.metadata.name"},
    ]})  # fmt: skip
    binding = bound("generated", ["Deny"])
    try:
        for each in (known, binding):
            assert api("POST", PATHS[each["kind"]], each).code == 201
        asked = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "generated-"}}
        until(lambda: api("POST", f"{SECRETS}?dryRun=All", asked).code == 422, "the policy is in force")
        status = api("POST", f"{SECRETS}?dryRun=All", asked).body
    finally:
        for each in (known, binding):
            api("DELETE", f"{PATHS[each['kind']]}/{each['metadata']['name']}")

    name = status["details"]["name"]
    assert len(name) == len("generated-") + 5
    assert status["message"].endswith(f"denied request: named {name}")


def test_webhook_configurations_are_not_exempt(api: RawApi) -> None:
    path = f"/apis/{GROUP}/v1/mutatingwebhookconfigurations"
    configuration = {"apiVersion": f"{GROUP}/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "held"}}
    rule = {**RULE, "apiGroups": [GROUP], "resources": ["*"]}
    condition = {"name": "c", "expression": "object.metadata.name == 'held'"}
    known = policy(
        "held-p", {"matchConstraints": {"resourceRules": [rule]}, "validations": [NO], "matchConditions": [condition]}
    )
    binding = bound("held-p", ["Deny"])
    try:
        for each in (known, binding):
            assert api("POST", PATHS[each["kind"]], each).code == 201
        until(lambda: api("POST", f"{path}?dryRun=All", configuration).code == 422, "the policy is in force")
        # Policies themselves are: a broken one can be repaired.
        assert api("POST", f"{PATHS[known['kind']]}?dryRun=All", {**known, "metadata": {"name": "held"}}).code == 201
    finally:
        for each in (known, binding):
            api("DELETE", f"{PATHS[each['kind']]}/{each['metadata']['name']}")


MATCHES = {"matchConstraints": {"resourceRules": [RULE]}}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "no constraints": (policy("x", {"validations": [NO]}), {"spec.matchConstraints": "Required value"}),
    "no validations": (
        policy("x", MATCHES),
        dict.fromkeys(
            ("spec.validations", "spec.auditAnnotations"),
            "Required value: validations or auditAnnotations must contain at least one item",
        ),
    ),
    "an unknown name": (
        policy("x", {**MATCHES, "validations": [{"expression": "objec.a == 'x'"}]}),
        {
            "spec.validations[0].expression": (
                "Invalid value: \"objec.a == 'x'\": compilation failed: ERROR: <input>:1:1: undeclared reference to "
                "'objec' (in container '')\n | objec.a == 'x'\n | ^"
            )
        },
    ),
    "a condition that does not parse": (
        policy("x", {**MATCHES, "validations": [NO], "matchConditions": [{"name": "c", "expression": "object."}]}),
        {
            "spec.matchConditions[0].expression": (
                'Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax error: no viable alternative '
                "at input '.'\n | object.\n | .......^"
            )
        },
    ),
    "a message of two lines": (
        policy("x", {**MATCHES, "validations": [{"expression": "true", "message": "a\nb"}]}),
        {"spec.validations[0].message": 'Invalid value: "a\\nb": must not contain line breaks'},
    ),
    "an unknown reason": (
        policy("x", {**MATCHES, "validations": [{"expression": "true", "reason": "NotFound"}]}),
        {
            "spec.validations[0].reason": (
                'Unsupported value: "NotFound": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"'
            )
        },
    ),
    "no action": (
        bound("x", []),
        {"spec.validationActions": "Required value: at least one validation action is required"},
    ),
    "an action twice": (bound("x", ["Deny", "Deny"]), {"spec.validationActions[1]": 'Duplicate value: "Deny"'}),
    "an unknown action": (
        bound("x", ["Log"]),
        {"spec.validationActions[0]": 'Unsupported value: "Log": supported values: "Audit", "Deny", "Warn"'},
    ),
    "deny and warn": (
        bound("x", ["Deny", "Warn"]),
        {
            "spec.validationActions": (
                'Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation '
                "failure information in the API response and headers serves no purpose)"
            )
        },
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_in_force_is_refused_when_it_is_written(name: str, api: RawApi) -> None:
    obj, faults = REFUSED[name]
    answer = api("POST", PATHS[obj["kind"]], obj)

    assert answer.code == 422, json.dumps(answer.body)
    assert {cause["field"]: cause["message"] for cause in answer.body["details"]["causes"]} == faults


def test_what_is_stored_has_its_defaults(api: RawApi) -> None:
    spec = {**MATCHES, "validations": [NO]}
    stored = api("POST", f"{PATHS['ValidatingAdmissionPolicy']}?dryRun=All", policy("x", spec)).body

    assert stored["metadata"]["generation"] == 1
    assert stored["status"] == {}
    assert stored["spec"] == {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{**RULE, "scope": "*"}],
        },
        "validations": [NO],
    }
