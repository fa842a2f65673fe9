# ruff: noqa: INP001 (a script the chart carries, no package)
"""Before the release goes: stop what would make the copies anew that `cleanup` is about to remove.

The webhook configurations go first, so that nothing is rejected for want of a server meanwhile.
"""

import os
import sys
import time
from contextlib import contextmanager

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException


@contextmanager
def unless_gone():
    """Let a 404 pass: what is gone need not be stopped."""
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise


def main(name, namespace, selector, patience_s):
    """Delete both webhook configurations, scale both Deployments to nothing, and wait so long for their Pods' end."""
    admission, apps, core = client.AdmissionregistrationV1Api(), client.AppsV1Api(), client.CoreV1Api()
    for delete in (admission.delete_validating_webhook_configuration, admission.delete_mutating_webhook_configuration):
        with unless_gone():
            delete(name)
    for component in ("server", "controller"):
        with unless_gone():
            apps.patch_namespaced_deployment_scale(f"{name}-{component}", namespace, {"spec": {"replicas": 0}})
    give_up = time.monotonic() + patience_s
    while core.list_namespaced_pod(namespace, label_selector=selector).items:
        if time.monotonic() > give_up:
            sys.exit(f"Pods of {name} still run after {patience_s} s")
        time.sleep(1)


if __name__ == "__main__":
    config.load_incluster_config()
    main(os.environ["NAME"], os.environ["NAMESPACE"], os.environ["SELECTOR"], int(os.environ["PATIENCE_S"]))
