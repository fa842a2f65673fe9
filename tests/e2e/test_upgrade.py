"""From the chart with one mutating configuration to the one with two, and back, while workloads come in.

Nobody may be refused meanwhile, and nobody admitted without a pull secret. The new configuration is a new object, without a
`caBundle` until the new controller leads; the old controller's role does not let it write it.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests import helm
from tests.e2e.machinery.cluster import HERE, secret_manifest
from tests.e2e.machinery.manifests import deployment
from tests.e2e.machinery.release import NAME, Release, bare_cluster
from tests.e2e.machinery.traffic import CALLERS, RATE, Traffic
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload, pod_spec_of, workload

pytestmark = pytest.mark.xdist_group("release")

BEFORE = Path(__file__).resolve().parent.parent / "data" / "chart-before"
VALUES: dict[str, Any] = {
    # What a user of that chart may have set: it had a default for `images.include`, which an upgrade keeps.
    **{name: value for name, value in HERE.items() if name != "images"},
    "centralSecret": {"existing": True},
    "server": {"shutdownDelaySeconds": 3},
}
LAST = f"zz-{NAME}"
A_MOMENT_S = 1.0
CALLERS_EACH = 4
"""In each of four namespaces, 80 admissions a second in all: a server holds no more reviews of one namespace at a time."""


def left_to_its_pods(release: Release, namespace: str) -> dict[str, Any]:
    """A Deployment whose ServiceAccount has a pull secret: the first configuration leaves it, the last one is asked again."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "puller", "namespace": namespace},
        "imagePullSecrets": [{"name": "of-the-account"}],
    }
    release.kube.apply(secret_manifest(namespace, name="of-the-account"), account)
    template = deployment("dry-run", namespace)
    pod_spec_of(template)["serviceAccountName"] = "puller"
    return template


def last(release: Release) -> dict[str, Any] | None:
    found = [each for each in release.configurations() if each["metadata"]["name"] == LAST]
    return found[0] if found else None


def trusted(release: Release) -> bool:
    found = last(release)
    return found is not None and all(each["clientConfig"].get("caBundle") for each in found["webhooks"])


def test_an_upgrade_to_two_mutating_configurations_and_its_rollback_fail_nobody_and_let_nobody_through_unchanged() -> (
    None
):
    with bare_cluster() as release:
        release.install({}, central=payload(), chart=BEFORE)
        until(release.ready, "the present release works", timeout_s=60)
        namespaces = [release.namespace(f"upgraded-{number}") for number in range(3)]
        beside = release.namespace("beside")
        template = left_to_its_pods(release, beside)
        traffics = [
            *(Traffic(release.kube, each, callers=CALLERS_EACH) for each in namespaces),
            Traffic(release.kube, beside, template=template, callers=CALLERS_EACH),
        ]
        until(lambda: traffics[0]._ask() == "", "Pods are injected")
        (new,) = [each for each in helm.render(VALUES) if each["metadata"]["name"] == LAST]

        with contextlib.ExitStack() as stack:
            for traffic in traffics:
                stack.enter_context(traffic)
            time.sleep(A_MOMENT_S)
            # The worst order that an apply could have: the new configuration long before who can write its caBundle.
            release.kube.apply(new)
            time.sleep(3 * A_MOMENT_S)
            assert last(release) is not None
            assert not trusted(release)
            release.kube("delete", "mutatingwebhookconfiguration", LAST)

            release.upgrade(VALUES, reuse=False)
            until(lambda: trusted(release), "the new controller has written the caBundle", timeout_s=60)
            time.sleep(A_MOMENT_S)
            release.rollback()
            until(lambda: last(release) is None, "the rollback took it away")
            time.sleep(A_MOMENT_S)

        for traffic in traffics:
            assert traffic.failed == []
            # A share of the rate each, on however busy a machine.
            assert traffic.passed >= 0.3 * RATE * CALLERS_EACH / CALLERS * traffic.lasted, "steady traffic"
        # The rollback takes the role from the new controller some seconds before it ends.
        refused = release.plane.refused(f"system:serviceaccount:{RELEASE_NAMESPACE}:")
        assert all("mutatingwebhookconfigurations" in each for each in refused)
        release.helm.uninstall(NAME)


def covered(release: Release, namespace: str) -> bool:
    """Tell whether a Pod is admitted by the API server itself; either way it has to come in with its pull secret."""
    pod = workload("Pod", name="looked-at", namespace=namespace, images=[IMAGE])
    made = json.loads(release.kube.apply(pod, args=["--dry-run=server", "-o", "json"]).out)
    assert made["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    return bool(made["metadata"].get("labels", {}).get("ghcr-pull-secrets.io/covered") == "true")


def test_admission_in_the_api_server_is_turned_off_and_on_again_under_traffic_and_nobody_fails() -> None:
    with bare_cluster() as release:
        # `auto`, as Helm is told by the cluster what it serves.
        release.install(VALUES, central=payload())
        namespace = release.namespace("steady")
        release.kube.apply(workload("Pod", name="first", namespace=namespace, images=[IMAGE]))
        until(lambda: covered(release, namespace), "the policies are in force", timeout_s=30)
        release.kube.apply(workload("Pod", name="labelled", namespace=namespace, images=[IMAGE]))

        with Traffic(release.kube, namespace, callers=CALLERS_EACH) as traffic:
            time.sleep(A_MOMENT_S)
            release.upgrade({"inApiServer": {"enabled": False}})
            until(lambda: not covered(release, namespace), "the webhooks answer")
            assert "AdmissionPolicy" not in covering_objects(release)
            # What was labelled before stays as it is, and can be changed.
            release.kube("label", "pod", "labelled", "a=b", "-n", namespace)
            annotations = release.secret_of(namespace)["metadata"]["annotations"]
            assert annotations["ghcr-pull-secrets.io/covers"] == "all"
            time.sleep(A_MOMENT_S)
            release.upgrade({"inApiServer": {"enabled": "auto"}})
            until(lambda: covered(release, namespace), "the policies answer again")
            time.sleep(A_MOMENT_S)

        assert traffic.failed == []
        assert traffic.passed >= 0.3 * RATE * CALLERS_EACH / CALLERS * traffic.lasted, "steady traffic"


def covering_objects(release: Release) -> str:
    kinds = [f"{half}admissionpolic{end}" for half in ("mutating", "validating") for end in ("ies", "ybindings")]
    found: list[str] = release.kube("get", ",".join(kinds), "-o", "name").out.split()
    return " ".join(f"AdmissionPolicy {each}" for each in found if each.endswith((f"{NAME}-covered", f"{NAME}-marks")))
