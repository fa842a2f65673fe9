"""Settings declared once and parsed from flags and environment.

A `Setting` (`declared`) is the one place where a flag's name, default, meaning and parser stand; the command line's
options and their `--help` are made from it (`webhook.cli.options`). An environment variable is a flag's name in
capitals after `GHCR_PULL_SECRETS_`; a flag goes before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook.config.declared import (
    CLUSTER_SETTINGS,
    LOG_SETTINGS,
    POLICY_SETTINGS,
    SERVE_SETTINGS,
    SERVER_SETTINGS,
)
from webhook.config.resolving import ENVIRONMENT_PREFIX, ConfigError, Fault, Raw, Setting, resolve, under
from webhook.config.values import Address, BadValue, file, namespace
from webhook.core.kinds import BUILT_IN_KINDS, WorkloadKind
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Enforcement, Rules
from webhook.trust import Trust

__all__ = [
    "CLUSTER_SETTINGS",
    "ENVIRONMENT_PREFIX",
    "LOG_SETTINGS",
    "POLICY_SETTINGS",
    "SERVER_SETTINGS",
    "SERVE_SETTINGS",
    "Address",
    "ConfigError",
    "Fault",
    "Raw",
    "ServeSettings",
    "Setting",
    "resolve",
    "rules_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What `ghcr-pull-secrets serve` runs with; times in seconds, sizes in bytes."""

    bind: Address
    ops_bind: Address
    tls_dir: Path | None
    tls_secret: str
    tls_cache_dir: Path | None
    threads: int
    max_body_bytes: int
    memory_limit: int
    client_ca: Path | None
    shutdown_delay: float
    kubeconfig: Path | None
    ca_bundle: Trust | None
    read_all_secrets: bool
    label_covered: bool
    rules: Rules
    kinds: tuple[WorkloadKind, ...]
    log_level: str
    log_format: str

    @classmethod
    def parse(cls, flags: Raw, environ: Mapping[str, str]) -> "ServeSettings":
        """Parse everything `serve` needs; `ConfigError` with every fault."""
        values = resolve(SERVE_SETTINGS, flags, environ)
        names = {setting.name for setting in (*SERVER_SETTINGS, *LOG_SETTINGS)} | {
            "kubeconfig",
            "ca_bundle",
            "read_all_secrets",
        }
        return cls(
            **{name: values[name] for name in names},
            rules=rules_of(values),
            kinds=(*BUILT_IN_KINDS, *values["workload_kind"]),
        )


def rules_of(values: Mapping[str, Any]) -> Rules:
    """Make the rules from the resolved `POLICY_SETTINGS` and `namespace`."""
    return Rules(
        patterns=ImagePatterns(include=values["images_include"], exclude=values["images_exclude"]),
        release_namespace=values["namespace"],
        excluded=frozenset(values["namespaces_excluded"]),
        opt_in=values["namespaces_mode"] == "opt-in",
        enforcement=Enforcement(values["enforcement"]),
        allow_unverifiable=values["unverifiable"] == "allow",
        leave_templates=values["templates"] == "leave",
    )


_LONGEST_CONTEXT: Final = 1024


def _context(text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST_CONTEXT:
        raise BadValue(f"expected the name of a context, at most {_LONGEST_CONTEXT} characters")
    return text


CONNECTION_SETTINGS: Final = under(
    "Cluster",
    Setting(
        name="namespace",
        metavar="NAME",
        short="-n",
        parse=namespace,
        help="Release namespace: home of the central secret. Without it: the namespace of the context.",
    ),
    Setting(
        name="context", metavar="NAME", parse=_context, help="Context of the kubeconfig. Without it: the current one."
    ),
    Setting(
        name="kubeconfig",
        metavar="FILE",
        parse=file,
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
