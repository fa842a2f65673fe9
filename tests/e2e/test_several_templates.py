"""Objects with several pod templates, as KubeRay and Kubeflow have them: each template is given the secret, and judged."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.waiting import until
from tests.matching import PYTORCH, RAY
from tests.objects import IMAGE
from webhook.core.kinds import WorkloadKind
from webhook.core.workloads import MAX_TEMPLATES

pytestmark = pytest.mark.xdist_group("installation")

NGINX, OTHER = "docker.io/library/nginx:1.27", "ghcr.io/sesacthon/ray-worker:2"
Object = dict[str, Any]


def definition(kind: WorkloadKind, name: str) -> Object:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.resource}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": name, "plural": kind.resource, "singular": name.lower()},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free}}},
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def installed(installation: Installation) -> Iterator[Installation]:
    kube = installation.kube
    definitions = [definition(RAY, "RayCluster"), definition(PYTORCH, "PyTorchJob")]
    kube.apply(*definitions)
    for each in definitions:
        name = each["metadata"]["name"]
        until(lambda name=name: kube("get", name, ok=None).code == 0, f"{name} is served")  # type: ignore[misc]
    yield installation
    for each in definitions:
        kube("delete", "crd", each["metadata"]["name"], "--wait=false")


def template(*images: str) -> Object:
    return {"spec": {"containers": [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]}}


def ray(namespace: str, *workers: Any, head: str = IMAGE, name: str = "ray") -> Object:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "headGroupSpec": {"template": template(head)},
            "workerGroupSpecs": [
                {
                    "groupName": f"g{number}",
                    "replicas": 1,
                    "template": each if isinstance(each, dict) else template(each),
                }
                for number, each in enumerate(workers)
            ],
        },
    }


def listed(found: Object) -> list[list[str]]:
    """Of the head and each worker group."""
    templates = [found["spec"]["headGroupSpec"]["template"]]
    templates += [group["template"] for group in found["spec"]["workerGroupSpecs"]]
    return [[each["name"] for each in one["spec"].get("imagePullSecrets", ())] for one in templates]


def test_each_template_of_a_ray_cluster_is_given_the_secret_and_scaling_changes_nothing(
    installed: Installation, kube: Kube, namespace: str
) -> None:
    manifest = ray(namespace, IMAGE, NGINX, OTHER)
    kube.apply(manifest)
    assert listed(kube.get("raycluster", "ray", namespace)) == [["ghcr-secret"], ["ghcr-secret"], [], ["ghcr-secret"]]
    assert kube.exists("secret", "ghcr-secret", namespace)

    scale = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 7}]'
    kube("patch", "raycluster", "ray", "-n", namespace, "--type=json", "-p", scale)
    # kubectl sends the lists of a custom resource whole, so that ours is gone from each template, which is given it again.
    manifest["spec"]["workerGroupSpecs"].insert(0, {"groupName": "new", "template": template(OTHER, IMAGE)})
    kube.apply(manifest)
    assert listed(kube.get("raycluster", "ray", namespace)) == [
        ["ghcr-secret"],
        ["ghcr-secret"],
        ["ghcr-secret"],
        [],
        ["ghcr-secret"],
    ]


def test_an_apply_of_the_same_templates_changes_nothing(installed: Installation, kube: Kube, namespace: str) -> None:
    versions = set()
    for _ in range(3):
        kube.apply(ray(namespace, IMAGE, NGINX), args=["--server-side"])
        versions.add(kube.get("raycluster", "ray", namespace)["metadata"]["resourceVersion"])
    assert len(versions) == 1


def test_a_map_of_replicas_is_walked_whatever_its_keys_are(installed: Installation, kube: Kube, namespace: str) -> None:
    replicas = {key: {"replicas": 1, "template": template(IMAGE)} for key in ("Master", "a/b", "~")}
    kube.apply(
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": {"name": "train", "namespace": namespace},
            "spec": {"pytorchReplicaSpecs": {**replicas, "Worker": {"template": template(NGINX)}, "None": {}}},
        }
    )
    found = kube.get("pytorchjob", "train", namespace)["spec"]["pytorchReplicaSpecs"]
    got = {key: each["template"]["spec"].get("imagePullSecrets") for key, each in found.items() if "template" in each}
    ours = [{"name": "ghcr-secret"}]
    assert got == {"Master": ours, "a/b": ours, "~": ours, "Worker": None}


def test_the_template_without_credentials_is_named(installed: Installation, kube: Kube) -> None:
    namespace = installed.namespace("ray-out", {"ghcr-pull-secrets.io/inject": "false"})
    covered = {"spec": {**template(IMAGE)["spec"], "imagePullSecrets": [{"name": "own"}]}}
    said = kube.apply(ray(namespace, covered, OTHER, head=NGINX), ok=False).text
    assert (
        f"rayclusters {namespace}/ray (pod template spec.workerGroupSpecs[1].template) would pull {OTHER} (container c0) "
        "without credentials"
    ) in said
    assert "to spec.workerGroupSpecs[1].template.spec.imagePullSecrets of the manifest" in said
    assert kube("get", "raycluster", "ray", "-n", namespace, ok=None).code != 0


def test_as_many_templates_as_are_read_cost_no_more_than_the_api_server_allows(
    installed: Installation, kube: Kube, namespace: str
) -> None:
    def images(group: int, tag: str) -> list[str]:
        return [f"ghcr.io/sesacthon/{'a' * 60}-{group % 60}-{number}:{tag}" for number in range(4)]

    groups = MAX_TEMPLATES - 1  # and the head
    manifest = ray(namespace, *(template(*images(group, "1")) for group in range(groups)))
    kube("create", "-f", "-", stdin=json.dumps(manifest))
    changed = copy.deepcopy(kube.get("raycluster", "ray", namespace))
    for group, entry in enumerate(changed["spec"]["workerGroupSpecs"]):
        entry["template"]["spec"]["containers"] = template(*images(group, "2"))["spec"]["containers"]
        del entry["template"]["spec"]["imagePullSecrets"]
    kube("replace", "-f", "-", stdin=json.dumps(changed))
    found = kube.get("raycluster", "ray", namespace)
    assert listed(found) == [["ghcr-secret"]] * (groups + 1)

    # Each is looked up among all that were there, and none is new.
    kube("label", "raycluster", "ray", "-n", namespace, "team=ml")
    found = kube.get("raycluster", "ray", namespace)
    found["spec"]["workerGroupSpecs"].append({"groupName": "more", "template": template(IMAGE)})
    said = kube("replace", "-f", "-", stdin=json.dumps(found), ok=False).text
    assert (
        f"request.object/spec/headGroupSpec/template: is one pod template more than the {MAX_TEMPLATES} that are read"
        in said
    )


@pytest.mark.parametrize("groups", ["x", {"a": {}}, [None], ["x"], [{"template": "x"}], [{"template": {"spec": 7}}]])
def test_what_has_another_form_than_the_path_says_is_no_business_of_ours(
    groups: Any, installed: Installation, kube: Kube, namespace: str
) -> None:
    manifest = ray(namespace, head=NGINX)
    manifest["spec"]["workerGroupSpecs"] = groups
    kube("create", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest))
    # From and to what is right: values of two kinds differ, and comparing them is no error.
    right = ray(namespace, IMAGE, head=NGINX)
    kube.apply(right)
    kube("replace", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest))
    kube("replace", "-f", "-", stdin=json.dumps(manifest))
    kube("replace", "-f", "-", "--dry-run=server", stdin=json.dumps(right))
