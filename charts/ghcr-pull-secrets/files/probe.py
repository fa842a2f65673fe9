# ruff: noqa: INP001 (a script the chart carries, no package)
"""`helm test`: a Pod with a selected image, made on dry run, comes back with its pull secret."""

import os
import sys

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException


def pod(image):
    """Write a Pod that the "restricted" Pod Security Standard lets in."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "ghcr-pull-secrets-test-"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "test", "image": image, "securityContext": security}],
        },
    }


def main(namespace, image):
    """Make the Pod and look at what came back."""
    try:
        made = client.CoreV1Api().create_namespaced_pod(namespace, pod(image), dry_run="All")
    except ApiException as error:
        sys.exit(f"The Pod was not let in (HTTP {error.status}): {error.body}")
    names = [reference.name for reference in made.spec.image_pull_secrets or ()]
    if "ghcr-secret" not in names:
        sys.exit(f"ghcr-secret was not added to the Pod's {names}. Is {namespace} a namespace that is looked after?")
    sys.stdout.write(f"A Pod of {image} in {namespace} gets ghcr-secret.\n")


if __name__ == "__main__":
    config.load_incluster_config()
    main(os.environ["NAMESPACE"], os.environ["IMAGE"])
