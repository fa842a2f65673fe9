"""Objects read as core values: Namespaces, ServiceAccounts, Pods' mounts."""

import re
import sys
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.cluster.wire import Content
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL, SECRET_NAME
from webhook.core.policy import ServiceAccount, mounts
from webhook.core.scope import Namespace
from webhook.ports import Deadline

KEPT_NAMES: Final = 32
"""Pull secrets of a ServiceAccount that are kept; a tenant decides how many it has."""

MAX_NAME: Final = 253
"""Characters of a Secret's name, by the API's rules for names."""

READ_NAMES: Final = 10_000
"""Entries of its list that are read when the API server is asked for one."""

_OURS: Final = re.compile(f'"{re.escape(SECRET_NAME)}"'.encode())
"""As a name stands in the JSON of an API server; no entry has any other field."""


@dataclass(frozen=True, slots=True)
class PullSecrets:
    """Names of a ServiceAccount's pull secrets; `more` says that there are others behind these."""

    names: tuple[str, ...] = ()
    more: bool = False

    def __contains__(self, name: object) -> bool:
        return name in self.names


class _NamespaceLabels(msgspec.Struct):
    inject: str = msgspec.field(name=INJECT_KEY, default="")
    enforce: str = msgspec.field(name=ENFORCE_LABEL, default="")
    provision: str = msgspec.field(name=PROVISION_LABEL, default="")


class _NamespaceMetadata(msgspec.Struct):
    name: str
    labels: _NamespaceLabels | None = None
    deletion: str | None = msgspec.field(name="deletionTimestamp", default=None)


class _Status(msgspec.Struct):
    phase: str = ""


class _Namespace(msgspec.Struct):
    metadata: _NamespaceMetadata
    status: _Status | None = None


class _AccountMetadata(msgspec.Struct):
    namespace: str
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _ServiceAccount(msgspec.Struct):
    metadata: _AccountMetadata
    pull_secrets: msgspec.Raw = msgspec.field(name="imagePullSecrets", default=msgspec.Raw(b"null"))


def find_namespace(client: Client, name: str, deadline: Deadline) -> Namespace:
    """Ask for a Namespace; one that does not exist is a Namespace without labels. Raises `ClusterError`."""
    found = client.find(Target(verb=Verb.GET, resource="namespaces", name=name), deadline, decode_namespace)
    return Namespace(name=name) if found is None else found


def find_account(client: Client, namespace: str, name: str, deadline: Deadline) -> ServiceAccount:
    """Ask for a ServiceAccount's pull secrets, or whether it exists. Raises `ClusterError`."""
    target = Target(verb=Verb.GET, resource="serviceaccounts", namespace=namespace, name=name)
    found = client.find(target, deadline, decode_pull_secrets)
    return ServiceAccount(exists=False) if found is None else ServiceAccount(secrets=found.names)


def decode_namespace(content: Content) -> Namespace:
    """Read a `v1` Namespace.

    Raises:
        ValueError: It has not the shape of one.
    """
    read = wire.read(content, _Namespace)
    labels = read.metadata.labels or _NamespaceLabels()
    return Namespace(
        name=sys.intern(read.metadata.name),
        inject=sys.intern(labels.inject),
        enforce=sys.intern(labels.enforce),
        provision=sys.intern(labels.provision),
        terminating=read.metadata.deletion is not None
        or (read.status is not None and read.status.phase == "Terminating"),
    )


def decode_service_account(content: Content, whole: bool) -> tuple[tuple[str, str], PullSecrets]:
    """Read a `v1` ServiceAccount: namespace and name, and the first `KEPT_NAMES` of its pull secrets.

    Behind those `ghcr-secret` is kept too: whoever lists it has a copy made.

    Raises:
        ValueError: It has not the shape of one.
    """
    account = wire.read(content, _ServiceAccount)
    key = sys.intern(account.metadata.namespace), sys.intern(account.metadata.name)
    if not whole:
        return key, PullSecrets(more=True)
    kept = _pull_secrets(account, KEPT_NAMES)
    if kept.more and SECRET_NAME not in kept and _OURS.search(memoryview(account.pull_secrets)):
        kept = PullSecrets((*kept.names, SECRET_NAME), more=True)
    return key, kept


def decode_pull_secrets(content: Content) -> PullSecrets:
    """Read the names in a `v1` ServiceAccount's `imagePullSecrets`, of the first `READ_NAMES` entries.

    Entries without a name are passed over, and so are names that are longer than any Secret's.

    Raises:
        ValueError: It has not the shape of one.
    """
    return _pull_secrets(wire.read(content, _ServiceAccount), READ_NAMES)


def _pull_secrets(account: _ServiceAccount, at_most: int) -> PullSecrets:
    found, more = wire.entries(account.pull_secrets, at_most)
    names = (entry["name"] for entry in found if isinstance(entry, dict) and isinstance(entry.get("name"), str))
    return PullSecrets(tuple(dict.fromkeys(sys.intern(name) for name in names if 0 < len(name) <= MAX_NAME)), more)


_NAME_IN_BYTES: Final = SECRET_NAME.encode()


class _Field(msgspec.Struct, omit_defaults=True, gc=False, rename="camel"):
    """Only what says which Secret is meant; all else is passed over without being built."""


class _Reference(_Field):
    name: str | None = None


class _SecretVolume(_Field):
    secret_name: str | None = None


class _Projection(_Field):
    secret: _Reference | None = None


class _Projected(_Field):
    sources: list[_Projection | None] | None = None


class _Volume(_Field):
    secret: _SecretVolume | None = None
    projected: _Projected | None = None


class _ValueFrom(_Field):
    secret_key_ref: _Reference | None = None


class _Variable(_Field):
    value_from: _ValueFrom | None = None


class _Variables(_Field):
    secret_ref: _Reference | None = None


class _Container(_Field):
    env: list[_Variable | None] | None = None
    env_from: list[_Variables | None] | None = None


class _Spec(_Field):
    containers: list[_Container | None] | None = None
    init_containers: list[_Container | None] | None = None
    ephemeral_containers: list[_Container | None] | None = None
    volumes: list[_Volume | None] | None = None


class _Pod(_Field):
    spec: _Spec | None = None


def mounts_copy(content: Content) -> bool:
    """Return whether a Pod mounts `ghcr-secret` or reads it into variables, as `webhook.core.policy.mounts` does.

    Raises:
        ValueError: It has not the shape of a Pod.
    """
    # Nearly every Pod is decided by its bytes: the API server writes no name with escapes.
    if _NAME_IN_BYTES not in bytes(content):
        return False
    spec = wire.read(content, _Pod).spec
    return spec is not None and mounts(msgspec.to_builtins(spec), SECRET_NAME)
