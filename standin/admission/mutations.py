"""MutatingAdmissionPolicies: which concern a request, and what they make of its object.

The semantics are those of `k8s.io/apiserver/pkg/admission/plugin/policy/mutating`, for mutations of the type JSONPatch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from standin.admission import json_patch, matching, params
from standin.admission.conditions import Conditions, EvaluationError
from standin.admission.equality import semantically_equal
from standin.admission.reinvocation import Reinvocation
from standin.admission.selection import MUTATING_BINDINGS, MUTATING_POLICIES, POLICY_KINDS, joined, variables
from standin.errors import ApiError, forbidden
from standin.interfaces import Attributes, Cluster, Json

_BEGIN = re.compile(r"\bJSONPatch\s*\{\s*op\s*:")
_FIELD = re.compile(r",\s*(path|from|value)\s*:")


def as_maps(expression: str) -> str:
    """Write the messages `JSONPatch{…}` of an expression as maps, which every CEL library has."""
    return _FIELD.sub(r', "\1":', _BEGIN.sub('{"op":', expression))


class PolicyMutator:
    """Evaluates the mutating policies in a cluster's store, each once for every binding of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cel = Conditions()

    def mutate(self, attributes: Attributes, obj: Json | None, state: Reinvocation) -> Json | None:
        """Run one round of policies, each on what the one before left.

        Raises:
            ApiError: An expression failed, or a patch does not apply, under `failurePolicy: Fail`.
        """
        if attributes.resource.key in POLICY_KINDS or obj is None:
            return obj
        state.begin(obj)
        store = self._cluster.store
        for binding in sorted(store.list(MUTATING_BINDINGS), key=lambda each: str(each["metadata"]["name"])):
            policy = store.get(MUTATING_POLICIES, "", binding["spec"]["policyName"])
            uid = f"{binding['spec']['policyName']}/{binding['metadata']['name']}"
            if policy is None or state.skips(uid):
                continue
            try:
                changed = self._apply(policy["spec"], binding["spec"], attributes, obj)
            except (EvaluationError, json_patch.PatchError) as error:
                if policy["spec"].get("failurePolicy", "Fail") == "Fail":
                    raise _denial(attributes, policy, binding, error.text) from error
                continue
            if changed is not None:
                eligible = policy["spec"].get("reinvocationPolicy") == "IfNeeded"
                state.ran(uid, changed=not semantically_equal(obj, changed), eligible=eligible)
                obj = changed
        state.end(obj)
        return obj

    def _apply(self, policy: Json, binding: Json, attributes: Attributes, obj: Json) -> Json | None:
        """Return what a policy makes of an object; None if it does not concern it."""
        form = matching.reaches(self._cluster, policy, binding, attributes, obj)
        if form is None:
            return None
        try:
            param = params.of(self._cluster, policy, binding, attributes)
        except params.Missing as missing:
            if missing.denies:
                raise EvaluationError("params", params.NOT_FOUND) from None
            return None
        known = {**variables(attributes, form, obj), "params": param}
        outcome = self._cel.evaluate([each["expression"] for each in policy.get("matchConditions") or ()], known)
        if not outcome.matches:
            return None
        if outcome.errors:
            raise EvaluationError("matchConditions", joined(outcome.errors))
        known["namespaceObject"] = self._cluster.store.get("namespaces", "", attributes.namespace)
        for mutation in policy["mutations"]:
            known["object"] = obj
            known["variables"] = self.evaluated(policy, known)
            operations = self._cel.run(as_maps(mutation["jsonPatch"]["expression"]), known)
            obj = json_patch.apply(obj, operations)
        return obj

    def evaluated(self, policy: Json, known: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate a policy's `variables`, in order."""
        values: dict[str, Any] = {}
        for variable in policy.get("variables") or ():
            values[variable["name"]] = self._cel.run(variable["expression"], {**known, "variables": values})
        return values


def _denial(attributes: Attributes, policy: Json, binding: Json, text: str) -> ApiError:
    resource = attributes.resource
    which = f"policy '{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
    said = forbidden(resource.plural, resource.group, attributes.name, f"{which} denied request: {text}")
    return ApiError(422, "Invalid", said.message, said.details)
