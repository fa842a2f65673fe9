"""Pods that need no replica of ours: where a copy covers every selected image, the API server's own policies admit them.

All servers are stopped after the first Pod of each namespace. What says `DOWN` was the webhook's to answer.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from standin.admission.fake_webhook import Authority, FakeWebhook, Reply, decide, patch
from tests import helm
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.injector import configuration
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.manifests import deployment
from tests.e2e.machinery.planes import control_plane, service_account_kubeconfig
from tests.e2e.machinery.raw import Answer, RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload, pod_spec_of, workload

pytestmark = pytest.mark.xdist_group("in-api-server")

COVERED = "ghcr-pull-secrets.io/covered"
COVERS = "ghcr-pull-secrets.io/covers"
DOWN = "failed calling webhook"
BELIEVED = "the label ghcr-pull-secrets.io/covered is for Pods whose namespace has a copy"
SECRET = [{"name": "ghcr-secret"}]
KEPT = "steady-23"
"""The namespace whose copy no test changes. It has a ReplicaSet without Pods: only these are admitted without a server."""
MERGE = "application/merge-patch+json"


class Steady:
    """An installation whose servers have stopped, and namespaces that had their first Pod before."""

    def __init__(self, installation: Installation, api: RawApi, ours: RawApi, namespaces: Iterator[str]) -> None:
        self.installation = installation
        self.kube: Kube = installation.kube
        self.api = api
        self.ours = ours
        self._namespaces = namespaces
        self._names = itertools.count()

    def namespace(self) -> str:
        """A namespace with a copy, which nobody else uses."""
        return next(self._namespaces)

    def pod(self, namespace: str, *, image: str = IMAGE, dry_run: bool = False, **changes: Any) -> Answer:
        """Create a Pod; `labels`, `annotations` and fields of the spec can be given."""
        body = workload("Pod", name=f"pod-{next(self._names)}", namespace=namespace, images=[image])
        for field in ("labels", "annotations"):
            if field in changes:
                body["metadata"][field] = changes.pop(field)
        body["spec"] |= changes
        query = "?dryRun=All" if dry_run else ""
        return self.api("POST", f"/api/v1/namespaces/{namespace}/pods{query}", body)

    def change(self, namespace: str, patch: dict[str, Any], *, api: RawApi | None = None) -> dict[str, Any]:
        """Patch the copy of a namespace, as an administrator if nobody else is given."""
        path = f"/api/v1/namespaces/{namespace}/secrets/ghcr-secret"
        answer = (api or self.api)("PATCH", path, patch, content_type=MERGE)
        assert answer.code == 200, answer.body
        return dict(answer.body)


@pytest.fixture(scope="module")
def steady() -> Iterator[Steady]:
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane, {"inApiServer": {"enabled": True}})
        try:
            installation.install()
            names = [f"steady-{number}" for number in range(24)]
            kube = installation.kube
            kube.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
            for name in names:
                until(lambda where=name: kube.exists("serviceaccount", "default", where), "it has its ServiceAccount")  # type: ignore[misc]
            kube.apply(*(workload("Pod", name="first", namespace=name, images=[IMAGE]) for name in names))
            replicas = workload("ReplicaSet", name="web", namespace=KEPT, images=[IMAGE])
            replicas["spec"] |= {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}}
            replicas["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
            installation.kube.apply(replicas)
            ours = service_account_kubeconfig(
                installation.kube, RELEASE_NAMESPACE, "ghcr-pull-secrets-server", installation.path / "ours.kubeconfig"
            )
            for server in installation.servers:
                assert server.stop() == 0
            with (
                contextlib.closing(RawApi(installation.kube.kubeconfig)) as api,
                contextlib.closing(RawApi(ours)) as by_us,
            ):
                found = Steady(installation, api, by_us, iter(names[:-1]))
                until(lambda: covered(found.pod(KEPT, dry_run=True)), "the policies are in force", timeout_s=30)
                yield found
        finally:
            installation.uninstall()
    finally:
        plane.close()


def covered(answer: Answer) -> bool:
    """Tell whether the policies admitted a Pod, with its pull secret."""
    if answer.code != 201:
        return False
    assert answer.body["spec"]["imagePullSecrets"] == SECRET
    return bool(answer.body["metadata"].get("labels", {}).get(COVERED) == "true")


def webhooks(answer: Answer) -> bool:
    """Tell whether a Pod was the webhook's to answer for."""
    return answer.code == 500 and DOWN in str(answer.body["message"])


def denied(answer: Answer, text: str = BELIEVED) -> bool:
    """Tell whether the validating policy refused a Pod."""
    return answer.code == 422 and text in str(answer.body["message"])


def test_two_hundred_of_two_hundred_pods_come_in_without_any_server(steady: Steady) -> None:
    namespace = steady.namespace()
    with ThreadPoolExecutor(8) as pool:
        bare = list(pool.map(lambda _: steady.pod(namespace), range(100)))
        listing = list(pool.map(lambda _: steady.pod(namespace, imagePullSecrets=SECRET), range(50)))

    assert [answer.code for answer in (*bare, *listing) if not covered(answer)] == []


def test_a_replica_set_gets_all_its_pods_each_with_its_pull_secret(steady: Steady) -> None:
    steady.kube("scale", "replicaset/web", "--replicas=50", "-n", KEPT)

    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = steady.kube.get("pods", "", KEPT, "-l", "app=web")["items"]
        return found

    until(lambda: len(pods()) == 50, "all are there", timeout_s=60)
    assert {pod["metadata"]["labels"].get(COVERED) for pod in pods()} == {"true"}
    assert all(pod["spec"]["imagePullSecrets"] == SECRET for pod in pods())


def test_a_list_that_another_injector_empties_is_filled_once_more_and_one_it_replaces_is_refused(
    steady: Steady,
) -> None:
    namespace, name = steady.namespace(), "changes-pull-secrets"
    wanted: list[dict[str, str]] = []

    def replaces(review: dict[str, Any]) -> Reply:
        if not review["request"]["object"]["spec"].get("imagePullSecrets"):
            return decide(review)
        return patch(review, {"op": "replace", "path": "/spec/imagePullSecrets", "value": wanted})

    steady.kube("label", "namespace", namespace, f"injected-by={name}")
    authority = Authority()
    with FakeWebhook(authority.issue("127.0.0.1"), {"/inject": replaces}) as webhook:
        other = configuration(name, webhook, authority, name)
        other["webhooks"][0]["reinvocationPolicy"] = "Never"
        steady.kube.apply(other)
        try:
            until(
                lambda: (
                    steady.pod(namespace, image="quay.io/a/b:1", imagePullSecrets=SECRET, dry_run=True)
                    .body["spec"]
                    .get("imagePullSecrets")
                    is None
                ),
                "the API server calls the injector",
            )
            assert covered(steady.pod(namespace))
            wanted.append({"name": "other"})
            assert denied(steady.pod(namespace), "lists ghcr-secret")
        finally:
            steady.kube("delete", "mutatingwebhookconfiguration", name)


def test_a_namespace_without_a_copy_fails_closed_and_a_forged_label_is_refused_there(steady: Steady) -> None:
    fresh = steady.installation.namespace("fresh")

    assert webhooks(steady.pod(fresh))
    answer = steady.pod(fresh, labels={COVERED: "true"}, imagePullSecrets=SECRET)
    assert answer.code == 422
    assert "no params found" in answer.body["message"]
    assert steady.pod(fresh, image="quay.io/a/b:1").code == 201


def test_a_dry_run_is_answered_alike_and_writes_nothing(steady: Steady) -> None:
    namespace = steady.namespace()
    answer = steady.pod(namespace, dry_run=True)

    assert covered(answer)
    assert not steady.kube.exists("pod", answer.body["metadata"]["name"], namespace)


ODD: dict[str, dict[str, Any]] = {
    "a host in capitals": {"image": "GHCR.IO/sesacthon/auth-api:1"},
    "a port 443": {"image": "ghcr.io:443/sesacthon/auth-api:1"},
    "another pull secret beside": {"imagePullSecrets": [*SECRET, {"name": "other"}]},
    "another pull secret alone": {"imagePullSecrets": [{"name": "other"}]},
    "an opt-out": {"annotations": {"ghcr-pull-secrets.io/inject": "false"}},
    "an annotation that means nothing": {"annotations": {"ghcr-pull-secrets.io/inject": "no"}},
    "an image volume in capitals": {
        "volumes": [{"name": "v", "image": {"reference": "GHCR.IO/sesacthon/data:1"}}],
    },
    "an init container in capitals": {"initContainers": [{"name": "i", "image": "GHCR.IO/sesacthon/init:1"}]},
    "an image that is never pulled": {
        "initContainers": [{"name": "i", "image": "ghcr.io/sesacthon/init:1", "imagePullPolicy": "Never"}]
    },
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_the_webhooks(case: str, steady: Steady) -> None:
    assert webhooks(steady.pod(KEPT, **ODD[case]))


def test_a_forged_label_gets_nothing_in_that_the_copy_does_not_cover(steady: Steady) -> None:
    forged = {COVERED: "true"}
    upper = steady.pod(KEPT, image="GHCR.IO/sesacthon/auth-api:1", imagePullSecrets=SECRET, labels=forged)
    unlisted = steady.pod(KEPT, imagePullSecrets=[{"name": "other"}], labels=forged)

    assert denied(upper, "has the host of its images in lower case")
    assert denied(unlisted, "lists ghcr-secret")
    # Of what it does cover it says the truth, as of a Pod's manifest that was read from a cluster.
    assert covered(steady.pod(KEPT, labels=forged))


@pytest.mark.parametrize("labels", [{"inject": "false"}, {"enforce": "warn"}, {"enforce": "off"}, {"enforce": "no"}])
def test_a_namespace_with_labels_of_its_own_is_the_webhooks(labels: dict[str, str], steady: Steady) -> None:
    namespace = steady.namespace()
    own = {f"ghcr-pull-secrets.io/{key}": value for key, value in labels.items()}
    steady.kube("label", "namespace", namespace, *[f"{key}={value}" for key, value in own.items()])

    def left() -> bool:
        answer = steady.pod(namespace, dry_run=True)
        return webhooks(answer) or (answer.code == 201 and not covered(answer))

    until(left, "the API server knows of the labels")


def test_a_copy_that_is_no_longer_what_we_made_lets_nothing_in(steady: Steady) -> None:
    narrow = base64.b64encode(payload(registry="ghcr.io/sesacthon/")).decode()
    changes: dict[str, dict[str, Any]] = {
        "an owner": {},
        "our label gone": {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
        "of another release": {"metadata": {"annotations": {"ghcr-pull-secrets.io/source": "other/ghcr-secret"}}},
        "applied": {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}},
        "narrowed by somebody": {"data": {".dockerconfigjson": narrow}},
        "narrowed in plain text": {"stringData": {".dockerconfigjson": payload(registry="quay.io").decode()}},
        "for other patterns": {"metadata": {"annotations": {"ghcr-pull-secrets.io/covers-patterns": "0" * 16}}},
        "being deleted": {"metadata": {"finalizers": ["example.com/held"]}},
    }
    for what, chosen in changes.items():
        namespace = steady.namespace()
        assert covered(steady.pod(namespace)), what
        change = chosen
        if what == "an owner":
            # One that is there, or the garbage collector takes the Secret away.
            uid = steady.kube.get("configmap", "kube-root-ca.crt", namespace)["metadata"]["uid"]
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": uid}
            change = {"metadata": {"ownerReferences": [owner]}}
        steady.change(namespace, change)
        if what == "being deleted":
            steady.kube("delete", "secret", "ghcr-secret", "-n", namespace, "--wait=false")
        until(lambda where=namespace: webhooks(steady.pod(where, dry_run=True)), what)  # type: ignore[misc]
        refused = steady.pod(namespace, labels={COVERED: "true"}, imagePullSecrets=SECRET)
        assert denied(refused), what
        if what == "being deleted":
            steady.change(namespace, {"metadata": {"finalizers": None}})


def test_a_copy_that_was_deleted_or_made_by_hand_lets_nothing_in(steady: Steady) -> None:
    namespace = steady.namespace()
    carried = steady.installation.secret_of(namespace)
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        carried["metadata"].pop(field, None)
    steady.kube("delete", "secret", "ghcr-secret", "-n", namespace)
    until(lambda: webhooks(steady.pod(namespace, dry_run=True)), "it is gone")

    steady.kube.apply(secret_manifest(namespace, type="Opaque"))
    until(lambda: denied(steady.pod(namespace, labels={COVERED: "true"}, imagePullSecrets=SECRET)), "it is there")
    assert webhooks(steady.pod(namespace))
    steady.kube("delete", "secret", "ghcr-secret", "-n", namespace)

    # Carried over from a backup, marks and all: it is a copy, but that it covers is ours to say.
    steady.kube("create", "-f", "-", stdin=json.dumps(carried))
    assert COVERS not in steady.installation.secret_of(namespace)["metadata"]["annotations"]
    assert webhooks(steady.pod(namespace))


def test_only_we_set_the_mark_and_nobody_elses_write_of_other_data_keeps_it(steady: Steady) -> None:
    namespace = steady.namespace()
    other = {"data": {".dockerconfigjson": base64.b64encode(payload(user="other")).decode()}}
    mark = {"metadata": {"annotations": {COVERS: "all"}}}

    def marked(secret: dict[str, Any]) -> bool:
        return COVERS in secret["metadata"]["annotations"]

    assert marked(steady.change(namespace, {"metadata": {"labels": {"a": "b"}}}))
    assert marked(steady.change(namespace, other, api=steady.ours))
    assert not marked(steady.change(namespace, {"data": {".dockerconfigjson": "e30="}}))
    assert not marked(steady.change(namespace, mark))
    assert not marked(steady.change(namespace, {**mark, **other}))
    assert marked(steady.change(namespace, {**mark, **other}, api=steady.ours))


def test_a_covered_pod_that_is_changed_is_the_webhooks_again(steady: Steady) -> None:
    namespace = steady.namespace()
    made = steady.pod(namespace)
    assert covered(made)
    path = f"/api/v1/namespaces/{namespace}/pods/{made.body['metadata']['name']}"
    debug = {"spec": {"ephemeralContainers": [{"name": "d", "image": "GHCR.IO/sesacthon/debug:1"}]}}
    image = {"spec": {"containers": [{"name": "c0", "image": "GHCR.IO/sesacthon/auth-api:2"}]}}

    answers = [
        steady.api(
            "PATCH", f"{path}/ephemeralcontainers", debug, content_type="application/strategic-merge-patch+json"
        ),
        steady.api("PATCH", path, image, content_type="application/strategic-merge-patch+json"),
    ]

    assert all(webhooks(answer) for answer in answers), [answer.body for answer in answers]


def test_a_label_that_a_pod_is_given_later_changes_nothing_for_it(steady: Steady) -> None:
    namespace = steady.namespace()
    made = steady.pod(namespace, image="quay.io/a/b:1")
    path = f"/api/v1/namespaces/{namespace}/pods/{made.body['metadata']['name']}"
    labelled = steady.api("PATCH", path, {"metadata": {"labels": {COVERED: "true"}}}, content_type=MERGE)
    debug = {"spec": {"ephemeralContainers": [{"name": "d", "image": IMAGE}]}}
    added = steady.api(
        "PATCH", f"{path}/ephemeralcontainers", debug, content_type="application/strategic-merge-patch+json"
    )

    assert labelled.code == 200
    assert webhooks(added)


# --- Kubernetes 1.30 to 1.35: one call in place of two


@pytest.fixture(scope="module")
def labelling() -> Iterator[Installation]:
    """What the chart renders for a cluster without mutating policies; and one that leaves templates to their Pods."""
    plane = control_plane()
    try:
        plane.start()
        installation = Installation(plane, {"templates": "leave"})
        installation.manifests = helm.render_for(installation.values, "ValidatingAdmissionPolicy")
        try:
            yield installation.install()
        finally:
            installation.uninstall()
    finally:
        plane.close()


def test_a_server_labels_covered_pods_and_its_other_half_is_called_for_the_others_only(labelling: Installation) -> None:
    namespace = labelling.namespace("labelled")
    (server,) = labelling.servers

    def made(name: str) -> dict[str, Any]:
        pod = workload("Pod", name=name, namespace=namespace, images=[IMAGE])
        labelling.kube.apply(pod)
        return labelling.kube.get("pod", name, namespace)

    def calls(half: str) -> int:
        return sum(f'"half":"{half}"' in line and namespace in line for line in server.lines)

    assert COVERED not in made("first")["metadata"].get("labels", {})
    numbers = itertools.count()
    # A Pod each second, until every API server must know of the copy.
    until(
        lambda: COVERED in made(f"pod-{next(numbers)}")["metadata"].get("labels", {}),
        "the copy is old enough",
        timeout_s=90,
        every_s=1,
    )
    before = calls("mutate"), calls("validate")
    assert made("last")["spec"]["imagePullSecrets"] == SECRET
    until(lambda: calls("mutate") == before[0] + 1, "the mutating half was called")
    assert calls("validate") == before[1]

    fresh = labelling.namespace("forged")
    forged = workload("Pod", name="forged", namespace=fresh, images=[IMAGE], secrets=["ghcr-secret"])
    forged["metadata"]["labels"] = {COVERED: "true"}
    assert "no params found" in labelling.kube.apply(forged, ok=False).err


def test_a_template_is_left_to_its_pods_which_get_what_their_account_is_given_later(labelling: Installation) -> None:
    kube, namespace = labelling.kube, labelling.namespace("openshift")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": namespace}}
    kube.apply(account)
    kube.apply(deployment("auth-api", namespace, service_account="web"))
    left = pod_spec_of(kube.get("deployment", "auth-api", namespace))
    assert "imagePullSecrets" not in left
    assert kube.exists("secret", "ghcr-secret", namespace)

    kube.apply({**account, "imagePullSecrets": [{"name": "web-dockercfg-x2x4z"}]})
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-it", "namespace": namespace}, "spec": left})
    listed = kube.get("pod", "of-it", namespace)["spec"]["imagePullSecrets"]
    assert listed == [{"name": "web-dockercfg-x2x4z"}, *SECRET]

    kube.apply(deployment("own", namespace, secrets=["own"]))
    own = pod_spec_of(kube.get("deployment", "own", namespace))
    assert own["imagePullSecrets"] == [{"name": "own"}, *SECRET]
