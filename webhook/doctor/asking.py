"""The few ways in which the API server is asked here, as a Protocol, and how what may not be read is told."""

import ssl
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from webhook.cluster import cluster_of, wire
from webhook.cluster.client import Client
from webhook.cluster.paging import whole_list
from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import decode
from webhook.core.copies import Secret
from webhook.core.names import SECRET_NAME
from webhook.doctor.evidence import PresentedCertificate, Unread
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
