"""Removing copies: only what is ours, only as it was read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.objects import RELEASE_NAMESPACE
from tests.services.contracts.world import MARKS, OTHER_PAYLOAD, copy
from tests.services.fakes import FakeCluster
from webhook.controller.cleanup import Removal, Remover, sort
from webhook.core.copies import LeaveReason, Secret
from webhook.core.names import SOURCE_ANNOTATION
from webhook.ports import Conflict, Forbidden, Unavailable


class Stage:
    """One copy, and the remover under test."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cluster.make_namespace("auth")
        self.cluster.make_secret(copy("auth"))
        self.pauses: list[float] = []
        self.remover = Remover(
            self.cluster.facts,
            self.cluster.writer,
            release_namespace=RELEASE_NAMESPACE,
            sleep=self.pauses.append,
        )

    def read(self) -> Secret:
        found = self.cluster.secret("auth")
        assert found is not None
        return found

    def remove(self) -> Removal:
        return self.remover.remove(self.read())


REMOVED = Removal(namespace="auth")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_secrets_are_parted_by_whose_they_are() -> None:
    secrets = [
        copy("my"),
        replace(copy("scan"), marks={}),
        replace(copy("chat"), owned=True),
        replace(copy("info"), deleting=True),
        copy(RELEASE_NAMESPACE),
        copy("auth"),
    ]
    ours, left = sort(secrets, release_namespace=RELEASE_NAMESPACE)
    assert [secret.namespace for secret in ours] == ["auth", "my"]
    assert left == (
        Removal(namespace="chat", left=LeaveReason.OWNED),
        Removal(namespace=RELEASE_NAMESPACE, left=LeaveReason.CENTRAL),
        Removal(namespace="info", left=LeaveReason.DELETING),
        Removal(namespace="scan", left=LeaveReason.FOREIGN),
    )


def test_a_copy_goes_by_one_call(stage: Stage) -> None:
    assert stage.remove() == REMOVED
    assert stage.cluster.secret("auth") is None
    assert [call.verb for call in stage.cluster.calls] == ["delete"]


def test_a_copy_that_is_gone_already_is_no_failure(stage: Stage) -> None:
    stage.cluster.before("delete", lambda: stage.cluster.remove_secret("auth"))
    assert stage.remove() == REMOVED


def test_a_copy_that_was_changed_meanwhile_and_still_is_ours_goes(stage: Stage) -> None:
    stage.cluster.before("delete", lambda: stage.cluster.make_secret(copy("auth", OTHER_PAYLOAD)))
    assert stage.remove() == REMOVED
    assert stage.cluster.secret("auth") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"marks": {}}, LeaveReason.FOREIGN),
        ({"owned": True}, LeaveReason.OWNED),
        ({"deleting": True}, LeaveReason.DELETING),
        ({"given_away": True}, LeaveReason.GIVEN_AWAY),
        ({"marks": {**MARKS, SOURCE_ANNOTATION: "other-release/ghcr-secret"}}, LeaveReason.OTHER_RELEASE),
    ],
)
def test_a_copy_that_became_foreign_meanwhile_is_left(
    stage: Stage, change: dict[str, object], reason: LeaveReason
) -> None:
    changed = replace(copy("auth"), **change)  # type: ignore[arg-type]
    stage.cluster.before("delete", lambda: stage.cluster.make_secret(changed))
    assert stage.remove() == Removal(namespace="auth", left=reason)
    assert stage.cluster.secret("auth") is not None


def test_a_copy_that_is_changed_again_and_again_is_left(stage: Stage) -> None:
    stage.cluster.fail("delete", Conflict("delete", "secrets", "auth", code=409), times=5)
    assert isinstance(stage.remove().error, Conflict)
    assert stage.pauses == []


def test_a_failing_api_server_is_given_time_and_then_up(stage: Stage) -> None:
    stage.cluster.fail("delete", Unavailable("delete", "secrets", "auth", code=503), times=5)
    assert isinstance(stage.remove().error, Unavailable)
    assert stage.pauses == [0.5, 1, 2, 4]
    assert stage.remove() == REMOVED


def test_a_pause_the_api_server_asked_for_is_kept_within_reason(stage: Stage) -> None:
    stage.cluster.fail("delete", Unavailable("delete", "secrets", "auth", code=429, retry_after=7))
    stage.cluster.fail("delete", Unavailable("delete", "secrets", "auth", code=429, retry_after=3600))
    assert stage.remove() == REMOVED
    assert stage.pauses == [7, 30]


def test_a_refusal_is_not_tried_again(stage: Stage) -> None:
    stage.cluster.fail("delete", Forbidden("delete", "secrets", "auth", code=403))
    removal = stage.remover.remove(stage.read())
    assert isinstance(removal.error, Forbidden)
    assert len(stage.cluster.calls) == 1


def test_removals_are_reported_in_order(stage: Stage) -> None:
    names = [f"n{index}" for index in range(40)]
    for name in names:
        stage.cluster.make_namespace(name)
        stage.cluster.make_secret(copy(name))
    told: list[Removal] = []
    copies = [found for name in names if (found := stage.cluster.secret(name)) is not None]
    assert stage.remover.remove_all(copies, told.append) == tuple(told)
    assert [removal.namespace for removal in told] == names
    assert all(removal.removed for removal in told)
