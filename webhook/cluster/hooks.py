"""API calls of the chart's hooks."""

from contextlib import suppress
from typing import Any, Final

import msgspec

from webhook.cluster import wire
from webhook.cluster.certificates import ADMISSION_V1, configurations
from webhook.cluster.client import METADATA_ONLY, Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.ports import Deadline, NotFound

CALL_SECONDS: Final = 30.0

APPS_V1: Final = "/apis/apps/v1"


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


def pull_secrets_of_trial_pod(client: Client, namespace: str, image: str) -> tuple[str, ...]:
    """Make a Pod on dry run, and return the names of the pull secrets it comes back with.

    RBAC: `create` on pods.

    Raises:
        ClusterError: It was not admitted, or the API server could not be asked.
    """
    target = Target(verb=Verb.CREATE, resource="pods", namespace=namespace)
    made: Any = client.request(target, _soon(), query={"dryRun": "All"}, body=_pod(image))
    return tuple(entry.get("name", "") for entry in made["spec"].get("imagePullSecrets") or ())


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
