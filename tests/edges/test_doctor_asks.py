"""Reading for a diagnosis: the adapter, on the stand-in, keeps the contract that the fake keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from standin import ApiServer
from tests.doctor.asks import FakeAsks
from tests.doctor.builders import NAME, NOW
from tests.doctor.cluster import contested, load, release
from tests.edges.accounts import account
from tests.edges.cluster_script import Request, content, page, scripted
from tests.objects import RELEASE_NAMESPACE
from webhook.cluster import connect
from webhook.cluster.certificates import ADMISSION_V1
from webhook.cluster.hooks import APPS_V1
from webhook.cluster.requests import Target, Verb
from webhook.doctor.asking import Asks, ClusterAsks, attempt
from webhook.doctor.evidence import Unread
from webhook.doctor.objects import Configuration, NamespaceObject, Policy
from webhook.doctor.processes import Deployment, Event
from webhook.ports import Deadline, Forbidden, Unavailable

OBJECTS = [*release(), contested("auth", NOW.isoformat())]
RULES = [
    {"apiGroups": ["", "apps", "admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]},
]


@pytest.fixture(params=["fake", "stand-in"])
def asks(request: pytest.FixtureRequest) -> Iterator[Asks]:
    if request.param == "fake":
        fake = FakeAsks(OBJECTS, without=["nothings"])
        fake.forbidden.add("leases")
        yield fake
        return
    with ApiServer(admission=None, controllers=None) as api:
        load(api, OBJECTS)
        cluster = connect(api.kubeconfig_file(account(api, "looker", RULES)))
        yield ClusterAsks(cluster.client)
        cluster.close()


def one(resource: str, name: str, api: str = "/api/v1", namespace: str = "") -> Target:
    return Target(verb=Verb.GET, resource=resource, name=name, namespace=namespace, api=api)


def many(resource: str, api: str = "/api/v1", namespace: str = "") -> Target:
    return Target(verb=Verb.LIST, resource=resource, namespace=namespace, api=api)


def test_an_object_is_read_and_one_that_is_not_there_is_none(asks: Asks) -> None:
    found = asks.get(one("deployments", f"{NAME}-server", APPS_V1, RELEASE_NAMESPACE), Deployment)

    assert found is not None
    assert (found.metadata.name, found.ready) == (f"{NAME}-server", 1)
    assert asks.get(one("namespaces", "none"), NamespaceObject) is None


def test_a_list_is_narrowed_by_labels_and_by_fields(asks: Asks) -> None:
    ours = {"labelSelector": "app.kubernetes.io/part-of=ghcr-pull-secrets"}
    components = {"labelSelector": "app.kubernetes.io/component in (controller,other)"}
    configurations = asks.list(many("mutatingwebhookconfigurations", ADMISSION_V1), Configuration, ours)
    deployments = asks.list(many("deployments", APPS_V1, RELEASE_NAMESPACE), Deployment, components)
    events = asks.list(many("events"), Event, {"fieldSelector": "reason=CopyContested"})

    assert [each.metadata.name for each in configurations or ()] == [NAME, f"zz-{NAME}"]
    assert [each.metadata.name for each in deployments or ()] == [f"{NAME}-controller"]
    assert [each.involved_object.namespace for each in events or ()] == ["auth"]
    assert asks.list(many("events"), Event, {"fieldSelector": "reason=Other"}) == ()


def test_a_kind_that_is_not_there_has_no_list(asks: Asks) -> None:
    assert asks.list(many("nothings", ADMISSION_V1), Policy) is None


def test_secrets_are_those_of_our_name_everywhere_or_in_one_namespace(asks: Asks) -> None:
    assert sorted(each.namespace for each in asks.secrets("")) == ["auth", RELEASE_NAMESPACE]
    assert [each.namespace for each in asks.secrets("auth")] == ["auth"]
    assert asks.secrets("my") == ()


def test_what_may_not_be_read_is_forbidden(asks: Asks) -> None:
    target = many("leases", "/apis/coordination.k8s.io/v1", RELEASE_NAMESPACE)

    with pytest.raises(Forbidden):
        asks.list(target, Policy)
    assert attempt(lambda: asks.list(target, Policy)) == Unread("you may not list leases in ghcr-pull-secrets")


def of_script(answer: Callable[[Request], None]) -> Any:
    with scripted(answer) as script:
        client = script.client()
        try:
            return attempt(lambda: ClusterAsks(client).list(many("namespaces"), NamespaceObject))
        finally:
            client.close()


def test_an_object_of_another_shape_is_said_and_no_end_of_the_command() -> None:
    odd = {"metadata": {"name": 7}}

    found = of_script(lambda request: request.raw(content(page(odd, version=1))))

    assert found == Unread("namespaces have a shape that is not known here")


def test_all_pages_of_a_list_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Deadline] = []

    def answer(request: Request) -> None:
        further = "continue" not in request.query
        request.raw(content(page(version=1, token="next" if further else "")))

    with scripted(answer) as script:
        client = script.client()
        read = client.read

        def noting(target: Target, deadline: Deadline, take: Any, **more: Any) -> Any:
            given.append(deadline)
            return read(target, deadline, take, **more)

        monkeypatch.setattr(client, "read", noting)
        try:
            assert ClusterAsks(client).list(many("namespaces"), NamespaceObject) == ()
        finally:
            client.close()

    assert len(given) == 2
    assert given[0] == given[1]


def test_an_api_server_that_is_not_available_ends_the_command() -> None:
    with pytest.raises(Unavailable):
        of_script(lambda request: request.json({}, 503))


def test_a_certificate_is_not_seen_where_nobody_serves_one() -> None:
    with ApiServer(admission=None, controllers=None) as api:
        cluster = connect(api.kubeconfig_file())
        asks = ClusterAsks(cluster.client)
        host, _, port = cluster.client._host.removeprefix("https://").partition(":")
        try:
            seen = asks.served(host, int(port))
            assert seen is not None
            assert seen.pem.startswith(b"-----BEGIN CERTIFICATE-----")
            assert not seen.whole
            assert asks.served(host, 1) is None
        finally:
            cluster.close()
