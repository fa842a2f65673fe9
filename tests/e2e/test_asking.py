"""Copies that are wanted before any Pod pulls with them, and Secrets that look like copies and are not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

FIELD = Path(__file__).parent.parent / "data" / "field"
SECRET = "ghcr-secret"
PROVISION = "ghcr-pull-secrets.io/provision"
OWN = payload(token="ghp_CANARYcanaryOWN6789canaryCANARY42own", user="orgb-bot")


@pytest.fixture(scope="module")
def controller(installation: Installation) -> Iterator[Process]:
    process = installation.start_controller(sweep_interval="300s")
    yield process
    process.stop()


@pytest.fixture
def copied(installation: Installation, controller: Process, namespace: str) -> str:
    """A namespace with a workload and its copy."""
    installation.kube.apply(deployment("auth-api", namespace))
    has(installation, namespace, payload())
    return namespace


def field(name: str, namespace: str) -> dict[str, Any]:
    """An input from the field, in this namespace."""
    obj: dict[str, Any] = json.loads((FIELD / name).read_text())
    obj["metadata"]["namespace"] = namespace
    return obj


# --- asked for before any Pod


def test_a_pod_that_mounts_the_secret_finds_it(kube: Kube, installation: Installation, namespace: str) -> None:
    """Without a controller: the webhook makes it before the Pod is stored."""
    kube.apply(field("F04-kaniko-pod.json", namespace))
    assert installation.payload_of(namespace) == payload()
    assert kube.get("pod", "kaniko", namespace)["spec"].get("imagePullSecrets") is None


@pytest.mark.parametrize("how", ["envFrom", "env"])
def test_a_pod_that_reads_it_into_variables_finds_it(
    how: str, kube: Kube, installation: Installation, namespace: str
) -> None:
    made = field("F04-kaniko-pod.json", namespace)
    del made["spec"]["volumes"]
    key = {"name": SECRET, "key": ".dockerconfigjson"}
    made["spec"]["containers"][0][how] = (
        [{"secretRef": {"name": SECRET}}]
        if how == "envFrom"
        else [{"name": "CONFIG", "valueFrom": {"secretKeyRef": key}}]
    )
    kube.apply(made)
    assert installation.payload_of(namespace) == payload()


def test_a_pod_that_mounts_another_secret_brings_none(kube: Kube, namespace: str) -> None:
    made = field("F04-kaniko-pod.json", namespace)
    made["spec"]["volumes"][0]["secret"]["secretName"] = "another"
    kube.apply(made)
    assert not kube.exists("secret", SECRET, namespace)


def test_a_labelled_namespace_gets_its_copy_at_once(
    kube: Kube, installation: Installation, controller: Process, namespace: str
) -> None:
    has(installation, installation.namespace("born-asking", {PROVISION: "true"}), payload())
    assert not kube.exists("secret", SECRET, namespace)
    kube("label", "namespace", namespace, f"{PROVISION}=true")
    has(installation, namespace, payload())
    kube("delete", "secret", SECRET, "-n", namespace)
    has(installation, namespace, payload())


@pytest.mark.parametrize("before", [0, 40])
def test_a_service_account_that_lists_the_secret_gets_a_copy_made(
    before: int, kube: Kube, installation: Installation, controller: Process, namespace: str
) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "builder", "namespace": namespace},
        "imagePullSecrets": [{"name": f"other-{number}"} for number in range(before)] + [{"name": SECRET}],
    }
    kube.apply(account)
    has(installation, namespace, payload())

    out = installation.namespace(f"asking-out-{before}", {"ghcr-pull-secrets.io/inject": "false"})
    account["metadata"]["namespace"] = out  # type: ignore[index]
    kube.apply(account)
    time.sleep(1)
    assert not kube.exists("secret", SECRET, out)


# --- given away


@pytest.mark.parametrize("how", [[], ["--server-side", "--force-conflicts"]], ids=["client-side", "server-side"])
def test_what_a_team_applies_over_a_copy_is_theirs(
    how: list[str], kube: Kube, installation: Installation, copied: str
) -> None:
    own = secret_manifest(copied, OWN)
    kube.apply(own, args=how)
    until(lambda: events(kube, copied, "CopyForeign"), "it is told")
    time.sleep(1)
    assert installation.payload_of(copied) == OWN

    kube.apply(own, args=how)
    kube("rollout", "restart", "deployment/auth-api", "-n", copied)
    assert installation.payload_of(copied) == OWN
    [event] = events(kube, copied, "CopyForeign")
    assert event["count"] == 1

    _, _, command = event["message"].partition("in its place: kubectl ")
    kube(*command.split())
    has(installation, copied, payload())
    break_copy(kube, copied, {"data": {".dockerconfigjson": base64.b64encode(b"{}").decode()}})
    has(installation, copied, payload())


def test_server_side_apply_without_force_is_refused(kube: Kube, installation: Installation, copied: str) -> None:
    refused = kube.apply(secret_manifest(copied, OWN), args=["--server-side"], ok=False)
    assert 'conflict with "ghcr-pull-secrets"' in refused.err
    assert installation.payload_of(copied) == payload()


@pytest.mark.parametrize("verb", ["patch", "replace"])
def test_a_hand_edit_is_undone_and_says_how_to_keep_ones_own(
    verb: str, kube: Kube, installation: Installation, copied: str
) -> None:
    data = {"data": {".dockerconfigjson": base64.b64encode(OWN).decode()}}
    if verb == "patch":
        break_copy(kube, copied, data)
    else:
        kube("replace", "-f", "-", stdin=json.dumps(kube.get("secret", SECRET, copied) | data))
    has(installation, copied, payload())
    until(lambda: events(kube, copied, "CopyUpdated"), "it is told")
    [event] = events(kube, copied, "CopyUpdated")
    how = event["message"].partition("your own here: ")[2]
    assert how == f"kubectl label secret ghcr-secret --namespace {copied} app.kubernetes.io/managed-by-"

    kube(*how.split()[1:])
    break_copy(kube, copied, data)
    time.sleep(1)
    assert installation.payload_of(copied) == OWN


def carried(kube: Kube, source: str, target: str) -> dict[str, Any]:
    """A copy as `kubectl get -o yaml | sed` would carry it to another namespace."""
    obj = kube.get("secret", SECRET, source)
    obj["metadata"] = {key: obj["metadata"][key] for key in ("name", "labels", "annotations")} | {"namespace": target}
    return obj


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_a_copy_carried_into_a_namespace_that_opted_out_stays(
    verb: str, kube: Kube, installation: Installation, copied: str
) -> None:
    out = installation.namespace(f"carried-{verb}", {"ghcr-pull-secrets.io/inject": "false"})
    kube(verb, "-f", "-", stdin=json.dumps(carried(kube, copied, out)))
    time.sleep(1.5)
    assert installation.payload_of(out) == payload()


# --- wanted by two


def test_a_copy_of_another_release_is_left_alone_until_its_adoption_is_asked_for(
    kube: Kube, installation: Installation, controller: Process, namespace: str
) -> None:
    theirs = secret_manifest(namespace, OWN)
    theirs["metadata"] |= {
        "labels": {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"},
        "annotations": {"ghcr-pull-secrets.io/source": "other-release/ghcr-secret"},
    }
    kube("create", "-f", "-", stdin=json.dumps(theirs))
    until(lambda: events(kube, namespace, "CopyForeign"), "it is told")
    kube.apply(deployment("auth-api", namespace))
    assert installation.payload_of(namespace) == OWN
    assert 'ghcr_pull_secrets_copies{owner="other_release"} 1.0' in controller.ops("/metrics")[1]

    kube("annotate", "secret", SECRET, "-n", namespace, "ghcr-pull-secrets.io/adopt=true")
    has(installation, namespace, payload())
    assert kube.get("secret", SECRET, namespace)["metadata"]["annotations"]["ghcr-pull-secrets.io/source"] == (
        "ghcr-pull-secrets/ghcr-secret"
    )


@pytest.mark.parametrize("how", ["rewritten", "deleted"])
def test_a_copy_that_is_wanted_otherwise_again_and_again_is_contested(
    how: str, kube: Kube, installation: Installation, controller: Process, copied: str
) -> None:
    def spoil() -> None:
        if how == "deleted":
            kube("delete", "secret", SECRET, "-n", copied, "--ignore-not-found")
        else:
            break_copy(kube, copied, {"data": {".dockerconfigjson": base64.b64encode(b"{}").decode()}})

    def is_good() -> bool:
        return kube.exists("secret", SECRET, copied) and installation.payload_of(copied) == payload()

    for _ in range(6):
        spoil()
        until(is_good, f"the copy that was {how} comes back at once")
    until(lambda: events(kube, copied, "CopyContested"), "it is told")
    spoil()
    begun = time.monotonic()
    time.sleep(2)
    assert not is_good()
    assert "ghcr_pull_secrets_copies_contested 0.0" not in controller.ops("/metrics")[1]

    if how == "deleted":
        # A review that waits for a copy gets one all the same.
        kube.apply(field("F04-kaniko-pod.json", copied))
        assert is_good()
    until(is_good, "the pause ends", timeout_s=20)
    assert how == "deleted" or time.monotonic() - begun > 2
    [event] = events(kube, copied, "CopyContested")
    assert event["count"] == 1
