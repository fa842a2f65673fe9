"""The chain in the API server's order: plugins, mutating policies and webhooks, (the core's validation,) policies, validating webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from standin.admission import configuration, pod_defaults, policy_configuration, service_account
from standin.admission.mutations import PolicyMutator
from standin.admission.policies import PolicyDispatcher
from standin.admission.reinvocation import Reinvocation
from standin.admission.selection import BINDINGS, MUTATING, MUTATING_BINDINGS, MUTATING_POLICIES, POLICIES, VALIDATING
from standin.admission.transport import Transport
from standin.admission.webhooks import Call, WebhookDispatcher
from standin.errors import FieldError, invalid
from standin.interfaces import Attributes, Cluster, Json, Operation

_CHECKS: Mapping[str, Callable[[Json], list[FieldError]]] = MappingProxyType(
    {
        MUTATING: configuration.check,
        VALIDATING: configuration.check,
        POLICIES: policy_configuration.check,
        BINDINGS: policy_configuration.check,
        MUTATING_POLICIES: policy_configuration.check_mutating,
        MUTATING_BINDINGS: policy_configuration.check_mutating,
    }
)


class AdmissionChain:
    """Admission for one cluster; an implementation of `interfaces.Admitter`."""

    def __init__(self, cluster: Cluster, *, transport: Transport | None = None) -> None:
        self._cluster = cluster
        self._mutations = PolicyMutator(cluster)
        self._policies = PolicyDispatcher(cluster)
        self._webhooks = WebhookDispatcher(cluster, transport)

    @property
    def calls(self) -> list[Call]:
        """The latest webhook calls with their audit annotations, oldest first."""
        return self._webhooks.calls

    @property
    def transport(self) -> Transport:
        """The connections to webhooks."""
        return self._webhooks.transport

    def mutate(self, attributes: Attributes) -> tuple[Json | None, list[str]]:
        """Run plugins, mutating policies and webhooks; once more if a patch made `reinvocationPolicy: IfNeeded` due."""
        states = (Reinvocation(), Reinvocation())
        obj, warnings = self._round(attributes, attributes.object, *states)
        if any(state.wanted for state in states):
            for state in states:
                state.round = 1
            obj, more = self._round(attributes, obj, *states)
            warnings += more
        return obj, warnings

    def validate(self, attributes: Attributes) -> list[str]:
        """Check webhook configurations and policies, go by the policies, ask validating webhooks."""
        self._check_configuration(attributes)
        return [*self._policies.validate(attributes), *self._webhooks.validate(attributes)]

    def close(self) -> None:
        """Close connections to webhooks."""
        self._webhooks.transport.close()

    def _round(
        self, attributes: Attributes, obj: Json | None, policies: Reinvocation, webhooks: Reinvocation
    ) -> tuple[Json | None, list[str]]:
        if obj is not None:
            obj = service_account.admit(attributes, obj, self._cluster.store)
            obj = pod_defaults.admit(attributes, obj, self._cluster.store)
        obj = self._mutations.mutate(attributes, obj, policies)
        return self._webhooks.mutate(attributes, obj, webhooks)

    @staticmethod
    def _check_configuration(attributes: Attributes) -> None:
        resource, obj = attributes.resource, attributes.object
        written = attributes.operation in {Operation.CREATE, Operation.UPDATE} and not attributes.subresource
        check = _CHECKS.get(resource.key)
        if obj is None or not written or check is None:
            return
        if errors := check(obj):
            raise invalid(resource.kind, resource.group, attributes.name, errors)
