"""Secrets and webhook configurations in memory, with the faults of a cluster."""

import itertools
import threading
from collections.abc import Callable, Mapping

from certs.ports import CertificateStore, Changed, Registered, Registration, Stored
from certs.state import SecretData


class Refused(Exception):
    """What a cluster says that is no conflict."""


class FakeCertificates:
    """A cluster of two Secrets and webhook configurations; any number of keepers may share it.

    Attributes:
        writes: What was written, in order, such as `create hooks-webhook-ca`.
        before: Called before each write with what it is going to be; may change things, or raise.
        lock: Held while a write is compared and taken over, as an API server does.
    """

    def __init__(self, *registrations: str) -> None:
        self.secrets: dict[str, Stored] = {}
        self.webhooks: dict[str, Registered] = {}
        self.writes: list[str] = []
        self.reads = 0
        self.before: Callable[[str], None] = lambda _: None
        self.store: CertificateStore = _CertificateStore(self)
        self.registrations: tuple[Registration, ...] = tuple(_Registration(self, name) for name in registrations)
        self.lock = threading.RLock()
        self._versions = itertools.count(1)

    @property
    def registration(self) -> Registration:
        return self.registrations[0]

    def register(self, bundles: Mapping[str, bytes], name: str = "") -> None:
        self.webhooks[name or self.registration.name] = Registered(
            bundles=tuple(bundles.items()), version=self._version()
        )

    def unregister(self) -> None:
        del self.webhooks[self.registration.name]

    def edit_bundle(self, webhook: str, bundle: bytes) -> None:
        for name, found in self.webhooks.items():
            if webhook in dict(found.bundles):
                self.register({**dict(found.bundles), webhook: bundle}, name)

    def edit_secret(self, name: str, data: SecretData) -> None:
        self.secrets[name] = Stored(data=dict(data), version=self._version())

    def delete_secret(self, name: str) -> None:
        del self.secrets[name]

    def bundles(self) -> set[bytes]:
        """Every `caBundle` there is, each once."""
        return {bundle for found in self.webhooks.values() for _, bundle in found.bundles}

    def write(self, verb: str, name: str) -> None:
        self.before(f"{verb} {name}")
        self.writes.append(f"{verb} {name}")

    def _version(self) -> str:
        return str(next(self._versions))


class _CertificateStore:
    def __init__(self, cluster: FakeCertificates) -> None:
        self._cluster = cluster

    def get(self, name: str) -> Stored | None:
        self._cluster.reads += 1
        return self._cluster.secrets.get(name)

    def create(self, name: str, data: SecretData) -> None:
        self._cluster.write("create", name)
        with self._cluster.lock:
            if name in self._cluster.secrets:
                raise Changed(name)
            self._cluster.edit_secret(name, data)

    def update(self, name: str, data: SecretData, seen: Stored) -> None:
        self._cluster.write("update", name)
        with self._cluster.lock:
            found = self._cluster.secrets.get(name)
            if found is None or found.version != seen.version:
                raise Changed(name)
            self._cluster.edit_secret(name, data)


class _Registration:
    def __init__(self, cluster: FakeCertificates, name: str) -> None:
        self._cluster = cluster
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def read(self) -> Registered | None:
        self._cluster.reads += 1
        return self._cluster.webhooks.get(self._name)

    def publish(self, bundle: bytes, seen: Registered) -> None:
        self._cluster.write("publish", self._name)
        with self._cluster.lock:
            found = self._cluster.webhooks.get(self._name)
            if found is None or found.version != seen.version:
                raise Changed(self._name)
            self._cluster.register({name: bundle for name, _ in found.bundles}, self._name)
