"""Watches of the certificate Secrets and the webhook configurations."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from certs.state import SecretData
from webhook.cluster import wire
from webhook.cluster.certificates import ADMISSION_V1, WebhookConfiguration, decode_data
from webhook.cluster.client import Client
from webhook.cluster.reflector import Reflector, Watches
from webhook.cluster.watching import DEFAULT_PACING, Pacing
from webhook.cluster.wire import Content

AUTHORITY_WATCH: Final = "certificate-authority"
LEAF_WATCH: Final = "certificate"
"""What the watches of the Secrets are called where watches are told apart by resource: `secrets` is another."""


def certificate_watches(  # noqa: PLR0913 (the names, and where)
    client: Client,
    *,
    namespace: str,
    authority: str,
    leaf: str,
    configurations: Sequence[WebhookConfiguration],
    on_change: Callable[[], None],
    pacing: Pacing = DEFAULT_PACING,
) -> Watches:
    """Watch what a keeper keeps: both Secrets and the webhook configurations, by name.

    Args:
        client: HTTP to the API server.
        namespace: Where the Secrets are.
        authority: Name of the CA's Secret.
        leaf: Name of the server certificate's.
        configurations: The webhook configurations.
        on_change: Called when one of them changed or may have; it must be quick.
        pacing: Times of the watches.

    Returns:
        The watches, to be started and stopped.
    """
    sink = _Hint(on_change)
    secrets = (
        Reflector(
            client,
            "secrets",
            _name_of,
            sink,
            field_selector=f"metadata.name={name}",
            namespace=namespace,
            label=label,
            pacing=pacing,
        )
        for name, label in ((authority, AUTHORITY_WATCH), (leaf, LEAF_WATCH))
    )
    hooks = (
        Reflector(
            client,
            each.resource,
            _name_of,
            sink,
            field_selector=f"metadata.name={each.name}",
            api=ADMISSION_V1,
            label=each.watch,
            pacing=pacing,
        )
        for each in configurations
    )
    return Watches((*secrets, *hooks))


def watch_certificate(
    client: Client,
    *,
    namespace: str,
    name: str,
    take: Callable[[SecretData | None], None],
    pacing: Pacing = DEFAULT_PACING,
) -> Watches:
    """Watch one Secret's data.

    Args:
        client: HTTP to the API server.
        namespace: Where the Secret is.
        name: Its name.
        take: Given the data as soon as it is known, and after each change; `None` if there is no such Secret.
        pacing: Times of the watch.

    Returns:
        The watch, to be started and stopped.
    """
    reflector = Reflector(
        client,
        "secrets",
        _data_of,
        _Content(take),
        field_selector=f"metadata.name={name}",
        namespace=namespace,
        label=LEAF_WATCH,
        pacing=pacing,
    )
    return Watches((reflector,))


class _Metadata(msgspec.Struct):
    name: str


class _Named(msgspec.Struct):
    metadata: _Metadata


class _Hint:
    """A sink that only reports that something came."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change

    def replace(self, items: Sequence[str], version: str) -> None:  # noqa: ARG002 (a sink's signature)
        self._on_change()

    def apply(self, item: str, version: str, *, deleted: bool) -> None:  # noqa: ARG002 (a sink's signature)
        self._on_change()


class _Content:
    """A sink of the one Secret there can be of a name."""

    def __init__(self, take: Callable[[SecretData | None], None]) -> None:
        self._take = take

    def replace(self, items: Sequence[SecretData], version: str) -> None:  # noqa: ARG002 (a sink's signature)
        self._take(items[0] if items else None)

    def apply(self, item: SecretData, version: str, *, deleted: bool) -> None:  # noqa: ARG002 (a sink's signature)
        self._take(None if deleted else item)


def _name_of(content: Content, whole: bool) -> str:  # noqa: ARG001 (a name is metadata)
    return wire.read(content, _Named).metadata.name


def _data_of(content: Content, whole: bool) -> SecretData:
    if not whole:
        raise ValueError("too large for a certificate and its key")
    return decode_data(content)
