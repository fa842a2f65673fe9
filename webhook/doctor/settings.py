"""What a release was told to do, from the arguments and the environment of its server."""

from collections.abc import Mapping, Sequence

from webhook.config import CLUSTER_SETTINGS, ENVIRONMENT_PREFIX, POLICY_SETTINGS, ConfigError, resolve, rules_of
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.doctor.evidence import Unread
from webhook.doctor.processes import Deployment

_SETTINGS = (*POLICY_SETTINGS, *(each for each in CLUSTER_SETTINGS if each.name == "namespace"))

DEFAULT_INCLUDE = "ghcr.io/*"
"""Taken as selected where a release's settings may not be read."""


def rules_told(server: Deployment, namespace: str) -> Rules | Unread:
    """Read the settings as the server itself does: a flag goes before its environment variable."""
    container = next(iter(server.spec.template.spec.containers), None)
    environ = {each.name: each.value for each in (container.env if container else None) or ()}
    given = {name: value for name, value in environ.items() if name.startswith(ENVIRONMENT_PREFIX)}
    flags: dict[str, str | Sequence[str]] = {"namespace": namespace}
    for setting in POLICY_SETTINGS:
        if values := _flags(server).get(setting.name):
            flags[setting.name] = values if setting.repeatable else values[-1]
    try:
        return rules_of(resolve(_SETTINGS, flags, given))
    except ConfigError as error:
        faults = ", ".join(fault.flag for fault in error.faults)
        return Unread(f"the arguments of Deployment {server.metadata.name} cannot be used ({faults})")


def default_rules(namespace: str) -> Rules:
    """Give the rules of a release that was told nothing."""
    return Rules(patterns=ImagePatterns(include=(DEFAULT_INCLUDE,), exclude=()), release_namespace=namespace)


def tls_secret(server: Deployment) -> str:
    """Name the Secret with the certificate that a server serves: the one it reads, or the one that is mounted."""
    if told := _flags(server).get("tls_secret"):
        return told[-1]
    volumes = server.spec.template.spec.volumes or ()
    mounted = next((each.secret for each in volumes if each.name == "tls" and each.secret), None)
    return mounted.secret_name if mounted else ""


def _flags(server: Deployment) -> Mapping[str, list[str]]:
    """Read arguments as the chart writes them: `--flag=value`, or a switch."""
    container = next(iter(server.spec.template.spec.containers), None)
    found: dict[str, list[str]] = {}
    for argument in (container.args if container else None) or ():
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            found.setdefault(name.replace("-", "_"), []).append(value if equals else "true")
    return found
