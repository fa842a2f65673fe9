"""What is read of a cluster, and which release is meant."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from tests.doctor.asks import FakeAsks
from tests.doctor.builders import NAME, NOW, leaf
from tests.doctor.cluster import certificate, configuration, contested, deployment, operator, release
from tests.objects import CANARY, RELEASE_NAMESPACE
from webhook.doctor.evidence import Evidence, PresentedCertificate, Source, Unread
from webhook.doctor.model import StationState
from webhook.doctor.reading import Reading
from webhook.doctor.run import Doctor, Wanted, exit_code
from webhook.ports import Unauthorized

Json = dict[str, Any]


def without(objects: Iterable[Json], kind: str, name: str = "") -> list[Json]:
    return [each for each in objects if each["kind"] != kind or (name and each["metadata"]["name"] != name)]


def read(objects: Iterable[Json], *, forbidden: Iterable[str] = (), **wanted: str) -> Evidence:
    asks = FakeAsks(objects)
    asks.forbidden.update(forbidden)
    return Reading(asks, **wanted).evidence(NOW)


def test_a_healthy_release_is_read_whole_and_found_healthy() -> None:
    _, diagnosis = Doctor(FakeAsks(release())).look(Wanted(), NOW)

    assert diagnosis.healthy
    assert {each.name for each in diagnosis.stations if each.state is StationState.SKIPPED} == {"sync", "credential"}
    assert exit_code(diagnosis) == 0


def test_the_release_is_where_its_webhook_configurations_lead() -> None:
    moved = [
        configuration(kind, namespace="pull")
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    ]
    found = read(moved)

    assert found.release.namespace == "pull"
    assert found.release.name == NAME
    assert found.others == ()


def test_of_two_releases_the_usual_one_is_meant_unless_another_is_named() -> None:
    second = configuration("MutatingWebhookConfiguration", "second", "second")
    usual = read([second, *release()])
    named = read([second, *release()], release_namespace="second")

    assert (usual.release.namespace, usual.others) == (RELEASE_NAMESPACE, ("second",))
    assert (named.release.namespace, named.others) == ("second", (RELEASE_NAMESPACE,))
    assert [len(each) for each in (usual.mutating, named.mutating) if not isinstance(each, Unread)] == [2, 1]


def test_nothing_at_all_is_no_release() -> None:
    found = read([])

    assert not found.release.found
    assert (found.release.namespace, found.release.name) == (RELEASE_NAMESPACE, NAME)
    assert exit_code(Doctor(FakeAsks()).look(Wanted(), NOW)[1]) == 1


def test_a_release_whose_configurations_were_deleted_is_still_one() -> None:
    left = without(without(release(), "MutatingWebhookConfiguration"), "ValidatingWebhookConfiguration")

    assert read(left).release.found


@pytest.mark.parametrize("kinds", [("Deployment",), ("ValidatingWebhookConfiguration",)])
def test_its_version_is_on_whatever_is_left_of_it(kinds: tuple[str, ...]) -> None:
    left = [each for each in release() if each["kind"] in kinds]

    assert read(left).release.version == "0.1.0"


def test_its_settings_are_those_of_its_server() -> None:
    args = (
        "--images-include=ghcr.io/a/*",
        "--images-include=ghcr.io/b/*",
        "--namespaces-mode=opt-in",
        "--threads=4",
        "--label-covered",
    )
    server = deployment("server", *args, env={"GHCR_PULL_SECRETS_ENFORCEMENT": "warn", "OTHER": "x"})
    rules = read([*without(release(), "Deployment", f"{NAME}-server"), server]).release.rules

    assert rules.patterns.include == ("ghcr.io/a/*", "ghcr.io/b/*")
    assert rules.opt_in
    assert rules.enforcement == "warn"
    assert rules.release_namespace == RELEASE_NAMESPACE


def test_settings_that_cannot_be_used_are_named_and_their_values_are_not() -> None:
    server = deployment("server", f"--enforcement={CANARY}")
    unread = read([*without(release(), "Deployment", f"{NAME}-server"), server]).release.rules_unread

    assert unread == Unread("the arguments of Deployment ghcr-pull-secrets-server cannot be used (--enforcement)")


def test_the_external_secret_that_makes_the_central_secret_is_found_among_others() -> None:
    source = read([*release(), *operator()]).source

    assert isinstance(source, Source)
    assert source.external is not None
    assert source.external.metadata.name == "ghcr"
    assert source.api == "/apis/external-secrets.io/v1"
    assert source.store is not None
    assert not isinstance(source.store, Unread)


def test_without_an_external_secret_of_its_own_the_central_secret_has_no_source() -> None:
    others = [each for each in operator() if each["metadata"]["name"] != "ghcr"]
    source = read([*release(), *others]).source

    assert isinstance(source, Source)
    assert source.external is None


def test_a_store_that_may_not_be_read_leaves_the_external_secret() -> None:
    source = read([*release(), *operator()], forbidden=["clustersecretstores"]).source

    assert isinstance(source, Source)
    assert source.store == Unread("you may not get clustersecretstores")


def without_data(secret: Json) -> Json:
    return {key: value for key, value in secret.items() if key != "data"}


def test_the_certificate_is_that_of_the_secret_the_server_reads() -> None:
    bare = [each for each in release() if each["metadata"]["name"] not in (f"{NAME}-webhook-tls", f"{NAME}-server")]
    mounted = deployment("server", "--tls-dir=/tls")
    mounted["spec"]["template"]["spec"]["volumes"] = [{"name": "tls", "secret": {"secretName": "mounted"}}]
    named = deployment("server", "--tls-secret=own")

    assert isinstance(read([*bare, named, certificate("own")]).certificate, PresentedCertificate)
    assert isinstance(read([*bare, mounted, certificate("mounted")]).certificate, PresentedCertificate)
    assert read([*bare, named, certificate("mounted")]).certificate is None
    for data in ({}, {"data": None}, {"data": {"tls.crt": ""}}):
        assert read([*bare, named, {**without_data(certificate("own")), **data}]).certificate is None


def test_where_secrets_may_not_be_read_the_certificate_is_what_the_service_serves() -> None:
    asks = FakeAsks(release())
    asks.forbidden.add("secrets")
    beyond = Reading(asks).evidence(NOW).certificate
    asks.handshake = PresentedCertificate(pem=leaf(), whole=False)

    assert beyond == Unread("you may not get secrets in ghcr-pull-secrets, and the Service cannot be reached from here")
    assert Reading(asks).evidence(NOW).certificate == asks.handshake


def test_only_recent_contests_count() -> None:
    events = [
        contested("auth", (NOW - timedelta(minutes=3)).isoformat()),
        contested("my", (NOW - timedelta(hours=1)).isoformat()),
    ]

    assert read([*release(), *events]).contested == ("auth",)


def test_a_cluster_without_policies_in_the_api_server_is_read() -> None:
    kinds = [f"{kind}admissionpolicies" for kind in ("mutating", "validating")]
    asks = FakeAsks(release(), without=[*kinds, *(f"{kind[:-3]}ybindings" for kind in kinds)])
    found = Reading(asks).evidence(NOW)

    assert (found.mutating_policies, found.validating_policies) == (None, None)
    assert (found.mutating_bindings, found.validating_bindings) == ((), ())


def test_of_one_namespace_only_that_is_asked_for() -> None:
    asks = FakeAsks(release())
    found = Reading(asks, namespace="auth").evidence(NOW)
    whole = [each for each in asks.asked if each.resource in {"secrets", "namespaces", "events"} and not each.namespace]

    assert [each.name for each in whole] == ["auth"]
    assert not isinstance(found.secrets, Unread)
    assert [each.namespace for each in found.secrets] == ["auth"]


def test_who_may_read_nothing_is_told_so_and_that_is_not_healthy() -> None:
    asks = FakeAsks(release())
    asks.forbidden.update(
        (
            "secrets", "namespaces", "events", "deployments", "pods", "services", "leases", "external-secrets.io",
            "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
            "validatingadmissionpolicies", "mutatingadmissionpolicybindings", "validatingadmissionpolicybindings",
        )
    )  # fmt: skip
    _, diagnosis = Doctor(asks).look(Wanted(), NOW)

    assert {each.state for each in diagnosis.stations} == {StationState.SKIPPED}
    assert "not looked at: you may not get secrets in ghcr-pull-secrets" in {each.text for each in diagnosis.stations}
    assert exit_code(diagnosis) == 2


@pytest.mark.parametrize("resource", ["namespaces", "deployments", "leases", "events", "pods", "services"])
def test_one_thing_that_may_not_be_read_is_no_finding(resource: str) -> None:
    asks = FakeAsks(release())
    asks.forbidden.add(resource)

    assert Doctor(asks).look(Wanted(), NOW)[1].healthy


def test_who_is_not_known_to_the_api_server_cannot_look() -> None:
    class Stranger(FakeAsks):
        def _check(self, target: Any) -> None:
            raise target.error(Unauthorized, code=401)

    with pytest.raises(Unauthorized):
        Doctor(Stranger(release())).look(Wanted(), NOW)


def test_what_is_read_holds_no_credential_where_it_can_be_seen() -> None:
    asks = FakeAsks([*release(), *operator()])
    evidence, diagnosis = Doctor(asks).look(Wanted(), NOW)

    assert CANARY not in f"{evidence}{diagnosis}"
    assert "PRIVATE" not in f"{evidence}"
