"""API calls of the chart's hooks."""

from contextlib import suppress
from typing import Any, Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.certificates import ADMISSION_V1, configurations
from webhook.cluster.client import METADATA_ONLY, Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.ports import Deadline, NotFound, Unavailable
from webhook.telemetry.redaction import redact_text

CALL_SECONDS: Final = 30.0

APPS_V1: Final = "/apis/apps/v1"

_SAID: Final = 4096
"""Longest excerpt of a refusal; ours have some 800 characters."""


class _Items(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class ReleaseStopper:
    """Stops a release of the chart, so that nothing makes copies again while they are removed.

    RBAC: `delete` on the webhook configurations, `patch` on the scale of both Deployments, by name; `list` on pods of
    the release namespace.
    """

    def __init__(self, client: Client, *, name: str, last: str | None, namespace: str) -> None:
        self._client = client
        self._name = name
        self._configurations = configurations(name, last)
        self._namespace = namespace

    def stop(self) -> None:
        """Delete the webhook configurations, then scale the Deployments to nothing; what is gone is passed over.

        The configurations go first, so that nothing is rejected meanwhile for want of a server.

        Raises:
            ClusterError: It could not be done.
        """
        for each in self._configurations:
            self._unless_gone(Target(verb=Verb.DELETE, api=ADMISSION_V1, resource=each.resource, name=each.name), None)
        for component in ("server", "controller"):
            deployment = Target(
                verb=Verb.PATCH,
                api=APPS_V1,
                resource="deployments",
                namespace=self._namespace,
                name=f"{self._name}-{component}",
                subresource="scale",
            )
            self._unless_gone(deployment, {"spec": {"replicas": 0}})

    def running(self, selector: str) -> bool:
        """Return whether Pods with these labels are left. Raises `ClusterError`."""
        pods = Target(verb=Verb.LIST, resource="pods", namespace=self._namespace)
        query = {"labelSelector": selector, "limit": "1"}
        found = self._client.read(
            pods, _soon(), lambda content: wire.read(content, _Items).items, query=query, accept=METADATA_ONLY
        )
        return bool(found)

    def _unless_gone(self, target: Target, body: object) -> None:
        with suppress(NotFound):
            self._client.request(target, _soon(), body=body, patch_type=PatchType.MERGE)


class NotAdmitted(Exception):
    """The API server refused the Pod; the text is what it says to people, such as a webhook's denial."""


def pull_secrets_of_trial_pod(client: Client, namespace: str, image: str) -> tuple[str, ...]:
    """Make a Pod on dry run, and return the names of the pull secrets it comes back with.

    RBAC: `create` on pods.

    Raises:
        NotAdmitted: The Pod was refused.
        ClusterError: The API server could not be asked.
    """
    target = Target(verb=Verb.CREATE, resource="pods", namespace=namespace)
    code, body = client.answer(target, _soon(), query={"dryRun": "All"}, body=_pod(image))
    try:
        answer = msgspec.json.decode(body, type=_Trial)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise target.error(Unavailable, code=code) from None
    if not 200 <= code < 300:
        # Foreign text, for a terminal and a log.
        said = "".join(each if each.isprintable() else " " for each in redact_text(answer.message)[:_SAID])
        raise NotAdmitted(f"HTTP {code}: {said}" if said else f"HTTP {code}")
    return tuple(each.name for each in answer.spec.imagePullSecrets or ())


class _Named(msgspec.Struct):
    name: str = ""


class _Spec(msgspec.Struct):
    imagePullSecrets: list[_Named] | None = None  # noqa: N815 (the API's name)


class _Trial(msgspec.Struct):
    """A Pod, or the `v1` `Status` that is in its place."""

    spec: _Spec = msgspec.field(default_factory=_Spec)
    message: str = ""


def _pod(image: str) -> dict[str, Any]:
    """Write a Pod that the "restricted" Pod Security Standard admits."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "ghcr-pull-secrets-test-"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "test", "image": image, "securityContext": security}],
        },
    }


def _soon() -> Deadline:
    return Deadline.after(CALL_SECONDS)
