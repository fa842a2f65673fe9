"""Steady traffic of admissions beside what a test does."""

import json
import threading
import time
from typing import Any

from tests.e2e.machinery.kube import Kube
from tests.objects import IMAGE, workload
from webhook.cluster.access import from_kubeconfig
from webhook.cluster.client import Client
from webhook.cluster.requests import Target, Verb
from webhook.ports import ClusterError, Deadline

RATE = 50
"""Admissions a second, of all callers together."""

CALLERS = 10


class Traffic:
    """Creates Pods as dry runs at a fixed rate; each is one call of `/mutate` and one of `/validate`.

    Args:
        kube: Whose API server.
        namespace: Where.
        template: Create this Deployment instead, which is to be admitted and left to its Pods.
        callers: How many there are, each at a share of the rate.
    """

    def __init__(
        self, kube: Kube, namespace: str, *, template: dict[str, Any] | None = None, callers: int = CALLERS
    ) -> None:
        self._client = Client(from_kubeconfig(str(kube.kubeconfig)), pool_size=CALLERS)
        self._target = (
            Target(verb=Verb.CREATE, resource="deployments", namespace=namespace, api="/apis/apps/v1")
            if template
            else Target(verb=Verb.CREATE, resource="pods", namespace=namespace)
        )
        self._template = template
        self._object = template or workload("Pod", name="dry-run", namespace=namespace, images=[IMAGE])
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]
        self.passed = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Traffic":
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.lasted = time.monotonic() - self.began
        self._client.close()

    def _call(self, number: int) -> None:
        due = self.began + number / RATE  # the callers take turns
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += CALLERS / RATE
            outcome = self._ask()
            with self._lock:
                if outcome:
                    self.failed.append(outcome)
                else:
                    self.passed += 1

    def _ask(self) -> str:
        try:
            query = {"dryRun": "All"}
            made = self._client.read(self._target, Deadline.after(30), json.loads, query=query, body=self._object)
        except ClusterError as error:
            return str(error)
        return "" if self._template or made["spec"].get("imagePullSecrets") else "not injected"
