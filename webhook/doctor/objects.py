"""Objects of the set-up, as read from the API server."""

from datetime import datetime

import msgspec

from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL
from webhook.core.scope import Namespace


class ApiObject(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An object of the API server, or a part of one, as far as it is looked at."""


class Metadata(ApiObject, frozen=True):
    """Of any object."""

    name: str
    namespace: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class NamespaceStatus(ApiObject, frozen=True):
    """A Namespace's status."""

    phase: str = ""


class NamespaceObject(ApiObject, frozen=True):
    """A Namespace with all its labels, which selectors are about."""

    metadata: Metadata
    status: NamespaceStatus | None = None

    @property
    def known(self) -> Namespace:
        """The Namespace as decisions need it."""
        labels = self.metadata.labels or {}
        return Namespace(
            name=self.metadata.name,
            inject=labels.get(INJECT_KEY, ""),
            enforce=labels.get(ENFORCE_LABEL, ""),
            provision=labels.get(PROVISION_LABEL, ""),
            terminating=self.metadata.deletion_timestamp is not None
            or (self.status is not None and self.status.phase == "Terminating"),
        )


class Condition(ApiObject, frozen=True):
    """One of a status's conditions."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class ObjectStatus(ApiObject, frozen=True):
    """Of an ExternalSecret or a store."""

    conditions: tuple[Condition, ...] | None = None
    refresh_time: datetime | None = None

    @property
    def ready(self) -> Condition | None:
        """The condition `Ready`."""
        return next((each for each in self.conditions or () if each.type == "Ready"), None)


class RemoteRef(ApiObject, frozen=True):
    """Where a value lies in the store."""

    key: str = ""


class ExternalData(ApiObject, frozen=True):
    """A value that is asked of the store."""

    remote_ref: RemoteRef | None = None


class StoreRef(ApiObject, frozen=True):
    """Which store."""

    name: str = ""
    kind: str = "SecretStore"


class ExternalTarget(ApiObject, frozen=True):
    """Which Secret is made."""

    name: str = ""


class ExternalSpec(ApiObject, frozen=True):
    """What an ExternalSecret asks for."""

    refresh_policy: str = ""
    refresh_interval: str = "1h"
    secret_store_ref: StoreRef | None = None
    target: ExternalTarget | None = None
    data: tuple[ExternalData, ...] | None = None


class ExternalSecret(ApiObject, frozen=True):
    """An ExternalSecret of the External Secrets Operator."""

    metadata: Metadata
    spec: ExternalSpec | None = None
    status: ObjectStatus | None = None

    @property
    def makes(self) -> str:
        """The name of the Secret it makes."""
        return (self.spec and self.spec.target and self.spec.target.name) or self.metadata.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys it asks of its store."""
        data = (self.spec and self.spec.data) or ()
        return tuple(dict.fromkeys(each.remote_ref.key for each in data if each.remote_ref and each.remote_ref.key))


class SecretStore(ApiObject, frozen=True):
    """A SecretStore or ClusterSecretStore."""

    metadata: Metadata
    status: ObjectStatus | None = None


class ServiceRef(ApiObject, frozen=True):
    """The Service a webhook is called through."""

    name: str
    namespace: str


class ClientConfig(ApiObject, frozen=True):
    """How a webhook is called."""

    ca_bundle: bytes = b""
    service: ServiceRef | None = None


class Expression(ApiObject, frozen=True):
    """One requirement of a selector."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class Selector(ApiObject, frozen=True):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class Webhook(ApiObject, frozen=True):
    """One webhook of a configuration."""

    name: str
    client_config: ClientConfig
    failure_policy: str = "Fail"
    namespace_selector: Selector | None = None
    object_selector: Selector | None = None


class Configuration(ApiObject, frozen=True):
    """A MutatingWebhookConfiguration or a ValidatingWebhookConfiguration."""

    metadata: Metadata
    webhooks: tuple[Webhook, ...] | None = None


class Policy(ApiObject, frozen=True):
    """A MutatingAdmissionPolicy or a ValidatingAdmissionPolicy."""

    metadata: Metadata


class BindingSpec(ApiObject, frozen=True):
    """What a binding binds."""

    policy_name: str = ""


class Binding(ApiObject, frozen=True):
    """A binding of one of them."""

    metadata: Metadata
    spec: BindingSpec | None = None
