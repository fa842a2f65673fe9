"""Objects with several pod templates, and what admission says of them."""

from typing import Any

import orjson

from tests.matching import PYTORCH, RAY, container
from tests.objects import RELEASE_NAMESPACE, RULES
from tests.services.fakes import FakeCluster
from webhook.admission import Admission
from webhook.core.answers import Answer
from webhook.core.review import parse
from webhook.core.scope import Rules
from webhook.ports import Deadline
from webhook.provisioning import Provisioner

Object = dict[str, Any]


def template(*images: str, secrets: list[str] | None = None, **spec: Any) -> Object:
    body: Object = {"containers": [container(image) for image in images], **spec}
    if secrets is not None:
        body["imagePullSecrets"] = [{"name": name} for name in secrets]
    return {"spec": body}


def ray(*workers: Any, head: Any = None, **metadata: Any) -> Object:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "ray", **metadata},
        "spec": {"headGroupSpec": {"template": head}, "workerGroupSpecs": [{"template": each} for each in workers]},
    }


def ask(
    half: str, cluster: FakeCluster, obj: Object, old: Object | None = None, *, read_all: bool = False, **rules: Any
) -> Answer:
    facts = cluster.facts_of_all if read_all else cluster.facts
    chosen = Rules(**{"patterns": RULES.patterns, "release_namespace": RELEASE_NAMESPACE, **rules})
    kinds = (RAY, PYTORCH)
    subject = Admission(
        rules=chosen, kinds=kinds, facts=facts, provisioner=Provisioner(facts, cluster.writer, rules=chosen)
    )
    (kind,) = [each for each in kinds if each.group == obj["apiVersion"].partition("/")[0]]
    names = {"group": kind.group, "version": kind.version}
    request = {
        "uid": "u",
        "kind": {**names, "kind": obj["kind"]},
        "resource": {**names, "resource": kind.resource},
        "namespace": "ml",
        "name": obj["metadata"]["name"],
        "operation": "CREATE" if old is None else "UPDATE",
        "object": obj,
        "oldObject": old,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer: Answer = getattr(subject, half)(parse(orjson.dumps(review)), Deadline.after(5))
    return answer
