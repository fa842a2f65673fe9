"""Cluster connection for commands, with kubectl's rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes.client.configuration import Configuration
from kubernetes.config import load_kube_config_from_dict
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import SERVICE_TOKEN_FILENAME

from webhook.cluster import kubeconfig as files
from webhook.cluster.access import Unreachable, in_cluster
from webhook.cluster.client import Client
from webhook.trust import Trust

# The official client has no types here.
_load_from_dict: Final[Any] = load_kube_config_from_dict

_NAMESPACE_FILE: Final = Path(SERVICE_TOKEN_FILENAME).with_name("namespace")
_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCluster:
    """A cluster that was chosen on the command line.

    Attributes:
        client: HTTP to its API server; nothing has been asked yet.
        where: What a user knows it by: its context, or that it is the one we run in.
        namespace: Of the context, or of our Pod; empty if neither says one.
        trust: Whom to believe besides the system's CAs, for what else is asked; `None` for nobody.
    """

    client: Client
    where: str
    namespace: str
    trust: Trust | None = None


def connect_as_kubectl(
    kubeconfig: Path | None,
    context: str | None,
    environ: Mapping[str, str],
    *,
    trust: Trust | None = None,
    namespace_file: Path = _NAMESPACE_FILE,
) -> ChosenCluster:
    """Prepare to work with the cluster that kubectl would take.

    Args:
        kubeconfig: `--kubeconfig`: the only file then. Without it: `$KUBECONFIG`, `~/.kube/config`, our Pod.
        context: `--context`, in place of the current one.
        environ: `KUBECONFIG` and `HOME`.
        trust: For an API server whose kubeconfig names no CA, and for HTTPS proxies; by default the system's.
        namespace_file: Where a Pod finds its namespace.

    Raises:
        Unreachable: There is no cluster to be had that way.
    """
    paths = files.candidates(kubeconfig, environ)
    source = ", ".join(map(str, paths)) or "a kubeconfig"

    def choose() -> files.Selection | None:
        found = files.load(paths, must_exist=kubeconfig is not None)
        return None if found is None else files.select(found, context)

    def load(configuration: Configuration) -> None:
        # Read again whenever the API server no longer accepts the token.
        if (selection := choose()) is not None:
            _load_from_dict(selection.as_dict(), client_configuration=configuration, persist_config=False)
            if selection.user.get("exec") and not (configuration.api_key or configuration.cert_file):
                # The official client says on standard error why, and goes on as nobody.
                raise ConfigException("the credential plugin of the user (exec) gave no credential")

    try:
        chosen = choose()
    except files.KubeconfigError as error:
        raise Unreachable(source, error.why) from None
    if chosen is not None:
        client = Client(load, source=source, trust=trust)
        return ChosenCluster(client=client, where=f"context {chosen.context}", namespace=chosen.namespace, trust=trust)
    if context is not None:
        raise Unreachable(source, "there is no such file, and so no context")
    try:
        client = Client(in_cluster(), trust=trust)
    except Unreachable:
        raise Unreachable(source, "there is no such file, and this is no Pod") from None
    return ChosenCluster(
        client=client, where="the cluster of this Pod", namespace=_mounted_namespace(namespace_file), trust=trust
    )


def contexts(kubeconfig: Path | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """List the contexts there are to choose from; none where that cannot be said."""
    try:
        found = files.load(files.candidates(kubeconfig, environ))
    except files.KubeconfigError:
        return ()
    return tuple(found.contexts) if found else ()


def _mounted_namespace(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST_NAME + 1).strip()
    except (OSError, ValueError):
        return ""
