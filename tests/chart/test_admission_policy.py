"""What the chart's ValidatingAdmissionPolicies let server and controller do: their own work, and nothing more."""

import base64
import copy
import functools
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests import helm
from tests.chart.cel import ENGINES
from tests.chart.switches import BASE, manifests

SERVER = "system:serviceaccount:ghcr-pull-secrets:ghcr-pull-secrets-server"
CONTROLLER = "system:serviceaccount:ghcr-pull-secrets:ghcr-pull-secrets-controller"
NAMESPACE = "ghcr-pull-secrets"
DOCKER, TLS, TOKEN = "kubernetes.io/dockerconfigjson", "kubernetes.io/tls", "kubernetes.io/service-account-token"
CA_SECRET, TLS_SECRET = "ghcr-pull-secrets-webhook-ca", "ghcr-pull-secrets-webhook-tls"

every_engine = pytest.mark.parametrize("engine", ENGINES)


@functools.cache
def compiled(expression: str, engine: str) -> Any:
    return ENGINES[engine](expression)


def denial(
    found: list[helm.Manifest],
    name: str,
    engine: str,
    *,
    user: Mapping[str, Any],
    obj: Mapping[str, Any] | None,
    old: Mapping[str, Any] | None = None,
) -> str | None:
    """Say with what message a policy denies a request, or None. With `old` it is an UPDATE, without `obj` a DELETE."""
    spec = helm.select(found, "ValidatingAdmissionPolicy", name)["spec"]
    operation = "CREATE" if old is None else "UPDATE" if obj is not None else "DELETE"
    known = obj or old or {}
    request = {"userInfo": user, "namespace": known["metadata"].get("namespace", ""), "operation": operation}
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert operation in rule["operations"]
    obj = obj or {}
    (condition,) = spec["matchConditions"]
    others = {"request": request} | ({"oldObject": old} if old is not None else {})
    if not compiled(condition["expression"], engine)(obj, **others):
        return None
    for validation in spec["validations"]:
        if not compiled(validation["expression"], engine)(obj, **others):
            return str(validation["message"])
    return None


def secret(namespace: str, name: str | None, kind: str | None) -> dict[str, Any]:
    metadata = {"namespace": namespace, **({"name": name} if name is not None else {"generateName": "ghcr-secret"})}
    return {"metadata": metadata, **({"type": kind} if kind is not None else {})}


def creation(engine: str, user: str, made: dict[str, Any], values: Mapping[str, Any] | None = None) -> str | None:
    found = manifests(**(values or {}))
    name = next(each["metadata"]["name"] for each in found if each["kind"] == "ValidatingAdmissionPolicy")
    return denial(found, name, engine, user={"username": user}, obj=made)


OWN = "in its own namespace, ghcr-pull-secrets creates the Secrets of its certificates only"
COPIES = (
    "ghcr-pull-secrets creates Secrets named ghcr-secret of the type kubernetes.io/dockerconfigjson only, "
    "and none in namespaces that are out"
)
SECRETS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    # what is made, what the server is told, what the controller is told
    "a copy": (secret("auth", "ghcr-secret", DOCKER), None, None),
    "the CA": (secret(NAMESPACE, CA_SECRET, TLS), OWN, None),
    "the certificate": (secret(NAMESPACE, TLS_SECRET, TLS), OWN, None),
    "a ServiceAccount's token by our name": (secret("auth", "ghcr-secret", TOKEN), COPIES, COPIES),
    "a system ServiceAccount's token": (secret("kube-system", "ghcr-secret", TOKEN), COPIES, COPIES),
    "a token by the certificate's name": (secret(NAMESPACE, TLS_SECRET, TOKEN), OWN, OWN),
    "a token by the CA's name": (secret(NAMESPACE, CA_SECRET, TOKEN), OWN, OWN),
    "the central secret": (secret(NAMESPACE, "ghcr-secret", DOCKER), OWN, OWN),
    "another Secret of ours": (secret(NAMESPACE, "other", TLS), OWN, OWN),
    "a Secret of another name": (secret("auth", "other", DOCKER), COPIES, COPIES),
    "a name that only begins like ours": (secret("auth", "ghcr-secret2", DOCKER), COPIES, COPIES),
    "a name in capitals": (secret("auth", "GHCR-SECRET", DOCKER), COPIES, COPIES),
    "an opaque one": (secret("auth", "ghcr-secret", "Opaque"), COPIES, COPIES),
    "one of the older type": (secret("auth", "ghcr-secret", "kubernetes.io/dockercfg"), COPIES, COPIES),
    "a certificate elsewhere": (secret("auth", TLS_SECRET, TLS), COPIES, COPIES),
    "a pull secret of the system": (secret("kube-system", "ghcr-secret", DOCKER), COPIES, COPIES),
    "a pull secret where the nodes are": (secret("kube-node-lease", "ghcr-secret", DOCKER), COPIES, COPIES),
    "one without a name": (secret("auth", None, DOCKER), COPIES, COPIES),
    "one without a type": (secret("auth", "ghcr-secret", None), COPIES, COPIES),
    "one without a name in our namespace": (secret(NAMESPACE, None, TLS), OWN, OWN),
    "one without a type in our namespace": (secret(NAMESPACE, CA_SECRET, None), OWN, OWN),
}


@every_engine
@pytest.mark.parametrize("case", SECRETS)
def test_server_and_controller_create_what_they_are_there_for(case: str, engine: str) -> None:
    made, to_the_server, to_the_controller = SECRETS[case]

    assert creation(engine, SERVER, made) == to_the_server
    assert creation(engine, CONTROLLER, made) == to_the_controller


# --- Secrets that are changed or deleted

CHANGE = (
    "ghcr-pull-secrets changes and deletes only its own copies named ghcr-secret, and changes none in namespaces that "
    "are out"
)
OWN_CHANGE = "in its own namespace, ghcr-pull-secrets changes and deletes the Secrets of its certificates only"
GIVEN = "ghcr-pull-secrets gives none of its copies away"
LABEL = {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}
SOURCE = {"ghcr-pull-secrets.io/source": "ghcr-pull-secrets/ghcr-secret"}
OTHER_SOURCE = {"ghcr-pull-secrets.io/source": "other-release/ghcr-secret"}
APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
ADOPT = {"ghcr-pull-secrets.io/adopt": "true"}
ADOPTED = {"ghcr-pull-secrets.io/adopt": "ghcr-pull-secrets/ghcr-secret"}


def marked(
    labels: Mapping[str, str] | None = LABEL,
    annotations: Mapping[str, str] | None = SOURCE,
    *,
    namespace: str = "auth",
    name: str = "ghcr-secret",
    **metadata: Any,
) -> dict[str, Any]:
    made = secret(namespace, name, DOCKER)
    made["metadata"] |= metadata
    made["metadata"] |= {"labels": dict(labels)} if labels is not None else {}
    made["metadata"] |= {"annotations": dict(annotations)} if annotations is not None else {}
    return made


OWNER = [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "e", "uid": "e"}]
STORED: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    # what is there, what one is told who changes it into a copy, and who deletes it
    "a copy": (marked(), None, None),
    "a copy without annotations": (marked(annotations=None), None, None),
    "a copy without owners": (marked(ownerReferences=[]), None, None),
    "a copy whose source is gone": (marked(annotations={"a": "b"}), None, None),
    "one to adopt": (marked(None, ADOPT), None, None),
    "one applied, to adopt": (marked(annotations=APPLIED | ADOPT), None, None),
    "one applied and adopted": (marked(annotations=SOURCE | APPLIED | ADOPTED), None, None),
    "another release's, to adopt": (marked(annotations=OTHER_SOURCE | ADOPT), None, None),
    "the central secret": (marked(None, None, namespace=NAMESPACE), OWN_CHANGE, OWN_CHANGE),
    "a central secret with our marks": (marked(namespace=NAMESPACE), OWN_CHANGE, OWN_CHANGE),
    "a foreign one": (marked(None, None), CHANGE, CHANGE),
    "Helm's": (marked({"app.kubernetes.io/managed-by": "Helm"}), CHANGE, CHANGE),
    "one with other labels": (marked({"a": "b"}), CHANGE, CHANGE),
    "one with an owner": (marked(ownerReferences=OWNER), CHANGE, CHANGE),
    "one with an owner, to adopt": (marked(annotations=ADOPT, ownerReferences=OWNER), CHANGE, CHANGE),
    "one that somebody applied": (marked(annotations=SOURCE | APPLIED), CHANGE, CHANGE),
    "another release's": (marked(annotations=OTHER_SOURCE), CHANGE, CHANGE),
    "one not quite to adopt": (marked(None, {"ghcr-pull-secrets.io/adopt": "yes"}), CHANGE, CHANGE),
    "one of another name": (marked(name="database"), CHANGE, CHANGE),
    "one without a name": ({"metadata": {"namespace": "auth"}}, CHANGE, CHANGE),
    "a copy where none is made any more": (marked(namespace="kube-system"), CHANGE, None),
}


def writing(
    engine: str, user: str, old: dict[str, Any], new: dict[str, Any] | None, values: Mapping[str, Any] | None = None
) -> str | None:
    found = manifests(**(values or {}))
    name = next(each["metadata"]["name"] for each in found if each["kind"] == "ValidatingAdmissionPolicy")
    return denial(found, name, engine, user={"username": user}, obj=new, old=old)


@every_engine
@pytest.mark.parametrize("user", [SERVER, CONTROLLER], ids=["server", "controller"])
@pytest.mark.parametrize("case", STORED)
def test_server_and_controller_change_and_delete_their_copies_only(case: str, user: str, engine: str) -> None:
    stored, of_a_change, of_a_deletion = STORED[case]
    new = marked(namespace=stored["metadata"]["namespace"], name=stored["metadata"].get("name", "ghcr-secret"))

    assert writing(engine, user, stored, new) == of_a_change
    assert writing(engine, user, stored, None) == of_a_deletion


@every_engine
@pytest.mark.parametrize(
    ("new", "told"),
    [
        (marked(), None),
        (marked(annotations=SOURCE | ADOPTED | APPLIED), None),
        (marked(None), GIVEN),
        (marked({"a": "b"}), GIVEN),
        (marked(annotations=OTHER_SOURCE), GIVEN),
        (marked(annotations=SOURCE | APPLIED), GIVEN),
        (marked(ownerReferences=OWNER), GIVEN),
    ],
    ids=["kept", "adopted", "no label", "another label", "another source", "applied", "owned"],
)
def test_a_copy_stays_ours_when_we_change_it(new: dict[str, Any], told: str | None, engine: str) -> None:
    assert writing(engine, SERVER, marked(), new) == told


@every_engine
def test_only_the_controller_changes_and_deletes_its_certificates(engine: str) -> None:
    for name in (CA_SECRET, TLS_SECRET):
        stored = secret(NAMESPACE, name, TLS)
        for new in (stored, None):
            assert writing(engine, CONTROLLER, stored, new) is None
            assert writing(engine, SERVER, stored, new) == OWN_CHANGE
            assert writing(engine, CONTROLLER, stored, new, {"certManager": {"enabled": True}}) is not None
    for other in (secret(NAMESPACE, "other", TLS), {"metadata": {"namespace": NAMESPACE}}):
        assert writing(engine, CONTROLLER, other, None) == OWN_CHANGE


@every_engine
def test_the_job_that_cleans_up_on_uninstall_deletes_copies_only(engine: str) -> None:
    values = {"cleanup": {"onUninstall": "delete"}}
    user = f"system:serviceaccount:{NAMESPACE}:ghcr-pull-secrets-uninstall"

    assert writing(engine, user, marked(), None, values) is None
    assert writing(engine, user, marked(namespace="kube-system"), None, values) is None
    assert writing(engine, user, marked(None, None), None, values) == CHANGE
    assert writing(engine, user, marked(None, None, namespace=NAMESPACE), None, values) == OWN_CHANGE
    assert writing(engine, user, marked(None, None), None) is None, "without it there is no such account"


OTHERS: dict[str, dict[str, Any]] = {
    "an administrator": {"username": "admin", "groups": ["system:masters"]},
    "an ESO": {"username": "system:serviceaccount:external-secrets:external-secrets"},
    "our name elsewhere": {"username": "system:serviceaccount:auth:ghcr-pull-secrets-server"},
    "a longer name": {"username": f"{SERVER}-2"},
    "nobody": {},
}


@every_engine
@pytest.mark.parametrize("who", OTHERS)
def test_nobody_else_is_asked_anything(who: str, engine: str) -> None:
    found = manifests()
    registration = helm.select(found, "MutatingWebhookConfiguration", "ghcr-pull-secrets")
    for made in (SECRETS["a system ServiceAccount's token"][0], secret(NAMESPACE, "any", TOKEN)):
        assert denial(found, "ghcr-pull-secrets-secrets", engine, user=OTHERS[who], obj=made) is None
    changed = {**registration, "webhooks": []}
    assert (
        denial(found, "ghcr-pull-secrets-registration", engine, user=OTHERS[who], obj=changed, old=registration) is None
    )


@every_engine
def test_namespaces_that_are_out_get_no_copy(engine: str) -> None:
    values = {"namespaces": {"excluded": ["legacy"]}}

    assert creation(engine, SERVER, secret("legacy", "ghcr-secret", DOCKER), values) == COPIES
    assert creation(engine, SERVER, secret("auth", "ghcr-secret", DOCKER), values) is None


@every_engine
def test_the_policy_goes_by_the_names_of_the_release(engine: str) -> None:
    values = {
        "fullnameOverride": "pull",
        "namespaceOverride": "elsewhere",
        "server": {"serviceAccount": {"create": False}},
        "controller": {"serviceAccount": {"name": "keeper"}},
    }
    server, controller = "system:serviceaccount:elsewhere:default", "system:serviceaccount:elsewhere:keeper"

    assert creation(engine, controller, secret("elsewhere", "pull-webhook-ca", TLS), values) is None
    assert creation(engine, controller, secret("elsewhere", CA_SECRET, TLS), values) is not None
    assert creation(engine, controller, secret(NAMESPACE, "ghcr-secret", DOCKER), values) is None
    for user in (server, controller):
        assert creation(engine, user, secret("auth", "ghcr-secret", DOCKER), values) is None
        assert creation(engine, user, secret("auth", "ghcr-secret", TOKEN), values) is not None
    assert creation(engine, SERVER, secret("auth", "ghcr-secret", TOKEN), values) is None


@every_engine
def test_one_account_for_both_may_do_what_either_may(engine: str) -> None:
    account = {"serviceAccount": {"create": False, "name": "mine"}}
    values = {"server": account, "controller": account}
    user = f"system:serviceaccount:{NAMESPACE}:mine"

    assert creation(engine, user, secret(NAMESPACE, CA_SECRET, TLS), values) is None
    assert creation(engine, user, secret("auth", "ghcr-secret", TOKEN), values) == COPIES


@every_engine
def test_with_cert_manager_no_secret_of_our_own_namespace_is_ours_to_create(engine: str) -> None:
    values = {"certManager": {"enabled": True}}
    found = manifests(**values)

    assert creation(engine, CONTROLLER, secret(NAMESPACE, TLS_SECRET, TLS), values) is not None
    assert creation(engine, CONTROLLER, secret("auth", "ghcr-secret", DOCKER), values) is None
    # Nor are the webhook configurations the controller's to change.
    assert [each["metadata"]["name"] for each in found if each["kind"] == "ValidatingAdmissionPolicy"] == [
        "ghcr-pull-secrets-secrets"
    ]


# --- webhook configurations


def registered(kind: str) -> dict[str, Any]:
    """A configuration as the API server has it: with the fields that it adds."""
    obj = copy.deepcopy(helm.select(helm.render(BASE), kind, "ghcr-pull-secrets"))
    obj["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    return obj


def with_ca(obj: dict[str, Any], content: bytes = b"ca") -> dict[str, Any]:
    changed = copy.deepcopy(obj)
    for webhook in changed["webhooks"]:
        webhook["clientConfig"]["caBundle"] = base64.b64encode(content).decode()
    changed["metadata"] |= {"resourceVersion": "2", "managedFields": [{"manager": "ghcr-pull-secrets"}]}
    return changed


def change(engine: str, old: dict[str, Any], new: dict[str, Any], user: str = CONTROLLER) -> str | None:
    return denial(manifests(), "ghcr-pull-secrets-registration", engine, user={"username": user}, obj=new, old=old)


KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


@every_engine
@pytest.mark.parametrize("kind", KINDS)
def test_the_controller_may_write_the_ca_bundle(kind: str, engine: str) -> None:
    new = registered(kind)

    assert change(engine, new, with_ca(new)) is None
    assert change(engine, with_ca(new), with_ca(new, b"next")) is None
    assert change(engine, with_ca(new), new) is None
    by_url = copy.deepcopy(new)
    for webhook in by_url["webhooks"]:
        webhook["clientConfig"] = {"url": "https://localhost:1/mutate"}
    assert change(engine, by_url, with_ca(by_url)) is None
    empty = {key: value for key, value in new.items() if key != "webhooks"}
    assert change(engine, empty, empty) is None


def edited(edit: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda obj: edit(obj["webhooks"][-1])


EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "rules for everything": edited(lambda webhook: webhook["rules"].append(EVERYTHING)),
    "another operation": edited(lambda webhook: webhook["rules"][0]["operations"].append("DELETE")),
    "an address of their own": edited(
        lambda webhook: webhook.update(clientConfig={"url": "https://attacker.example.com/", "caBundle": "eA=="})
    ),
    "another Service": edited(lambda webhook: webhook["clientConfig"]["service"].update(name="other")),
    "another path": edited(lambda webhook: webhook["clientConfig"]["service"].update(path="/other")),
    "no namespaceSelector": edited(lambda webhook: webhook.pop("namespaceSelector")),
    "every namespace": edited(lambda webhook: webhook.update(namespaceSelector={})),
    "an objectSelector": edited(lambda webhook: webhook.update(objectSelector={"matchLabels": {"a": "b"}})),
    "no conditions": edited(lambda webhook: webhook.pop("matchConditions")),
    "another condition": edited(lambda webhook: webhook["matchConditions"][0].update(expression="true")),
    "failures ignored": edited(lambda webhook: webhook.update(failurePolicy="Ignore")),
    "side effects": edited(lambda webhook: webhook.update(sideEffects="None")),
    "a longer timeout": edited(lambda webhook: webhook.update(timeoutSeconds=30)),
    "asked once": edited(lambda webhook: webhook.update(reinvocationPolicy="Never")),
    "another version": edited(lambda webhook: webhook.update(admissionReviewVersions=["v1beta1"])),
    "exact matches": edited(lambda webhook: webhook.update(matchPolicy="Exact")),
    "another name": edited(lambda webhook: webhook.update(name="a.b.c")),
    "one more": lambda obj: obj["webhooks"].append({**obj["webhooks"][0], "name": "a.b.c", "rules": [EVERYTHING]}),
    "one less": lambda obj: obj["webhooks"].pop(),
    "none at all": lambda obj: obj.pop("webhooks"),
    "a label": lambda obj: obj["metadata"]["labels"].update(a="b"),
    "an annotation": lambda obj: obj["metadata"].update(annotations={"cert-manager.io/inject-ca-from": "auth/theirs"}),
    "a finalizer": lambda obj: obj["metadata"].update(finalizers=["a.b/c"]),
    "an owner that is gone": lambda obj: obj["metadata"].update(ownerReferences=[{"uid": "x"}]),
}


@every_engine
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", EDITS)
def test_the_controller_may_change_nothing_else_of_a_configuration(case: str, kind: str, engine: str) -> None:
    old = registered(kind)
    new = with_ca(old)
    EDITS[case](new)

    assert change(engine, old, new) == "ghcr-pull-secrets changes nothing of webhook configurations but caBundle"


def test_every_field_of_a_webhook_but_the_ca_bundle_is_held() -> None:
    found = manifests()
    policy = helm.select(found, "ValidatingAdmissionPolicy", "ghcr-pull-secrets-registration")
    (validation,) = policy["spec"]["validations"]
    for webhook in itertools.chain.from_iterable(
        helm.select(found, kind, "ghcr-pull-secrets")["webhooks"] for kind in KINDS
    ):
        client = {f"clientConfig.{name}" for name in webhook["clientConfig"]}
        for field in (webhook.keys() - {"name", "clientConfig"}) | client:
            assert re.search(rf"w\)?\.{field} == (dyn\()?o\)?\.{field}\b", validation["expression"])


# --- the objects


def test_each_policy_denies_and_fails_closed() -> None:
    found = manifests()
    policies = [each for each in found if each["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [each for each in found if each["kind"] == "ValidatingAdmissionPolicyBinding"]

    assert [each["metadata"]["name"] for each in policies] == [each["spec"]["policyName"] for each in bindings]
    assert len(policies) == 2
    assert {each["spec"]["failurePolicy"] for each in policies} == {"Fail"}
    assert [each["spec"]["validationActions"] for each in bindings] == [["Deny"]] * 2


def test_it_can_be_switched_off() -> None:
    kinds = {each["kind"] for each in manifests(admissionPolicy={"enabled": False})}

    assert not {kind for kind in kinds if kind.startswith("ValidatingAdmissionPolicy")}
