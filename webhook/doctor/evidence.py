"""What was read of a cluster, as plain data.

What could not be read is `Unread`, and what is not there `None`: the two are never confused.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from webhook.core.copies import Secret
from webhook.core.scope import Rules
from webhook.doctor.objects import (
    Binding,
    Configuration,
    ExternalSecret,
    NamespaceObject,
    Policy,
    SecretStore,
)
from webhook.doctor.processes import (
    Deployment,
    Lease,
    Pod,
    Service,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that was not looked at; `why` completes the sentence "not looked at: …"."""

    why: str


PART_OF: Final = "app.kubernetes.io/part-of"
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
        rules: Its settings; the defaults where that may not be read.
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
    store: SecretStore | Unread | None = None
    api: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
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
    certificate: PresentedCertificate | Unread | None = None
    mutating_policies: tuple[Policy, ...] | Unread | None = None
    validating_policies: tuple[Policy, ...] | Unread | None = None
    mutating_bindings: tuple[Binding, ...] | Unread = ()
    validating_bindings: tuple[Binding, ...] | Unread = ()
    server: Deployment | Unread | None = None
    controller: Deployment | Unread | None = None
    pods: tuple[Pod, ...] | Unread = ()
    lease: Lease | Unread | None = None
