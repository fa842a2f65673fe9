"""Do a fix. Nothing else of `webhook.doctor` writes."""

from datetime import datetime
from typing import Final, assert_never

from webhook.cluster.client import Client
from webhook.cluster.hooks import APPS_V1
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.cluster.secrets import ClusterSecretWriter
from webhook.doctor.fixes import RESTARTABLE, Fix, ForceSync, MakeCopy, Restart
from webhook.ports import Deadline

_CALL_S: Final = 20.0
_MANAGER: Final = "ghcr-pull-secrets-doctor"


class Fixer:
    """Writes what a fix says, as whoever's kubeconfig it was given.

    Args:
        client: The API server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def do(self, fix: Fix, now: datetime) -> None:
        """Do it; raises `ClusterError`."""
        match fix:
            case MakeCopy():
                ClusterSecretWriter(self._client).create(fix.copy, Deadline.after(_CALL_S))
            case Restart():
                resource = RESTARTABLE[fix.kind]
                target = Target(verb=Verb.PATCH, resource=resource, namespace=fix.namespace, name=fix.name, api=APPS_V1)
                stamp = {"kubectl.kubernetes.io/restartedAt": now.isoformat(timespec="seconds")}
                self._patch(target, {"spec": {"template": {"metadata": {"annotations": stamp}}}})
            case ForceSync():
                target = Target(
                    verb=Verb.PATCH, resource="externalsecrets", namespace=fix.namespace, name=fix.name, api=fix.api
                )
                self._patch(target, {"metadata": {"annotations": {"force-sync": str(int(now.timestamp()))}}})
            case _:
                assert_never(fix)

    def _patch(self, target: Target, patch: object) -> None:
        query = {"fieldManager": _MANAGER}
        self._client.request(target, Deadline.after(_CALL_S), query=query, body=patch, patch_type=PatchType.MERGE)
