"""Each cause for which a Pod cannot pull is made, and exactly it is found, by doctor and by the controller's sweep.

All of it is made once, in a namespace for each cause. The kubelet is played: a Pod's status is what a real one wrote for
such a Pod (`tests.recordings`). Nothing else is played: the Pods are those of Deployments, and come by the webhook.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.docs import commands
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.operator import CRD, external_secret_manifest, plays_operator
from tests.e2e.machinery.planes import control_plane, service_account_kubeconfig
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import CANARY_PREFIX, IMAGE, RELEASE_NAMESPACE, RULES, payload, workload
from tests.recordings import Recording, recordings
from webhook.cluster.connecting import connect_as_kubectl
from webhook.core.causes import Cause
from webhook.core.keyring import MAX_BYTES
from webhook.doctor.model import PodFindings, PodGroup, Question
from webhook.doctor.pods import find_pod_groups
from webhook.ports import Deadline

# One set-up for all of it.
pytestmark = [pytest.mark.xdist_group("doctor-pods"), pytest.mark.timeout(300)]

RECORDED: Mapping[str, Recording] = {each.case: each for each in recordings()}
OTHER = payload(token=f"{CANARY_PREFIX}other")
OUT = {"ghcr-pull-secrets.io/inject": "false"}
MIRROR = "https://mirror.corp/v2/sesacthon/auth-api/manifests/latest?ns=ghcr.io"
REFUSAL = "403 Forbidden\\ndenied: permission_denied: read_package"
NODE = "node-that-is-gone"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One namespace, in which one thing is wrong.

    Attributes:
        cause: What doctor finds; `None` for nothing.
        says: Is in what it tells of it.
        swept: What the controller's sweep finds, once the controller has done what it does; `None` for nothing.
        recorded: The recording whose status the Pod has; "" for a Pod that runs.
        status: What the message has instead, if it is no recording's own.
        labels: Of the namespace.
        secrets: Made there before the Deployment; `owned` ones by an operator.
        early: The Deployment was there before the webhook.
        broken: Content the copy is given after it was made; `None` with `gone` for no copy.
    """

    cause: Cause | None
    says: str = ""
    swept: Cause | None = None
    recorded: str = "secret-absent"
    status: tuple[str, str] = ("", "")
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Mapping[str, Any], ...] = ()
    listed: tuple[str, ...] | None = None
    account: str = ""
    owned: bytes | None = None
    early: bool = False
    broken: bytes | None = None
    gone: bool = False
    pod: Mapping[str, Any] = field(default_factory=dict)


def made(content: bytes = payload(), **changes: Any) -> dict[str, Any]:
    return secret_manifest("NAMESPACE", content, **changes)


def same(cause: Cause, **fields: Any) -> Scenario:
    """A scenario in which the sweep finds what doctor does."""
    return Scenario(cause=cause, swept=cause, **fields)


SCENARIOS: dict[str, Scenario] = {
    "healthy": Scenario(cause=None, recorded=""),
    "secret-missing": same(Cause.SECRET_MISSING, says="ghcr-secret does not exist", labels=OUT, listed=("ghcr-secret",)),
    "secret-deleted": Scenario(cause=Cause.SECRET_MISSING, gone=True, swept=Cause.BACK_OFF),
    "init-container": same(Cause.SECRET_MISSING, recorded="init-container", labels=OUT, listed=("ghcr-secret",)),
    "not-listed": same(Cause.NOT_LISTED, recorded="not-listed", says="made before the webhook was there", early=True),
    "opted-out": same(Cause.NOT_LISTED, recorded="not-listed", says="its namespace is out of injection", labels=OUT),
    "wrong-type": same(
        Cause.WRONG_TYPE, recorded="opaque", secrets=(made(type="Opaque"),), says="ghcr-secret was not made by the add-on"
    ),
    "bad-base64": same(
        Cause.MALFORMED, recorded="bad-base64", owned=b'{"auths": {"ghcr.io": {"auth": "!"}}}',
        says="belongs to ExternalSecret ghcr-secret",
    ),
    "no-colon": same(Cause.MALFORMED, recorded="no-colon", secrets=(made(RECORDED["no-colon"].content or b""),)),
    "auths-a-string": same(Cause.MALFORMED, recorded="auths-a-string", secrets=(made(b'{"auths": "x"}'),)),
    "other-host": same(Cause.NO_ENTRY_FOR_IMAGE, recorded="other-host", secrets=(made(payload(registry="quay.io")),)),
    "other-path": same(Cause.NO_ENTRY_FOR_IMAGE, recorded="other-path", secrets=(made(payload(registry="ghcr.io/other/")),)),
    "empty": same(Cause.NO_ENTRY_FOR_IMAGE, recorded="empty", secrets=(made(b"{}"),)),
    "empty-entry": same(Cause.EMPTY_CREDENTIAL, recorded="empty-entry", secrets=(made(b'{"auths": {"ghcr.io": {}}}'),)),
    "too-large": Scenario(
        cause=Cause.TOO_LARGE, labels=OUT, listed=("large",), swept=Cause.UNVERIFIABLE,
        secrets=(made(json.dumps({"auths": {}, "x": "y" * MAX_BYTES}).encode(), name="large"),),
    ),
    "stale": Scenario(cause=Cause.STALE, recorded="wrong-token", broken=OTHER, swept=Cause.CREDENTIAL_REJECTED),
    "foreign": same(Cause.FOREIGN, recorded="wrong-token", owned=OTHER, says="belongs to ExternalSecret ghcr-secret"),
    "foreign-by-hand": same(Cause.FOREIGN, recorded="no-right-to-read", secrets=(made(OTHER),), says="not made by the add-on"),
    "account-unused": Scenario(
        cause=Cause.ACCOUNT_UNUSED, labels=OUT, listed=("corp-pull",), account="builder", secrets=(made(name="team-pull"),),
        says="the Pod lists pull secrets of its own", swept=Cause.UNVERIFIABLE,
    ),
    "host-spelling": same(Cause.HOST_SPELLING, recorded="capital-host", says="GHCR.IO/sesacthon/auth-api:latest"),
    "invalid-image-name": same(Cause.INVALID_IMAGE_NAME, recorded="invalid-image-name"),
    "image-not-found": same(Cause.IMAGE_NOT_FOUND, recorded="missing-tag"),
    "never-pulled": same(Cause.NEVER_PULLED, recorded="never", labels=OUT),
    "credential-rejected": same(Cause.CREDENTIAL_REJECTED, recorded="wrong-token"),
    "credential-no-access": same(Cause.CREDENTIAL_NO_ACCESS, recorded="no-right-to-read", says="sesacthon/auth-api"),
    "registry-mirror": same(
        Cause.REGISTRY_MIRROR, recorded="no-right-to-read", says="mirror.corp",
        status=("https://ghcr.io/v2/sesacthon/auth-api/manifests/latest", MIRROR),
    ),
    "registry-failing": same(Cause.REGISTRY_FAILING, recorded="no-right-to-read", status=("403 Forbidden", "503 Service Unavailable")),
    "registry-unreachable": same(Cause.REGISTRY_UNREACHABLE, recorded="unknown-host", status=("registry.invalid", "ghcr.io")),
    "node-unreachable": Scenario(
        cause=Cause.NODE_UNREACHABLE, recorded="secret-absent", pod={"nodeName": NODE}, says=NODE, swept=Cause.BACK_OFF
    ),
    "back-off": same(Cause.BACK_OFF, says="is gone"),
    "unknown": same(Cause.UNKNOWN, recorded="no-right-to-read", status=(REFUSAL, "no words of any registry")),
    "crashes": Scenario(cause=Cause.PULLED, recorded="pulled-then-crashes", says="CrashLoopBackOff"),
    "configmap-missing": Scenario(cause=Cause.PULLED, recorded="pulled-configmap-missing", says="ConfigMap auth-config is missing"),
    "secret-of-the-app-missing": Scenario(cause=Cause.PULLED, recorded="pulled-secret-missing", says="Secret auth-secret is missing"),
}  # fmt: skip

OF_A_CLUSTER: Mapping[str, Cause] = {
    "without_central": Cause.CENTRAL_MISSING,
    "with_a_bad_central": Cause.CENTRAL_UNUSABLE,
    "restricted": Cause.UNVERIFIABLE,
}
"""What is wrong with the cluster, or with who looks at it, by the field of `Found`; each look finds one group of Pods."""


class Scene:
    """All scenarios, made, and what is found in them."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.kube = installation.kube
        self._api = RawApi(installation.kube.kubeconfig)

    def close(self) -> None:
        self._api.close()

    def make(self, *, early: bool) -> None:
        """Make the namespaces that are there before the webhook, or the others."""
        chosen = {name: each for name, each in SCENARIOS.items() if each.early is early}
        for name, each in chosen.items():
            self.installation.namespace(name, each.labels)
        objects = [manifest for name, each in chosen.items() for manifest in self._objects(name, each)]
        if objects:
            self.kube.apply(*objects, args=["--server-side"])
        for name, each in chosen.items():
            if each.owned is not None:
                plays_operator(self.installation, name, each.owned)
        self.kube.apply(*[self._deployment(name, each) for name, each in chosen.items()])

    @staticmethod
    def _objects(namespace: str, scenario: Scenario) -> Iterator[Mapping[str, Any]]:
        for each in scenario.secrets:
            yield {**each, "metadata": {**each["metadata"], "namespace": namespace}}
        if scenario.account:
            yield {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": scenario.account, "namespace": namespace},
                "imagePullSecrets": [{"name": "team-pull"}],
            }
        if scenario.owned is not None:
            yield external_secret_manifest(namespace)

    @staticmethod
    def _deployment(namespace: str, scenario: Scenario) -> Mapping[str, Any]:
        recording = RECORDED.get(scenario.recorded)
        image = IMAGE if recording is None or recording.image.startswith("registry.invalid") else recording.image
        manifest = workload("Deployment", name="api", namespace=namespace, secrets=scenario.listed)
        spec = manifest["spec"]["template"]["spec"]
        spec |= recording.pod(recording.statuses[-1])["spec"] if recording else {"containers": [{"name": "api"}]}
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            container["image"] = image
        spec.pop("imagePullSecrets", None)
        if scenario.listed:
            spec["imagePullSecrets"] = [{"name": name} for name in scenario.listed]
        if scenario.account:
            spec["serviceAccountName"] = scenario.account
        manifest["spec"]["selector"] = {"matchLabels": {"app": "api"}}
        manifest["spec"]["template"]["spec"] = spec | dict(scenario.pod)
        return manifest

    def play(self, since: datetime) -> None:
        """Be the kubelet: every Pod has waited since then."""
        pods = self._pods()
        for namespace, scenario in SCENARIOS.items():
            self._report(namespace, pods[namespace], self._status(scenario, since))

    def _pods(self) -> dict[str, str]:
        items = self._api("GET", "/api/v1/pods").body["items"]
        found = {each["metadata"]["namespace"]: each["metadata"]["name"] for each in items}
        return found if set(SCENARIOS) <= set(found) else {}

    @staticmethod
    def _status(scenario: Scenario, since: datetime) -> dict[str, Any]:
        stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        if not scenario.recorded:
            return {"phase": "Running", "startTime": stamp}
        status = json.loads(json.dumps(RECORDED[scenario.recorded].statuses[-1]).replace(*scenario.status))
        ready = {"type": "ContainersReady", "status": "False", "lastTransitionTime": stamp}
        return {**status, "startTime": stamp, "conditions": [ready]}

    def _report(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        answer = self._api("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
        assert answer.code == 200, answer.body

    def spoil(self) -> None:
        """Do to copies what is to have been done to them, once no Pod is to come that would have them made again."""
        until(self._pods, "every Deployment has its Pod", timeout_s=60, every_s=0.5)
        for namespace, scenario in SCENARIOS.items():
            if scenario.gone:
                self.kube("delete", "secret", "ghcr-secret", "-n", namespace)
            elif scenario.broken is not None:
                text = json.dumps({"stringData": {".dockerconfigjson": scenario.broken.decode()}})
                self.kube("patch", "secret", "ghcr-secret", "-n", namespace, "--type=merge", "-p", text)

    def find(self, *, namespace: str = "", later: timedelta = timedelta(), kubeconfig: Any = None) -> PodFindings:
        """Look as doctor does."""
        client = connect_as_kubectl(kubeconfig or self.kube.kubeconfig, None, {}).client
        try:
            question = Question(namespace=namespace, rules=RULES, central=None, now=datetime.now(UTC) + later)
            return find_pod_groups(client, question, Deadline.after(60))
        finally:
            client.close()


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found: of everything an hour later, and of single namespaces in other circumstances."""

    everything: PodFindings
    soon: PodFindings
    restricted: PodFindings
    without_central: PodFindings
    with_a_bad_central: PodFindings
    swept: Mapping[str, int]
    printed: str
    kubeconfig: Path

    def of(self, namespace: str) -> list[PodGroup]:
        return [group for group in self.everything.groups if group.namespace == namespace]


VIEWER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "sees-pods"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
}


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    plane = control_plane(elsewhere=tuple(SCENARIOS))
    try:
        plane.start()
        installation = Installation(plane, {"enforcement": "off"})
        scene = Scene(installation)
        try:
            yield _look(scene)
        finally:
            scene.close()
            installation.uninstall()
    finally:
        plane.close()


def _look(scene: Scene) -> Found:
    installation, kube = scene.installation, scene.kube
    kube.apply(CRD)
    until(lambda: kube("get", "externalsecrets", "-A", ok=None).code == 0, "ExternalSecrets are served")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    kube.apply(node, VIEWER)
    condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    kube(
        "patch",
        "node",
        NODE,
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": {"conditions": [condition]}}),
    )
    scene.make(early=True)
    installation.install()
    scene.make(early=False)
    scene.spoil()
    # The longest that the kubelet lets pass between two attempts: the Secrets were made since its last.
    scene.play(datetime.now(UTC) - timedelta(seconds=620))
    soon = scene.find(namespace="credential-rejected")
    everything = scene.find(later=timedelta(hours=1))
    restricted = scene.find(namespace="account-unused", kubeconfig=_viewer(scene))
    kube("delete", "secret", "ghcr-secret", "-n", RELEASE_NAMESPACE)
    without = scene.find(namespace="secret-deleted")
    installation.set_central(b"{}")
    bad = scene.find(namespace="secret-deleted")
    installation.set_central(payload())
    controller = installation.start_controller(sweep_interval="1s")
    wanted = Counter(scenario.swept.value for scenario in SCENARIOS.values() if scenario.swept)

    def counted() -> Mapping[str, int]:
        text = controller.ops("/metrics")[1]
        values = re.findall(r'^ghcr_pull_secrets_pods_unable_to_pull\{cause="(\w+)"\} (\d+)', text, re.MULTILINE)
        return {cause: int(value) for cause, value in values}

    def settled() -> bool:
        return {cause: count for cause, count in counted().items() if count} == wanted

    # If it does not, the test of it says what is counted instead.
    with contextlib.suppress(AssertionError):
        until(settled, f"the sweep finds {wanted}", timeout_s=60, every_s=0.3)
    return Found(
        everything=everything,
        soon=soon,
        restricted=restricted,
        without_central=without,
        with_a_bad_central=bad,
        swept=counted(),
        printed=installation.everything_printed(),
        kubeconfig=kube.kubeconfig,
    )


def _viewer(scene: Scene) -> Any:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sees-pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sees-pods"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "healthy"}],
    }
    scene.kube.apply(binding)
    path = scene.installation.path / "viewer.kubeconfig"
    return service_account_kubeconfig(scene.kube, "healthy", "default", path)


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_cause_is_found_and_no_other(found: Found, name: str) -> None:
    scenario, groups = SCENARIOS[name], found.of(name)

    if scenario.cause is None:
        assert groups == []
        return
    [group] = groups
    assert group.cause == scenario.cause, group
    assert (group.owner_kind, group.owner_name, group.pods) == ("Deployment", "api", 1)
    assert group.pulled is (scenario.cause is Cause.PULLED)
    assert scenario.says in group.detail
    assert group.remedy
    assert group.since is not None


def test_every_cause_is_seen() -> None:
    """Each by a scenario of its own, or by one of the looks at the whole cluster, which the tests below take from the table."""
    of_a_namespace = {each.cause for each in SCENARIOS.values() if each.cause}

    assert of_a_namespace | set(OF_A_CLUSTER.values()) == set(Cause)
    assert of_a_namespace.isdisjoint(OF_A_CLUSTER.values())


def test_what_was_looked_at_is_counted_and_nothing_was_skipped(found: Found) -> None:
    everything = found.everything
    unable = [name for name, each in SCENARIOS.items() if each.cause not in (None, Cause.PULLED)]

    assert everything.skipped == ()
    assert everything.counts.unable == len(unable)
    # Those of the release are images of ghcr.io too.
    assert everything.counts.pods >= everything.counts.selected >= len(SCENARIOS)


def test_a_credential_that_was_written_since_the_last_attempt_is_given_time(found: Found) -> None:
    [group] = found.soon.groups

    assert (group.cause, group.restart) == (Cause.BACK_OFF, True)
    assert group.commands == ("kubectl rollout restart deployment/api --namespace credential-rejected",)


@pytest.mark.parametrize("which", OF_A_CLUSTER)
def test_a_cause_of_the_whole_cluster_is_found_and_no_other(found: Found, which: str) -> None:
    [group] = getattr(found, which).groups

    assert group.cause == OF_A_CLUSTER[which]


def test_who_may_only_list_pods_is_told_what_can_be_said(found: Found) -> None:
    [group] = found.restricted.groups

    assert group.owner_kind == "ReplicaSet"
    assert {"secrets", "serviceaccounts", "replicasets", "namespaces"} <= {
        each.name for each in found.restricted.skipped
    }


def test_the_controllers_sweep_finds_the_same(found: Found) -> None:
    wanted = Counter(each.swept.value for each in SCENARIOS.values() if each.swept)

    assert {cause: count for cause, count in found.swept.items() if count} == wanted
    assert set(found.swept) == {cause.value for cause in Cause} - {Cause.PULLED.value}


def test_the_commands_that_are_given_can_be_typed(found: Found) -> None:
    # One finding of each cause; nobody has logs here.
    told = {group.cause: group for group in found.everything.groups if group.commands and not group.pulled}
    assert len(told) >= 10

    for group in told.values():
        commands.run("\n".join(group.commands), found.kubeconfig, stdin="token\n")


def test_no_token_is_in_what_is_said(found: Found) -> None:
    assert CANARY_PREFIX not in repr(replace(found, printed=""))
    assert CANARY_PREFIX not in found.printed
