"""Kubernetes adapters behind `webhook.ports`; the only importer of `kubernetes`.

An entry point calls `connect`, starts `Cluster.caches`, and hands `facts` and `writer` to the services.
"""

from dataclasses import dataclass

from webhook.cluster.access import Unreachable, from_kubeconfig, in_cluster
from webhook.cluster.caches import Caches
from webhook.cluster.client import DEFAULT_POOL_SIZE, Client
from webhook.cluster.objects import find_account, find_namespace
from webhook.cluster.paging import PAGE_SIZE, whole_list
from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import ClusterSecretWriter, decode
from webhook.cluster.watching import DEFAULT_PACING, Pacing
from webhook.core.copies import Secret
from webhook.core.judging import SecretFact, UnreadableSecret
from webhook.core.names import SECRET_NAME
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.ports import Deadline, Forbidden
from webhook.trust import Trust

__all__ = [
    "Caches",
    "Client",
    "Cluster",
    "Pacing",
    "Unreachable",
    "cluster_of",
    "connect",
]


class ClusterFacts:
    """Facts for reviews and the controller: from caches first, then the API server.

    `webhook.ports.Copies`; see the Protocols for when a cache's word counts.

    Before its first list a cache is empty, but for Secrets that were observed; those could be outdated unnoticed.

    RBAC: `get`, `list`, `watch` on namespaces, serviceaccounts, and secrets with `resourceNames: [ghcr-secret]`. With
    `read_all_secrets` also `get` on secrets; where that is missing all the same, a Secret is `UnreadableSecret`.
    """

    def __init__(self, client: Client, caches: Caches, *, read_all_secrets: bool = False) -> None:
        self._client = client
        self._caches = caches
        self._read_all_secrets = read_all_secrets

    def namespace(self, name: str, deadline: Deadline, *, fresh: bool = False) -> Namespace:
        """Read a Namespace; one that does not exist is a Namespace without labels."""
        if not fresh and (known := self._caches.namespaces.get(name)) is not None:
            return known
        return find_namespace(self._client, name, deadline)

    def service_account(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> ServiceAccount:
        """Read a ServiceAccount's pull secrets, or that it does not exist."""
        known = None if fresh else self._caches.service_accounts.get((namespace, name))
        # What we look for first may be among those that are kept; without it, what is behind them matters.
        if known is not None and (not known.more or SECRET_NAME in known.names):
            return ServiceAccount(secrets=known.names)
        return find_account(self._client, namespace, name, deadline)

    def secret(self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False) -> SecretFact:
        """Read a Secret, or say that it may not be read or is not there."""
        if name == SECRET_NAME:
            caches = self._caches
            if not fresh and caches.secrets_synced and (known := caches.secrets.get(namespace)) is not None:
                return known
            return self._read_secret(namespace, name, deadline)
        if not self._read_all_secrets:
            return UnreadableSecret()
        try:
            return self._read_secret(namespace, name, deadline)
        except Forbidden:
            return UnreadableSecret()

    def copy(self, namespace: str, deadline: Deadline, *, fresh: bool = False) -> Secret | None:
        """Read the `ghcr-secret` of a namespace; a synced cache is believed also when it has none."""
        if not fresh and self._caches.secrets_synced:
            return self._caches.secrets.get(namespace)
        return self._read_secret(namespace, SECRET_NAME, deadline)

    def observe(self, secret: Secret) -> None:
        """Take note of a Secret just written, before the watch reports it."""
        self._caches.secrets.observe(secret)

    def namespaces_with_secret(self) -> tuple[str, ...]:
        """List the namespaces that have a `ghcr-secret`, from the cache."""
        return tuple(self._caches.secrets.snapshot())

    def namespaces(self) -> tuple[Namespace, ...]:
        """List every Namespace, from the cache."""
        return tuple(self._caches.namespaces.snapshot().values())

    def namespaces_by_account(self) -> frozenset[str]:
        """List the namespaces in which a ServiceAccount lists `ghcr-secret`, from the cache."""
        accounts = self._caches.service_accounts.snapshot()
        return frozenset(namespace for (namespace, _), names in accounts.items() if SECRET_NAME in names)

    def copies(self, deadline: Deadline, *, page_size: int = PAGE_SIZE) -> tuple[Secret, ...]:
        """Read every `ghcr-secret` from the API server, past all caches.

        RBAC: `list` on secrets with `resourceNames: [ghcr-secret]`.
        """
        target = Target(verb=Verb.LIST, resource="secrets")
        query = {"fieldSelector": f"metadata.name={SECRET_NAME}"}
        found, _ = whole_list(self._client, target, decode, query=query, deadline=lambda: deadline, page_size=page_size)
        return tuple(found)

    def _read_secret(self, namespace: str, name: str, deadline: Deadline) -> Secret | None:
        target = Target(verb=Verb.GET, resource="secrets", namespace=namespace, name=name)
        secret = self._client.find(target, deadline, decode)
        if secret is not None:
            self.observe(secret)
        return secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All there is to work with one cluster.

    Attributes:
        client: HTTP to the API server.
        caches: To be started, stopped, and asked how it is.
        facts: `webhook.ports.Copies`, and so `Facts`.
        writer: `webhook.ports.SecretWriter`.
    """

    client: Client
    caches: Caches
    facts: ClusterFacts
    writer: ClusterSecretWriter

    def close(self) -> None:
        """Stop the watches and close the connections."""
        self.caches.stop()
        self.client.close()


def connect(
    kubeconfig: str | None,
    *,
    trust: Trust | None = None,
    read_all_secrets: bool = False,
    pool_size: int = DEFAULT_POOL_SIZE,
    pacing: Pacing = DEFAULT_PACING,
) -> Cluster:
    """Prepare to work with a cluster; nothing is asked and no thread begun yet.

    Args:
        kubeconfig: Path of a kubeconfig; `None` for the ServiceAccount mounted into our Pod.
        trust: For an API server whose kubeconfig names no CA, and for HTTPS proxies; by default the system's.
        read_all_secrets: We have the RBAC to get Secrets of other names (see `ClusterFacts`).
        pool_size: Connections to keep; at least the number of threads that call at once.
        pacing: Times of the watches.

    Raises:
        Unreachable: The configuration cannot be read.
    """
    load = from_kubeconfig(kubeconfig) if kubeconfig else in_cluster()
    client = Client(load, source=kubeconfig or "in-cluster", pool_size=pool_size, trust=trust)
    return cluster_of(client, read_all_secrets=read_all_secrets, pacing=pacing)


def cluster_of(client: Client, *, read_all_secrets: bool = False, pacing: Pacing = DEFAULT_PACING) -> Cluster:
    """Prepare to work with the cluster of a client (see `connect`)."""
    caches = Caches(client, pacing=pacing)
    return Cluster(
        client=client,
        caches=caches,
        facts=ClusterFacts(client, caches, read_all_secrets=read_all_secrets),
        writer=ClusterSecretWriter(client),
    )
