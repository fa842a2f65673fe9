"""One copy brought to its plan, whoever else writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.objects import RULES, payload, secret
from tests.services.fakes import FakeCluster
from webhook.applying import ATTEMPTS, Applied, Tried, apply
from webhook.core.copies import Create, Delete, Leave, LeaveReason, Replace, Secret, Step, Update, desired
from webhook.ports import AlreadyExists, ClusterError, Conflict, Deadline, Forbidden, NotFound

WANTED = desired("auth", secret(), RULES.patterns)
CURRENT = Leave(reason=LeaveReason.CURRENT)


class Stage:
    """A namespace, and a plan that says its steps in turn."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cluster.make_namespace("auth")
        self.cluster.stop_watching()
        self.tried: list[Tried] = []

    def put(self, **changes: object) -> Secret:
        self.cluster.make_secret(replace(WANTED, **changes))  # type: ignore[arg-type]
        return self.read()

    def read(self) -> Secret:
        found = self.cluster.secret("auth")
        assert found is not None
        return found

    def apply(self, *steps: Step | Callable[[], Step]) -> Applied:
        rest = iter(steps)

        def plan(tried: Tried) -> Step:
            self.tried.append(tried)
            step = next(rest)
            return step() if callable(step) else step

        cluster = self.cluster
        return apply(plan, cluster.facts, cluster.writer, "auth", Deadline.after(5))

    @property
    def writes(self) -> list[str]:
        return [call.verb for call in self.cluster.calls if call.verb != "get"]

    @property
    def known(self) -> Secret | None:
        """What the cache says, which no watch feeds."""
        return self.cluster.facts.copy("auth", Deadline.after(5))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_what_was_created_is_given_back_and_known_before_the_watch_reports(stage: Stage) -> None:
    applied = stage.apply(Create(copy=WANTED))
    assert applied == Applied(step=Create(copy=stage.read()))
    assert stage.known == stage.read()
    assert stage.tried == [Tried()]


def test_what_was_updated_is_given_back_and_known_before_the_watch_reports(stage: Stage) -> None:
    before = stage.put(payload=payload(token="old"))
    applied = stage.apply(Update(copy=replace(before, payload=WANTED.payload), adopts=True))
    assert applied == Applied(step=Update(copy=stage.read(), adopts=True))
    assert stage.known == stage.read()


@pytest.mark.parametrize("reason", LeaveReason)
def test_what_is_left_costs_no_call(stage: Stage, reason: LeaveReason) -> None:
    assert stage.apply(Leave(reason=reason)) == Applied(step=Leave(reason=reason))
    assert stage.cluster.calls == []


def test_a_replacement_is_planned_again_between_its_halves(stage: Stage) -> None:
    applied = stage.apply(Replace(existing=stage.put(type="Opaque")), Create(copy=WANTED))
    assert applied == Applied(step=Create(copy=stage.read()), replaced=True)
    assert stage.writes == ["delete", "create"]
    assert stage.tried == [Tried(), Tried(again=True, replaced=True)]


def test_a_replacement_of_which_somebody_else_did_the_second_half_is_one_all_the_same(stage: Stage) -> None:
    assert stage.apply(Replace(existing=stage.put(type="Opaque")), CURRENT) == Applied(step=CURRENT, replaced=True)


def test_a_removal_ends_with_the_delete(stage: Stage) -> None:
    step = Delete(copy=stage.put())
    assert stage.apply(step) == Applied(step=step)
    assert stage.writes == ["delete"]


LOST: list[tuple[str, type[ClusterError], Callable[[Secret], Step]]] = [
    ("create", AlreadyExists, lambda _: Create(copy=WANTED)),
    ("patch", Conflict, lambda copy: Update(copy=copy)),
    ("patch", NotFound, lambda copy: Update(copy=copy)),
    ("delete", Conflict, lambda copy: Replace(existing=copy)),
    ("delete", NotFound, lambda copy: Replace(existing=copy)),
    ("delete", Conflict, lambda copy: Delete(copy=copy)),
    ("delete", NotFound, lambda copy: Delete(copy=copy)),
]


@pytest.mark.parametrize(("verb", "error", "step"), LOST)
def test_a_lost_race_is_planned_again(
    stage: Stage, verb: str, error: type[ClusterError], step: Callable[[Secret], Step]
) -> None:
    stage.cluster.fail(verb, error(verb, "secrets", "auth"))
    assert stage.apply(step(stage.put()), CURRENT) == Applied(step=CURRENT)
    assert stage.tried == [Tried(), Tried(again=True)]


@pytest.mark.parametrize(("verb", "error", "step"), LOST)
def test_a_race_lost_again_and_again_is_given_up(
    stage: Stage, verb: str, error: type[ClusterError], step: Callable[[Secret], Step]
) -> None:
    stage.cluster.fail(verb, error(verb, "secrets", "auth"), times=ATTEMPTS + 1)
    with pytest.raises(Conflict):
        stage.apply(*[step(stage.put())] * (ATTEMPTS + 1))
    assert stage.writes == [verb] * ATTEMPTS


def test_what_is_not_found_on_create_is_the_namespace_and_is_not_tried_again(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.apply(Create(copy=replace(WANTED, namespace="gone")))
    assert stage.writes == ["create"]


def test_a_refusal_is_not_tried_again(stage: Stage) -> None:
    stage.cluster.fail("create", Forbidden("create", "secrets", "auth", code=403))
    with pytest.raises(Forbidden):
        stage.apply(Create(copy=WANTED))
    assert stage.writes == ["create"]


def test_a_replacement_that_is_refused_halfway_is_no_success(stage: Stage) -> None:
    stage.cluster.fail("create", Forbidden("create", "secrets", "auth", code=403))
    with pytest.raises(Forbidden):
        stage.apply(Replace(existing=stage.put(type="Opaque")), Create(copy=WANTED))
    assert stage.cluster.secret("auth") is None
