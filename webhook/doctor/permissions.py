"""Asks for what is around Pods with whatever permission there is, and remembers what was refused."""

import functools
import threading
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from webhook.cluster.surroundings import ClusterSurroundings, WrittenSecret
from webhook.core.judging import UnreadableSecret
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.doctor.model import Station, StationState
from webhook.ports import Deadline, Forbidden

T = TypeVar("T")

_SHOWN: Final = 3
"""Most namespaces that one line names."""


class Permissions:
    """Reads through `ClusterSurroundings`; safe to share between threads. A refusal is an answer, told in the end.

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


def _where(namespaces: set[str]) -> str:
    if not namespaces:
        return ""
    names = sorted(namespaces)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f" in {', '.join(names[:_SHOWN])}{more}"
