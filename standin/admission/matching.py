"""Which requests a policy or its binding concerns, validating and mutating policies alike."""

from __future__ import annotations

from standin.admission.rules import RuleTarget, covered, object_selector_matches
from standin.admission.selection import equivalents, namespace_matches, target_of
from standin.interfaces import Attributes, Cluster, Json


def form(cluster: Cluster, resources: Json, attributes: Attributes, obj: Json | None) -> RuleTarget | None:
    """Apply `matchConstraints` or `matchResources`: return the version in which it wants the object, or None."""
    target = target_of(attributes)
    if _covered(cluster, resources, "excludeResourceRules", target, attributes) is not None:
        return None
    # A binding without rules narrows nothing; a policy always has some.
    rules = resources.get("resourceRules")
    wanted = _covered(cluster, resources, "resourceRules", target, attributes) if rules else target
    if wanted is None or not object_selector_matches(resources, obj, attributes.old_object):
        return None
    return wanted if namespace_matches(cluster, resources.get("namespaceSelector"), attributes, obj) else None


def reaches(
    cluster: Cluster, policy: Json, binding: Json, attributes: Attributes, obj: Json | None
) -> RuleTarget | None:
    """Apply the constraints of a policy's and a binding's specs; None if either leaves the request out."""
    wanted = form(cluster, policy["matchConstraints"], attributes, obj)
    narrowed = binding.get("matchResources")
    if wanted is None or (narrowed and form(cluster, narrowed, attributes, obj) is None):
        return None
    return wanted


def _covered(
    cluster: Cluster, resources: Json, field: str, target: RuleTarget, attributes: Attributes
) -> RuleTarget | None:
    named = [
        rule
        for rule in resources.get(field) or ()
        if not rule.get("resourceNames") or attributes.name in rule["resourceNames"]
    ]
    asked = {"rules": named, "matchPolicy": resources.get("matchPolicy")}
    return covered(asked, target, attributes.operation.value, equivalents(cluster, target))
