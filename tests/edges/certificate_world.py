"""The stand-in API server with the accounts, Secrets and webhook configurations that concern certificates."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from standin import ApiServer
from tests.services.contracts.certificates import NAME
from webhook.cluster.access import from_kubeconfig
from webhook.cluster.certificates import MUTATING, VALIDATING, CertificateSecrets, WebhookRegistration
from webhook.cluster.client import Client

NAMESPACE, CA, HOOKS, LAST = "ghcr", "hooks-webhook-ca", "hooks", "zz-hooks"
GROUP = "admissionregistration.k8s.io"
RBAC = "rbac.authorization.k8s.io"
SECRET_RULES: Sequence[Mapping[str, Any]] = [
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [CA, NAME],
        "verbs": ["get", "list", "watch", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
]
HOOK_RULES: Sequence[Mapping[str, Any]] = [
    {
        "apiGroups": [GROUP],
        "resources": [MUTATING, VALIDATING],
        "resourceNames": [HOOKS, LAST],
        "verbs": ["get", "list", "watch", "patch"],
    },
]
SERVER_RULES: Sequence[Mapping[str, Any]] = [
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME], "verbs": ["list", "watch"]},
]


def bind(api: ApiServer, account: str, kind: str, rules: Sequence[Mapping[str, Any]]) -> None:
    where = {"namespace": NAMESPACE} if kind == "Role" else {}
    api.load(
        [
            {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": account, **where}, "rules": list(rules)},
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": f"{kind}Binding",
                "metadata": {"name": account, **where},
                "roleRef": {"apiGroup": RBAC, "kind": kind, "name": account},
                "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": account}],
            },
        ]
    )


def webhook(name: str, bundle: bytes, path: str = "/mutate") -> dict[str, Any]:
    config: dict[str, Any] = {"service": {"namespace": NAMESPACE, "name": "hooks", "path": path}}
    if bundle:
        config["caBundle"] = base64.b64encode(bundle).decode()
    return {
        "name": name,
        "clientConfig": config,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"nothing": "here"}},
        "matchConditions": [{"name": "always", "expression": "true"}],
    }


class StandIn:
    """A `CertificateWorld` on the stand-in."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.client = self.client_of("keeper")
        bind(api, "keeper", "Role", SECRET_RULES)
        bind(api, "keeper", "ClusterRole", HOOK_RULES)
        self.store = CertificateSecrets(self.client, NAMESPACE)
        self.registration = WebhookRegistration(self.client, MUTATING, HOOKS)
        self.validating = WebhookRegistration(self.client, VALIDATING, HOOKS)

    def client_of(self, account: str) -> Client:
        return Client(from_kubeconfig(self.api.kubeconfig_file(self.api.token_for(NAMESPACE, account))))

    def register(
        self, bundles: Mapping[str, bytes], kind: str = "MutatingWebhookConfiguration", name: str = HOOKS
    ) -> None:
        webhooks = [webhook(name, bundle) for name, bundle in bundles.items()]
        obj = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "webhooks": webhooks}
        self.api.admin.create(f"{kind.lower()}s.{GROUP}", "", obj)

    def configuration(self, resource: str = MUTATING, name: str = HOOKS) -> dict[str, Any]:
        return self.api.admin.get(f"{resource}.{GROUP}", "", name)

    def unregister(self) -> None:
        self.api.admin.delete(f"{MUTATING}.{GROUP}", "", HOOKS)

    def edit_bundle(self, webhook: str, bundle: bytes) -> None:
        found = self.configuration()
        for each in found["webhooks"]:
            if each["name"] == webhook:
                each["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
        self.api.admin.update(f"{MUTATING}.{GROUP}", "", found)

    def secret(self, name: str = NAME) -> dict[str, Any]:
        return self.api.admin.get("secrets", NAMESPACE, name)

    def make_secret(self, data: Mapping[str, bytes], **changes: Any) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "data": encoded, **changes}
        self.api.admin.create("secrets", NAMESPACE, obj)

    def edit_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self.api.admin.update("secrets", NAMESPACE, {**self.secret(name), "data": encoded})

    def delete_secret(self, name: str) -> None:
        self.api.admin.delete("secrets", NAMESPACE, name)
