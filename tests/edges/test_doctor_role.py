"""The chart's ClusterRole for `doctor` and `status` grants what they ask for, no more and no less."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from standin import ApiServer
from standin.rbac import RbacAuthorizer, describe, service_account_user
from tests import helm
from tests.doctor.builders import NAME
from tests.doctor.cluster import load, obj, release
from tests.e2e.machinery.operator import definition, external_secret_manifest
from tests.edges.accounts import account
from tests.objects import CANARY_PREFIX, RELEASE_NAMESPACE
from webhook.cli import main

STUCK = "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"
OF_OTHERS = "– secrets      not looked at: you may not get secrets in auth"


def stuck(name: str, secret: str, kind: str, group: str) -> dict[str, Any]:
    """A Pod of a controller, which waits for its image."""
    pod = obj(
        "Pod",
        name,
        "auth",
        spec={
            "nodeName": "node-1",
            "imagePullSecrets": [{"name": secret}],
            "containers": [{"name": "api", "image": "ghcr.io/sesacthon/auth-api:1"}],
        },
        status={
            "phase": "Pending",
            "containerStatuses": [
                {"name": "api", "state": {"waiting": {"reason": "ImagePullBackOff", "message": STUCK}}}
            ],
        },
    )
    owner = {"apiVersion": f"{group}/v1", "kind": kind, "name": name, "uid": "u", "controller": True}
    pod["metadata"]["ownerReferences"] = [owner]
    return pod


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(admission=None, controllers=None) as api:
        store = {"name": "aws-ssm-store", "kind": "ClusterSecretStore"}
        for kind in ("ExternalSecret", "ClusterSecretStore", "SecretStore"):
            api.admin.create("customresourcedefinitions.apiextensions.k8s.io", "", definition(kind))
        load(api, release(datetime.now(UTC)))
        load(api, [stuck("one", "corp-pull", "ReplicaSet", "apps"), stuck("two", "ghcr-secret", "Job", "batch")])
        external = external_secret_manifest(RELEASE_NAMESPACE)
        external["spec"]["secretStoreRef"] = store
        api.load([external])
        yield api


def granted(secrets: str) -> list[dict[str, Any]]:
    manifests = helm.render(
        {"centralSecret": {"existing": True}, "rbac": {"doctorRole": {"create": True, "secrets": secrets}}}
    )
    rules: list[dict[str, Any]] = helm.select(manifests, "ClusterRole", f"{NAME}-doctor")["rules"]
    return rules


def look(api: ApiServer, kubeconfig: str, *command: str) -> Result:
    result = CliRunner().invoke(main, [*command, "--kubeconfig", kubeconfig])
    assert CANARY_PREFIX not in result.output
    assert result.exit_code == 1, result.output
    return result


def skipped(result: Result) -> list[str]:
    return [line.strip() for line in result.stdout.splitlines() if "– " in line and "you may not" in line]


@pytest.mark.parametrize(
    ("secrets", "unread"),
    [
        ("all", []),
        ("ours", [OF_OTHERS]),
        ("none", ["– central", "– copies", "– certificate", OF_OTHERS]),
    ],
)
def test_what_the_role_grants_is_what_doctor_and_status_ask_for(
    api: ApiServer, secrets: str, unread: list[str]
) -> None:
    kubeconfig = api.kubeconfig_file(account(api, "viewer", granted(secrets)))

    result = look(api, kubeconfig, "doctor", "-A")
    whole = skipped(result)
    look(api, kubeconfig, "doctor", "-n", "auth")
    stores = api.admin.get("externalsecrets.external-secrets.io", RELEASE_NAMESPACE, "ghcr-secret")
    stores["spec"]["secretStoreRef"]["kind"] = "SecretStore"
    api.admin.update("externalsecrets.external-secrets.io", RELEASE_NAMESPACE, stores)
    look(api, kubeconfig, "status")

    assert len(whole) == len(unread), whole
    assert all(any(line.startswith(each) for line in whole) for each in unread), whole
    authorizer = api.authorizer
    assert isinstance(authorizer, RbacAuthorizer)
    assert describe(authorizer.unused(service_account_user("ghcr", "viewer"))) == []


def test_a_role_with_one_permission_more_is_noticed(api: ApiServer) -> None:
    more = [*granted("all"), {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    look(api, api.kubeconfig_file(account(api, "viewer", more)), "doctor", "-A")
    authorizer = api.authorizer
    assert isinstance(authorizer, RbacAuthorizer)
    assert "configmaps" in " ".join(describe(authorizer.unused(service_account_user("ghcr", "viewer"))))


def test_nobody_is_given_anything_unasked() -> None:
    """Neither is the role made, nor, once it is, bound to anybody or aggregated to another."""
    names = {each["metadata"]["name"] for each in helm.render({"centralSecret": {"existing": True}})}
    assert f"{NAME}-doctor" not in names
    made = helm.render({"centralSecret": {"existing": True}, "rbac": {"doctorRole": {"create": True}}})
    role = helm.select(made, "ClusterRole", f"{NAME}-doctor")
    assert not [label for label in role["metadata"]["labels"] if "aggregate-to" in label]
    assert not [each for each in made if each.get("roleRef", {}).get("name") == f"{NAME}-doctor"]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}
    assert not [rule for rule in role["rules"] if rule["resources"] == ["secrets"] and "resourceNames" not in rule]
    no_roles = helm.render(
        {"centralSecret": {"existing": True}, "rbac": {"create": False, "doctorRole": {"create": True}}}
    )
    assert not [each for each in no_roles if each["kind"] == "ClusterRole"]
