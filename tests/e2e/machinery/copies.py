"""Copies of a namespace: what they hold, what is reported of them, and how they break."""

import json
from typing import Any

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.waiting import until


def has(installation: Installation, namespace: str, content: bytes) -> None:
    """Wait until a namespace's copy has this content."""
    until(lambda: installation.payload_of(namespace) == content, f"the copy of {namespace} is as it should be")


def events(kube: Kube, namespace: str, reason: str) -> list[dict[str, Any]]:
    """List the Events of a namespace that have this reason."""
    found: list[dict[str, Any]] = kube.get("events", "", namespace)["items"]
    return [event for event in found if event["reason"] == reason]


def break_copy(kube: Kube, namespace: str, patch: object) -> None:
    """Change a namespace's copy by a merge patch, as somebody would who should not."""
    kube("patch", "secret", "ghcr-secret", "-n", namespace, "--type=merge", "-p", json.dumps(patch))
