"""Deployments, Pods and endpoints, as read from the API server."""

from datetime import datetime

import msgspec

from webhook.doctor.objects import ApiObject, Condition, Metadata


class Variable(ApiObject, frozen=True):
    """A variable of a container's environment, if it is a plain value."""

    name: str
    value: str = ""


class SecretVolume(ApiObject, frozen=True):
    """A volume's Secret."""

    secret_name: str = ""


class Volume(ApiObject, frozen=True):
    """A Pod's volume."""

    name: str
    secret: SecretVolume | None = None


class Container(ApiObject, frozen=True):
    """A container."""

    name: str
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None


class PodSpec(ApiObject, frozen=True):
    """A Pod's spec."""

    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] | None = None


class Template(ApiObject, frozen=True):
    """A Pod template."""

    spec: PodSpec


class DeploymentSpec(ApiObject, frozen=True):
    """A Deployment's spec."""

    template: Template
    replicas: int = 1


class DeploymentStatus(ApiObject, frozen=True):
    """A Deployment's status."""

    ready_replicas: int = 0


class Deployment(ApiObject, frozen=True):
    """A Deployment."""

    metadata: Metadata
    spec: DeploymentSpec
    status: DeploymentStatus | None = None

    @property
    def ready(self) -> int:
        """How many of its Pods are ready."""
        return self.status.ready_replicas if self.status else 0


class WaitingState(ApiObject, frozen=True):
    """Why a container does not run."""

    reason: str = ""


class ContainerState(ApiObject, frozen=True):
    """How a container is."""

    waiting: WaitingState | None = None


class ContainerStatus(ApiObject, frozen=True):
    """A container's status."""

    restart_count: int = 0
    state: ContainerState | None = None


class PodStatus(ApiObject, frozen=True):
    """A Pod's status."""

    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(ApiObject, frozen=True):
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


class ServicePort(ApiObject, frozen=True):
    """A Service's port."""

    port: int = 443


class ServiceSpec(ApiObject, frozen=True):
    """A Service's spec."""

    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    ports: tuple[ServicePort, ...] | None = None


class Service(ApiObject, frozen=True):
    """A Service."""

    metadata: Metadata
    spec: ServiceSpec


class Involved(ApiObject, frozen=True):
    """What an Event is about."""

    namespace: str = ""


class Event(ApiObject, frozen=True):
    """An Event."""

    metadata: Metadata
    involved_object: Involved
    last_timestamp: datetime | None = None


class CertificateSecret(ApiObject, frozen=True):
    """A Secret with a certificate. Its private key is passed over."""

    metadata: Metadata
    data: "CertificateData | None" = None


class CertificateData(msgspec.Struct, frozen=True):
    """What is looked at of it."""

    certificate: bytes = msgspec.field(name="tls.crt", default=b"")


class PreferredVersion(ApiObject, frozen=True):
    """The version of a group that is to be used."""

    group_version: str


class ApiGroup(ApiObject, frozen=True):
    """A group that the API server serves."""

    preferred_version: PreferredVersion


class LeaseSpec(ApiObject, frozen=True):
    """A Lease's spec."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class Lease(ApiObject, frozen=True):
    """A Lease."""

    metadata: Metadata
    spec: LeaseSpec | None = None
