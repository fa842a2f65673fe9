"""`doctor` and `status` on a release: healthy, with each station broken, for a user with few permissions, and `--fix`.

One release, installed by Helm and run by a node; each test leaves it healthy.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from certs.authority import new_ca
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.operator import definition, external_secret_manifest
from tests.e2e.machinery.planes import control_plane, service_account_kubeconfig
from tests.e2e.machinery.raw import RawApi
from tests.e2e.machinery.release import NAME, Release
from tests.e2e.machinery.waiting import until
from tests.edges.plugin import as_plugin
from tests.objects import CANARY_PREFIX, RELEASE_NAMESPACE, payload, workload
from webhook.cli import main
from webhook.core.names import MANAGED_BY_LABEL, MANAGED_BY_VALUE, SOURCE_ANNOTATION

# One release for all of it.
pytestmark = [pytest.mark.xdist_group("doctor"), pytest.mark.timeout(300)]

WAITS = "waits"
"""A namespace whose Pods nobody runs."""

CENTRAL = payload(registry="ghcr.io/sesacthon/")
VALUES = {"images": {"include": ["ghcr.io/sesacthon/*"]}, "server": {"shutdownDelaySeconds": 0}}
NOT_FOUND = "could not get secret data from provider: parameter /sesacthon/dev/ghcr/token not found"
STORE: dict[str, Any] = {
    "apiVersion": "external-secrets.io/v1",
    "kind": "ClusterSecretStore",
    "metadata": {"name": "aws-ssm-store"},
    "spec": {},
}


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    plane = control_plane(elsewhere=(RELEASE_NAMESPACE, WAITS))
    try:
        plane.start()
        with Release(plane) as release:
            release.install(VALUES, central=CENTRAL)
            for kind in ("ExternalSecret", "ClusterSecretStore"):
                release.kube.apply(definition(kind))
            until(
                lambda: release.kube("get", "externalsecrets,clustersecretstores", "-A", ok=None).code == 0,
                "they are served",
            )
            release.namespace("auth")
            release.namespace(WAITS)
            release.kube("create", "deployment", "auth-api", "-n", "auth", "--image=ghcr.io/sesacthon/auth-api:latest")
            yield release
    finally:
        plane.close()


def run(release: Release, *flags: str, kubeconfig: Path | None = None, answer: str | None = None) -> Result:
    """Run a command; nothing it prints may hold a credential."""
    arguments = [*flags, "--kubeconfig", str(kubeconfig or release.kube.kubeconfig)]
    result = CliRunner().invoke(main, arguments, input=answer)
    assert CANARY_PREFIX not in result.output
    return result


def status(release: Release) -> dict[str, str]:
    """The codes of the stations that are broken."""
    result = run(release, "status", "--output", "json")
    document = json.loads(result.stdout)
    faults = {each["name"]: each["code"] for each in document["stations"] if each["state"] == "fault"}
    assert (result.exit_code, document["healthy"]) == ((1, False) if faults else (0, True))
    return faults


def found(release: Release, wanted: Mapping[str, str]) -> None:
    """Wait until exactly these faults are found: what is broken is seen a moment later."""
    seen: list[dict[str, str]] = []

    def exactly() -> bool:
        seen.append(status(release))
        return seen[-1] == wanted

    try:
        until(exactly, f"exactly {wanted} is found", timeout_s=60, every_s=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}; at last {seen[-1]}") from None


@pytest.fixture(autouse=True)
def healthy(release: Release) -> None:
    result = run(release, "status", "--wait", "2m")
    assert result.exit_code == 0, result.output


# --- each station


def read(release: Release, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    """An object as it can be applied again."""
    manifest = release.kube.get(kind, name, namespace)
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
        manifest["metadata"].pop(key, None)
    manifest.pop("status", None)
    return manifest


@contextmanager
def removed(release: Release, kind: str, name: str, namespace: str = "") -> Iterator[None]:
    manifest = read(release, kind, name, namespace)
    where = ["-n", namespace] if namespace else []
    release.kube("delete", kind, name, *where)
    try:
        yield
    finally:
        release.kube.apply(manifest, args=["--server-side", "--force-conflicts", "--field-manager=helm"])


@contextmanager
def scaled_to_nothing(release: Release, component: str) -> Iterator[None]:
    name = f"{NAME}-{component}"
    before = release.kube.get("deployment", name, RELEASE_NAMESPACE)["spec"]["replicas"]
    scale = ("scale", "deployment", name, "-n", RELEASE_NAMESPACE)
    release.kube(*scale, "--replicas=0")
    selector = f"app.kubernetes.io/component={component}"
    until(
        lambda: not release.kube.get("pods", "", RELEASE_NAMESPACE, "-l", selector)["items"],
        "its Pods have ended",
        timeout_s=90,
    )
    try:
        yield
    finally:
        release.kube(*scale, f"--replicas={before}")


@contextmanager
def central(release: Release, content: bytes) -> Iterator[None]:
    release.set_central(content)
    try:
        yield
    finally:
        release.set_central(CENTRAL)


@contextmanager
def synced(release: Release, condition: Mapping[str, str] | None, *, store: Mapping[str, str] | None) -> Iterator[None]:
    """An ExternalSecret and its store with these conditions; `None` for no store."""
    manifest = external_secret_manifest(RELEASE_NAMESPACE)
    manifest["spec"] |= {
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": "aws-ssm-store"},
        "data": [{"secretKey": "t", "remoteRef": {"key": "/sesacthon/dev/ghcr/token"}}],
    }
    release.kube.apply(manifest)
    if store is not None:
        release.kube.apply(STORE)
        ready(release, "clustersecretstore", "aws-ssm-store", "", store)
    if condition is not None:
        ready(release, "externalsecret", "ghcr-secret", RELEASE_NAMESPACE, condition)
    try:
        yield
    finally:
        release.kube("delete", "externalsecret", "ghcr-secret", "-n", RELEASE_NAMESPACE)
        release.kube("delete", "clustersecretstore", "aws-ssm-store", "--ignore-not-found")


def ready(release: Release, kind: str, name: str, namespace: str, condition: Mapping[str, str]) -> None:
    """Give an object the condition Ready, as the operator does."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"status": {"conditions": [{"type": "Ready", **condition}], "refreshTime": now}})
    where = ["-n", namespace] if namespace else []
    release.kube("patch", kind, name, *where, "--subresource=status", "--type=merge", "-p", patch)


@contextmanager
def orphan(release: Release) -> Iterator[None]:
    """A copy of a release that is not there any more."""
    manifest = secret_manifest("auth-old")
    manifest["metadata"] |= {
        "labels": {MANAGED_BY_LABEL: MANAGED_BY_VALUE},
        "annotations": {SOURCE_ANNOTATION: "gone/ghcr-secret"},
    }
    release.namespace("auth-old")
    release.kube("create", "-f", "-", stdin=json.dumps(manifest))
    try:
        yield
    finally:
        release.kube("delete", "secret", "ghcr-secret", "-n", "auth-old")


@contextmanager
def selector_changed(release: Release) -> Iterator[None]:
    def write(component: str) -> None:
        patch = json.dumps({"spec": {"selector": {"app.kubernetes.io/component": component}}})
        release.kube("patch", "service", NAME, "-n", RELEASE_NAMESPACE, "--type=merge", "-p", patch)

    write("nothing")
    try:
        yield
    finally:
        write("server")


@contextmanager
def without_the_controller(
    release: Release, breaking: Callable[[Release], AbstractContextManager[None]]
) -> Iterator[None]:
    """Something that the controller would put right at once."""
    with scaled_to_nothing(release, "controller"), breaking(release):
        yield


@contextmanager
def no_certificate(release: Release) -> Iterator[None]:
    release.kube("delete", "secret", f"{NAME}-webhook-tls", "-n", RELEASE_NAMESPACE)
    yield


@contextmanager
def another_ca(release: Release) -> Iterator[None]:
    bundle = base64.b64encode(new_ca(common_name="another", now=datetime.now(UTC)).certificate_pem).decode()
    for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
        webhooks = release.kube.get(kind, NAME)["webhooks"]
        patch = [
            {"op": "replace", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": bundle}
            for i in range(len(webhooks))
        ]
        release.kube("patch", kind, NAME, "--type=json", "-p", json.dumps(patch))
    yield


OK = {"status": "True", "reason": "Valid"}
SYNCED = {"status": "True", "reason": "SecretSynced"}
FAILED = {"status": "False", "reason": "SecretSyncedError", "message": NOT_FOUND}
DOWN = {"controller": "controller_not_ready"}

BROKEN: dict[str, tuple[Callable[[Release], AbstractContextManager[None]], dict[str, str]]] = {
    "not synced": (lambda r: synced(r, FAILED, store=OK), {"sync": "sync_failed"}),
    "not read yet": (lambda r: synced(r, None, store=OK), {"sync": "sync_not_begun"}),
    "no store": (lambda r: synced(r, SYNCED, store=None), {"source": "store_missing"}),
    "store not ready": (
        lambda r: synced(r, SYNCED, store={"status": "False", "reason": "InvalidProviderConfig"}),
        {"source": "store_not_ready"},
    ),
    "no central secret": (
        lambda r: removed(r, "secret", "ghcr-secret", RELEASE_NAMESPACE),
        {"central": "central_missing"},
    ),
    "central secret unusable": (lambda r: central(r, b"{}"), {"central": "central_unusable"}),
    "orphan": (orphan, {"copies": "copies_orphaned"}),
    "stale": (
        lambda r: without_the_controller(
            r, lambda r: central(r, payload(registry="ghcr.io/sesacthon/", user="another"))
        ),
        {"copies": "copies_stale", **DOWN},
    ),
    "no validating configuration": (
        lambda r: removed(r, "validatingwebhookconfiguration", NAME),
        {"webhooks": "webhooks_missing"},
    ),
    "another CA": (
        lambda r: without_the_controller(r, another_ca),
        {"webhooks": "ca_bundle_mismatch", **DOWN},
    ),
    "no endpoints": (selector_changed, {"webhooks": "no_endpoints"}),
    "no policy": (lambda r: removed(r, "validatingadmissionpolicy", f"{NAME}-covered"), {"policies": "policy_missing"}),
    "no binding": (
        lambda r: removed(r, "mutatingadmissionpolicybinding", f"{NAME}-covered"),
        {"policies": "policy_unbound"},
    ),
    "no server": (lambda r: scaled_to_nothing(r, "server"), {"servers": "servers_not_ready"}),
    "no certificate": (
        lambda r: without_the_controller(r, no_certificate),
        {"certificate": "certificate_missing", **DOWN},
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_each_station_that_is_broken_is_found_and_no_other(release: Release, what: str) -> None:
    breaking, faults = BROKEN[what]
    with breaking(release):
        found(release, faults)


def test_a_healthy_release_has_nothing_to_fix(release: Release) -> None:
    result = run(release, "doctor", "-A")

    assert result.exit_code == 0, result.output
    assert "✗" not in result.stdout
    assert "  ✓ copies       1 ours, none stale\n" in result.stdout
    assert "  ✓ webhooks     caBundle fits the certificate; failurePolicy Fail\n" in result.stdout
    assert "  ✓ servers      2 of 2 ready\n" in result.stdout
    assert "Nothing to fix; " in result.stdout


def test_kubectl_finds_it_as_a_plugin(release: Release, tmp_path: Path) -> None:
    done = as_plugin(tmp_path, release.kube.kubeconfig, "ghcr-pull-secrets", "status")

    assert done.returncode == 0, done.stderr
    assert "✓ controller" in done.stdout


# --- permissions


def test_a_user_with_few_permissions_is_told_what_was_not_looked_at(release: Release, tmp_path: Path) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "developer", "namespace": "auth"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "developer", "namespace": "auth"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "developer", "namespace": "auth"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "developer"},
        "subjects": [{"kind": "ServiceAccount", "name": "developer", "namespace": "auth"}],
    }
    release.kube.apply(account, role, binding)
    kubeconfig = service_account_kubeconfig(release.kube, "auth", "developer", tmp_path / "developer")

    def looked() -> list[Result]:
        # An API server hears of a role by its own watch.
        result = run(release, "doctor", "-n", "auth", kubeconfig=kubeconfig)
        return [] if "you may not list pods in auth" in result.stdout else [result]

    (result,) = until(looked, "the role is in force", every_s=0.5)
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()[1:] if line.startswith("  ")]

    assert result.exit_code == 0, result.output
    assert {mark for mark, *_ in lines} == {"–"}
    assert "not looked at: you may not get secrets in ghcr-pull-secrets" in {
        text for _, name, text in lines if name == "central"
    }
    assert "Nothing to fix; " in result.stdout
    assert run(release, "status", kubeconfig=kubeconfig).exit_code == 2


# --- fixes


def test_fix_makes_the_copy_that_a_pod_waits_for(release: Release) -> None:
    image = "ghcr.io/sesacthon/waits-api:latest"
    pod = workload("Pod", name="waits-api", namespace=WAITS, images=[image], secrets=["ghcr-secret"])
    with scaled_to_nothing(release, "controller"):
        release.kube.apply(pod)
        cannot_pull(release, "waits-api", image)
        release.kube("delete", "secret", "ghcr-secret", "-n", WAITS)
        before = run(release, "doctor", "-n", WAITS)
        fixed = run(release, "doctor", "-n", WAITS, "--fix", "--yes")
        made = release.kube.get("secret", "ghcr-secret", WAITS)

    assert (before.exit_code, fixed.exit_code) == (1, 1)
    assert "secret_missing" in before.stdout
    assert fixed.stdout.endswith("\ndone: make Secret waits/ghcr-secret from the central secret\n")
    assert base64.b64decode(made["data"][".dockerconfigjson"]) == CENTRAL
    release.kube("delete", "pod", "waits-api", "-n", WAITS, "--force", "--grace-period=0")


def cannot_pull(release: Release, name: str, image: str) -> None:
    """Write what a kubelet writes about a Pod that was given no credential."""
    message = (
        f'failed to pull and unpack image "{image}": failed to resolve image: failed to authorize: failed to fetch '
        "anonymous token: unexpected status from GET request: 401 Unauthorized"
    )
    container = {"name": "c0", "image": image, "imageID": "", "ready": False, "restartCount": 0}
    state = {"state": {"waiting": {"reason": "ErrImagePull", "message": message}}}
    status = {"status": {"phase": "Pending", "containerStatuses": [{**container, **state}]}}
    api = RawApi(release.kube.kubeconfig)
    try:
        path = f"/api/v1/namespaces/{WAITS}/pods/{name}/status"
        assert api("PATCH", path, status, content_type="application/merge-patch+json").code == 200
    finally:
        api.close()


def test_fix_has_an_external_secret_read_again(release: Release) -> None:
    with synced(release, FAILED, store=OK):
        shown = run(release, "doctor", "-n", WAITS)
        fixed = run(release, "doctor", "-n", WAITS, "--fix", "--yes")
        annotations = release.kube.get("externalsecret", "ghcr-secret", RELEASE_NAMESPACE)["metadata"]["annotations"]

    assert (
        "SecretSyncedError: could not get secret data from provider: parameter /sesacthon/dev/ghcr/token not"
        in shown.stdout
    )
    assert "run terraform apply where /sesacthon/dev/ghcr/token is made" in shown.stdout
    assert "done: have ExternalSecret ghcr-pull-secrets/ghcr-secret read again" in fixed.stdout
    assert annotations["force-sync"].isdigit()


def test_fix_restarts_an_owner_whose_pods_were_made_before_the_remedy(release: Release) -> None:
    # What was there before the webhook: a Deployment that lists nothing, while the webhooks are away.
    image = "ghcr.io/sesacthon/early-api:latest"
    deployment = workload("Deployment", name="early-api", namespace=WAITS, images=[image])
    deployment["spec"]["selector"] = {"matchLabels": {"app": "early-api"}}
    admission = (
        ("mutatingwebhookconfiguration", NAME),
        ("mutatingwebhookconfiguration", f"zz-{NAME}"),
        ("validatingwebhookconfiguration", NAME),
        ("mutatingadmissionpolicybinding", f"{NAME}-covered"),
    )
    with ExitStack() as stack:
        for kind, name in admission:
            stack.enter_context(removed(release, kind, name))
        # An API server learns of it by its own watches.
        until(lambda: admitted_as_it_is(release, image), "nothing looks at Pods any more", timeout_s=60)
        release.kube.apply(deployment)
        (pod,) = until(lambda: pods_of(release, "early-api"), "its Pod is there", timeout_s=60)
    assert not pod["spec"].get("imagePullSecrets")
    cannot_pull(release, pod["metadata"]["name"], image)
    assert run(release, "status", "--wait", "2m").exit_code == 0
    shown = run(release, "doctor", "-n", WAITS)
    fixed = run(release, "doctor", "-n", WAITS, "--fix", "--yes")

    assert shown.exit_code == 1, shown.output
    assert "not_listed" in shown.stdout
    assert "kubectl rollout restart deployment/early-api --namespace waits" in shown.stdout
    assert "done: restart Deployment waits/early-api" in fixed.stdout
    template = release.kube.get("deployment", "early-api", WAITS)["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert template["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}]
    release.kube("delete", "deployment", "early-api", "-n", WAITS)
    until(lambda: not pods_of(release, "early-api"), "its Pods are gone", timeout_s=60)


def admitted_as_it_is(release: Release, image: str) -> bool:
    """Tell whether a Pod would come in without a pull secret."""
    flags = (f"--image={image}", "--dry-run=server", "-o", "json")
    done = release.kube("run", "trial", "-n", WAITS, *flags, ok=None)
    return done.code == 0 and "imagePullSecrets" not in json.loads(done.out)["spec"]


def pods_of(release: Release, app: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = release.kube.get("pods", "", WAITS, "-l", f"app={app}")["items"]
    return items


def test_nothing_is_fixed_without_a_terminal_and_without_yes(release: Release) -> None:
    result = run(release, "doctor", "-A", "--fix")

    assert result.exit_code == 2
    assert "--fix: nobody can be asked" in result.stderr
