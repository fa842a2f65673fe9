"""Validation of ValidatingAdmissionPolicies and their bindings when they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from standin.admission import conditions, mutations, params
from standin.admission.policies import CODES
from standin.errors import FieldError, bad_request

_VARIABLES = conditions.VARIABLES | {"namespaceObject", "params"}
_REASONS = tuple(reason for reason in CODES if reason != "Unauthorized")
_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_EVALUATED = ("variables", "auditAnnotations")
_NO_VALIDATION = "validations or auditAnnotations must contain at least one item"
_TWICE_TOLD = (
    "must not contain both Deny and Warn "
    "(repeating the same validation failure information in the API response and headers serves no purpose)"
)


def check(obj: dict[str, Any]) -> list[FieldError]:
    """Return what the API server would refuse in a policy or a binding.

    Raises:
        ApiError: 400 for what an API server takes and the stand-in does not evaluate: it must not seem to be in force.
    """
    spec = obj.get("spec") or {}
    _refuse_others(spec, _NOT_EVALUATED)
    return list(_policy(spec) if obj["kind"] == "ValidatingAdmissionPolicy" else _binding(spec))


def check_mutating(obj: dict[str, Any]) -> list[FieldError]:
    """Return what the API server would refuse of the expressions of a mutating policy; errors as `check`."""
    spec = obj.get("spec") or {}
    _refuse_others(spec, ())
    return list(_mutating(spec) if obj["kind"] == "MutatingAdmissionPolicy" else ())


def _refuse_others(spec: dict[str, Any], not_evaluated: tuple[str, ...]) -> None:
    for field in not_evaluated:
        if spec.get(field):
            raise bad_request(f"the stand-in does not evaluate spec.{field}")
    kind, ref = spec.get("paramKind"), spec.get("paramRef")
    if kind and (kind.get("apiVersion"), kind.get("kind")) not in params.STORED:
        raise bad_request("the stand-in does not evaluate spec.paramKind other than Secret and ConfigMap")
    if ref and not ref.get("name"):
        raise bad_request("the stand-in does not evaluate spec.paramRef without a name")
    if any(mutation.get("patchType") != "JSONPatch" for mutation in spec.get("mutations") or ()):
        raise bad_request("the stand-in does not evaluate spec.mutations other than JSONPatch")


def _mutating(spec: dict[str, Any]) -> Iterator[FieldError]:
    for field, key in (("matchConditions", "expression"), ("variables", "expression")):
        for number, each in enumerate(spec.get(field) or ()):
            path = f"spec.{field}[{number}].{key}"
            yield from expression_errors(each.get(key, ""), path, variables=_VARIABLES | {"variables"})
    for number, mutation in enumerate(spec.get("mutations") or ()):
        path = f"spec.mutations[{number}].jsonPatch.expression"
        written = mutations.as_maps(mutation["jsonPatch"]["expression"])
        yield from expression_errors(written, path, variables=_VARIABLES | {"variables"})


def expression_errors(expression: str, path: str, *, variables: frozenset[str]) -> Iterator[FieldError]:
    """Compile an expression in the place `path`."""
    if not expression.strip():
        yield FieldError(reason="FieldValueRequired", message="Required value", field=path)
        return
    try:
        conditions.check(expression, variables=variables)
    except conditions.CompileError as error:
        yield _invalid(path, expression, f"compilation failed: {error.text}")


def _policy(spec: dict[str, Any]) -> Iterator[FieldError]:
    for number, condition in enumerate(spec.get("matchConditions") or ()):
        path = f"spec.matchConditions[{number}].expression"
        yield from expression_errors(condition.get("expression", ""), path, variables=_VARIABLES)
    if not spec.get("matchConstraints"):
        yield FieldError(reason="FieldValueRequired", message="Required value", field="spec.matchConstraints")
    validations = spec.get("validations") or ()
    if not validations:
        for field in ("validations", "auditAnnotations"):
            message = f"Required value: {_NO_VALIDATION}"
            yield FieldError(reason="FieldValueRequired", message=message, field=f"spec.{field}")
    for number, validation in enumerate(validations):
        yield from _validation(validation, f"spec.validations[{number}]")


def _validation(validation: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from expression_errors(validation.get("expression", ""), f"{path}.expression", variables=_VARIABLES)
    if expression := validation.get("messageExpression"):
        yield from expression_errors(expression, f"{path}.messageExpression", variables=_VARIABLES)
    message = validation.get("message", "")
    if "\n" in message.strip():
        yield _invalid(f"{path}.message", message, "must not contain line breaks")
    reason = validation.get("reason")
    if reason is not None and reason not in CODES:
        yield _unsupported(f"{path}.reason", reason, _REASONS)


def _binding(spec: dict[str, Any]) -> Iterator[FieldError]:
    path = "spec.validationActions"
    if not spec.get("policyName"):
        yield FieldError(reason="FieldValueRequired", message="Required value", field="spec.policyName")
    actions = spec.get("validationActions") or []
    if not actions:
        message = "Required value: at least one validation action is required"
        yield FieldError(reason="FieldValueRequired", message=message, field=path)
    seen: set[str] = set()
    for number, action in enumerate(actions):
        if action not in _ACTIONS:
            yield _unsupported(f"{path}[{number}]", action, _ACTIONS)
        if action in seen:
            message = f"Duplicate value: {json.dumps(action)}"
            yield FieldError(reason="FieldValueDuplicate", message=message, field=f"{path}[{number}]")
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        text = f"Invalid value: {json.dumps(actions, separators=(',', ':'))}: {_TWICE_TOLD}"
        yield FieldError(reason="FieldValueInvalid", message=text, field=path)


def _invalid(field: str, value: str, why: str) -> FieldError:
    text = f"Invalid value: {json.dumps(value, ensure_ascii=False)}: {why}"
    return FieldError(reason="FieldValueInvalid", message=text, field=field)


def _unsupported(field: str, value: str, supported: tuple[str, ...]) -> FieldError:
    listed = ", ".join(json.dumps(each) for each in supported)
    message = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
    return FieldError(reason="FieldValueNotSupported", message=message, field=field)
