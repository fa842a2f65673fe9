"""The story of the seven namespaces, as its users live it: kubectl in, kubectl out."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.manifests import deployment, in_namespace, listed
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY, IMAGE, TEMPLATE_PATHS, review, workload

pytestmark = pytest.mark.xdist_group("installation")

NAMES = ("auth", "my", "scan", "character", "location", "info", "chat")


def reviews(installation: Installation, **wanted: str) -> list[dict[str, object]]:
    found = []
    for server in installation.servers:
        for line in server.lines:
            record = json.loads(line)
            if record.get("event") == "review_answered" and all(
                record.get(key) == value for key, value in wanted.items()
            ):
                found.append(record)
    return found


def test_seven_namespaces_get_their_secret_with_their_first_deployment(installation: Installation, kube: Kube) -> None:
    for index, name in enumerate(NAMES):
        installation.namespace(name)
        assert not kube.exists("secret", "ghcr-secret", name)
        named = ["ghcr-secret"] if index % 2 else None
        kube.apply(deployment(f"{name}-api", name, images=[f"ghcr.io/sesacthon/{name}-api:latest"], secrets=named))
    for name in NAMES:
        copy = installation.secret_of(name)
        assert copy["type"] == "kubernetes.io/dockerconfigjson"
        assert CANARY in base64.b64decode(copy["data"][".dockerconfigjson"]).decode()
        assert copy["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}
        annotations = copy["metadata"]["annotations"]
        assert annotations.pop("ghcr-pull-secrets.io/covers-patterns")
        assert annotations == {
            "ghcr-pull-secrets.io/source": "ghcr-pull-secrets/ghcr-secret",
            "ghcr-pull-secrets.io/covers": "all",
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            "argocd.argoproj.io/sync-options": "Prune=false",
        }
        assert listed(kube.get("deployment", f"{name}-api", name)) == ["ghcr-secret"]

        def pods(name: str = name) -> list[dict[str, object]]:
            found: list[dict[str, object]] = kube.get("pods", "", name)["items"]
            return found

        assert [listed(pod) for pod in until(pods, f"{name} has a Pod")] == [["ghcr-secret"]]
    kube("delete", "namespace", *NAMES, "--wait=false")


@pytest.mark.parametrize("kind", [kind for kind in TEMPLATE_PATHS if kind != "Rollout"])
def test_every_kind_of_workload_is_injected(kind: str, kube: Kube, namespace: str) -> None:
    kube.apply(in_namespace(kind, namespace))
    assert listed(kube.get(kind.lower(), "auth-api", namespace)) == ["ghcr-secret"]
    assert kube.exists("secret", "ghcr-secret", namespace)


def test_a_job_made_from_a_cronjob_pulls_with_the_secret(kube: Kube, namespace: str) -> None:
    kube.apply(in_namespace("CronJob", namespace))
    kube("create", "job", "now", "--from=cronjob/auth-api", "-n", namespace)
    assert listed(kube.get("job", "now", namespace)) == ["ghcr-secret"]


def test_a_workload_that_would_pull_without_credentials_is_rejected_with_what_fixes_it(
    installation: Installation, kube: Kube
) -> None:
    name = installation.namespace("left-out", {"ghcr-pull-secrets.io/inject": "false"})
    said = kube.apply(deployment("auth-api", name), ok=False).err
    assert (
        "denied the request: Deployment left-out/auth-api would pull ghcr.io/sesacthon/auth-api:latest (container c0)"
        in said
    )
    assert "neither it nor its ServiceAccount lists a pull secret" in said
    assert "add a pull secret that covers the image to spec.template.spec.imagePullSecrets" in said
    listing = kube.apply(deployment("auth-api", name, secrets=["ghcr-secret"]), ok=False).err
    assert "Secret left-out/ghcr-secret does not exist" in listing
    remedy = "kubectl create secret docker-registry ghcr-secret --namespace left-out"
    assert remedy in listing
    kube(*remedy.split()[1:], "--docker-server=ghcr.io/sesacthon/", "--docker-username=u", "--docker-password=p")
    kube.apply(deployment("auth-api", name, secrets=["ghcr-secret"]))


def test_a_foreign_secret_is_judged_and_never_written(kube: Kube, namespace: str) -> None:
    kube.apply(secret_manifest(namespace, b'{"auths": {"ghcr.io": {"auth": "!!!"}}}'))
    before = kube.get("secret", "ghcr-secret", namespace)
    said = kube.apply(deployment("auth-api", namespace), ok=False).err
    assert "malformed" in said
    assert kube.get("secret", "ghcr-secret", namespace) == before
    kube("delete", "secret", "ghcr-secret", "-n", namespace)
    kube.apply(deployment("auth-api", namespace))
    after = kube.get("secret", "ghcr-secret", namespace)
    assert after["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "ghcr-pull-secrets"


def test_an_image_from_elsewhere_never_reaches_the_webhook(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    kube.apply(deployment("web", namespace, images=["docker.io/library/nginx:1.27", "quay.io/a/b"]))
    kube.apply(deployment("api", namespace))
    until(lambda: reviews(installation, namespace=namespace, name="api"), "the other one is logged")
    assert reviews(installation, namespace=namespace, name="web") == []
    assert not listed(kube.get("deployment", "web", namespace))


@pytest.mark.parametrize("image", ["GHCR.IO/sesacthon/auth-api:1", "ghcr.io:443/sesacthon/auth-api:1"])
def test_another_spelling_of_the_host_is_caught_and_explained(image: str, kube: Kube, namespace: str) -> None:
    said = kube.apply(deployment("auth-api", namespace, images=[image]), ok=False).err
    assert f"would pull {image}" in said
    assert "write the registry's host as ghcr.io" in said


def test_a_namespace_can_ask_for_a_warning_or_for_nothing(installation: Installation, kube: Kube) -> None:
    labels = {"ghcr-pull-secrets.io/inject": "false", "ghcr-pull-secrets.io/enforce": "warn"}
    name = installation.namespace("warned", labels)
    assert "Warning: Deployment warned/auth-api would pull" in kube.apply(deployment("auth-api", name)).err
    kube("label", "namespace", name, "ghcr-pull-secrets.io/enforce=off", "--overwrite")

    def is_silent() -> bool:
        # kubectl may have a warning of its own: it cannot hand its field manager over in a dry run.
        args = ["--dry-run=server", "--server-side", "--force-conflicts"]
        return "would pull" not in kube.apply(deployment("auth-api", name), args=args).err

    until(is_silent, "no warning")


def test_a_workload_can_opt_out_of_injection(kube: Kube, namespace: str) -> None:
    annotations = {"ghcr-pull-secrets.io/inject": "false"}
    kube.apply(secret_manifest(namespace, name="own"))
    manifest = deployment("auth-api", namespace, annotations=annotations, secrets=["own"])
    assert "Warning: Deployment auth-api was admitted without verification" in kube.apply(manifest).err
    assert listed(kube.get("deployment", "auth-api", namespace)) == ["own"]


def test_without_a_central_secret_the_rejection_says_who_must_do_what(
    central: Installation, kube: Kube, namespace: str
) -> None:
    kube("delete", "secret", "ghcr-secret", "-n", "ghcr-pull-secrets")
    said = kube.apply(deployment("auth-api", namespace), ok=False).err
    assert "the central secret ghcr-pull-secrets/ghcr-secret does not exist" in said
    assert "kubectl create secret docker-registry ghcr-secret --namespace ghcr-pull-secrets" in said
    central.set_central(b'{"auths": {"quay.io": {"auth": "dTpw"}}}')
    said = kube.apply(deployment("auth-api", namespace), ok=False).err
    assert "the central secret ghcr-pull-secrets/ghcr-secret is unusable (it has no entry for this image)" in said
    assert not kube.exists("secret", "ghcr-secret", namespace)


def test_a_stale_copy_is_brought_up_to_date_by_the_next_workload(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    kube.apply(deployment("auth-api", namespace))
    good = installation.payload_of(namespace)
    kube(
        "patch",
        "secret",
        "ghcr-secret",
        "-n",
        namespace,
        "--type=merge",
        "-p",
        json.dumps({"data": {".dockerconfigjson": "e30="}}),
    )
    time.sleep(0.5)  # for the caches to see it
    kube.apply(deployment("other-api", namespace))
    assert installation.payload_of(namespace) == good


def test_concurrent_reviews_on_two_servers_make_one_secret(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    body = json.dumps(review(workload("Deployment", namespace=namespace))).encode()

    def post(index: int) -> bytes:
        server = installation.servers[index % 2]
        bind = next(argument for argument in server.arguments if argument.startswith("--bind="))
        host, _, port = bind.removeprefix("--bind=").rpartition(":")
        ca_pem = installation.ca_pem.decode()
        with urllib3.HTTPSConnectionPool(
            host, int(port), ca_cert_data=ca_pem, server_hostname="localhost", assert_hostname="localhost", timeout=15
        ) as pool:
            answer = pool.request("POST", "/mutate?timeout=10s", body, headers={"Content-Type": "application/json"})
        document = answer.json()
        document["response"].pop("auditAnnotations")
        return json.dumps(document, sort_keys=True).encode()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(16)))
    assert len(set(answers)) == 1
    assert IMAGE not in answers[0].decode()
    assert (
        kube.get("secret", "ghcr-secret", namespace)["metadata"]["labels"]["app.kubernetes.io/managed-by"]
        == "ghcr-pull-secrets"
    )

    def created() -> list[dict[str, object]]:
        return reviews(installation, namespace=namespace, provisioning="created")

    # Lines are written a few milliseconds after their answers.
    until(lambda: len(reviews(installation, namespace=namespace)) == 16, "all reviews are logged")
    assert len(created()) == 1
