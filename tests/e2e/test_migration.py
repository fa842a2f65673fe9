"""docs/migrate-from-externalsecrets.md, played with its own commands.

Helm's and kubectl's commands are run as they stand. The External Secrets Operator is not there; `tests.e2e.machinery.operator` has
what it leaves in a cluster.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.docs import commands
from tests.e2e.machinery.kube import Kube, kubectl_path
from tests.e2e.machinery.operator import CRD, external_secret, plays_operator
from tests.e2e.machinery.release import Release, bare_cluster
from tests.e2e.machinery.waiting import until
from tests.objects import RELEASE_NAMESPACE, payload, workload

PAGE = commands.DOCS / "migrate-from-externalsecrets.md"
NAMES = ("auth", "my", "scan", "character", "location", "info", "chat")
OLD = payload(token="token-of-before")
DRY_RUN = ("--dry-run=server",)

pytestmark = pytest.mark.xdist_group("migration")


def block(containing: str) -> str:
    """The one block of the page with this text."""
    found = [each.text for each in commands.blocks(PAGE) if each.info == "sh run" and containing in each.text]
    assert len(found) == 1
    return found[0]


def pod(namespace: str) -> dict[str, Any]:
    return workload("Pod", name="probe", namespace=namespace, secrets=["ghcr-secret"])


@pytest.fixture(scope="module")
def migrated() -> Iterator[Release]:
    """A control plane of its own, as the page names its namespaces, on which its first step was done."""
    with bare_cluster() as release:
        release.kube.apply(CRD)
        until(lambda: release.kube("get", "externalsecrets", "-A", ok=None).code == 0, "ExternalSecrets are served")
        commands.run(block("helm install"), release.kube.kubeconfig)
        plays_operator(release, RELEASE_NAMESPACE, payload())
        commands.run(block("kubectl wait"), release.kube.kubeconfig)
        until(release.ready, "the servers are ready", timeout_s=60)
        yield release


@contextmanager
def watched(kube: Kube) -> Iterator[list[dict[str, Any]]]:
    """Every change of every `ghcr-secret`, as the API server tells it: a watch leaves nothing out, a poll would."""
    seen: list[dict[str, Any]] = []
    command = [kubectl_path(), "--kubeconfig", str(kube.kubeconfig), "get", "secrets", "--all-namespaces"]
    command += ["--field-selector=metadata.name=ghcr-secret", "--watch", "--output-watch-events", "--output=json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watch:
        assert watch.stdout is not None
        lines = watch.stdout

        def read() -> None:
            text, decoder = "", json.JSONDecoder()
            for line in lines:
                text += line
                try:
                    event, _ = decoder.raw_decode(text.lstrip())
                except ValueError:
                    continue
                seen.append(event)
                text = ""

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            until(lambda: len(seen) > len(NAMES), "the watch tells what is there")
            yield seen
        finally:
            watch.terminate()
            reader.join(5)


@contextmanager
def tried(kube: Kube) -> Iterator[list[str]]:
    """What became of Pods that were tried meanwhile, one namespace after another, on dry run: "" where admitted."""
    said: list[str] = []
    ended = threading.Event()

    def attempt() -> None:
        while not ended.is_set():
            for name in NAMES:
                done = kube.apply(pod(name), args=DRY_RUN, ok=None)
                said.append(done.err.strip())

    thread = threading.Thread(target=attempt)
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join(60)


def ours(secret: dict[str, Any]) -> bool:
    metadata = secret["metadata"]
    return metadata.get("labels", {}).get("app.kubernetes.io/managed-by") == "ghcr-pull-secrets" and not metadata.get(
        "ownerReferences"
    )


def test_seven_secrets_change_hands_without_a_moment_in_which_a_pod_cannot_pull(migrated: Release) -> None:
    kube = migrated.kube
    before = {name: external_secret(migrated, migrated.namespace(name), OLD, deletionPolicy="Delete") for name in NAMES}
    shown = commands.run(block("custom-columns"), kube.kubeconfig)
    assert shown.count("ExternalSecret") == len(NAMES) + 1
    for name in NAMES:
        kube.apply(pod(name))
        assert kube.get("secret", "ghcr-secret", name) == before[name], "a Secret with an owner is never written"

    with watched(kube) as seen, tried(kube) as said:
        commands.run(block("--cascade=orphan"), kube.kubeconfig)
        for name in NAMES:
            until(lambda name=name: ours(migrated.secret_of(name)), f"{name} is taken over")  # type: ignore[misc]
        until(lambda: sum(ours(event["object"]) for event in seen) >= len(NAMES), "the watch tells of all")

    # Names only: what is asserted on is printed when it fails, and these hold credentials.
    assert [event["object"]["metadata"]["namespace"] for event in seen if event["type"] == "DELETED"] == []
    assert {event["object"]["type"] for event in seen} == {"kubernetes.io/dockerconfigjson"}
    assert len(said) >= len(NAMES)
    assert set(said) == {""}
    for name, old in before.items():
        assert migrated.secret_of(name)["metadata"]["uid"] == old["metadata"]["uid"]
        assert migrated.payload_of(name) == payload()
    assert commands.run(block("--selector"), kube.kubeconfig).count("ghcr-secret") == len(NAMES)
    until(lambda: commands.run(block("CopyUpdated"), kube.kubeconfig).count("taken over") == len(NAMES), "seven events")

    commands.run(block("enforcement=deny"), kube.kubeconfig)
    opted_out = migrated.namespace("opted-out", {"ghcr-pull-secrets.io/inject": "false"})
    until(lambda: "denied the request" in kube.apply(pod(opted_out), args=DRY_RUN, ok=None).err, "it is enforced")
    commands.run(block("force-sync"), kube.kubeconfig)


def test_an_externalsecret_that_is_merely_deleted_takes_its_secret_along(migrated: Release) -> None:
    kube, name = migrated.kube, migrated.namespace("hasty")
    external_secret(migrated, name, OLD)
    kube("delete", "externalsecret", "ghcr-secret", "-n", name)
    until(lambda: not kube.exists("secret", "ghcr-secret", name), "the garbage collector has taken it", timeout_s=60)

    kube.apply(pod(name))

    assert ours(migrated.secret_of(name)), "the next Pod brings its copy"


def test_the_annotation_does_nothing_while_there_is_an_owner_and_takes_effect_once_it_is_gone(
    migrated: Release,
) -> None:
    kube, name = migrated.kube, migrated.namespace("by-git")
    uid = external_secret(migrated, name, OLD, creationPolicy="Orphan")["metadata"]["uid"]
    kube("annotate", "secret", "ghcr-secret", "-n", name, "ghcr-pull-secrets.io/adopt=true")
    kube.apply(pod(name))
    assert migrated.payload_of(name) == OLD

    # As the operator does when it finds the policy Orphan on a Secret that it owns.
    kube(
        "patch",
        "secret",
        "ghcr-secret",
        "-n",
        name,
        "--type=json",
        "-p",
        '[{"op": "remove", "path": "/metadata/ownerReferences"}]',
    )
    until(lambda: ours(migrated.secret_of(name)), "it is taken over")
    kube("delete", "externalsecret", "ghcr-secret", "-n", name)

    assert migrated.payload_of(name) == payload()
    assert migrated.secret_of(name)["metadata"]["uid"] == uid


def test_a_copy_that_is_given_an_owner_again_is_foreign_again(migrated: Release) -> None:
    kube, name = migrated.kube, migrated.namespace("back")
    kube.apply(pod(name))
    assert ours(migrated.secret_of(name))

    external_secret(migrated, name, OLD)

    until(lambda: "CopyForeign" in kube("get", "events", "-n", name).out, "an event says so")
    assert migrated.payload_of(name) == OLD
