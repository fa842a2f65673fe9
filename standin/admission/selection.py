"""Which registered webhooks a request is sent to: everything that is decided before a call.

What policies decide alike is in functions of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from standin.admission import conditions, review
from standin.admission.rules import RuleTarget, covered, object_selector_matches, selector_matches
from standin.errors import forbidden, not_found
from standin.interfaces import Attributes, Cluster, Json

GROUP = "admissionregistration.k8s.io"
POLICIES = f"validatingadmissionpolicies.{GROUP}"
BINDINGS = f"validatingadmissionpolicybindings.{GROUP}"
MUTATING_POLICIES = f"mutatingadmissionpolicies.{GROUP}"
MUTATING_BINDINGS = f"mutatingadmissionpolicybindings.{GROUP}"
MUTATING = f"mutatingwebhookconfigurations.{GROUP}"
VALIDATING = f"validatingwebhookconfigurations.{GROUP}"
# What policies are not asked about, so that a broken one can always be repaired; webhooks are not asked about themselves either.
POLICY_KINDS = frozenset({POLICIES, BINDINGS, MUTATING_POLICIES, MUTATING_BINDINGS})
EXEMPT = POLICY_KINDS | {MUTATING, VALIDATING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    configuration: str
    index: int
    spec: Json

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def uid(self) -> str:
        return f"{self.configuration}/{self.name}/{self.index}"

    @property
    def ignores_failure(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


class Selection:
    """Reads the webhook configurations in the store for each request."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._conditions = conditions.Conditions()

    def hooks(self, resource: str, attributes: Attributes) -> list[Hook]:
        if attributes.resource.key in EXEMPT:
            return []
        return [
            Hook(configuration=configuration["metadata"]["name"], index=index, spec=spec)
            for configuration in sorted(self._cluster.store.list(resource), key=lambda item: item["metadata"]["name"])
            for index, spec in enumerate(configuration.get("webhooks") or ())
        ]

    def form(self, hook: Hook, attributes: Attributes, obj: Json | None) -> RuleTarget | None:
        """Decide whether a webhook is called, and in which version it wants the object."""
        target = target_of(attributes)
        form = covered(hook.spec, target, attributes.operation.value, equivalents(self._cluster, target))
        if form is None or not object_selector_matches(hook.spec, obj, attributes.old_object):
            return None
        if not namespace_matches(self._cluster, hook.spec.get("namespaceSelector"), attributes, obj):
            return None
        return form if self._conditions_match(hook, attributes, form, obj) else None

    def _conditions_match(self, hook: Hook, attributes: Attributes, form: RuleTarget, obj: Json | None) -> bool:
        expressions = [condition["expression"] for condition in hook.spec.get("matchConditions") or ()]
        if not expressions:
            return True
        outcome = self._conditions.evaluate(expressions, variables(attributes, form, obj))
        if outcome.matches and outcome.errors:
            if hook.ignores_failure:
                return False
            resource = attributes.resource
            raise forbidden(resource.plural, resource.group, attributes.name, joined(outcome.errors))
        return outcome.matches


def target_of(attributes: Attributes) -> RuleTarget:
    """Return what a request names, as rules are compared with it."""
    resource = attributes.resource
    return RuleTarget(
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=attributes.subresource,
        namespaced=resource.namespaced,
    )


def equivalents(cluster: Cluster, target: RuleTarget) -> list[RuleTarget]:
    """Return the same resource in the other versions in which it is served."""
    return [
        replace(target, version=other.version)
        for other in cluster.resources()
        if (other.group, other.plural) == (target.group, target.resource) and other.version != target.version
    ]


def namespace_matches(cluster: Cluster, selector: Json | None, attributes: Attributes, obj: Json | None) -> bool:
    """Apply a namespaceSelector; for a Namespace, to itself.

    Raises:
        ApiError: 404 for a namespace that is not there.
    """
    is_namespace = attributes.resource.key == "namespaces"
    if not selector or not (attributes.namespace or is_namespace):
        return True
    if is_namespace and not attributes.subresource and obj is not None:
        return selector_matches(selector, obj["metadata"].get("labels") or {})
    name = attributes.namespace or attributes.name
    namespace = cluster.store.get("namespaces", "", name)
    if namespace is None:
        raise not_found("namespaces", "", name)
    return selector_matches(selector, namespace["metadata"].get("labels") or {})


def variables(attributes: Attributes, form: RuleTarget, obj: Json | None) -> Json:
    """Return the CEL variables `object`, `oldObject` and `request`."""
    request = review.build(attributes, form, obj, uid="")["request"]
    return {"object": request.pop("object"), "oldObject": request.pop("oldObject"), "request": request}


def joined(errors: Sequence[str]) -> str:
    """Word several errors as Go's aggregate does."""
    return errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
