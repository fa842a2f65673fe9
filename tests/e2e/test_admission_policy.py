"""What a thief of the chart's ServiceAccount tokens can make of them, with the chart's policies in force."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.machinery.cluster import secret_manifest
from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.raw import Answer, RawApi
from tests.e2e.machinery.waiting import until
from tests.objects import RELEASE_NAMESPACE, payload
from webhook.core.names import SECRET_NAME

pytestmark = pytest.mark.xdist_group("installation")

SECRETS = "ghcr-pull-secrets-secrets"
REGISTRATION = "ghcr-pull-secrets-registration"
TOKEN_TYPE = "kubernetes.io/service-account-token"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ghcr-pull-secrets"
COMPONENTS = ("server", "controller")

Thief = Callable[[str], RawApi]


@pytest.fixture
def thief(installation: Installation) -> Iterator[Thief]:
    """The API with the token of one of the two ServiceAccounts, once the policies are in force for it."""
    with contextlib.ExitStack() as stack:

        def as_one(component: str) -> RawApi:
            kubeconfig = installation.kubeconfig_of(f"ghcr-pull-secrets-{component}")
            api = stack.enter_context(contextlib.closing(RawApi(kubeconfig)))
            until(
                lambda: denied_by(create(api, token_secret("default", "other"), dry_run=True)), "the policy is in force"
            )
            return api

        yield as_one


def create(api: RawApi, secret: dict[str, Any], *, dry_run: bool = False) -> Answer:
    path = f"/api/v1/namespaces/{secret['metadata']['namespace']}/secrets"
    return api("POST", f"{path}{'?dryRun=All' if dry_run else ''}", secret)


def denied_by(answer: Answer, policy: str = SECRETS) -> bool:
    """Tell whether a policy refused, by its name."""
    says = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: "
    return answer.code == 422 and says in answer.body["message"]


def token_secret(namespace: str, name: str = SECRET_NAME, *, of: str = "default") -> dict[str, Any]:
    """A Secret that the token controller fills in with a token of a ServiceAccount."""
    metadata = {"name": name, "namespace": namespace, "annotations": {"kubernetes.io/service-account.name": of}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TOKEN_TYPE}


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_token_of_another_service_account_comes_of_ours(
    component: str, thief: Thief, kube: Kube, namespace: str
) -> None:
    api = thief(component)
    for where in ("kube-system", RELEASE_NAMESPACE, namespace):
        answer = create(api, token_secret(where))
        assert denied_by(answer)
        assert answer.body["message"].startswith(f'secrets "{SECRET_NAME}" is forbidden: ')
    assert not kube.exists("secret", SECRET_NAME, "kube-system")
    assert not kube.exists("secret", SECRET_NAME, namespace)

    for name in ("ghcr-pull-secrets-webhook-tls", "ghcr-pull-secrets-webhook-ca"):
        assert denied_by(create(api, token_secret(RELEASE_NAMESPACE, name)))


def test_nor_by_a_name_that_the_api_server_makes_up_nor_by_apply(thief: Thief, namespace: str) -> None:
    api = thief("server")
    generated = token_secret(namespace)
    generated["metadata"]["generateName"] = generated["metadata"].pop("name")
    assert denied_by(create(api, generated))

    applied = api(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/secrets/{SECRET_NAME}?fieldManager=thief&force=true",
        token_secret(namespace),
        content_type="application/apply-patch+yaml",
    )
    assert denied_by(applied)


def test_nor_by_a_change_of_a_copy_whose_type_is_for_good(thief: Thief, kube: Kube, namespace: str) -> None:
    api = thief("server")
    assert create(api, secret_manifest(namespace)).code == 201

    path = f"/api/v1/namespaces/{namespace}/secrets/{SECRET_NAME}"
    changed = {"type": TOKEN_TYPE, "metadata": token_secret(namespace)["metadata"]}
    answer = api("PATCH", path, changed, content_type="application/merge-patch+json")

    assert answer.code == 422
    assert "type" in {cause["field"] for cause in answer.body["details"]["causes"]}
    assert kube.get("secret", SECRET_NAME, namespace)["type"] != TOKEN_TYPE


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_copy_goes_through(component: str, thief: Thief, namespace: str) -> None:
    api = thief(component)
    assert create(api, secret_manifest(namespace), dry_run=True).code == 201
    assert create(api, secret_manifest(namespace)).code == 201


MERGE = "application/merge-patch+json"
EVIL = {"data": {".dockerconfigjson": base64.b64encode(payload(token="evil")).decode()}}


def stored_at(namespace: str, name: str = SECRET_NAME) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


@pytest.fixture(params=COMPONENTS)
def robber(request: pytest.FixtureRequest, thief: Thief, namespace: str) -> RawApi:
    """A thief for whom the policy is in force on changes and deletions too."""
    return thief(request.param)


def spoil(api: RawApi, where: str) -> list[Answer]:
    """Try each way to change or delete a Secret; they all say how they ended."""
    applied = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": where.rpartition("/")[2]}, **EVIL}
    return [
        api("PATCH", where, EVIL, content_type=MERGE),
        api("PATCH", where, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE),
        api("PATCH", f"{where}?fieldManager=thief&force=true", applied, content_type="application/apply-patch+yaml"),
        api("DELETE", where),
    ]


def test_the_central_secret_is_nobodys_to_change_or_delete(robber: RawApi, installation: Installation) -> None:
    before = installation.secret_of(RELEASE_NAMESPACE)

    answers = spoil(robber, stored_at(RELEASE_NAMESPACE))

    assert all(denied_by(answer) for answer in answers)
    assert installation.secret_of(RELEASE_NAMESPACE) == before


MARKS = {
    "labels": {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"},
    "annotations": {"ghcr-pull-secrets.io/source": "other-release/ghcr-secret"},
}


@pytest.mark.parametrize("marks", [{}, MARKS], ids=["by hand", "another release's"])
def test_nor_is_a_foreign_secret(robber: RawApi, marks: dict[str, Any], kube: Kube, namespace: str) -> None:
    theirs = secret_manifest(namespace)
    theirs["metadata"] |= marks
    kube("create", "-f", "-", stdin=json.dumps(theirs))
    before = kube.get("secret", SECRET_NAME, namespace)

    answers = spoil(robber, stored_at(namespace))
    adopted = robber("PATCH", stored_at(namespace), {"metadata": MARKS}, content_type=MERGE)

    assert all(denied_by(answer) for answer in (*answers, adopted))
    assert kube.get("secret", SECRET_NAME, namespace) == before


def test_a_copy_can_be_spoiled_and_deleted_but_not_given_away(
    robber: RawApi, installation: Installation, kube: Kube, namespace: str
) -> None:
    kube("run", "auth-api", "-n", namespace, "--image=ghcr.io/sesacthon/auth-api:1", "--restart=Never")
    where = stored_at(namespace)

    given = [
        robber("PATCH", where, {"metadata": {"labels": None}}, content_type=MERGE),
        robber("PATCH", where, {"metadata": MARKS}, content_type=MERGE),
    ]
    spoiled = robber("PATCH", where, EVIL, content_type=MERGE)

    assert all(denied_by(answer) for answer in given)
    assert spoiled.code == 200
    assert robber("DELETE", where).code == 200
    assert not kube.exists("secret", SECRET_NAME, namespace)


def test_others_make_what_they_like(kube: Kube, namespace: str, thief: Thief) -> None:
    thief("server")
    kube.apply(token_secret(namespace, "made-by-an-administrator"))
    assert kube.exists("secret", "made-by-an-administrator", namespace)


@pytest.mark.parametrize(
    "change",
    [
        {"clientConfig": {"url": "https://attacker.example.com/", "service": None}},
        {"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["secrets"]}]},
        {"failurePolicy": "Ignore"},
        {"namespaceSelector": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_controllers_token_cannot_turn_our_webhooks_into_its_owners(change: dict[str, Any], thief: Thief) -> None:
    api = thief("controller")
    before = api("GET", CONFIGURATIONS).body
    first = before["webhooks"][0]["name"]

    def attempt() -> Answer:
        patch = {"webhooks": [{"name": first, **change}]}
        return api(
            "PATCH", f"{CONFIGURATIONS}?dryRun=All", patch, content_type="application/strategic-merge-patch+json"
        )

    until(lambda: denied_by(attempt(), REGISTRATION), "the policy is in force")
    assert "changes nothing of webhook configurations but caBundle" in attempt().body["message"]


def test_the_ca_bundle_goes_through(thief: Thief) -> None:
    api = thief("controller")
    found = api("GET", CONFIGURATIONS).body
    bundle = base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]) + b"\n"
    webhooks = [
        {"name": each["name"], "clientConfig": {"caBundle": base64.b64encode(bundle).decode()}}
        for each in found["webhooks"]
    ]

    answer = api(
        "PATCH",
        f"{CONFIGURATIONS}?dryRun=All",
        {"webhooks": webhooks},
        content_type="application/strategic-merge-patch+json",
    )

    assert answer.code == 200
    assert {each["clientConfig"]["caBundle"] for each in answer.body["webhooks"]} == {base64.b64encode(bundle).decode()}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("verb", ["update", "patch", "delete"])
def test_the_policies_are_out_of_the_thiefs_reach(verb: str, component: str, kube: Kube) -> None:
    user = f"system:serviceaccount:{RELEASE_NAMESPACE}:ghcr-pull-secrets-{component}"
    for resource in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        asked = kube("auth", "can-i", verb, f"{resource}/{SECRETS}", "--as", user, ok=False)
        assert asked.out.strip() == "no"


def test_provisioning_works_as_ever(installation: Installation, kube: Kube, namespace: str) -> None:
    kube("run", "auth-api", "-n", namespace, "--image=ghcr.io/sesacthon/auth-api:1", "--restart=Never")

    assert installation.payload_of(namespace) == payload()
