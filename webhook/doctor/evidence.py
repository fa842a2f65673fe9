"""What was read of a cluster, as plain data, for the chain to be judged from.

What could not be read is `Unread`, and what is not there `None`: the two are never confused.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from webhook.core.copies import Secret
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL
from webhook.core.scope import Namespace, Rules

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that was not looked at; `why` completes the sentence "not looked at: …"."""

    why: str


class _Json(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An object of the API server, or a part of one, as far as it is looked at."""


class Metadata(_Json, frozen=True):
    """Of any object."""

    name: str
    namespace: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class NamespaceStatus(_Json, frozen=True):
    """A Namespace's status."""

    phase: str = ""


class NamespaceObject(_Json, frozen=True):
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


class Condition(_Json, frozen=True):
    """One of a status's conditions."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class ObjectStatus(_Json, frozen=True):
    """Of an ExternalSecret or a store."""

    conditions: tuple[Condition, ...] | None = None
    refresh_time: datetime | None = None

    @property
    def ready(self) -> Condition | None:
        """The condition `Ready`."""
        return next((each for each in self.conditions or () if each.type == "Ready"), None)


class RemoteRef(_Json, frozen=True):
    """Where a value lies in the store."""

    key: str = ""


class ExternalData(_Json, frozen=True):
    """A value that is asked of the store."""

    remote_ref: RemoteRef | None = None


class StoreRef(_Json, frozen=True):
    """Which store."""

    name: str = ""
    kind: str = "SecretStore"


class ExternalTarget(_Json, frozen=True):
    """Which Secret is made."""

    name: str = ""


class ExternalSpec(_Json, frozen=True):
    """What an ExternalSecret asks for."""

    refresh_policy: str = ""
    refresh_interval: str = "1h"
    secret_store_ref: StoreRef | None = None
    target: ExternalTarget | None = None
    data: tuple[ExternalData, ...] | None = None


class ExternalSecret(_Json, frozen=True):
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


class Store(_Json, frozen=True):
    """A SecretStore or ClusterSecretStore."""

    metadata: Metadata
    status: ObjectStatus | None = None


class ServiceRef(_Json, frozen=True):
    """The Service a webhook is called through."""

    name: str
    namespace: str


class ClientConfig(_Json, frozen=True):
    """How a webhook is called."""

    ca_bundle: bytes = b""
    service: ServiceRef | None = None


class Expression(_Json, frozen=True):
    """One requirement of a selector."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class Selector(_Json, frozen=True):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class Webhook(_Json, frozen=True):
    """One webhook of a configuration."""

    name: str
    client_config: ClientConfig
    failure_policy: str = "Fail"
    namespace_selector: Selector | None = None
    object_selector: Selector | None = None


class Configuration(_Json, frozen=True):
    """A MutatingWebhookConfiguration or a ValidatingWebhookConfiguration."""

    metadata: Metadata
    webhooks: tuple[Webhook, ...] | None = None


class Policy(_Json, frozen=True):
    """A MutatingAdmissionPolicy or a ValidatingAdmissionPolicy."""

    metadata: Metadata


class BindingSpec(_Json, frozen=True):
    """What a binding binds."""

    policy_name: str = ""


class Binding(_Json, frozen=True):
    """A binding of one of them."""

    metadata: Metadata
    spec: BindingSpec | None = None


class Variable(_Json, frozen=True):
    """A variable of a container's environment, if it is a plain value."""

    name: str
    value: str = ""


class SecretVolume(_Json, frozen=True):
    """A volume's Secret."""

    secret_name: str = ""


class Volume(_Json, frozen=True):
    """A Pod's volume."""

    name: str
    secret: SecretVolume | None = None


class Container(_Json, frozen=True):
    """A container."""

    name: str
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None


class PodSpec(_Json, frozen=True):
    """A Pod's spec."""

    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] | None = None


class Template(_Json, frozen=True):
    """A Pod template."""

    spec: PodSpec


class DeploymentSpec(_Json, frozen=True):
    """A Deployment's spec."""

    template: Template
    replicas: int = 1


class DeploymentStatus(_Json, frozen=True):
    """A Deployment's status."""

    ready_replicas: int = 0


class Deployment(_Json, frozen=True):
    """A Deployment."""

    metadata: Metadata
    spec: DeploymentSpec
    status: DeploymentStatus | None = None

    @property
    def ready(self) -> int:
        """How many of its Pods are ready."""
        return self.status.ready_replicas if self.status else 0


class Waiting(_Json, frozen=True):
    """Why a container does not run."""

    reason: str = ""


class ContainerState(_Json, frozen=True):
    """How a container is."""

    waiting: Waiting | None = None


class ContainerStatus(_Json, frozen=True):
    """A container's status."""

    restart_count: int = 0
    state: ContainerState | None = None


class PodStatus(_Json, frozen=True):
    """A Pod's status."""

    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(_Json, frozen=True):
    """A Pod of the release."""

    metadata: Metadata
    status: PodStatus | None = None

    @property
    def ready(self) -> bool:
        """It is sent requests."""
        conditions = (self.status and self.status.conditions) or ()
        return self.metadata.deletion_timestamp is None and any(
            each.type == "Ready" and each.status == "True" for each in conditions
        )

    @property
    def restarts(self) -> int:
        """How often its containers were started again."""
        return sum(each.restart_count for each in (self.status and self.status.container_statuses) or ())

    @property
    def waits_for(self) -> str:
        """Why a container of it does not run, "" if none waits."""
        for each in (self.status and self.status.container_statuses) or ():
            if each.state and each.state.waiting and each.state.waiting.reason:
                return each.state.waiting.reason
        return ""


class ServicePort(_Json, frozen=True):
    """A Service's port."""

    port: int = 443


class ServiceSpec(_Json, frozen=True):
    """A Service's spec."""

    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    ports: tuple[ServicePort, ...] | None = None


class Service(_Json, frozen=True):
    """A Service."""

    metadata: Metadata
    spec: ServiceSpec


class Involved(_Json, frozen=True):
    """What an Event is about."""

    namespace: str = ""


class Event(_Json, frozen=True):
    """An Event."""

    metadata: Metadata
    involved_object: Involved
    last_timestamp: datetime | None = None


class CertificateSecret(_Json, frozen=True):
    """A Secret with a certificate. Its private key is passed over."""

    metadata: Metadata
    data: "CertificateData | None" = None


class CertificateData(msgspec.Struct, frozen=True):
    """What is looked at of it."""

    certificate: bytes = msgspec.field(name="tls.crt", default=b"")


class PreferredVersion(_Json, frozen=True):
    """The version of a group that is to be used."""

    group_version: str


class ApiGroup(_Json, frozen=True):
    """A group that the API server serves."""

    preferred_version: PreferredVersion


class LeaseSpec(_Json, frozen=True):
    """A Lease's spec."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class Lease(_Json, frozen=True):
    """A Lease."""

    metadata: Metadata
    spec: LeaseSpec | None = None


PART_OF: Final = "app.kubernetes.io/part-of"
INSTANCE: Final = "app.kubernetes.io/instance"
COMPONENT: Final = "app.kubernetes.io/component"
VERSION: Final = "app.kubernetes.io/version"
"""Labels the chart sets on everything (`gps.labels`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of the add-on, as far as it was found.

    Attributes:
        namespace: Of the release, and so of the central secret.
        name: Full name, the prefix of every object's name.
        version: Of the add-on; "" if it is not known.
        rules: What it was told to do; its defaults where that may not be read.
        rules_unread: Why its settings are not known, `None` if they are.
        found: Something of it was seen.
    """

    namespace: str
    name: str
    version: str = ""
    rules: Rules
    rules_unread: Unread | None = None
    found: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What makes the central secret.

    Attributes:
        external: The ExternalSecret; `None` if there is none.
        store: Its store; `None` if that does not exist.
        api: Path of the operator's API, such as `/apis/external-secrets.io/v1`; "" without it.
    """

    external: ExternalSecret | None = None
    store: Store | Unread | None = None
    api: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The certificate that the servers serve, as PEM, the leaf first.

    Attributes:
        whole: With the certificates between it and its CA, if there are any.
    """

    pem: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read.

    Attributes:
        now: The clock on the wall when it was read, timezone-aware.
        release: The release that is looked at.
        others: Namespaces of other releases.
        source: What makes the central secret.
        central: The central secret.
        secrets: Every `ghcr-secret` besides.
        namespaces: Every Namespace.
        contested: Namespaces whose copy somebody rewrote again and again in the last minutes.
        mutating, validating: The release's configurations.
        service: The Service they are called through.
        certificate: What the servers serve.
        mutating_policies, validating_policies: Its policies in the API server; `None` where there is no such kind.
        mutating_bindings, validating_bindings: Their bindings; a policy of either kind may have the other's name.
        server, controller: The Deployments.
        pods: Of both.
        lease: Of the controller.
    """

    now: datetime
    release: Release
    others: tuple[str, ...] = ()
    source: Source | Unread = field(default_factory=Source)
    central: Secret | Unread | None = None
    secrets: tuple[Secret, ...] | Unread = ()
    namespaces: tuple[NamespaceObject, ...] | Unread = ()
    contested: tuple[str, ...] | Unread = ()
    mutating: tuple[Configuration, ...] | Unread = ()
    validating: tuple[Configuration, ...] | Unread = ()
    service: Service | Unread | None = None
    certificate: Served | Unread | None = None
    mutating_policies: tuple[Policy, ...] | Unread | None = None
    validating_policies: tuple[Policy, ...] | Unread | None = None
    mutating_bindings: tuple[Binding, ...] | Unread = ()
    validating_bindings: tuple[Binding, ...] | Unread = ()
    server: Deployment | Unread | None = None
    controller: Deployment | Unread | None = None
    pods: tuple[Pod, ...] | Unread = ()
    lease: Lease | Unread | None = None
