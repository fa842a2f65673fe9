"""The controller on a control plane: rotation, healing, sweeping, leading."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.copies import break_copy, events, has
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.manifests import deployment
from tests.e2e.machinery.processes import Process
from tests.e2e.machinery.waiting import until
from tests.objects import payload

pytestmark = pytest.mark.xdist_group("installation")

OFF = {"ghcr-pull-secrets.io/inject": "false", "ghcr-pull-secrets.io/enforce": "off"}
ROTATED = payload(token="ghp_CANARYcanaryROTATED789canaryCANARY42")


@pytest.fixture(scope="module")
def broken_from_before(installation: Installation) -> str:
    """The story on the day of installation: a Deployment lists a Secret that nobody has made."""
    name = installation.namespace("story", OFF)
    installation.kube.apply(deployment("auth-api", name, secrets=["ghcr-secret"]))
    until(lambda: installation.kube.get("pods", "", name)["items"], "its Pod waits")
    installation.kube("label", "namespace", name, *(f"{label}-" for label in OFF))
    assert not installation.kube.exists("secret", "ghcr-secret", name)
    return name


@pytest.fixture(scope="module")
def controller(installation: Installation, broken_from_before: str) -> Iterator[Process]:
    # A short interval between looks for Pods that wait, so that the test need not last five minutes.
    process = installation.start_controller(sweep_interval="2s")
    yield process
    process.stop()


@pytest.fixture
def namespace(installation: Installation, controller: Process, namespace: str) -> str:
    """A namespace with a workload and its copy."""
    installation.kube.apply(deployment("auth-api", namespace))
    until(lambda: installation.kube.get("pods", "", namespace)["items"], "it has a Pod")
    return namespace


def test_pods_that_wait_for_their_secret_get_it_without_a_restart(
    installation: Installation, controller: Process, broken_from_before: str
) -> None:
    has(installation, broken_from_before, payload())
    pods = installation.kube.get("pods", "", broken_from_before)["items"]
    assert len(pods) == 1


def test_a_rotated_token_reaches_every_copy(central: Installation, namespace: str) -> None:
    others = [central.namespace(f"rotated-{index}") for index in range(3)]
    for other in others:
        central.kube.apply(deployment("auth-api", other))
    central.set_central(ROTATED)
    for name in (namespace, *others):
        has(central, name, ROTATED)
    central.set_central(payload())
    for name in (namespace, *others):
        has(central, name, payload())
    assert events(central.kube, namespace, "CopyUpdated")


@pytest.mark.parametrize("damage", ["deleted", "edited", "annotations stripped", "wrong type"])
def test_a_damaged_copy_comes_back(installation: Installation, kube: Kube, namespace: str, damage: str) -> None:
    good = installation.secret_of(namespace)
    if damage == "edited":
        break_copy(kube, namespace, {"data": {".dockerconfigjson": base64.b64encode(b"{}").decode(), "more": "eA=="}})
    elif damage == "annotations stripped":
        break_copy(kube, namespace, {"metadata": {"annotations": None}})
    else:
        kube("delete", "secret", "ghcr-secret", "-n", namespace)
    if damage == "wrong type":
        labels = {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}
        metadata = {"name": "ghcr-secret", "namespace": namespace, "labels": labels}
        wrong = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": {"a": "b"}}
        # The controller may have been faster with a good one.
        kube("delete", "secret", "ghcr-secret", "-n", namespace, "--ignore-not-found")
        kube("create", "-f", "-", stdin=json.dumps(wrong), ok=None)

    def as_before() -> bool:
        found = installation.secret_of(namespace)
        wanted = ("type", "data")
        return all(found.get(key) == good.get(key) for key in wanted) and all(
            found["metadata"].get(key) == good["metadata"].get(key) for key in ("labels", "annotations")
        )

    until(as_before, f"the {damage} copy is back")


def test_a_copy_without_its_label_is_foreign_from_then_on(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    kube("label", "secret", "ghcr-secret", "-n", namespace, "app.kubernetes.io/managed-by-")
    until(lambda: events(kube, namespace, "CopyForeign"), "it is reported")
    break_copy(kube, namespace, {"data": {".dockerconfigjson": base64.b64encode(b'{"auths": {}}').decode()}})
    time.sleep(1)
    assert installation.payload_of(namespace) == b'{"auths": {}}'
    kube("annotate", "secret", "ghcr-secret", "-n", namespace, "ghcr-pull-secrets.io/adopt=true")
    has(installation, namespace, payload())


def test_a_secret_that_an_owner_took_over_is_left_to_it_and_missed_when_it_goes(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    kube("create", "configmap", "owner", "-n", namespace)
    uid = kube.get("configmap", "owner", namespace)["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}
    theirs = base64.b64encode(payload(token="theirs")).decode()
    break_copy(kube, namespace, {"metadata": {"ownerReferences": [owner]}, "data": {".dockerconfigjson": theirs}})
    time.sleep(1)
    assert installation.payload_of(namespace) == payload(token="theirs")
    kube("delete", "configmap", "owner", "-n", namespace)
    has(installation, namespace, payload())


def test_a_namespace_that_opts_out_loses_its_copy_and_gets_it_back(
    installation: Installation, kube: Kube, namespace: str
) -> None:
    kube("label", "namespace", namespace, "ghcr-pull-secrets.io/inject=false")
    until(lambda: not kube.exists("secret", "ghcr-secret", namespace), "the copy is gone")
    kube("label", "namespace", namespace, "ghcr-pull-secrets.io/inject-")
    has(installation, namespace, payload())


def test_an_unusable_central_secret_is_not_spread_and_the_fixed_one_is(central: Installation, namespace: str) -> None:
    central.set_central(b'{"auths": {"ghcr.io": {"auth": "!!!"}}}')
    until(lambda: events(central.kube, "ghcr-pull-secrets", "CentralSecretUnusable"), "it is reported")
    assert central.payload_of(namespace) == payload()
    central.set_central(ROTATED)
    has(central, namespace, ROTATED)
    central.kube("delete", "secret", "ghcr-secret", "-n", "ghcr-pull-secrets")
    until(lambda: events(central.kube, "ghcr-pull-secrets", "CentralSecretMissing"), "its absence is reported")
    assert central.payload_of(namespace) == ROTATED
    central.set_central(payload())
    has(central, namespace, payload())


def test_a_namespace_of_the_same_name_starts_clean(installation: Installation, kube: Kube, controller: Process) -> None:
    name = installation.namespace("reborn")
    kube.apply(deployment("auth-api", name))
    kube("delete", "namespace", name, "--wait=true")
    installation.namespace(name)
    time.sleep(1)
    assert not kube.exists("secret", "ghcr-secret", name)


def test_after_a_killed_leader_another_finds_what_happened_meanwhile(
    installation: Installation, kube: Kube, controller: Process, namespace: str
) -> None:
    standby = installation.start_controller(sweep_interval="2s")
    try:
        leader, other = (controller, standby) if leads(controller) else (standby, controller)
        assert not leads(other)
        leader.kill()
        kube("delete", "secret", "ghcr-secret", "-n", namespace)
        until(lambda: leads(other), "the other one leads", timeout_s=20)
        has(installation, namespace, payload())
    finally:
        standby.stop()


def leads(process: Process) -> bool:
    return "ghcr_pull_secrets_leading 1.0" in process.ops("/metrics")[1]


def test_cleanup_removes_what_is_ours_and_nothing_else(installation: Installation, kube: Kube) -> None:
    # Last in this file, with no controller about: it would bring every copy back.
    for process in installation.controllers:
        process.stop()
    ours, theirs = installation.namespace("cleaned"), installation.namespace("kept")
    kube.apply(deployment("auth-api", ours))
    kube.apply(secret_manifest(theirs))
    before = installation.secret_of(theirs)

    def cleanup(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "webhook",
                "cleanup",
                "--namespace=ghcr-pull-secrets",
                *arguments,
                f"--kubeconfig={kube.kubeconfig}",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=installation.path,
        )

    assert "cleaned" in cleanup("--dry-run").stdout
    assert kube.exists("secret", "ghcr-secret", ours)
    said = cleanup("--yes")
    assert not kube.exists("secret", "ghcr-secret", ours)
    assert "kept" in said.stdout
    assert installation.secret_of(theirs) == before
    assert kube.exists("secret", "ghcr-secret", "ghcr-pull-secrets")
