"""The chart's roles are what the code needs: nothing refused, and nothing granted that is never used.

Everything that the four ServiceAccounts of a release can be made to ask is asked here, by the processes and scripts
that the chart starts. The stand-in's authorizer says which grant let each request pass.
"""

import base64
import functools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from standin.faults import Match
from standin.rbac import RbacAuthorizer, describe, service_account_user
from tests import helm
from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.containers import pod_fields, program_of
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.planes import StandIn
from tests.e2e.machinery.waiting import until
from tests.objects import IMAGE, RELEASE_NAMESPACE, payload, workload
from webhook.core.names import MANAGED_BY_LABEL, MANAGED_BY_VALUE, SECRET_NAME

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "all secrets readable": {"rbac": {"readAllSecrets": True}},
    "cert-manager": {"certManager": {"enabled": True}},
}
ROTATED = payload(token="ghp_CANARYcanaryROTATED789canaryCANARY42")
OURS = {MANAGED_BY_LABEL: MANAGED_BY_VALUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An installation on a stand-in of its own."""

    stand_in: StandIn
    installation: Installation
    variant: str

    @property
    def keeps_certificates(self) -> bool:
        """Tell whether the controller does, not cert-manager."""
        return self.variant != "cert-manager"

    def stop_controllers(self) -> None:
        """Stop those that run; their leadership is given back."""
        for controller in self.installation.controllers:
            controller.stop()


@pytest.fixture(params=VARIANTS)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    stand_in = StandIn()  # always: a real API server does not tell which grant let a request pass
    try:
        stand_in.start()
        installation = Installation(
            stand_in,
            {**VARIANTS[request.param], "cleanup": {"onUninstall": "delete"}},
            keeper=None if request.param == "cert-manager" else {},
        )
        try:
            installation.install(servers=1)
            yield Release(stand_in=stand_in, installation=installation, variant=request.param)
        finally:
            installation.uninstall()
    finally:
        stand_in.close()


def test_what_the_roles_grant_is_what_is_used_and_nothing_is_refused(release: Release) -> None:
    installation = release.installation
    release.stop_controllers()  # it would fix what the server is to fix
    served = admissions(release)
    release.installation.start_controller()
    reconciliations(release, served)
    if release.keeps_certificates:
        certificates(release)
    run_helm_test(release)
    release.stop_controllers()
    run_uninstall(release, served)

    users = [
        service_account_user(RELEASE_NAMESPACE, each["metadata"]["name"])
        for each in [*installation.manifests, *helm.hooks(installation.values)]
        if each["kind"] == "ServiceAccount"
    ]
    assert len(users) == 4
    names = {user.name for user in users}
    asked = release.stand_in.api.requests.matching(lambda info: info.user in names)
    assert [entry.info for entry in asked if entry.code == 403] == []
    authorizer = release.stand_in.api.authorizer
    assert isinstance(authorizer, RbacAuthorizer)
    for user in users:
        assert authorizer.used(user.name)
        assert describe(authorizer.unused(user)) == []


# --- what is done


def admissions(release: Release) -> str:
    """Have the server make a copy, bring it up to date, replace it, and refuse a Pod; returns the copy's namespace."""
    installation, kube = release.installation, release.installation.kube
    namespace = installation.namespace("served")

    def after_a_pod(content: bytes) -> bool:
        # One after another: the server's watch may be a moment behind what the test has just done.
        kube("create", "-f", "-", stdin=json.dumps(pod(namespace)))
        return installation.payload_of(namespace) == content

    until(lambda: after_a_pod(payload()), "the copy is made")
    installation.set_central(ROTATED)
    until(lambda: after_a_pod(ROTATED), "the copy is brought up to date")
    kube("delete", "secret", SECRET_NAME, "-n", namespace)
    wrong = secret_manifest(namespace, type="Opaque", data={"a": "Yg=="})
    wrong["metadata"]["labels"] = OURS
    kube("create", "-f", "-", stdin=json.dumps(wrong))
    until(lambda: after_a_pod(ROTATED), "the Secret of the wrong type is replaced")

    # Before it refuses, the server reads again whatever the refusal rests on.
    refusing = installation.namespace("refusing", {"ghcr-pull-secrets.io/inject": "false"})
    refused = kube("create", "-f", "-", stdin=json.dumps(pod(refusing)), ok=False)
    assert "denied the request" in refused.err

    kube.apply(secret_manifest(namespace, name="other"))
    kube("create", "-f", "-", stdin=json.dumps(pod(namespace, secrets=["other"])))
    return namespace


def reconciliations(release: Release, namespace: str) -> None:
    """Have the controller make, fix and remove a copy, and report it."""
    installation, kube = release.installation, release.installation.kube

    def is_good() -> bool:
        return installation.payload_of(namespace) == ROTATED

    kube("delete", "secret", SECRET_NAME, "-n", namespace)
    until(is_good, "the copy is back")
    for _ in range(2):  # the second time is counted on the event of the first
        told = count_of(release, namespace, "CopyUpdated")
        edited = {"data": {".dockerconfigjson": base64.b64encode(b"{}").decode()}}
        kube("patch", "secret", SECRET_NAME, "-n", namespace, "--type=merge", "-p", json.dumps(edited))
        until(is_good, "the copy is fixed")
        until(functools.partial(is_told, release, namespace, "CopyUpdated", told + 1), "it is told")

    asking = installation.namespace("asking")
    listing = {"imagePullSecrets": [{"name": SECRET_NAME}]}
    kube("patch", "serviceaccount", "default", "-n", asking, "--type=merge", "-p", json.dumps(listing))
    until(lambda: kube.exists("secret", SECRET_NAME, asking), "the ServiceAccount that lists it gets a copy made")

    # A Secret of which the controller hears before it hears of its Namespace.
    orphan = secret_manifest("unheard-of")
    orphan["metadata"]["labels"] = OURS
    release.stand_in.api.load([orphan])
    asked = Match(verb="get", resource="namespaces", name="unheard-of")
    until(lambda: release.stand_in.api.requests.matching(asked), "the controller asks for the Namespace")

    opting_out = installation.namespace("opting-out")
    kube("create", "-f", "-", stdin=json.dumps(pod(opting_out)))
    until(lambda: kube.exists("secret", SECRET_NAME, opting_out), "there is a copy")
    kube("label", "namespace", opting_out, "ghcr-pull-secrets.io/inject=false")
    until(lambda: not kube.exists("secret", SECRET_NAME, opting_out), "the copy is gone")


def certificates(release: Release) -> None:
    """Have the controller replace Secrets of its own that cannot be changed in place."""
    kube = release.installation.kube
    for name in ("ghcr-pull-secrets-webhook-tls", "ghcr-pull-secrets-webhook-ca"):
        before = kube.get("secret", name, RELEASE_NAMESPACE)["metadata"]["uid"]
        spoiled = {"immutable": True, "data": {"tls.crt": base64.b64encode(b"no certificate").decode()}}
        kube("patch", "secret", name, "-n", RELEASE_NAMESPACE, "--type=merge", "-p", json.dumps(spoiled))

        until(functools.partial(is_replaced, release, name, before), f"{name} is recreated")


def run_helm_test(release: Release) -> None:
    """Do as `helm test`."""
    hooks = hooks_of(release, "test")
    spec = helm.select(hooks, "Pod")["spec"]
    (container,) = spec["containers"]
    run(release, container, spec["serviceAccountName"])


def run_uninstall(release: Release, namespace: str) -> None:
    """Do as the hook of `helm uninstall`; somebody changes a copy between the list and the deletion."""
    hooks = hooks_of(release, "pre-delete")
    spec = helm.select(hooks, "Job")["spec"]["template"]["spec"]
    (stop,), (cleanup,) = spec["initContainers"], spec["containers"]
    account = spec["serviceAccountName"]
    run(release, stop, account)

    user = service_account_user(RELEASE_NAMESPACE, account).name
    release.stand_in.api.faults.add(
        match=Match(user=user, verb="delete", resource="secrets", namespace=namespace), conflict=True, times=1
    )
    run(release, cleanup, account)
    assert not release.installation.kube.exists("secret", SECRET_NAME, namespace)


# --- how


def pod(namespace: str, *, secrets: list[str] | None = None) -> dict[str, Any]:
    manifest = workload("Pod", namespace=namespace, images=[IMAGE], secrets=secrets)
    del manifest["metadata"]["name"]
    manifest["metadata"]["generateName"] = "auth-api-"
    return manifest


def count_of(release: Release, namespace: str, reason: str) -> int:
    found = release.installation.kube.get("events", "", namespace)["items"]
    return sum(event["count"] for event in found if event["reason"] == reason)


def is_told(release: Release, namespace: str, reason: str, times: int) -> bool:
    return count_of(release, namespace, reason) == times


def is_replaced(release: Release, name: str, uid: str) -> bool:
    found = release.installation.kube.get("secret", name, RELEASE_NAMESPACE)
    return bool(found["metadata"]["uid"] != uid)


def hooks_of(release: Release, hook: str) -> list[helm.Manifest]:
    """Apply what one of Helm's hooks has, but for what runs, which is started here; returns all of it."""
    found = [
        each
        for each in helm.hooks(release.installation.values)
        if each["metadata"]["annotations"]["helm.sh/hook"] == hook
    ]
    release.installation.kube.apply(*[each for each in found if each["kind"] not in ("Pod", "Job")])
    return found


def run(release: Release, container: Mapping[str, Any], account: str) -> None:
    """Run a container to its end, as its ServiceAccount."""
    kubeconfig = release.installation.kubeconfig_of(account)
    command, environment = program_of(container, pod_fields(RELEASE_NAMESPACE), kubeconfig)
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
