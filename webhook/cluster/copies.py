"""Watches of every `ghcr-secret` and of what asks for one."""

from dataclasses import dataclass

from webhook.cluster.caches import Caches
from webhook.cluster.client import DEFAULT_POOL_SIZE, Client, from_kubeconfig, in_cluster
from webhook.cluster.facts import ClusterFacts
from webhook.cluster.paging import PAGE_SIZE, pages
from webhook.cluster.requests import Target, Verb
from webhook.cluster.secrets import ClusterSecretWriter, decode
from webhook.cluster.watching import DEFAULT_PACING, Pacing
from webhook.core.copies import Secret
from webhook.core.names import SECRET_NAME
from webhook.core.scope import Namespace
from webhook.ports import Deadline, Expired
from webhook.trust import Trust


class ClusterCopies(ClusterFacts):
    """`webhook.ports.Copies`: the facts, and where there is a `ghcr-secret`."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCluster:
    """All that the controller needs to work with one cluster (see `webhook.cluster.Cluster`)."""

    client: Client
    caches: Caches
    facts: ClusterCopies
    writer: ClusterSecretWriter

    def close(self) -> None:
        """Stop the watches and close the connections."""
        self.caches.stop()
        self.client.close()


def connect_copies(
    kubeconfig: str | None,
    *,
    trust: Trust | None = None,
    pool_size: int = DEFAULT_POOL_SIZE,
    pacing: Pacing = DEFAULT_PACING,
) -> CopyCluster:
    """Prepare to work with a cluster; nothing is asked and no thread begun yet (see `webhook.cluster.connect`).

    Raises:
        ConfigError: The configuration cannot be read.
    """
    load = from_kubeconfig(kubeconfig) if kubeconfig else in_cluster()
    return copies_of(Client(load, source=kubeconfig or "in-cluster", pool_size=pool_size, trust=trust), pacing=pacing)


def copies_of(client: Client, *, pacing: Pacing = DEFAULT_PACING) -> CopyCluster:
    """Prepare to work with the cluster of a client (see `connect_copies`)."""
    caches = Caches(client, pacing=pacing)
    return CopyCluster(
        client=client, caches=caches, facts=ClusterCopies(client, caches), writer=ClusterSecretWriter(client)
    )


def list_secrets(client: Client, deadline: Deadline, *, page_size: int = PAGE_SIZE) -> tuple[Secret, ...]:
    """Read every `ghcr-secret` from the API server, past all caches; a list that expires (410) is begun again, once.

    RBAC: `list` on secrets with `resourceNames: [ghcr-secret]`.

    Raises:
        ClusterError: The API server did not give the list.
    """
    try:
        return _list_secrets(client, deadline, page_size)
    except Expired:
        return _list_secrets(client, deadline, page_size)


def _list_secrets(client: Client, deadline: Deadline, page_size: int) -> tuple[Secret, ...]:
    target = Target(verb=Verb.LIST, resource="secrets")
    query = {"fieldSelector": f"metadata.name={SECRET_NAME}"}
    found = pages(client, target, decode, query=query, deadline=lambda: deadline, page_size=page_size)
    return tuple(secret for page in found for secret in page.items)
