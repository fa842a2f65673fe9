"""Secrets and webhook configurations on the stand-in API server, with the RBAC the adapter says it needs."""

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from certs.keeper import Keeper, Terms
from certs.ports import Changed, Registered, Stored
from standin import ApiServer
from standin.faults import Match
from tests.e2e.machinery.kube import Kube
from tests.edges.certificate_world import (
    CA,
    GROUP,
    HOOKS,
    LAST,
    NAMESPACE,
    SERVER_RULES,
    StandIn,
    bind,
    webhook,
)
from tests.edges.cluster_script import eventually, scripted
from tests.services.contracts.certificates import DATA, NAME, RegistrationContract, StoreContract
from webhook.cluster.certificate_watches import certificate_watches, watch_certificate
from webhook.cluster.certificates import MUTATING, VALIDATING, CertificateSecrets, WebhookRegistration, configurations
from webhook.cluster.reflector import Watches
from webhook.ports import Deadline, DeadlineExceeded, Forbidden, NotLeading, Unavailable


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with ApiServer() as api:
        world = StandIn(api)
        yield world
        world.client.close()


@pytest.fixture
def certificates(stand_in: StandIn) -> StandIn:
    return stand_in


class TestCertificateSecrets(StoreContract):
    pass


class TestWebhookRegistration(RegistrationContract):
    pass


# --- Secrets --------------------------------------------------------------------------------------------------------


def test_a_secret_is_of_the_type_for_tls_and_says_who_manages_it(stand_in: StandIn) -> None:
    stand_in.store.create(NAME, DATA)
    made = stand_in.secret()
    assert made["type"] == "kubernetes.io/tls"
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}
    assert {entry["manager"] for entry in made["metadata"]["managedFields"]} == {"ghcr-pull-secrets"}


def test_labels_of_others_stay(stand_in: StandIn) -> None:
    labels = {"velero.io/exclude-from-backup": "true"}
    stand_in.make_secret(DATA, type="kubernetes.io/tls", metadata={"name": NAME, "labels": labels})
    seen = stand_in.store.get(NAME)
    assert seen is not None
    stand_in.store.update(NAME, {**DATA, "ca.crt": b"new"}, seen)
    assert stand_in.secret()["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("kind", "data", "immutable", "made_again"),
    [
        ("Opaque", {"x": b"y"}, False, False),
        ("kubernetes.io/tls", DATA, True, True),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": b"{}"}, False, True),
    ],
    ids=["opaque", "immutable", "of a type that wants other keys"],
)
def test_a_secret_made_by_hand_is_taken_over(
    stand_in: StandIn, kind: str, data: Mapping[str, bytes], immutable: bool, made_again: bool
) -> None:
    stand_in.make_secret(data, type=kind, immutable=immutable)
    before = stand_in.secret()["metadata"]["uid"]
    seen = stand_in.store.get(NAME)
    assert seen is not None
    wanted = {**DATA, "tls.crt": b"new"}
    stand_in.store.update(NAME, wanted, seen)
    found = stand_in.store.get(NAME)
    assert found is not None
    assert found.data == wanted
    assert (stand_in.secret()["metadata"]["uid"] != before) is made_again


def test_an_immutable_secret_that_changed_meanwhile_is_not_deleted(stand_in: StandIn) -> None:
    stand_in.make_secret(DATA, type="kubernetes.io/tls", immutable=True)
    seen = stand_in.store.get(NAME)
    assert seen is not None
    stand_in.api.admin.patch("secrets", NAMESPACE, NAME, {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(Changed):
        stand_in.store.update(NAME, {**DATA, "tls.crt": b"new"}, seen)
    stale = Stored(data=seen.data, version=seen.version)
    with pytest.raises(Changed):
        stand_in.store._delete(NAME, stale)
    assert stand_in.secret()["metadata"]["labels"] == {"a": "b"}


# --- webhook configurations -----------------------------------------------------------------------------------------


def apply_as_helm(world: StandIn, *names: str) -> None:
    """Server-side apply of the chart's object, without `caBundle`, as Helm 4 and Argo CD do."""
    metadata = {"name": HOOKS, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    webhooks = [webhook(name, b"") for name in names]
    obj = {"apiVersion": f"{GROUP}/v1", "kind": "MutatingWebhookConfiguration", "metadata": metadata}
    kube = Kube(Path(world.api.kubeconfig_file()))
    kube.apply({**obj, "webhooks": webhooks}, args=["--server-side", "--field-manager=helm"])


def without_bundles(obj: Mapping[str, Any]) -> dict[str, Any]:
    webhooks = [
        {**each, "clientConfig": {k: v for k, v in each["clientConfig"].items() if k != "caBundle"}}
        for each in obj["webhooks"]
    ]
    return {"labels": obj["metadata"].get("labels"), "webhooks": webhooks}


def owned_by(obj: Mapping[str, Any], manager: str) -> list[Any]:
    return [entry["fieldsV1"] for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager]


def test_only_the_bundle_is_written_and_owned(stand_in: StandIn) -> None:
    stand_in.register({"a.hooks.io": b"", "b.hooks.io": b"old"})
    before = stand_in.configuration()
    seen = stand_in.registration.read()
    assert seen is not None
    stand_in.registration.publish(b"new", seen)
    after = stand_in.configuration()
    assert without_bundles(after) == without_bundles(before)
    (owned,) = owned_by(after, "ghcr-pull-secrets")
    bundle: dict[str, Any] = {"f:clientConfig": {"f:caBundle": {}}}
    assert owned == {"f:webhooks": {f'k:{{"name":"{name}"}}': bundle for name in ("a.hooks.io", "b.hooks.io")}}


def test_what_helm_applies_again_keeps_its_bundle_and_gives_way_to_nobody(stand_in: StandIn) -> None:
    apply_as_helm(stand_in, "a.hooks.io", "b.hooks.io")
    seen = stand_in.registration.read()
    assert seen is not None
    stand_in.registration.publish(b"bundle", seen)
    apply_as_helm(stand_in, "a.hooks.io", "b.hooks.io", "c.hooks.io")
    found = stand_in.registration.read()
    assert found is not None
    assert list(found.bundles) == [("a.hooks.io", b"bundle"), ("b.hooks.io", b"bundle"), ("c.hooks.io", b"")]


def test_helm_can_take_a_webhook_away(stand_in: StandIn) -> None:
    apply_as_helm(stand_in, "a.hooks.io", "b.hooks.io")
    seen = stand_in.registration.read()
    assert seen is not None
    stand_in.registration.publish(b"bundle", seen)
    apply_as_helm(stand_in, "a.hooks.io")
    found = stand_in.registration.read()
    assert found is not None
    assert list(found.bundles) == [("a.hooks.io", b"bundle")]


def test_both_kinds_are_read_and_written(stand_in: StandIn) -> None:
    stand_in.register({"a.hooks.io": b""}, "ValidatingWebhookConfiguration")
    seen = stand_in.validating.read()
    assert seen is not None
    stand_in.validating.publish(b"bundle", seen)
    assert stand_in.validating.read() == Registered(
        bundles=(("a.hooks.io", b"bundle"),), version=stand_in.configuration(VALIDATING)["metadata"]["resourceVersion"]
    )
    assert stand_in.validating.name == "validatingwebhookconfigurations/hooks"


# --- who may write --------------------------------------------------------------------------------------------------


def test_nothing_is_written_while_writing_is_not_allowed(stand_in: StandIn) -> None:
    stand_in.store.create(NAME, DATA)
    stand_in.register({"a.hooks.io": b"old"})
    seen, registered = stand_in.store.get(NAME), stand_in.registration.read()
    assert seen is not None
    assert registered is not None

    def refuse(deadline: Deadline) -> AbstractContextManager[Deadline]:
        raise NotLeading("write", "leases")

    store = CertificateSecrets(stand_in.client, NAMESPACE, writing=refuse)
    registration = WebhookRegistration(stand_in.client, MUTATING, HOOKS, writing=refuse)
    writes: list[Callable[[], None]] = [
        lambda: store.create(CA, DATA),
        lambda: store.update(NAME, {}, seen),
        lambda: registration.publish(b"new", registered),
    ]
    for write in writes:
        with pytest.raises(NotLeading):
            write()
    assert stand_in.store.get(NAME) == seen
    assert stand_in.store.get(CA) is None
    assert stand_in.registration.read() == registered
    assert store.get(NAME) == seen, "reading is always allowed"


def test_a_write_keeps_the_deadline_it_is_given(stand_in: StandIn) -> None:
    given: list[float] = []

    @contextmanager
    def shorter(deadline: Deadline) -> Iterator[Deadline]:
        given.append(deadline.remaining())
        yield Deadline.after(0)

    with pytest.raises(DeadlineExceeded):
        CertificateSecrets(stand_in.client, NAMESPACE, writing=shorter).create(NAME, DATA)
    assert 9 < given[0] <= 10
    assert stand_in.store.get(NAME) is None


def test_other_secrets_and_configurations_are_out_of_reach(stand_in: StandIn) -> None:
    with pytest.raises(Forbidden):
        stand_in.store.get("ghcr-secret")
    with pytest.raises(Forbidden):
        WebhookRegistration(stand_in.client, MUTATING, "others").read()
    with pytest.raises(Forbidden):
        CertificateSecrets(stand_in.client, "default").get(NAME)


# --- watches --------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(stand_in: StandIn) -> Iterator[tuple[StandIn, Watches, threading.Event]]:
    changed = threading.Event()
    watches = certificate_watches(
        stand_in.client,
        namespace=NAMESPACE,
        authority=CA,
        leaf=NAME,
        configurations=configurations(HOOKS, LAST),
        on_change=changed.set,
    )
    watches.start()
    eventually(watches.synced)
    eventually(changed.is_set)
    yield stand_in, watches, changed
    watches.stop()


def test_every_change_is_reported_and_nobody_elses(
    watched: tuple[StandIn, Watches, threading.Event],
) -> None:
    world, watches, changed = watched
    changes: list[Callable[[], None]] = [
        lambda: world.store.create(CA, DATA),
        lambda: world.store.create(NAME, DATA),
        lambda: world.edit_secret(CA, {**DATA, "ca.crt": b""}),
        lambda: world.delete_secret(NAME),
        lambda: world.register({"a.hooks.io": b""}),
        lambda: world.register({"a.hooks.io": b""}, "ValidatingWebhookConfiguration"),
        lambda: world.register({"a.last.hooks.io": b""}, name=LAST),
        lambda: world.edit_bundle("a.hooks.io", b"edited"),
        world.unregister,
    ]
    for number, change in enumerate(changes):
        changed.clear()
        change()
        assert changed.wait(30), number
    changed.clear()
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}}
    world.api.admin.create("secrets", NAMESPACE, other)
    assert not changed.wait(0.2)
    assert [health.resource for health in watches.health()] == [
        "certificate-authority",
        "certificate",
        MUTATING,
        VALIDATING,
        f"{MUTATING}-last",
    ]
    assert not any(health.error for health in watches.health())


def test_a_server_sees_its_certificate_come_change_and_go(stand_in: StandIn) -> None:
    bind(stand_in.api, "server", "Role", SERVER_RULES)
    taken: list[Mapping[str, bytes] | None] = []
    client = stand_in.client_of("server")
    watch = watch_certificate(client, namespace=NAMESPACE, name=NAME, take=taken.append)
    watch.start()
    eventually(lambda: taken == [None])
    stand_in.store.create(NAME, DATA)
    eventually(lambda: taken[-1] == DATA)
    stand_in.edit_secret(NAME, {**DATA, "tls.crt": b"new"})
    eventually(lambda: taken[-1] == {**DATA, "tls.crt": b"new"})
    stand_in.delete_secret(NAME)
    eventually(lambda: taken[-1] is None)
    watch.stop()
    client.close()


# --- the whole ------------------------------------------------------------------------------------------------------


def test_a_keeper_installs_and_heals_on_a_cluster(stand_in: StandIn) -> None:
    keeper = Keeper(
        store=stand_in.store,
        authority=CA,
        leaf=NAME,
        registrations=(stand_in.registration, stand_in.validating),
        terms=Terms(dns_names=("hooks.ghcr.svc",), common_name="hooks-ca"),
    )
    keeper.keep()
    stand_in.register({"a.hooks.io": b"", "b.hooks.io": b""})
    stand_in.register({"a.hooks.io": b""}, "ValidatingWebhookConfiguration")
    assert keeper.keep() == 3600
    ca = base64.b64decode(stand_in.secret(CA)["data"]["tls.crt"])
    stand_in.edit_bundle("b.hooks.io", b"")
    assert keeper.keep() == 3600
    for registration in (stand_in.registration, stand_in.validating):
        found = registration.read()
        assert found is not None
        assert {bundle for _, bundle in found.bundles} == {ca}
    writes = Match(verb=("create", "patch", "delete"))
    written = len(stand_in.api.requests.matching(writes))
    assert keeper.keep() == 3600
    assert len(stand_in.api.requests.matching(writes)) == written > 0


# --- what is no answer of an API server -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"metadata": {}},
        {"metadata": {"resourceVersion": "1"}, "data": 7},
        {"metadata": {"resourceVersion": "1"}, "data": {"tls.crt": 7}},
        {"metadata": {"resourceVersion": "1"}, "data": {"tls.crt": "x"}},
    ],
)
def test_what_is_no_secret_is_not_from_an_api_server(body: object) -> None:
    with scripted(lambda request: request.json(body)) as script, pytest.raises(Unavailable):
        CertificateSecrets(script.client(), NAMESPACE).get(NAME)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"metadata": {}},
        {"metadata": {"resourceVersion": "1"}, "webhooks": 7},
        {"metadata": {"resourceVersion": "1"}, "webhooks": [{"name": "a.hooks.io"}]},
        {"metadata": {"resourceVersion": "1"}, "webhooks": [{"name": "a", "clientConfig": {"caBundle": "x"}}]},
    ],
)
def test_what_is_no_configuration_is_not_from_an_api_server(body: object) -> None:
    with scripted(lambda request: request.json(body)) as script, pytest.raises(Unavailable):
        WebhookRegistration(script.client(), MUTATING, HOOKS).read()
