"""Another injector: a mutating webhook of a test."""

from typing import Any

from standin.admission.fake_webhook import Authority, FakeWebhook


def configuration(name: str, webhook: FakeWebhook, authority: Authority, label: str) -> dict[str, Any]:
    rules = [
        {
            "apiGroups": ["", "apps"],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods", "deployments"],
        }
    ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": "inject.example.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": f"https://127.0.0.1:{webhook.port}/inject",
                    "caBundle": authority.bundle,
                },
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "reinvocationPolicy": "IfNeeded",
                "rules": rules,
                "namespaceSelector": {"matchLabels": {"injected-by": label}},
            }
        ],
    }
