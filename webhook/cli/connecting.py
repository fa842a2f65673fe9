"""Cluster connection and error handling shared by interactive commands."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from webhook.config import ConfigError, Fault
from webhook.config.connection import ConnectionSettings
from webhook.config.resolving import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from webhook.cluster.connecting import Connection

_NO_NAMESPACE: Final = f"is required (flag, environment variable {ENVIRONMENT_PREFIX}NAMESPACE, or in the context)"


@contextmanager
def reached(flags: Mapping[str, Any]) -> Iterator[tuple["Connection", ConnectionSettings]]:
    """Give the cluster that `CONNECTION_SETTINGS` choose, and what else they say; closed at the end.

    Raises:
        ConfigError: The flags cannot be used, or there is no such cluster.
    """
    settings = ConnectionSettings.parse(flags, os.environ)
    # Imported late: `--help` and the report of a fault need none of it.
    from webhook.cluster import Unreachable  # noqa: PLC0415
    from webhook.cluster.connecting import connect_as_kubectl  # noqa: PLC0415

    try:
        connection = connect_as_kubectl(settings.kubeconfig, settings.context, os.environ, trust=settings.ca_bundle)
    except Unreachable as error:
        flag = "--context" if settings.context and not settings.kubeconfig else "--kubeconfig"
        raise ConfigError([Fault(flag, str(error))]) from None
    try:
        yield connection, settings
    finally:
        connection.client.close()


@contextmanager
def connected(flags: Mapping[str, Any]) -> Iterator[tuple["Connection", str]]:
    """Give that cluster, and the release namespace.

    Raises:
        ConfigError: As `reached`, or no namespace is said anywhere.
    """
    with reached(flags) as (connection, settings):
        namespace = settings.namespace or connection.namespace
        if not namespace:
            raise ConfigError([Fault("--namespace", _NO_NAMESPACE)])
        yield connection, namespace
