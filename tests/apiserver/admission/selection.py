"""Which registered webhooks a request is sent to: everything that is decided before a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.apiserver.admission import conditions, review
from tests.apiserver.admission.rules import Target, covered, object_selector_matches, selector_matches
from tests.apiserver.errors import forbidden, not_found
from tests.apiserver.interfaces import Attributes, Cluster, Json

GROUP = "admissionregistration.k8s.io"
MUTATING = f"mutatingwebhookconfigurations.{GROUP}"
VALIDATING = f"validatingwebhookconfigurations.{GROUP}"
# Never sent to webhooks, so that a broken one can always be repaired.
EXEMPT = frozenset(
    {
        MUTATING,
        VALIDATING,
        *(f"{kind}.{GROUP}" for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")),
        *(f"{kind}.{GROUP}" for kind in ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")),
    }
)


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

    def form(self, hook: Hook, attributes: Attributes, obj: Json | None) -> Target | None:
        """Decide whether a webhook is called, and in which version it wants the object."""
        resource = attributes.resource
        target = Target(
            group=resource.group,
            version=resource.version,
            resource=resource.plural,
            subresource=attributes.subresource,
            namespaced=resource.namespaced,
        )
        equivalents = [
            replace(target, version=other.version)
            for other in self._cluster.resources()
            if (other.group, other.plural) == (resource.group, resource.plural) and other.version != resource.version
        ]
        form = covered(hook.spec, target, attributes.operation.value, equivalents)
        if form is None or not object_selector_matches(hook.spec, obj, attributes.old_object):
            return None
        if not self._namespace_matches(hook, attributes, obj):
            return None
        return form if self._conditions_match(hook, attributes, form, obj) else None

    def _namespace_matches(self, hook: Hook, attributes: Attributes, obj: Json | None) -> bool:
        selector = hook.spec.get("namespaceSelector")
        is_namespace = attributes.resource.key == "namespaces"
        if not selector or not (attributes.namespace or is_namespace):
            return True
        if is_namespace and not attributes.subresource and obj is not None:
            return selector_matches(selector, obj["metadata"].get("labels") or {})
        name = attributes.namespace or attributes.name
        namespace = self._cluster.store.get("namespaces", "", name)
        if namespace is None:
            raise not_found("namespaces", "", name)
        return selector_matches(selector, namespace["metadata"].get("labels") or {})

    def _conditions_match(self, hook: Hook, attributes: Attributes, form: Target, obj: Json | None) -> bool:
        expressions = [condition["expression"] for condition in hook.spec.get("matchConditions") or ()]
        if not expressions:
            return True
        request = review.build(attributes, form, obj, uid="")["request"]
        variables = {"object": request.pop("object"), "oldObject": request.pop("oldObject"), "request": request}
        outcome = self._conditions.evaluate(expressions, variables)
        if outcome.matches and outcome.errors:
            if hook.ignores_failure:
                return False
            text = outcome.errors[0] if len(outcome.errors) == 1 else f"[{', '.join(outcome.errors)}]"
            raise forbidden(attributes.resource.plural, attributes.resource.group, attributes.name, text)
        return outcome.matches
