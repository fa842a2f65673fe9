"""Settings of the cluster connection, named like kubectl's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webhook.config import values
from webhook.config.declared import CLUSTER_SETTINGS
from webhook.config.resolving import Raw, Setting, resolve, under
from webhook.config.values import BadValue
from webhook.trust import Trust

_LONGEST: Final = 1024


def _context(text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST:
        raise BadValue(f"expected the name of a context, at most {_LONGEST} characters")
    return text


CONNECTION_SETTINGS: Final = under(
    "Cluster",
    Setting(
        name="namespace",
        metavar="NAME",
        short="-n",
        parse=values.namespace,
        help="Release namespace: home of the central secret. Without it: the namespace of the context.",
    ),
    Setting(
        name="context", metavar="NAME", parse=_context, help="Context of the kubeconfig. Without it: the current one."
    ),
    Setting(
        name="kubeconfig",
        metavar="FILE",
        parse=values.file,
        help="Only kubeconfig. Without it: $KUBECONFIG, ~/.kube/config, or the Pod's ServiceAccount, as kubectl does.",
    ),
    *(setting for setting in CLUSTER_SETTINGS if setting.name == "ca_bundle"),
)
"""Shared by every command that a person runs against a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Which cluster, and which namespace of it."""

    namespace: str | None
    context: str | None
    kubeconfig: Path | None
    ca_bundle: Trust | None

    @classmethod
    def parse(cls, flags: Raw, environ: Mapping[str, str]) -> "ConnectionSettings":
        """Parse the flags; `ConfigError` with every fault."""
        return cls(**resolve(CONNECTION_SETTINGS, flags, environ))
