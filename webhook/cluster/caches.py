"""Caches of watched resources, reduced to compact core values."""

import functools
import sys
import threading
import types
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

import structlog

from webhook.cluster.client import Client
from webhook.cluster.objects import PullSecrets, decode_namespace, decode_service_account
from webhook.cluster.reflector import Reflector, Watches
from webhook.cluster.secrets import decode as decode_secret
from webhook.cluster.watching import DEFAULT_PACING, Pacing
from webhook.cluster.wire import Content
from webhook.core.copies import Secret
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Namespace

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ServiceAccountKey = tuple[str, str]
"""Namespace and name."""

DISTINCT_PAYLOADS: Final = 64
"""So many different values are held once each; copies have one value, two while they follow a rotation, and the rest is
room for foreign secrets."""

SHARED_BYTES: Final = 16 * 1024
"""A pull secret has some hundred bytes. Larger ones are not kept beyond their Secret's own life."""


def later(version: str, than: str) -> bool:
    """Return whether a resourceVersion is certainly later than another.

    They are opaque strings by the API's old words, and decimal numbers to be compared as such by those since
    Kubernetes 1.35; etcd's revisions always were. What is no such number is not *certainly* later.
    """
    return version.isdecimal() and than.isdecimal() and int(version) > int(than)


class Cache(Generic[K, V]):
    """A map that follows a watch. Reads need no lock and see whole values.

    Listeners are called with key, old and new value (`None` for absent) after a change is visible, by whichever thread
    brought it: they must be quick, and take a call as a hint to look, since two threads' calls can overtake each other.
    """

    def __init__(self) -> None:
        self._items: dict[K, V] = {}
        self._lock = threading.Lock()
        self._listeners: list[Callable[[K, V | None, V | None], None]] = []

    def on_change(self, listener: Callable[[K, V | None, V | None], None]) -> None:
        """Call that on every change from now on."""
        self._listeners.append(listener)

    def get(self, key: K) -> V | None:
        """Read one value."""
        return self._items.get(key)

    def snapshot(self) -> dict[K, V]:
        """Copy the whole map."""
        with self._lock:
            return dict(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def replace(self, items: Sequence[tuple[K, V]], version: str) -> None:
        """Take these as all there is (see `reflector.Sink`)."""
        with self._lock:
            old, new = self._items, dict(items)
            self._keep_ahead(new, version)
            self._items = new
        self._notify((key, old.get(key), new.get(key)) for key in (old.keys() | new.keys()))

    def apply(self, item: tuple[K, V], version: str, *, deleted: bool) -> None:
        """Take one change (see `reflector.Sink`)."""
        key, value = item
        with self._lock:
            if self._is_ahead(key, version):
                return
            old = self._items.get(key)
            new: V | None
            if deleted:
                new = None
                self._items.pop(key, None)
            else:
                new = self._items[key] = value
        self._notify([(key, old, new)])

    def _keep_ahead(self, new: dict[K, V], version: str) -> None:
        """Hook: put into a fresh list what is known to be later than it."""

    def _is_ahead(self, key: K, version: str) -> bool:  # noqa: ARG002 (hook)
        """Hook: return whether what is held is known to be later than an event."""
        return False

    def _notify(self, changes: Iterable[tuple[K, V | None, V | None]]) -> None:
        for key, old, new in changes:
            if old != new:
                for listener in self._listeners:
                    try:
                        listener(key, old, new)
                    except Exception:  # noqa: BLE001 (one listener's fault must not keep a change from the others)
                        structlog.get_logger().exception("listener_failed")


class SecretCache(Cache[str, Secret]):
    """Every `ghcr-secret`, by namespace: the central secret, copies and foreign secrets.

    `observe` takes a Secret straight from an answer of the API server, ahead of the watch. It is held against older
    events until the watch has caught up with it. One that the watch is past already is not taken: what the watch told
    since, a deletion perhaps, is later.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress = ""
        self._observed: dict[str, str] = {}
        self._one_payload = functools.lru_cache(maxsize=DISTINCT_PAYLOADS)(_same_bytes)
        self._one_marks = functools.lru_cache(maxsize=DISTINCT_PAYLOADS)(_read_only)

    def decode(self, content: Content, whole: bool = True) -> tuple[str, Secret]:
        """Read a Secret and share what is equal to that of others."""
        secret = self._shared(decode_secret(content, whole))
        return secret.namespace, secret

    def observe(self, secret: Secret) -> None:
        """Take a Secret just read or written."""
        if secret.name != SECRET_NAME or not secret.resource_version:
            return
        key, version = secret.namespace, secret.resource_version
        with self._lock:
            if self._progress and not later(version, self._progress):
                return
            if key in self._observed and not later(version, self._observed[key]):
                return
            old = self._items.get(key)
            new = self._items[key] = self._shared(secret)
            self._observed[key] = version
        self._notify([(key, old, new)])

    def _keep_ahead(self, new: dict[str, Secret], version: str) -> None:
        self._progress = version
        self._observed = {key: seen for key, seen in self._observed.items() if later(seen, version)}
        new.update((key, self._items[key]) for key in self._observed)

    def _is_ahead(self, key: str, version: str) -> bool:
        self._progress = version
        if key in self._observed and later(self._observed[key], version):
            return True
        self._observed.pop(key, None)
        return False

    def _shared(self, secret: Secret) -> Secret:
        payload = secret.payload
        return replace(
            secret,
            namespace=sys.intern(secret.namespace),
            name=SECRET_NAME,
            type=sys.intern(secret.type),
            payload=self._one_payload(payload) if payload is not None and len(payload) <= SHARED_BYTES else payload,
            marks=self._one_marks(tuple(sorted(secret.marks.items()))),
        )


class NamespaceCache(Cache[str, Namespace]):
    """Every Namespace, by name."""

    @staticmethod
    def decode(content: Content, whole: bool = True) -> tuple[str, Namespace]:  # noqa: ARG004 (there is no more to it)
        """Read a `v1` Namespace, for which its metadata is enough but for its phase."""
        namespace = decode_namespace(content)
        return namespace.name, namespace


class ServiceAccountCache(Cache[ServiceAccountKey, PullSecrets]):
    """The names of every ServiceAccount's pull secrets, `KEPT_NAMES` of each at most."""

    @staticmethod
    def decode(content: Content, whole: bool = True) -> tuple[ServiceAccountKey, PullSecrets]:
        """Read a `v1` ServiceAccount."""
        return decode_service_account(content, whole)


class Caches(Watches):
    """The three caches and the watches that feed them."""

    def __init__(self, client: Client, *, pacing: Pacing = DEFAULT_PACING) -> None:
        self.secrets = SecretCache()
        self.namespaces = NamespaceCache()
        self.service_accounts = ServiceAccountCache()
        self._secrets = Reflector(
            client,
            "secrets",
            self.secrets.decode,
            self.secrets,
            # By this selector a ClusterRole limited to this resourceName allows list and watch in all namespaces.
            field_selector=f"metadata.name={SECRET_NAME}",
            pacing=pacing,
        )
        super().__init__(
            (
                self._secrets,
                Reflector(client, "namespaces", NamespaceCache.decode, self.namespaces, pacing=pacing),
                Reflector(client, "serviceaccounts", ServiceAccountCache.decode, self.service_accounts, pacing=pacing),
            )
        )

    @property
    def secrets_synced(self) -> bool:
        """The Secrets have been listed once."""
        return self._secrets.synced


def _same_bytes(value: bytes) -> bytes:
    return value


def _read_only(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return types.MappingProxyType(dict(items))
