"""A release as its users have it: Helm itself installs, tests, upgrades, rolls back and removes it, and waits for its Pods.

The chart is what Helm is given, with nothing changed: webhooks are called at the Service's cluster IP, by the certificate
the controller made for its name, and Deployments are rolled by whoever does that in a cluster.
"""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from tests import helm
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.processes import asked
from tests.e2e.machinery.release import NAME, Release, bare_cluster
from tests.e2e.machinery.sandbox import Sandbox
from tests.e2e.machinery.traffic import Traffic
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload, workload

pytestmark = pytest.mark.xdist_group("release")

BEFORE_AND_AFTER_S = 1.0
"""Traffic on either side of a change."""
VALUES: Mapping[str, Any] = {"server": {"shutdownDelaySeconds": 3}}
CA, TLS = f"{NAME}-webhook-ca", f"{NAME}-webhook-tls"
EXPIRY = "ghcr_pull_secrets_certificate_expiry_timestamp_seconds"
FOREIGN_IMAGE = "ghcr.io/somebody/tool:1"
NARROWED: Mapping[str, Any] = {"enforcement": "warn", "images": {"include": ["ghcr.io/sesacthon/*"]}}
CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


@contextmanager
def installed(values: Mapping[str, Any]) -> Iterator[Release]:
    """A release on a control plane of its own."""
    with bare_cluster() as release:
        release.install({**VALUES, **values}, central=payload())
        yield release


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    with installed({}) as release:
        yield release


@pytest.fixture(scope="module")
def namespace(release: Release) -> str:
    """Where Pods are made."""
    return release.namespace("upgraded")


@pytest.fixture(scope="module")
def opted_out(release: Release) -> str:
    """Where Pods get no pull secret, and so have none."""
    return release.namespace("opted-out", {"ghcr-pull-secrets.io/inject": "false"})


# --- a release at work


def test_what_helm_installed_injects_rejects_and_passes_its_own_test(
    release: Release, namespace: str, opted_out: str
) -> None:
    assert injects(release, namespace, IMAGE)
    assert refuses(release, opted_out)

    release.test()

    (tested,) = [each for each in release.node.sandboxes.values() if each.name == f"{NAME}-test"]
    assert "gets ghcr-secret" in tested.output
    assert not release.kube.exists("pod", f"{NAME}-test", RELEASE_NAMESPACE)


def test_helm_test_fails_where_nothing_is_injected(release: Release, opted_out: str) -> None:
    # Where it looks is a value, and Helm keeps the rendered hooks: so it takes an upgrade.
    release.upgrade({"tests": {"namespace": opted_out}})

    with pytest.raises(AssertionError, match="helm:"):
        release.test()

    said = [each.output for each in release.node.sandboxes.values() if each.name == f"{NAME}-test"][-1]
    assert (
        f'was not admitted (HTTP 403: admission webhook "pods.ghcr-pull-secrets.io" denied the request: Pod {opted_out}/'
        in said
    )
    assert "neither it nor its ServiceAccount lists a pull secret" in said
    for kind, namespace in (("role", opted_out), ("rolebinding", opted_out), ("serviceaccount", RELEASE_NAMESPACE)):
        assert not release.kube.exists(kind, f"{NAME}-test", namespace), "rights that nobody needs any more"
    release.rollback()


def test_an_upgrade_that_changes_nothing_restarts_nothing(release: Release) -> None:
    before = pods_of(release)

    release.upgrade({})

    assert pods_of(release) == before


def test_an_upgrade_and_its_rollback_under_traffic_fail_no_admission_and_take_effect(
    release: Release, namespace: str, opted_out: str
) -> None:
    authority, bundles, before = authority_of(release), bundles_of(release), pods_of(release)
    assert all(base64.b64decode(bundle).startswith(b"-----BEGIN CERTIFICATE-----") for bundle in bundles)
    assert injects(release, namespace, FOREIGN_IMAGE)

    with traffic_in(release, namespace):
        release.upgrade(NARROWED)
        upgraded = pods_of(release)
        # An API server learns of a webhook by its own watch, and a stopping server still answers as it did.
        until(lambda: not injects(release, namespace, FOREIGN_IMAGE), "the narrowed patterns hold")
        until(lambda: not refuses(release, opted_out), "nobody is refused any more")
        time.sleep(BEFORE_AND_AFTER_S)
        release.rollback()
        until(lambda: injects(release, namespace, FOREIGN_IMAGE), "the wider patterns hold again")
        until(lambda: refuses(release, opted_out), "enforcement is back")

    assert not before & upgraded
    assert not upgraded & pods_of(release)
    assert authority_of(release) == authority
    assert bundles_of(release) == bundles


def test_a_restart_under_traffic_fails_no_admission_and_makes_no_new_certificate(
    release: Release, namespace: str
) -> None:
    authority, bundles = authority_of(release), bundles_of(release)
    renewed, led = len(renewals(release)), leader(release)
    kube = release.kube

    with traffic_in(release, namespace):
        for component in ("server", "controller"):
            kube("rollout", "restart", f"deployment/{NAME}-{component}", "-n", RELEASE_NAMESPACE)
        for component in ("server", "controller"):
            what = ["rollout", "status", f"deployment/{NAME}-{component}", "-n", RELEASE_NAMESPACE]
            kube(*what, "--timeout=50s")
        until(lambda: leader(release) not in ("", led), "a new controller leads")

    assert authority_of(release) == authority
    assert bundles_of(release) == bundles
    assert len(renewals(release)) == renewed


def test_what_the_controller_wrote_is_its_own_and_no_apply_of_the_chart_would_change_anything(
    release: Release,
) -> None:
    assert len(release.configurations()) == 3
    for found in release.configurations():
        owners = {
            entry["manager"]
            for entry in found["metadata"]["managedFields"]
            for webhook in entry["fieldsV1"].get("f:webhooks", {}).values()
            if "f:caBundle" in webhook.get("f:clientConfig", {})
        }
        assert owners == {NAME}

    # What Argo CD does with ServerSideDiff: an apply on dry run by another manager, and a comparison.
    given = release.helm.get_values(NAME, all_values=True)
    served = ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
    manifests = yaml.safe_dump_all(helm.render_for(given, *served), sort_keys=False)
    diff = ["diff", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"]
    assert release.kube(*diff, stdin=manifests).text == ""


def test_a_controller_that_leads_no_more_says_nothing_of_the_certificate_it_knew(release: Release) -> None:
    (pod,) = [
        each
        for each in release.node.sandboxes.values()
        if each.name in pods_of(release) and "-controller-" in each.name
    ]
    until(lambda: figures(pod)["ghcr_pull_secrets_leading"] == 1, "it leads")
    assert figures(pod)[EXPIRY] > time.time()

    # As another candidate would have it, were it faster.
    taken = {"holderIdentity": "another", "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    patch = json.dumps({"spec": taken})
    release.kube("patch", "lease", f"{NAME}-controller", "-n", RELEASE_NAMESPACE, "--type=merge", "-p", patch)

    until(lambda: figures(pod)["ghcr_pull_secrets_leading"] == 0, "it has heard of the other")
    assert EXPIRY not in figures(pod)
    until(lambda: EXPIRY in figures(pod), "it leads again, as the other does not renew", timeout_s=40)


# --- its end


def test_an_uninstall_leaves_the_copies_and_nothing_that_could_block_the_cluster() -> None:
    with installed({}) as release:
        namespace = release.namespace("auth")
        release.kube.apply(workload("Pod", namespace=namespace, images=[IMAGE]))

        release.uninstall()

        assert left_of(release) == []
        assert release.kube.exists("secret", "ghcr-secret", namespace)
        assert release.kube.exists("secret", "ghcr-secret", RELEASE_NAMESPACE)
        release.kube.apply(workload("Pod", name="next", namespace=namespace, images=[FOREIGN_IMAGE]))


def test_an_uninstall_with_cleanup_stops_all_removes_every_copy_of_ours_and_no_other() -> None:
    with installed({"cleanup": {"onUninstall": "delete"}}) as release:
        kube = release.kube
        namespaces = [release.namespace(name) for name in ("auth", "chat")]
        for name in namespaces:
            kube.apply(workload("Pod", namespace=name, images=[IMAGE]))
            assert kube.exists("secret", "ghcr-secret", name)
        kube.apply(secret_manifest(release.namespace("by-hand")))

        release.uninstall()

        assert left_of(release) == []
        assert [kube.exists("secret", "ghcr-secret", name) for name in namespaces] == [False, False]
        assert kube.exists("secret", "ghcr-secret", "by-hand")
        assert kube.exists("secret", "ghcr-secret", RELEASE_NAMESPACE)
        assert all(program.code is not None for each in release.node.sandboxes.values() for program in each.programs)


# --- what is looked at


@contextmanager
def traffic_in(release: Release, namespace: str) -> Iterator[None]:
    """Steady admissions, before what happens within and afterwards too; none may fail, and no container either."""
    with Traffic(release.kube, namespace) as traffic:
        time.sleep(BEFORE_AND_AFTER_S)
        yield
        time.sleep(BEFORE_AND_AFTER_S)
    assert traffic.failed == []
    assert traffic.passed > 0
    assert [each.name for each in release.node.sandboxes.values() if each.restarts] == []


def pods_of(release: Release) -> set[str]:
    """Names of the Deployments' Pods that are to stay."""
    selector = "app.kubernetes.io/component in (server, controller)"
    found = release.kube.get("pods", "", RELEASE_NAMESPACE, "-l", selector)["items"]
    return {each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]}


def leader(release: Release) -> str:
    holder: str = release.kube.get("lease", f"{NAME}-controller", RELEASE_NAMESPACE)["spec"].get("holderIdentity", "")
    return holder


def renewals(release: Release) -> list[dict[str, Any]]:
    return [line for line in release.events if line.get("event") == "certificate_renewed"]


def figures(pod: Sandbox) -> dict[str, float]:
    """Metrics of a Pod that have no labels."""
    _, text = asked(f"http://{pod.address}:8080/metrics")
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}


def left_of(release: Release) -> list[str]:
    """What is left of what Helm has made, by the label that all of it has; Helm waits for no deletion."""
    kinds = "all,serviceaccounts,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets"
    admission = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    kinds = f"{kinds},{admission},{','.join(CONFIGURATIONS)}"
    what = ["get", kinds, "-A", "-l", f"app.kubernetes.io/instance={NAME}", "-o", "name"]

    def names() -> list[str]:
        return release.kube(*what).out.split()

    until(lambda: not names(), "all is gone")
    return names()


def authority_of(release: Release) -> dict[str, str]:
    data: dict[str, str] = release.kube.get("secret", CA, RELEASE_NAMESPACE)["data"]
    return data


def bundles_of(release: Release) -> list[str]:
    return [webhook["clientConfig"]["caBundle"] for each in release.configurations() for webhook in each["webhooks"]]


def dry_run(release: Release, namespace: str, image: str) -> str:
    """Make a Pod on dry run; returns the pull secrets it would have, or why it would not be admitted."""
    pod = workload("Pod", name="looked-at", namespace=namespace, images=[image])
    return release.kube.apply(pod, args=["--dry-run=server", "-o", "jsonpath={.spec.imagePullSecrets}"], ok=None).text


def injects(release: Release, namespace: str, image: str) -> bool:
    return "ghcr-secret" in dry_run(release, namespace, image)


def refuses(release: Release, namespace: str) -> bool:
    return "denied the request" in dry_run(release, namespace, IMAGE)
