"""ValidatingAdmissionPolicies: which concern a request, and what they answer.

The semantics are those of `k8s.io/apiserver/pkg/admission/plugin/policy/validating`; every text was measured on
Kubernetes 1.36.2 and is held there by `tests/e2e/test_policy_engine.py`, which runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from standin.admission import matching, params
from standin.admission.conditions import Conditions, EvaluationError
from standin.admission.selection import BINDINGS, POLICIES, POLICY_KINDS, joined, variables
from standin.errors import ApiError, forbidden
from standin.interfaces import Attributes, Cluster, Json

CODES = {"Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413, "Unauthorized": 401}
_MAX_MESSAGE = 5 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A validation that does not hold; `reason` is that of the Status, if a Status comes of it."""

    message: str
    reason: str = "Invalid"


class PolicyDispatcher:
    """Evaluates the policies in a cluster's store, each once for every binding of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cel = Conditions()

    def validate(self, attributes: Attributes) -> list[str]:
        """Return the warnings of bindings that warn.

        Raises:
            ApiError: What a binding that denies makes of the first failure.
        """
        if attributes.resource.key in POLICY_KINDS:
            return []
        warnings: list[str] = []
        denials: list[ApiError] = []
        for policy, binding in self._bound():
            actions = binding["spec"]["validationActions"]
            for failure in self._failures(policy["spec"], binding["spec"], attributes):
                which = f"ValidatingAdmissionPolicy '{_name(policy)}' with binding '{_name(binding)}'"
                if "Warn" in actions:
                    warnings.append(f"Validation failed for {which}: {failure.message}")
                if "Deny" in actions:
                    denials.append(_denial(attributes, f"{which} denied request: {failure.message}", failure.reason))
        if denials:
            raise denials[0]
        return warnings

    def _bound(self) -> Iterator[tuple[Json, Json]]:
        store = self._cluster.store
        for binding in sorted(store.list(BINDINGS), key=_name):
            # One whose policy is not there does nothing.
            policy = store.get(POLICIES, "", binding["spec"]["policyName"])
            if policy is not None:
                yield policy, binding

    def _failures(self, policy: Json, binding: Json, attributes: Attributes) -> list[Failure]:
        form = matching.reaches(self._cluster, policy, binding, attributes, attributes.object)
        if form is None:
            return []
        known = variables(attributes, form, attributes.object)
        known["namespaceObject"] = self._cluster.store.get("namespaces", "", attributes.namespace)
        fails_closed = policy.get("failurePolicy", "Fail") == "Fail"
        try:
            known["params"] = params.of(self._cluster, policy, binding, attributes)
        except params.Missing as missing:
            return [Failure(message=str(missing))] if missing.denies and fails_closed else []
        conditions = [condition["expression"] for condition in policy.get("matchConditions") or ()]
        outcome = self._cel.evaluate(conditions, known)
        if not outcome.matches:
            return []
        if outcome.errors:
            return [Failure(message=joined(outcome.errors))] if fails_closed else []
        return list(self._judge(policy["validations"], known, fails_closed=fails_closed))

    def _judge(self, validations: Sequence[Json], known: Mapping[str, Any], *, fails_closed: bool) -> Iterator[Failure]:
        for validation in validations:
            try:
                holds = self._cel.run(validation["expression"], known) is True
            except EvaluationError as error:
                if fails_closed:
                    yield Failure(message=error.text)
                continue
            if not holds:
                yield Failure(message=self._message(validation, known), reason=validation.get("reason") or "Invalid")

    def _message(self, validation: Json, known: Mapping[str, Any]) -> str:
        if expression := validation.get("messageExpression"):
            try:
                text = self._cel.run(expression, known)
            except EvaluationError:
                text = None
            if isinstance(text, str) and text.strip() and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE:
                return text.strip()
        fixed = str(validation.get("message") or "").strip()
        return fixed or f"failed expression: {validation['expression'].strip()}"


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _denial(attributes: Attributes, text: str, reason: str) -> ApiError:
    """Word a denial: the text of a 403 whatever the reason, as in `admission.NewForbidden`."""
    resource = attributes.resource
    said = forbidden(resource.plural, resource.group, attributes.name, text, [{"message": text}])
    return ApiError(CODES[reason], reason, said.message, said.details)
