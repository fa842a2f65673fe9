"""Reads of the API server, with whatever permission there is."""

import functools
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol, TypeVar

from webhook.cluster import cluster_of, wire
from webhook.cluster.client import Client
from webhook.cluster.paging import whole_list
from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import decode
from webhook.cluster.surroundings import ClusterSurroundings, WrittenSecret
from webhook.core.copies import Secret
from webhook.core.judging import UnreadableSecret
from webhook.core.names import SECRET_NAME
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.doctor.evidence import PresentedCertificate, Unread
from webhook.doctor.model import Station, StationState
from webhook.ports import LIST_S, ClusterError, Deadline, Forbidden, Invalid, NotFound, TooLarge, Unavailable

T = TypeVar("T")

CALL_S: Final = 20.0
"""Time for one call to the API server, while a person waits for the command."""

_HANDSHAKE_S: Final = 3.0
"""A cluster IP leads nowhere from most machines: packets to it just vanish."""


class Asks(Protocol):
    """Reads of the API server. All raise `ClusterError`."""

    def get(self, target: Target, kind: type[T]) -> T | None:
        """Read one object; `None` if it, or its kind, does not exist."""
        ...

    def list(self, target: Target, kind: type[T], query: Mapping[str, str] | None = None) -> tuple[T, ...] | None:
        """Read all objects of a list; `None` if their kind does not exist."""
        ...

    def secrets(self, namespace: str) -> tuple[Secret, ...]:
        """Read every `ghcr-secret`, or that of one namespace."""
        ...

    def served(self, host: str, port: int) -> PresentedCertificate | None:
        """Look at the certificate that is served there; `None` if there is no way there from here."""
        ...


class ClusterAsks:
    """`Asks` over a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, target: Target, kind: type[T]) -> T | None:
        """Read one object."""
        return self._client.find(target, Deadline.after(CALL_S), lambda content: wire.read(content, kind))

    def list(self, target: Target, kind: type[T], query: Mapping[str, str] | None = None) -> tuple[T, ...] | None:
        """Read all objects of a list, by pages; one whose continuation expired (410) is begun again, once."""
        deadline = Deadline.after(LIST_S)
        try:
            found, _ = whole_list(
                self._client,
                target,
                lambda content, _whole: wire.read(content, kind),
                query=query or {},
                deadline=lambda: deadline,
            )
        except NotFound:
            return None
        return tuple(found)

    def secrets(self, namespace: str) -> tuple[Secret, ...]:
        """Read every `ghcr-secret`, or that of one namespace."""
        if not namespace:
            return cluster_of(self._client).facts.copies(Deadline.after(LIST_S))
        target = Target(verb=Verb.GET, resource="secrets", namespace=namespace, name=SECRET_NAME)
        found = self._client.find(target, Deadline.after(CALL_S), decode)
        return () if found is None else (found,)

    def served(self, host: str, port: int) -> PresentedCertificate | None:
        """Look at the certificate that is served there, and believe nothing of it."""
        try:
            pem = ssl.get_server_certificate((host, port), timeout=_HANDSHAKE_S)
        except (OSError, ValueError):
            return None
        return PresentedCertificate(pem=pem.encode("ascii"), whole=False)


def attempt(read: Callable[[], T]) -> T | Unread:
    """Read something, or say why it was not.

    Raises:
        ClusterError: The API server cannot be asked at all: it is not there, or does not know who asks.
    """
    try:
        return read()
    except Forbidden as error:
        return Unread(forbidden(error))
    except (TooLarge, Invalid) as error:
        return Unread(f"{error}")
    except Unavailable as error:
        if error.code == 200:
            return Unread(f"{error.resource} have a shape that is not known here")
        raise


def forbidden(error: ClusterError) -> str:
    """Say what whoever asks may not do, as `Unread.why` has it."""
    where = f" in {error.namespace}" if error.namespace else ""
    return f"you may not {error.verb} {error.resource}{where}"


class PermittedReads:
    """Reads through `ClusterSurroundings` what may be read; safe to share between threads.

    A refusal is an answer, and `skipped` reports it.

    Nothing that is for the whole cluster is asked for twice.
    """

    def __init__(self, cluster: ClusterSurroundings, deadline: Deadline) -> None:
        self._cluster = cluster
        self._deadline = deadline
        self._lock = threading.Lock()
        self._refused: dict[str, set[str]] = {}
        self.owner = functools.cache(self._owner)
        self.account = functools.cache(self._account)

    def lost_nodes(self) -> frozenset[str]:
        """Name the nodes that are not heard of; none where that may not be asked."""
        return self._try("nodes", "", lambda: self._cluster.lost_nodes(self._deadline), frozenset())

    def registered_at(self) -> str | None:
        """Say since when the webhook has been there, "" if it is not; `None` where that may not be asked."""
        unknown: str | None = None
        return self._try(
            "mutatingwebhookconfigurations", "", lambda: self._cluster.registered_at(self._deadline), unknown
        )

    def namespaces(self, names: Collection[str]) -> dict[str, Namespace]:
        """Read Namespaces, by name: one by itself, several as the list of all; without labels where that is refused."""
        found: dict[str, Namespace] = {}
        if len(names) > 1:
            found = self._try("namespaces", "", lambda: self._cluster.namespaces(self._deadline), found)
        elif names:
            [name] = names
            only = self._try(
                "namespaces", "", lambda: self._cluster.namespace(name, self._deadline), Namespace(name=name)
            )
            found = {name: only}
        return {name: found.get(name) or Namespace(name=name) for name in names}

    def secret(self, namespace: str, name: str) -> WrittenSecret | UnreadableSecret | None:
        """Read a Secret, or say that it may not be read or is not there."""
        fact: WrittenSecret | UnreadableSecret | None = UnreadableSecret()
        return self._try("secrets", namespace, lambda: self._cluster.secret(namespace, name, self._deadline), fact)

    def _account(self, namespace: str, name: str) -> ServiceAccount:
        """Read a ServiceAccount's pull secrets; none where that is refused."""
        return self._try(
            "serviceaccounts",
            namespace,
            lambda: self._cluster.account(namespace, name, self._deadline),
            ServiceAccount(),
        )

    def _owner(self, namespace: str, kind: str, name: str) -> tuple[str, str]:
        """Name what is edited to change a controller's Pods; the controller itself where that is refused."""
        resource = f"{kind.lower()}s"
        return self._try(
            resource, namespace, lambda: self._cluster.owner(namespace, kind, name, self._deadline), (kind, name)
        )

    def _try(self, resource: str, namespace: str, read: Callable[[], T], refused: T) -> T:
        try:
            return read()
        except Forbidden:
            with self._lock:
                self._refused.setdefault(resource, set()).update({namespace} - {""})
            return refused

    def skipped(self) -> tuple[Station, ...]:
        """Say what was not looked at."""
        return tuple(
            Station(
                name=resource,
                state=StationState.SKIPPED,
                text=f"not looked at: you may not {_verb(resource)} {resource}{_where(names)}",
            )
            for resource, names in sorted(self._refused.items())
        )


def _verb(resource: str) -> str:
    return "list" if resource in {"nodes", "namespaces", "mutatingwebhookconfigurations"} else "get"


_MAX_NAMESPACES: Final = 3
"""Most namespaces that one line names."""


def _where(namespaces: set[str]) -> str:
    if not namespaces:
        return ""
    names = sorted(namespaces)
    more = f" and {len(names) - _MAX_NAMESPACES} more" if len(names) > _MAX_NAMESPACES else ""
    return f" in {', '.join(names[:_MAX_NAMESPACES])}{more}"
