"""Containers of the chart, as processes of this machine.

What is in our image is in the virtual environment of the tests, and what a Pod finds in its own file system is in a
kubeconfig; all else is the chart's: arguments, scripts, environment.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_AS_IN_CLUSTER: Final = """
import os, kubernetes.config
kubernetes.config.load_incluster_config = lambda: kubernetes.config.load_kube_config(os.environ["TEST_KUBECONFIG"])
"""


def pod_fields(namespace: str, *, name: str = "", address: str = "127.0.0.1") -> dict[str, str]:
    """What a Pod may tell its containers of itself, by path."""
    name = name or f"pod-{secrets.token_hex(4)}"
    return {"metadata.namespace": namespace, "metadata.name": name, "status.podIP": address}


def container_command(container: Mapping[str, Any], fields: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment a kubelet would give a container; `fields` are those of the Pod, by path."""
    environment = {}
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        environment[entry["name"]] = fields[source] if source else entry.get("value", "")
    arguments = []
    for argument in container["args"]:
        for name, value in environment.items():
            argument = argument.replace(f"$({name})", value)  # noqa: PLW2901 - as the kubelet does, one after another
        arguments.append(argument)
    return arguments, environment


def program_of(
    container: Mapping[str, Any], fields: Mapping[str, str], kubeconfig: Path, flags: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that do here what a container does in a Pod.

    Args:
        container: One that runs the image's entrypoint, or `python -c` with a script.
        fields: As for `container_command`.
        kubeconfig: What it finds in place of its ServiceAccount's token.
        flags: Further flags of the entrypoint.
    """
    arguments, environment = container_command(container, fields)
    match container.get("command"):
        case None:
            given = with_flags(arguments, {"--kubeconfig": str(kubeconfig), **(flags or {})})
            return [sys.executable, "-m", "webhook", *given], environment
        case ["python", "-c"]:
            (script,) = arguments
            environment["TEST_KUBECONFIG"] = str(kubeconfig)
            return [sys.executable, "-c", _AS_IN_CLUSTER + script], environment
        case command:
            raise ValueError(f"nothing here runs {command}")


def with_flags(arguments: Sequence[str], flags: Mapping[str, str | None]) -> list[str]:
    """Replace or add flags; `None` takes a flag away. Both `--flag=value` and `--flag value` are understood."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument.partition("=")[0] in flags:
            skip = "=" not in argument
        else:
            kept.append(argument)
    return kept + [f"{flag}={value}" for flag, value in flags.items() if value is not None]
