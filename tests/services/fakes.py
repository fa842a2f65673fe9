"""An in-memory cluster for tests of services: `Facts` and `SecretWriter` that pass the adapters' contract suites.

Beyond the contract a test can make calls fail (`FakeCluster.fail`), hold the caches back (`stop_watching`), let somebody
else act in the middle of a call (`before`), and read what was asked (`calls`).
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from webhook.core.copies import Secret
from webhook.core.judging import SecretFact, UnreadableSecret
from webhook.core.names import (
    ENFORCE_LABEL,
    INJECT_KEY,
    MANAGED_BY_LABEL,
    PROVISION_LABEL,
    PULL_SECRET_KEYS,
    SECRET_NAME,
    SECRET_TYPE,
)
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that reached the API server."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A Secret, and what others keep on it."""

    secret: Secret
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: frozenset[str] = frozenset()


class FakeCluster:
    """The truth, the caches that follow it, and the three ports' implementations."""

    def __init__(self, *, synced: bool = True) -> None:
        self.calls: list[Call] = []
        self.synced = synced
        self.watching = True
        self._lock = threading.RLock()
        self._version = 0
        self._namespaces: dict[str, Namespace] = {}
        self._accounts: dict[tuple[str, str], tuple[str, ...]] = {}
        self._secrets: dict[tuple[str, str], Stored] = {}
        self._without_quota_left: set[str] = set()
        self._cached_namespaces: dict[str, Namespace] = {}
        self._cached_accounts: dict[tuple[str, str], tuple[str, ...]] = {}
        self._cached_copies: dict[str, Secret] = {}
        self._failures: dict[str, list[ClusterError]] = {}
        self._before: dict[str, list[Callable[[], object]]] = {}
        self.facts = FakeFacts(self)
        self.facts_of_all = FakeFacts(self, read_all_secrets=True)
        self.writer = FakeSecretWriter(self)

    # --- what a test does to it

    def fail(self, verb: str, error: ClusterError, *, times: int = 1) -> None:
        """Let the next calls with that verb (`get`, `create`, `patch`, `delete`) fail with that error."""
        self._failures.setdefault(verb, []).extend([error] * times)

    def before(self, verb: str, act: Callable[[], object]) -> None:
        """Let somebody act just before the next call with that verb takes effect: a lost race."""
        self._before.setdefault(verb, []).append(act)

    def called(self, verb: str) -> list[Call]:
        """List the calls with that verb."""
        return [call for call in self.calls if call.verb == verb]

    # --- what other people do in it (`contracts.world.World`)

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        labels = labels or {}
        with self._changing():
            self._namespaces[name] = Namespace(
                name=name,
                inject=labels.get(INJECT_KEY, ""),
                enforce=labels.get(ENFORCE_LABEL, ""),
                provision=labels.get(PROVISION_LABEL, ""),
            )

    def terminate_namespace(self, name: str) -> None:
        with self._changing():
            self._namespaces[name] = replace(self._namespaces[name], terminating=True)

    def forbid_secrets_by_quota(self, namespace: str) -> None:
        self._without_quota_left.add(namespace)

    def make_service_account(self, namespace: str, name: str, pull_secrets: Sequence[str]) -> None:
        with self._changing():
            self._accounts[namespace, name] = tuple(pull_secrets)

    def make_secret(
        self,
        secret: Secret,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        extra: Mapping[str, bytes] | None = None,
    ) -> None:
        with self._changing():
            self._version += 1
            made = replace(
                secret,
                extra_keys=bool(extra),
                uid=f"uid-{self._version}",
                resource_version=str(self._version),
            )
            self._secrets[secret.namespace, secret.name] = Stored(
                secret=made, labels=labels or {}, annotations=annotations or {}, extra=frozenset(extra or ())
            )

    def remove_secret(self, namespace: str, name: str = SECRET_NAME) -> None:
        with self._changing():
            self._version += 1
            del self._secrets[namespace, name]

    def labels(self, namespace: str, name: str) -> Mapping[str, str]:
        stored = self._secrets[namespace, name]
        return {**stored.labels, **{k: v for k, v in stored.secret.marks.items() if k == MANAGED_BY_LABEL}}

    def annotations(self, namespace: str, name: str) -> Mapping[str, str]:
        stored = self._secrets[namespace, name]
        return {**stored.annotations, **{k: v for k, v in stored.secret.marks.items() if k != MANAGED_BY_LABEL}}

    def keys(self, namespace: str, name: str) -> set[str]:
        stored = self._secrets.get((namespace, name))
        if stored is None:
            return set()
        own = {PULL_SECRET_KEYS[stored.secret.type]} if stored.secret.payload is not None else set()
        return own | stored.extra

    def settle(self) -> None:
        """Let the caches catch up; they do at once while watching."""

    def stop_watching(self) -> None:
        self.watching = False

    def resume_watching(self) -> None:
        """Let the caches catch up and follow again."""
        self.watching = True
        with self._changing():
            pass

    def secret(self, namespace: str, name: str = SECRET_NAME) -> Secret | None:
        """Read the truth."""
        stored = self._secrets.get((namespace, name))
        return stored.secret if stored else None

    # --- the API server

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            yield
            if self.watching:
                self._cached_namespaces = dict(self._namespaces)
                self._cached_accounts = dict(self._accounts)
                self._cached_copies = {
                    namespace: stored.secret
                    for (namespace, name), stored in self._secrets.items()
                    if name == SECRET_NAME
                }

    def _called(self, call: Call, deadline: Deadline) -> None:
        for act in self._before.pop(call.verb, []):
            act()
        if deadline.remaining() <= 0:
            raise DeadlineExceeded(call.verb, call.resource, call.namespace, call.name)
        with self._lock:
            self.calls.append(call)
            failures = self._failures.get(call.verb)
            if failures:
                raise failures.pop(0)


class FakeFacts:
    """`webhook.ports.Facts` of a `FakeCluster`."""

    def __init__(self, cluster: FakeCluster, *, read_all_secrets: bool = False) -> None:
        self._cluster = cluster
        self._read_all_secrets = read_all_secrets

    def namespace(self, name: str, deadline: Deadline, *, fresh: bool = False) -> Namespace:
        cluster = self._cluster
        if cluster.synced and not fresh and name in cluster._cached_namespaces:
            return cluster._cached_namespaces[name]
        cluster._called(Call(verb="get", resource="namespaces", name=name), deadline)
        return cluster._namespaces.get(name, Namespace(name=name))

    def service_account(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> ServiceAccount:
        cluster = self._cluster
        if cluster.synced and not fresh and (namespace, name) in cluster._cached_accounts:
            return ServiceAccount(secrets=cluster._cached_accounts[namespace, name])
        cluster._called(Call(verb="get", resource="serviceaccounts", namespace=namespace, name=name), deadline)
        secrets = cluster._accounts.get((namespace, name))
        # The controller manager makes `default` in every namespace.
        return ServiceAccount(exists=name == "default") if secrets is None else ServiceAccount(secrets=secrets)

    def secret(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> SecretFact:
        cluster = self._cluster
        if name != SECRET_NAME and not self._read_all_secrets:
            return UnreadableSecret()
        if name == SECRET_NAME and cluster.synced and not fresh and namespace in cluster._cached_copies:
            return cluster._cached_copies[namespace]
        return self._read(namespace, name, deadline)

    def copy(self, namespace: str, deadline: Deadline, *, fresh: bool = False) -> Secret | None:
        if self._cluster.synced and not fresh:
            return self._cluster._cached_copies.get(namespace)
        return self._read(namespace, SECRET_NAME, deadline)

    def observe(self, secret: Secret) -> None:
        with self._cluster._lock:
            self._cluster._cached_copies[secret.namespace] = secret

    def namespaces_with_secret(self) -> tuple[str, ...]:
        """`webhook.ports.Copies`."""
        return tuple(self._cluster._cached_copies)

    def namespaces(self) -> tuple[Namespace, ...]:
        """`webhook.ports.Copies`."""
        return tuple(self._cluster._cached_namespaces.values())

    def namespaces_by_account(self) -> frozenset[str]:
        """`webhook.ports.Copies`."""
        accounts = self._cluster._cached_accounts.items()
        return frozenset(namespace for (namespace, _), names in accounts if SECRET_NAME in names)

    def _read(self, namespace: str, name: str, deadline: Deadline) -> Secret | None:
        self._cluster._called(Call(verb="get", resource="secrets", namespace=namespace, name=name), deadline)
        found = self._cluster.secret(namespace, name)
        if found is not None and name == SECRET_NAME:
            self.observe(found)
        return found


class FakeSecretWriter:
    """`webhook.ports.SecretWriter` of a `FakeCluster`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def create(self, secret: Secret, deadline: Deadline, *, dry_run: bool = False) -> Secret:
        cluster, where = self._cluster, (secret.namespace, secret.name)
        cluster._called(
            Call(verb="create", resource="secrets", namespace=where[0], name=where[1], dry_run=dry_run), deadline
        )
        with cluster._changing():
            namespace = cluster._namespaces.get(secret.namespace)
            if namespace is None:
                raise NotFound("create", "secrets", *where, code=404)
            if namespace.terminating:
                raise NamespaceTerminating("create", "secrets", *where, code=403)
            if secret.namespace in cluster._without_quota_left:
                raise QuotaExceeded("create", "secrets", *where, code=403)
            self._validate("create", secret)
            if where in cluster._secrets:
                raise AlreadyExists("create", "secrets", *where, code=409)
            if dry_run:
                return replace(secret, written_by_us=True, uid="dry-run")
            cluster._version += 1
            made = replace(
                secret, written_by_us=True, uid=f"uid-{cluster._version}", resource_version=str(cluster._version)
            )
            cluster._secrets[where] = Stored(secret=made)
            return made

    def update(self, secret: Secret, deadline: Deadline) -> Secret:
        cluster, where = self._cluster, (secret.namespace, secret.name)
        cluster._called(Call(verb="patch", resource="secrets", namespace=where[0], name=where[1]), deadline)
        with cluster._changing():
            stored = self._found("patch", where)
            existing = stored.secret
            if existing.resource_version != secret.resource_version:
                raise Conflict("patch", "secrets", *where, code=409)
            if existing.type != secret.type or (existing.immutable and existing.payload != secret.payload):
                raise Invalid("patch", "secrets", *where, code=422)
            self._validate("patch", secret)
            cluster._version += 1
            made = replace(
                existing,
                payload=secret.payload,
                marks=dict(secret.marks),
                extra_keys=False,
                written_by_us=True,
                resource_version=str(cluster._version),
            )
            cluster._secrets[where] = replace(stored, secret=made, extra=frozenset())
            return made

    def delete(self, secret: Secret, deadline: Deadline) -> None:
        cluster, where = self._cluster, (secret.namespace, secret.name)
        cluster._called(Call(verb="delete", resource="secrets", namespace=where[0], name=where[1]), deadline)
        with cluster._changing():
            existing = self._found("delete", where).secret
            if (existing.uid, existing.resource_version) != (secret.uid, secret.resource_version):
                raise Conflict("delete", "secrets", *where, code=409)
            cluster._version += 1
            del cluster._secrets[where]

    def _found(self, verb: str, where: tuple[str, str]) -> Stored:
        stored = self._cluster._secrets.get(where)
        if stored is None:
            raise NotFound(verb, "secrets", *where, code=404)
        return stored

    def _validate(self, verb: str, secret: Secret) -> None:
        if secret.type == SECRET_TYPE:
            try:
                json.loads(secret.payload or b"")
            except ValueError:
                raise Invalid(verb, "secrets", secret.namespace, secret.name, code=422) from None
