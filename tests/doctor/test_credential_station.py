"""The credential's station: the registry is asked for the images in use, and its answers are judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.doctor.asks import FakeAsks
from tests.doctor.builders import NOW
from tests.doctor.cluster import release
from tests.objects import CANARY, RULES, secret, workload
from tests.services.contracts.registry import GOOD
from tests.services.credential_fakes import FakeRegistry
from webhook.core.copies import read_keyring
from webhook.core.vocabulary import CredentialState
from webhook.credential.judging import CredentialReport
from webhook.doctor.chain_credential import MAX_IMAGES, Answers, ask_registries, judge
from webhook.doctor.model import Code, Diagnosis, PodFindings, Question, StationState
from webhook.doctor.run import Doctor, Wanted
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Forbidden

KEYRING = read_keyring(secret())


def pod(name: str) -> dict[str, Any]:
    return workload("Pod", images=[f"ghcr.io/sesacthon/{name}:1"], secrets=["ghcr-secret"])


def report(state: CredentialState = CredentialState.ACCEPTED, **fields: Any) -> CredentialReport:
    return CredentialReport(registry="ghcr.io", state=state, **fields)


LOST = ConnectionFailure(fault=ConnectionFault.DNS)

FAULTS: list[tuple[Answers, Code, str]] = [
    (
        Answers(reports=(report(CredentialState.REJECTED, code=403),)),
        Code.CREDENTIAL_REJECTED,
        "ghcr.io does not accept it (HTTP 403)",
    ),
    (
        Answers(reports=(report(missing_scope="read:packages"),)),
        Code.CREDENTIAL_INSUFFICIENT,
        "ghcr.io accepts it, but it lacks the scope read:packages",
    ),
    (
        Answers(reports=(report(),), refused={"ghcr.io/sesacthon/scan-api": 403}),
        Code.CREDENTIAL_NO_ACCESS,
        "ghcr.io accepts it, but refuses sesacthon/scan-api (403)",
    ),
    (
        Answers(reports=(report(CredentialState.UNREACHABLE, failure=LOST),)),
        Code.REGISTRY_UNREACHABLE,
        "ghcr.io gave no answer here: dns",
    ),
    (
        Answers(reports=(report(CredentialState.UNREACHABLE, code=503),)),
        Code.REGISTRY_UNREACHABLE,
        "ghcr.io gave no answer here: HTTP 503",
    ),
]


@pytest.mark.parametrize(("answers", "code", "text"), FAULTS)
def test_each_answer_that_is_bad_is_a_fault(answers: Answers, code: Code, text: str) -> None:
    found = judge(answers, NOW)

    assert (found.state, found.code, found.text) == (StationState.FAULT, code, text)
    assert found.remedy


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (Answers(), "there is none for any image that is selected, so no registry was asked"),
        (Answers(reports=(report(),)), "ghcr.io accepts it"),
        (
            Answers(reports=(report(expires_at=NOW + timedelta(days=61)),), tried=3),
            "ghcr.io accepts it, and lets it read the images in use (3 tried); it ends in 61 d",
        ),
        (
            Answers(reports=(report(expires_at=NOW + timedelta(days=3)),), tried=2, more=True),
            "ghcr.io accepts it, and lets it read the images in use (2 tried, the first 16); it ends in 3 d: make the next",
        ),
    ],
)
def test_a_good_answer_says_what_was_tried_and_when_the_token_ends(answers: Answers, text: str) -> None:
    found = judge(answers, NOW)

    assert (found.state, found.text) == (StationState.OK, text)


def test_each_image_in_use_is_tried_once_with_its_own_scope() -> None:
    registry = FakeRegistry()
    registry.issue(GOOD)
    registry.hide("ghcr.io/sesacthon/scan-api", GOOD)
    answers = ask_registries(registry, KEYRING, [pod("auth-api"), pod("scan-api"), pod("auth-api")], RULES)

    assert [repository for repository, _ in registry.pulls] == [
        "ghcr.io/sesacthon/auth-api",
        "ghcr.io/sesacthon/scan-api",
    ]
    assert answers.refused == {"ghcr.io/sesacthon/scan-api": 403}
    assert (answers.tried, answers.more) == (2, False)


def test_what_a_registry_says_of_each_image_is_kept_where_it_is_a_word() -> None:
    registry = FakeRegistry()
    registry.issue(GOOD)
    registry.hide("ghcr.io/sesacthon/scan-api", GOOD)
    pods = [pod("auth-api"), pod("scan-api"), pod("my-api")]

    assert ask_registries(registry, KEYRING, pods, RULES).words == {
        "ghcr.io/sesacthon/auth-api": CredentialState.ACCEPTED,
        "ghcr.io/sesacthon/scan-api": CredentialState.UNREADABLE,
        "ghcr.io/sesacthon/my-api": CredentialState.ACCEPTED,
    }
    assert ask_registries(FakeRegistry(), KEYRING, pods[:1], RULES).words == {
        "ghcr.io/sesacthon/auth-api": CredentialState.REJECTED
    }


def test_who_looks_at_pods_is_told_what_the_registry_said() -> None:
    registry = FakeRegistry()
    asked: list[Question] = []
    registry.issue(GOOD)

    def find_pods(question: Question) -> PodFindings:
        asked.append(question)
        return PodFindings()

    Doctor(FakeAsks(release()), find_pods=find_pods).look(Wanted(), NOW)
    Doctor(FakeAsks(release()), find_pods=find_pods, registry=registry, list_pods=lambda _: [pod("auth-api")]).look(
        Wanted(), NOW
    )

    assert [question.words for question in asked] == [{}, {"ghcr.io/sesacthon/auth-api": CredentialState.ACCEPTED}]


def test_the_first_image_that_is_refused_counts_too() -> None:
    registry = FakeRegistry()
    registry.issue(GOOD)
    registry.hide("ghcr.io/sesacthon/auth-api", GOOD)

    assert ask_registries(registry, KEYRING, [pod("auth-api")], RULES).refused == {"ghcr.io/sesacthon/auth-api": 403}


def test_no_image_is_tried_with_a_credential_that_is_rejected() -> None:
    registry = FakeRegistry()
    answers = ask_registries(registry, KEYRING, [pod("auth-api")], RULES)

    assert registry.pulls == []
    assert judge(answers, NOW).code == Code.CREDENTIAL_REJECTED


def test_no_more_images_are_tried_than_the_bound_and_that_is_said() -> None:
    registry = FakeRegistry()
    registry.issue(GOOD)
    answers = ask_registries(registry, KEYRING, [pod(f"a{number}") for number in range(MAX_IMAGES + 1)], RULES)

    assert (len(registry.pulls), answers.tried, answers.more) == (MAX_IMAGES, MAX_IMAGES, True)


def test_the_doctor_asks_only_where_it_was_asked_to() -> None:
    registry = FakeRegistry()
    registry.issue(GOOD, expiration="2026-12-25 12:00:00 UTC")
    silent = Doctor(FakeAsks(release())).look(Wanted(), NOW)[1]
    asking = Doctor(FakeAsks(release()), registry=registry, list_pods=lambda _: [pod("auth-api")])
    asked = asking.look(Wanted(), NOW)[1]

    assert stations(silent) == "not looked at: --check-credential asks the registry"
    assert stations(asked) == "ghcr.io accepts it, and lets it read the images in use (1 tried); it ends in 30 d"
    assert CANARY not in f"{asked}"


def stations(diagnosis: Diagnosis) -> str:
    return {each.name: each.text for each in diagnosis.stations}["credential"]


def test_where_pods_may_not_be_listed_the_registry_is_not_asked() -> None:
    def refuse(_: str) -> list[Any]:
        raise Forbidden("list", "pods", code=403)

    found = Doctor(FakeAsks(release()), registry=FakeRegistry(), list_pods=refuse).look(Wanted(), datetime.now(UTC))[1]

    assert stations(found) == "not looked at: you may not list pods"
