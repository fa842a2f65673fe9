"""Kubernetes adapters behind `webhook.ports`; the only importer of `kubernetes`.

An entry point calls `connect`, starts `Cluster.caches`, and hands `facts` and `writer` to the services.
"""

from dataclasses import dataclass

from webhook.cluster.access import Unreachable, from_kubeconfig, in_cluster
from webhook.cluster.caches import Caches
from webhook.cluster.client import DEFAULT_POOL_SIZE, Client
from webhook.cluster.facts import ClusterFacts
from webhook.cluster.secrets import ClusterSecretWriter
from webhook.cluster.watching import DEFAULT_PACING, Pacing
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
