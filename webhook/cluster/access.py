"""Access to an API server: configuration, credentials and connection pool."""

from collections.abc import Callable
from typing import Any, Final

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import load_kube_config
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME, InClusterConfigLoader
from yaml import YAMLError

from webhook.trust import Trust, peer_context

Loader = Callable[[Configuration], None]
"""Fills a configuration; called again when the API server no longer accepts the token."""

# The official client has no types here.
_in_cluster_loader: Final[Callable[..., Any]] = InClusterConfigLoader
_load_kube_config: Final[Callable[..., None]] = load_kube_config

UNREADABLE: Final = (ConfigException, OSError, YAMLError, ValueError, TypeError, KeyError)
"""What the official loader lets through for files that are missing or malformed."""


class Unreachable(Exception):
    """There is no usable way to reach an API server: no kubeconfig, or not in a cluster.

    Attributes:
        source: The kubeconfig's path, or `in-cluster`.
    """

    def __init__(self, source: str, why: str) -> None:
        # Whoever gives a kubeconfig's content where its path belongs must not find its token in the log.
        self.source = source if source.isprintable() else "a kubeconfig that is no path"
        super().__init__(f"cannot reach an API server by {self.source}: {why}")


def in_cluster(token_file: str = SERVICE_TOKEN_FILENAME, ca_file: str = SERVICE_CERT_FILENAME) -> Loader:
    """Take the ServiceAccount that is mounted into our Pod."""

    def load(configuration: Configuration) -> None:
        _in_cluster_loader(token_filename=token_file, cert_filename=ca_file).load_and_set(configuration)

    return load


def from_kubeconfig(path: str) -> Loader:
    """Take the current context of a kubeconfig."""

    def load(configuration: Configuration) -> None:
        _load_kube_config(config_file=path, client_configuration=configuration, persist_config=False)

    return load


def configure(load: Loader, source: str) -> Configuration:
    """Make the official client's configuration.

    Args:
        load: Fills it.
        source: Where from, for errors.

    Raises:
        Unreachable: It cannot be loaded.
    """
    configuration = Configuration()
    try:
        load(configuration)
    except ConfigException as error:
        # Its texts name files and keys, and never a value.
        raise Unreachable(source, str(error)) from None
    except UNREADABLE as error:
        raise Unreachable(source, type(error).__name__) from None
    return configuration


def connection_pool(configuration: Configuration, trust: Trust) -> urllib3.PoolManager:
    """Make the official client's pool, with contexts of `webhook.trust` in the place of urllib3's own."""
    if configuration.proxy:
        configuration.proxy_ssl_context = trust.context(verify=configuration.verify_ssl)
    pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager

    class VerifyingConnection(urllib3.connection.HTTPSConnection):
        """Its context is new each time, since urllib3 adds to it the CA's file as it is now."""

        def connect(self) -> None:
            verify = configuration.verify_ssl
            named = self.ca_certs or self.ca_cert_data
            self.ssl_context = peer_context(verify=verify) if named else trust.context(verify=verify)
            super().connect()

    class ConnectionPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = VerifyingConnection

    pool.pool_classes_by_scheme = {**pool.pool_classes_by_scheme, "https": ConnectionPool}
    return pool
