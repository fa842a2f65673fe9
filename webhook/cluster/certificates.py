"""Kubernetes adapter of `certs.ports`.

RBAC, watches (`webhook.cluster.certificate_watches`) included, all of it by `resourceNames` but `create`:

| who        | on                                                     | in                | verbs                     |
|------------|--------------------------------------------------------|-------------------|---------------------------|
| controller | Secrets `…-webhook-ca`, `…-webhook-tls`                | release namespace | get, list, watch, patch,  |
|            |                                                        |                   | delete; create (any name) |
| controller | Mutating- and ValidatingWebhookConfigurations          | cluster           | get, list, watch, patch   |
| server     | Secret `…-webhook-tls`                                 | release namespace | list, watch               |
"""

import base64
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

import msgspec

from certs.ports import Changed, Registered, Stored
from certs.state import SecretData
from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.cluster.wire import Content
from webhook.core.names import FIELD_MANAGER, MANAGED_BY_LABEL, MANAGED_BY_VALUE
from webhook.ports import AlreadyExists, Conflict, Deadline, Invalid, NotFound

ADMISSION_V1: Final = "/apis/admissionregistration.k8s.io/v1"
MUTATING: Final = "mutatingwebhookconfigurations"
VALIDATING: Final = "validatingwebhookconfigurations"

CALL_SECONDS: Final = 10.0


class WebhookConfiguration(NamedTuple):
    """A webhook configuration whose `caBundle` is kept.

    Attributes:
        resource: `MUTATING` or `VALIDATING`.
        name: Its name.
        watch: What its watch is called in metrics and probes.
    """

    resource: str
    name: str
    watch: str


def configurations(name: str, last: str | None) -> tuple[WebhookConfiguration, ...]:
    """List the webhook configurations of a release.

    Args:
        name: Of the mutating and the validating one.
        last: Of the second mutating one, which is called last; `None` if there is none.
    """
    found = [WebhookConfiguration(resource, name, resource) for resource in (MUTATING, VALIDATING)]
    if last is not None:
        found.append(WebhookConfiguration(MUTATING, last, f"{MUTATING}-last"))
    return tuple(found)


Writing = Callable[[Deadline], AbstractContextManager[Deadline]]
"""Lets a write through, and gives the deadline it must keep; raises a `ClusterError` if it may not be."""


class CertificateSecrets:
    """`certs.ports.CertificateStore`: Secrets of type `kubernetes.io/tls` in one namespace.

    Every method raises `webhook.ports.ClusterError`. Labels and annotations are nobody's business here; those of others
    stay.
    """

    def __init__(self, client: Client, namespace: str, *, writing: Writing = nullcontext) -> None:
        self._client = client
        self._namespace = namespace
        self._writing = writing

    def get(self, name: str) -> Stored | None:
        """Read one."""
        return self._client.find(self._target(Verb.GET, name), Deadline.after(CALL_SECONDS), _decode_stored)

    def create(self, name: str, data: SecretData) -> None:
        """Make one."""
        target = Target(verb=Verb.CREATE, resource="secrets", namespace=self._namespace, about=name)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {MANAGED_BY_LABEL: MANAGED_BY_VALUE},
            },
            "type": "kubernetes.io/tls",
            "data": _encoded(data),
        }
        try:
            self._write(target, secret)
        except AlreadyExists:
            raise Changed(name) from None

    def update(self, name: str, data: SecretData, seen: Stored) -> None:
        """Replace all data of one.

        One that cannot be given this data, immutable or of a type that wants other keys, is deleted and made again.
        """
        metadata = {"resourceVersion": seen.version}
        patch = {"metadata": metadata, "data": {"$patch": "replace", **_encoded(data)}}
        try:
            self._write(self._target(Verb.PATCH, name), patch)
        except (Conflict, NotFound):
            raise Changed(name) from None
        except Invalid:
            self._delete(name, seen)
            self.create(name, data)

    def _delete(self, name: str, seen: Stored) -> None:
        preconditions = {"resourceVersion": seen.version}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        with self._writing(Deadline.after(CALL_SECONDS)) as deadline:
            try:
                self._client.request(self._target(Verb.DELETE, name), deadline, body=options)
            except (Conflict, NotFound):
                raise Changed(name) from None

    def _write(self, target: Target, body: Mapping[str, Any]) -> None:
        with self._writing(Deadline.after(CALL_SECONDS)) as deadline:
            self._client.request(target, deadline, query={"fieldManager": FIELD_MANAGER}, body=body)

    def _target(self, verb: Verb, name: str) -> Target:
        return Target(verb=verb, resource="secrets", namespace=self._namespace, name=name)


class WebhookRegistration:
    """`certs.ports.Registration`: one webhook configuration. Raises `webhook.ports.ClusterError`.

    Only `caBundle` is written, so that it is all we own of an object that Helm or Argo CD applies: a strategic-merge
    patch finds a webhook by its name, and is refused with 409 if the object's resourceVersion is no longer the one the
    patch names.

    Args:
        client: HTTP to the API server.
        resource: `MUTATING` or `VALIDATING`.
        configuration: Its name.
        writing: Lets writes through.
    """

    def __init__(self, client: Client, resource: str, configuration: str, *, writing: Writing = nullcontext) -> None:
        self._client = client
        self._resource = resource
        self._configuration = configuration
        self._writing = writing

    @property
    def name(self) -> str:
        """Resource and name, such as `mutatingwebhookconfigurations/ghcr-pull-secrets`."""
        return f"{self._resource}/{self._configuration}"

    def read(self) -> Registered | None:
        """Read it."""
        return self._client.find(self._target(Verb.GET), Deadline.after(CALL_SECONDS), _decode_registered)

    def publish(self, bundle: bytes, seen: Registered) -> None:
        """Make this the `caBundle` of every webhook."""
        ours = {"clientConfig": {"caBundle": base64.b64encode(bundle).decode()}}
        patch = {
            "metadata": {"resourceVersion": seen.version},
            "webhooks": [{"name": name, **ours} for name, _ in seen.bundles],
        }
        with self._writing(Deadline.after(CALL_SECONDS)) as deadline:
            try:
                self._client.request(
                    self._target(Verb.PATCH),
                    deadline,
                    query={"fieldManager": FIELD_MANAGER},
                    body=patch,
                    patch_type=PatchType.STRATEGIC,
                )
            except (Conflict, NotFound):
                raise Changed(self.name) from None

    def _target(self, verb: Verb) -> Target:
        return Target(verb=verb, resource=self._resource, name=self._configuration, api=ADMISSION_V1)


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Secret(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str | None] | None = None


class _ClientConfig(msgspec.Struct, rename="camel"):
    ca_bundle: str | None = None


class _Webhook(msgspec.Struct, rename="camel"):
    name: str
    client_config: _ClientConfig


class _Configuration(msgspec.Struct):
    metadata: _Metadata
    webhooks: list[_Webhook] | None = None


def decode_data(content: Content) -> dict[str, bytes]:
    """Read the data of a `v1` Secret.

    Raises:
        ValueError: It has not the shape of one.
    """
    return _data(wire.read(content, _Secret))


def _decode_stored(content: Content) -> Stored:
    read = wire.read(content, _Secret)
    return Stored(data=_data(read), version=read.metadata.resource_version)


def _decode_registered(content: Content) -> Registered:
    read = wire.read(content, _Configuration)
    return Registered(
        bundles=tuple((each.name, _decoded(each.client_config.ca_bundle)) for each in read.webhooks or ()),
        version=read.metadata.resource_version,
    )


def _data(read: _Secret) -> dict[str, bytes]:
    return {key: _decoded(value) for key, value in (read.data or {}).items()}


def _encoded(data: SecretData) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _decoded(value: str | None) -> bytes:
    return base64.b64decode(value or "")
