"""The stations of the chain, each judged from what was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.doctor.builders import (
    CA,
    NAME,
    NOW,
    OTHER_CA,
    RELEASE,
    binding,
    chain_of_three,
    condition,
    configuration,
    convert,
    copy,
    deployment,
    evidence,
    external,
    leaf,
    lease,
    namespace,
    pod,
    policy,
    source,
    store,
)
from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, payload, secret
from webhook.core.names import SOURCE_ANNOTATION
from webhook.core.patterns import ImagePatterns
from webhook.doctor import chain_admission, chain_credential, run
from webhook.doctor.evidence import Evidence, PresentedCertificate, Unread
from webhook.doctor.model import Code, Station, StationState, foreign_text, names, span
from webhook.doctor.processes import Service
from webhook.doctor.reading import default_rules

UNREAD = Unread("you may not list secrets")
NOT_FOUND = "could not get secret data from provider: parameter /sesacthon/dev/ghcr/token not found"


def all_of(read: Evidence) -> tuple[Station, ...]:
    return run.judge(read, chain_credential.NOT_ASKED)


def faults(read: Evidence) -> dict[str, str | None]:
    return {each.name: each.code for each in all_of(read) if each.state is StationState.FAULT}


def station(read: Evidence, name: str) -> Station:
    (found,) = [each for each in all_of(read) if each.name == name]
    return found


def test_a_healthy_cluster_has_no_fault_and_its_stations_come_in_the_order_of_the_chain() -> None:
    stations = all_of(evidence())

    assert [each.name for each in stations] == [
        "source", "sync", "central", "credential", "copies", "webhooks", "policies", "servers", "certificate", "controller",
    ]  # fmt: skip
    assert {each.name for each in stations if each.state is not StationState.OK} == {"sync", "credential"}
    assert not any(each.code or each.remedy or each.commands for each in stations)


SYNCED = condition("True", "SecretSynced") | {"refreshTime": NOW - timedelta(minutes=12)}

BROKEN: list[tuple[str, dict[str, Any], dict[str, Code]]] = [
    ("the store is missing", {"source": source(SYNCED, store=None)}, {"source": Code.STORE_MISSING}),
    (
        "the store is not ready",
        {"source": source(SYNCED, store=store(condition("False", "InvalidProviderConfig", "no role")))},
        {"source": Code.STORE_NOT_READY},
    ),
    ("not synced", {"source": source(condition("False", "SecretSyncedError", NOT_FOUND))}, {"sync": Code.SYNC_FAILED}),
    ("not read yet", {"source": source(None)}, {"sync": Code.SYNC_NOT_BEGUN}),
    (
        "read long ago",
        {"source": source(SYNCED | {"refreshTime": NOW - timedelta(hours=3)})},
        {"sync": Code.SYNC_STALE},
    ),
    ("no central secret", {"central": None}, {"central": Code.CENTRAL_MISSING}),
    ("central malformed", {"central": secret(payload=b"[]")}, {"central": Code.CENTRAL_UNUSABLE}),
    ("central of another type", {"central": secret(type="Opaque")}, {"central": Code.CENTRAL_UNUSABLE}),
    (
        "central without a user name",
        {"central": secret(payload=payload(user=""))},
        {"central": Code.CENTRAL_UNUSABLE},
    ),
    (
        "central for another registry",
        {"central": secret(payload=payload(registry="quay.io"))},
        {"central": Code.CENTRAL_UNUSABLE},
    ),
    ("a copy is stale", {"secrets": (copy("my", payload=payload(token="old")),)}, {"copies": Code.COPIES_STALE}),
    (
        "a copy is in a namespace that is out",
        {"namespaces": (namespace("my", inject="false"),), "secrets": (copy("my"),)},
        {"copies": Code.COPIES_STALE},
    ),
    ("a copy is contested", {"contested": ("my",)}, {"copies": Code.COPIES_CONTESTED}),
    (
        "a copy of a release that is gone",
        {"secrets": (copy("my", marks={**copy("my").marks, SOURCE_ANNOTATION: "gone/ghcr-secret"}),)},
        {"copies": Code.COPIES_ORPHANED},
    ),
    ("no mutating configuration", {"mutating": ()}, {"webhooks": Code.WEBHOOKS_MISSING}),
    ("no validating configuration", {"validating": ()}, {"webhooks": Code.WEBHOOKS_MISSING}),
    ("no caBundle", {"validating": (configuration(bundle=b""),)}, {"webhooks": Code.CA_BUNDLE_MISSING}),
    (
        "caBundle of another CA",
        {"mutating": (configuration(bundle=OTHER_CA.certificate_pem),)},
        {"webhooks": Code.CA_BUNDLE_MISMATCH},
    ),
    ("no Service", {"service": None}, {"webhooks": Code.NO_ENDPOINTS}),
    (
        "a Service that selects nothing",
        {"service": convert(Service, {"metadata": {"name": NAME}, "spec": {"selector": {"app": "x"}}})},
        {"webhooks": Code.NO_ENDPOINTS},
    ),
    (
        "labelled Pods are left to nobody",
        {"validating": (configuration(covered=True),)},
        {"policies": Code.POLICY_MISSING},
    ),
    (
        "a policy without binding",
        {"validating_policies": (policy(f"{NAME}-covered"),)},
        {"policies": Code.POLICY_UNBOUND},
    ),
    (
        "a policy without binding, beside one of the other kind and the same name that has one",
        {
            "mutating_policies": (policy(f"{NAME}-covered"),),
            "validating_policies": (policy(f"{NAME}-covered"),),
            "validating_bindings": (binding(f"{NAME}-covered"),),
        },
        {"policies": Code.POLICY_UNBOUND},
    ),
    ("a server is not ready", {"server": deployment("server", ready=1)}, {"servers": Code.SERVERS_NOT_READY}),
    ("no server is wanted", {"server": deployment("server", ready=0, replicas=0)}, {"servers": Code.SERVERS_NOT_READY}),
    ("there is no server", {"server": None}, {"servers": Code.SERVERS_NOT_READY}),
    ("no certificate", {"certificate": None}, {"certificate": Code.CERTIFICATE_MISSING}),
    (
        "a certificate for another name",
        {"certificate": PresentedCertificate(pem=leaf(names=("other.svc",)))},
        {"certificate": Code.CERTIFICATE_UNUSABLE},
    ),
    (
        "a certificate that ended",
        {"certificate": PresentedCertificate(pem=leaf(days=9))},
        {"certificate": Code.CERTIFICATE_EXPIRED},
    ),
    (
        "a certificate near its end",
        {"certificate": PresentedCertificate(pem=leaf(made=80))},
        {"certificate": Code.CERTIFICATE_NEAR_EXPIRY},
    ),
    (
        "the controller is not ready",
        {"controller": deployment("controller", ready=0, replicas=1)},
        {"controller": Code.CONTROLLER_NOT_READY},
    ),
    ("nobody holds the Lease", {"lease": lease(holder="")}, {"controller": Code.NO_LEADER}),
    ("there is no Lease", {"lease": None}, {"controller": Code.NO_LEADER}),
    ("the Lease ran out", {"lease": lease(renewed=timedelta(minutes=2))}, {"controller": Code.NO_LEADER}),
]


@pytest.mark.parametrize(("changes", "found"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_each_thing_that_is_broken_is_found_at_its_station_alone(
    changes: dict[str, Any], found: dict[str, Code]
) -> None:
    read = evidence(**changes)

    assert faults(read) == found
    (name,) = found
    assert station(read, name).remedy


FINE: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "synced",
        {"source": source(SYNCED)},
        "sync",
        "ExternalSecret ghcr-pull-secrets/ghcr-secret was synced 12 min ago",
    ),
    ("its store", {"source": source(SYNCED)}, "source", "reads ClusterSecretStore aws-ssm-store"),
    ("synced, no time", {"source": source(condition("True"))}, "sync", "is synced"),
    (
        "never refreshed again, as it was asked",
        {"source": source(None, external=external(SYNCED | {"refreshTime": NOW - timedelta(days=9)}, every="0"))},
        "sync",
        "was synced 9 d ago",
    ),
    (
        "read once, as it was asked",
        {
            "source": source(
                None, external=external(SYNCED | {"refreshTime": NOW - timedelta(days=9)}, policy="CreatedOnce")
            )
        },
        "sync",
        "was synced 9 d ago",
    ),
    ("made by hand", {}, "source", "made by hand"),
    ("made by another", {"central": secret(owner="SealedSecret x", owned=True)}, "source", "SealedSecret x makes"),
    ("entries", {}, "central", "entries for ghcr.io"),
    ("copies", {}, "copies", "2 ours, none stale"),
    ("a foreign one", {"secrets": (copy("my"), secret("legacy"))}, "copies", "1 ours, 1 foreign (legacy), none stale"),
    (
        "one of another release that is there",
        {
            "others": ("second",),
            "secrets": (copy("my", marks={**copy("my").marks, SOURCE_ANNOTATION: "second/ghcr-secret"}),),
        },
        "copies",
        "0 ours, 1 of another release (my)",
    ),
    (
        "a stale copy where nothing is spread",
        {"central": secret(payload=b"[]"), "secrets": (copy("my", payload=payload(token="old")),)},
        "copies",
        "1 ours",
    ),
    (
        "a stale copy in a namespace that is never touched",
        {"secrets": (copy("kube-system", payload=payload(token="old")),)},
        "copies",
        "1 ours",
    ),
    ("a contested copy that is gone", {"contested": ("gone",)}, "copies", "2 ours, none stale"),
    ("trust", {}, "webhooks", "caBundle fits the certificate; failurePolicy Fail"),
    (
        "fail open in one half",
        {"validating": (configuration(policy="Ignore"),)},
        "webhooks",
        "failurePolicy Fail (mutating), Ignore (validating)",
    ),
    (
        "another release",
        {"others": ("second",)},
        "webhooks",
        "failurePolicy Fail; another release in second is called too",
    ),
    (
        "old and new CA",
        {"mutating": (configuration(bundle=OTHER_CA.certificate_pem + CA.certificate_pem),)},
        "webhooks",
        "fits",
    ),
    (
        "a certificate whose chain is not known",
        {"certificate": PresentedCertificate(pem=leaf(of=OTHER_CA), whole=False)},
        "webhooks",
        "not compared",
    ),
    (
        "servers that are not ready are no endpoints",
        {"pods": (), "server": deployment("server", ready=0)},
        "webhooks",
        "fits",
    ),
    ("no policies", {}, "policies", "none that admit Pods"),
    ("no such kind", {"mutating_policies": None, "validating_policies": None}, "policies", "none that admit Pods"),
    (
        "policies",
        {
            "mutating_policies": (policy(f"{NAME}-covered"),),
            "validating_policies": (policy(f"{NAME}-covered"),),
            "mutating_bindings": (binding(f"{NAME}-covered"),),
            "validating_bindings": (binding(f"{NAME}-covered"),),
            "validating": (configuration(covered=True),),
        },
        "policies",
        "the API server admits Pods itself",
    ),
    ("restarts", {"pods": (pod("server", restarts=3), pod("server"))}, "servers", "2 of 2 ready; 3 restarts"),
    ("the end", {}, "certificate", "ends in 80 d"),
    (
        "a short life, half over",
        {"certificate": PresentedCertificate(pem=leaf(days=2, made=1))},
        "certificate",
        "ends in 24 h",
    ),
    ("leads", {}, "controller", "leads for 3 d"),
    ("a clock that is a minute off", {"lease": lease(renewed=timedelta(seconds=70))}, "controller", "leads for 3 d"),
]


@pytest.mark.parametrize(("changes", "name", "text"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_what_is_fine_is_said(changes: dict[str, Any], name: str, text: str) -> None:
    found = station(evidence(**changes), name)

    assert found.state is StationState.OK
    assert text in found.text


SKIPPED = [
    ("source", {"source", "sync"}),
    ("central", {"source", "central"}),
    ("secrets", {"copies"}),
    ("mutating", {"webhooks", "policies"}),
    ("validating", {"webhooks", "policies"}),
    ("mutating_policies", {"policies"}),
    ("mutating_bindings", {"policies"}),
    ("validating_bindings", {"policies"}),
    ("server", {"servers"}),
    ("certificate", {"certificate"}),
    ("controller", {"controller"}),
]


@pytest.mark.parametrize(("part", "stations"), SKIPPED)
def test_what_may_not_be_read_is_said_and_is_no_fault(part: str, stations: set[str]) -> None:
    read = evidence(**{part: UNREAD})
    skipped = {each.name: each.text for each in all_of(read) if each.state is StationState.SKIPPED}

    assert faults(read) == {}
    assert stations <= set(skipped)
    assert all(skipped[name] == "not looked at: you may not list secrets" for name in stations)


@pytest.mark.parametrize(
    ("part", "name", "text"),
    [
        ("certificate", "webhooks", "caBundle not compared: you may not list secrets"),
        ("namespaces", "webhooks", "namespaces left out: you may not list secrets"),
        ("lease", "controller", "whether it leads was not looked at: you may not list secrets"),
        ("pods", "servers", "2 of 2 ready"),
        ("contested", "copies", "2 ours, none stale"),
    ],
)
def test_a_part_that_may_not_be_read_leaves_the_rest_of_its_station(part: str, name: str, text: str) -> None:
    read = evidence(**{part: UNREAD})

    assert faults(read) == {}
    assert text in station(read, name).text


def test_settings_that_may_not_be_read_are_said_with_what_is_taken_for_them() -> None:
    release = replace(RELEASE, rules=default_rules(RELEASE_NAMESPACE), rules_unread=UNREAD)
    found = station(evidence(release=release, server=UNREAD), "settings")

    assert found.state is StationState.SKIPPED
    assert found.text == "not looked at: you may not list secrets; ghcr.io/* is taken as selected"


def test_where_nothing_is_installed_that_is_the_one_thing_to_fix() -> None:
    read = evidence(release=replace(RELEASE, found=False), mutating=(), validating=(), server=None, controller=None)

    assert faults(read) == {"webhooks": Code.NOT_INSTALLED}
    assert {each.state for each in all_of(read)[1:]} == {StationState.SKIPPED}


def test_a_parameter_that_is_not_found_names_the_terraform_that_makes_it_and_how_to_read_it_again() -> None:
    found = station(evidence(source=source(condition("False", "SecretSyncedError", NOT_FOUND))), "sync")

    assert (
        "SecretSyncedError: could not get secret data from provider: parameter /sesacthon/dev/ghcr/token" in found.text
    )
    assert found.remedy is not None
    assert found.remedy.startswith(
        "run terraform apply where /sesacthon/dev/ghcr/token is made (examples/terraform has them as "
        "aws_ssm_parameter.token, with project=sesacthon and environment=dev)"
    )
    assert found.commands == (
        'kubectl annotate externalsecret ghcr-secret --namespace ghcr-pull-secrets --overwrite force-sync="$(date +%s)"',
    )


def test_where_the_operator_names_no_parameter_all_of_them_are_named() -> None:
    found = station(evidence(source=source(condition("False", "SecretSyncedError", "no access"))), "sync")

    assert "/sesacthon/dev/ghcr/username, /sesacthon/dev/ghcr/token" in (found.remedy or "")


def test_a_namespaced_store_is_looked_up_in_its_namespace() -> None:
    read = source(
        SYNCED, external=external(SYNCED, store_kind="SecretStore"), store=store(condition("False", "x", "y"))
    )

    assert station(evidence(source=read), "source").commands == (
        "kubectl describe secretstore aws-ssm-store --namespace ghcr-pull-secrets",
    )


def test_what_the_operator_says_is_cut_and_shows_no_credential() -> None:
    message = f"denied {CANARY} " + "x" * 5000
    found = station(evidence(source=source(condition("False", "SecretSyncedError", message))), "sync")

    assert CANARY not in f"{found}"
    assert len(found.text) < 400
    assert foreign_text("two\nlines") == "two lines"


def test_no_station_shows_a_credential() -> None:
    read = [evidence(**changes) for _, changes, _ in BROKEN] + [evidence(**changes) for _, changes, *_ in FINE]

    assert CANARY not in "".join(f"{all_of(each)}" for each in read)


def test_a_token_pasted_where_the_registry_belongs_is_not_shown() -> None:
    content = payload(registry=f"ghcr.io/{CANARY}")

    assert CANARY not in station(evidence(central=secret(payload=content)), "central").text


def test_patterns_without_an_entry_and_doubts_are_said_of_a_central_secret_that_can_be_used() -> None:
    rules = replace(RULES, patterns=ImagePatterns(include=("ghcr.io/org-a/*", "ghcr.io/org-b/*"), exclude=()))
    read = evidence(
        release=replace(RELEASE, rules=rules), central=secret(payload=payload(registry="ghcr.io/org-a")), secrets=()
    )

    text = station(read, "central").text
    assert text.startswith(
        "entries for ghcr.io/org-a; none for ghcr.io/org-b/*; doubtful: the entry ghcr.io/org-a has no"
    )


def test_a_missing_central_secret_is_made_by_hand_or_by_its_external_secret() -> None:
    by_hand = station(evidence(central=None), "central")
    synced = station(evidence(central=None, source=source(SYNCED)), "central")

    assert by_hand.commands[0].startswith(
        "read -rsp 'Token: ' TOKEN && kubectl create secret docker-registry ghcr-secret"
    )
    assert synced.remedy == "have the ExternalSecret synced: it makes the Secret"


def test_namespaces_that_no_webhook_looks_at_are_named() -> None:
    expression = {"key": "ghcr-pull-secrets.io/inject", "operator": "NotIn", "values": ["false"]}
    selector = {"matchExpressions": [expression]}
    spaces = (namespace("auth"), namespace("by-hand", inject="false"), namespace("kube-system", inject="false"))
    read = evidence(
        mutating=(configuration(selector=selector),),
        validating=(configuration(selector=selector),),
        namespaces=spaces,
        secrets=(),
    )

    assert station(read, "webhooks").text.endswith("; left out: by-hand")


def test_copies_are_not_called_stale_by_settings_that_are_not_known() -> None:
    release = replace(RELEASE, rules_unread=UNREAD)

    assert faults(evidence(release=release, secrets=(copy("my", payload=payload(token="old")),))) == {}


def test_under_opt_in_a_namespace_that_may_not_be_read_is_not_held_against_its_copy() -> None:
    release = replace(RELEASE, rules=replace(RULES, opt_in=True))

    assert faults(evidence(release=release, namespaces=UNREAD)) == {}


def test_a_server_that_crashes_says_so() -> None:
    pods = (pod("server", ready=False, waiting="CrashLoopBackOff", restarts=5), pod("server"))
    found = station(evidence(server=deployment("server", ready=1), pods=pods), "servers")

    assert found.text == "1 of 2 ready (CrashLoopBackOff); 5 restarts"


def test_a_certificate_through_an_intermediate_is_trusted_by_the_root_of_its_chain() -> None:
    root, middle, end = chain_of_three()

    assert chain_admission.trusts(root, end + middle)
    assert not chain_admission.trusts(OTHER_CA.certificate_pem, end + middle)
    assert not chain_admission.trusts(root, end)
    assert not chain_admission.trusts(root, b"nothing")


@pytest.mark.parametrize(
    ("length", "text"),
    [(5, "5 s"), (119, "119 s"), (12 * 60, "12 min"), (3 * 3600, "3 h"), (61 * 86400, "61 d"), (-4, "0 s")],
)
def test_a_span_is_said_in_one_unit(length: float, text: str) -> None:
    assert span(timedelta(seconds=length)) == text


def test_a_long_list_is_cut_and_counted() -> None:
    assert names("abcde") == "a, b, c, d, e"
    assert names("abcdefgh") == "a, b, c, d, e and 3 more"
