"""Another injector, whose webhook comes after our first configuration and before our last."""

from collections.abc import Iterator
from typing import Any

import pytest

from standin.admission.fake_webhook import Authority, FakeWebhook, Reply, decide, patch
from tests.e2e.machinery.injector import configuration
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.manifests import deployment, listed
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, pod_spec_of, workload

pytestmark = pytest.mark.xdist_group("installation")

SIDECAR = {"name": "sidecar", "image": "ghcr.io/open-telemetry/sidecar:1"}
PUBLIC = "docker.io/library/nginx:1.27"


def adds_a_container(review: dict[str, Any]) -> Reply:
    obj = review["request"]["object"]
    spec = obj["spec"] if obj["kind"] == "Pod" else obj["spec"]["template"]["spec"]
    if any(each["name"] == SIDECAR["name"] for each in spec["containers"]):
        return decide(review)
    path = "/spec/containers/-" if obj["kind"] == "Pod" else "/spec/template/spec/containers/-"
    return patch(review, {"op": "add", "path": path, "value": SIDECAR})


@pytest.fixture(params=["opentelemetry-operator-mutation", "vault-secrets-webhook", "zarf"])
def injected(request: pytest.FixtureRequest, installation: Installation) -> Iterator[str]:
    """A namespace in which another injector adds a container of ghcr.io to everything."""
    name, kube = str(request.param), installation.kube
    namespace = installation.namespace(f"injected-{name}", {"injected-by": name})
    authority = Authority()
    with FakeWebhook(authority.issue("127.0.0.1"), {"/inject": adds_a_container}) as webhook:
        kube.apply(configuration(name, webhook, authority, name))
        probe = workload("Pod", name="probe", namespace=namespace, images=[PUBLIC])
        container = "jsonpath={.spec.containers[*].name}"
        until(
            lambda: "sidecar" in kube.apply(probe, args=["--dry-run=server", "-o", container], ok=None).text,
            "the API server calls the injector",
        )
        try:
            yield namespace
        finally:
            kube("delete", "mutatingwebhookconfiguration", name)


@pytest.mark.parametrize("image", [PUBLIC, IMAGE], ids=["public", "selected"])
def test_what_an_injector_adds_after_us_is_pulled_with_the_secret(injected: str, kube: Kube, image: str) -> None:
    for kind in ("Pod", "Deployment"):
        name = f"web-{image == IMAGE}".lower()
        made = deployment(name, injected) if kind == "Deployment" else workload(name=name, namespace=injected)
        pod_spec_of(made)["containers"][0]["image"] = image
        kube.apply(made)
        found = kube.get(kind.lower(), name, injected)
        assert SIDECAR["image"] in [each["image"] for each in pod_spec_of(found)["containers"]]
        assert listed(found) == ["ghcr-secret"]
    assert kube.exists("secret", "ghcr-secret", injected)


def test_a_list_that_an_injector_replaces_by_its_own_is_completed(installation: Installation) -> None:
    name, kube, other = "replaces-pull-secrets", installation.kube, [{"name": "other"}]
    namespace = installation.namespace(name, {"injected-by": name})
    authority = Authority()

    def replaces(review: dict[str, Any]) -> Reply:
        return patch(review, {"op": "add", "path": "/spec/imagePullSecrets", "value": other})

    with FakeWebhook(authority.issue("127.0.0.1"), {"/inject": replaces}) as webhook:
        made = configuration(name, webhook, authority, name)
        made["webhooks"][0] |= {"reinvocationPolicy": "Never"}
        made["webhooks"][0]["rules"][0]["resources"] = ["pods"]
        kube.apply(made)
        try:
            pod = workload("Pod", name="probe", namespace=namespace, images=[PUBLIC])
            form = "jsonpath={.spec.imagePullSecrets[*].name}"
            until(
                lambda: "other" in kube.apply(pod, args=["--dry-run=server", "-o", form], ok=None).text,
                "the API server calls the injector",
            )
            kube.apply(workload("Pod", name="web", namespace=namespace, images=[IMAGE]))
            assert listed(kube.get("pod", "web", namespace)) == ["other", "ghcr-secret"]
        finally:
            kube("delete", "mutatingwebhookconfiguration", name)


def test_a_public_image_in_a_namespace_without_an_injector_is_left_alone(kube: Kube, namespace: str) -> None:
    kube.apply(workload("Pod", name="plain", namespace=namespace, images=[PUBLIC]))

    assert not listed(kube.get("pod", "plain", namespace))
    assert not kube.exists("secret", "ghcr-secret", namespace)
