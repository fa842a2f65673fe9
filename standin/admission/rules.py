"""Which webhooks a request concerns: rules, matchPolicy, namespaceSelector, objectSelector.

Source of the semantics: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTarget:
    """A group, version, resource and subresource a rule is compared with."""

    group: str
    version: str
    resource: str
    subresource: str = ""
    namespaced: bool = True


def rule_matches(rule: Mapping[str, Any], target: RuleTarget, operation: str) -> bool:
    """Tell whether one rule of a webhook covers `operation` on `target`."""
    return (
        _has(rule.get("operations", ()), operation)
        and _has(rule.get("apiGroups", ()), target.group)
        and _has(rule.get("apiVersions", ()), target.version)
        and any(_resource_matches(entry, target) for entry in rule.get("resources", ()))
        and _scope_matches(rule.get("scope") or "*", target)
    )


def _has(entries: Sequence[str], value: str) -> bool:
    return "*" in entries or value in entries


def _resource_matches(entry: str, target: RuleTarget) -> bool:
    resource, _, subresource = entry.partition("/")
    return resource in {"*", target.resource} and subresource in {"*", target.subresource}


def _scope_matches(scope: str, target: RuleTarget) -> bool:
    # A Namespace is a cluster-scoped resource although its requests carry a namespace.
    namespaced = target.namespaced and target.resource != "namespaces"
    return scope == "*" or (scope == "Namespaced") == namespaced


def covered(
    webhook: Mapping[str, Any], target: RuleTarget, operation: str, equivalents: Sequence[RuleTarget] = ()
) -> RuleTarget | None:
    """Return the form of the request a webhook asked for, or None if none of its rules fit.

    Args:
        webhook: One entry of a webhook configuration's `webhooks`.
        target: What the user's request names.
        operation: CREATE, UPDATE, DELETE or CONNECT.
        equivalents: The same resource in other groups or versions, tried only under `matchPolicy: Equivalent`.
    """
    candidates = [target]
    if (webhook.get("matchPolicy") or "Equivalent") == "Equivalent":
        candidates += [other for other in equivalents if other != target]
    for candidate in candidates:
        if any(rule_matches(rule, candidate, operation) for rule in webhook.get("rules") or ()):
            return candidate
    return None


def selector_matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Apply a LabelSelector; an absent or empty one selects everything."""
    if not selector:
        return True
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_matches(expression, labels) for expression in selector.get("matchExpressions") or ())


def _expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise ValueError(f"label selector operator {operator!r} is none of In, NotIn, Exists, DoesNotExist")


def object_selector_matches(webhook: Mapping[str, Any], obj: Any, old_object: Any) -> bool:
    """Apply objectSelector: either the new or the old object may carry the labels.

    An object without metadata (a DELETE's null, a CONNECT's options) never matches a selector that selects.
    """
    selector = webhook.get("objectSelector")
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return True
    return any(
        selector_matches(selector, (candidate["metadata"] or {}).get("labels") or {})
        for candidate in (obj, old_object)
        if isinstance(candidate, dict) and "metadata" in candidate
    )
