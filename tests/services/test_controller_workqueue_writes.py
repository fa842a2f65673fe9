"""Writes of the controller: only while it leads, no faster than it may, and as the API server asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.services.contracts.world import OTHER_PAYLOAD, copy, soon
from tests.services.controller_fakes import FakeLeases, ManualClock
from tests.services.fakes import FakeCluster
from webhook.controller.leader import Elector
from webhook.controller.workqueue import Guard, GuardedWriter, Limiter
from webhook.core.copies import Secret
from webhook.ports import Conflict, Deadline, NotLeading, Unavailable


class Stage:
    """A writer under test that may or may not lead."""

    def __init__(self, *, qps: float = 0.0) -> None:
        self.clock = ManualClock(1000.0)
        self.cluster = FakeCluster()
        self.cluster.make_namespace("auth")
        self.elector = Elector(FakeLeases(), identity="a", clock=self.clock)
        self.limiter = Limiter(qps, clock=self.clock, sleep=self.clock.advance)
        self.guard = Guard(self.elector, self.limiter, clock=self.clock)
        self.writer = GuardedWriter(self.cluster.writer, self.guard)

    def secret(self) -> Secret:
        found = self.cluster.secret("auth")
        assert found is not None
        return found


Write = Callable[[Stage], object]
WRITES: dict[str, Write] = {
    "create": lambda stage: stage.writer.create(copy("auth"), soon()),
    "patch": lambda stage: stage.writer.update(stage.secret(), soon()),
    "delete": lambda stage: stage.writer.delete(stage.secret(), soon()),
}


def prepared(verb: str, **arguments: float) -> Stage:
    stage = Stage(**arguments)
    if verb != "create":
        stage.cluster.make_secret(copy("auth", OTHER_PAYLOAD))
    return stage


@pytest.mark.parametrize("verb", WRITES)
def test_a_leader_writes(verb: str) -> None:
    stage = prepared(verb)
    stage.elector.step()
    WRITES[verb](stage)
    assert [call.verb for call in stage.cluster.calls] == [verb]


@pytest.mark.parametrize("verb", WRITES)
def test_who_does_not_lead_writes_nothing(verb: str) -> None:
    stage = prepared(verb)
    with pytest.raises(NotLeading):
        WRITES[verb](stage)
    assert stage.cluster.calls == []


@pytest.mark.parametrize("verb", WRITES)
def test_a_leadership_that_ends_while_a_write_waits_for_its_turn_ends_the_write(verb: str) -> None:
    stage = prepared(verb, qps=0.1)
    stage.elector.step()
    stage.limiter.acquire()
    with pytest.raises(NotLeading):
        WRITES[verb](stage)
    assert stage.cluster.calls == []


@pytest.mark.parametrize("verb", WRITES)
def test_a_pause_the_api_server_asks_for_holds_up_the_writes_after_it(verb: str) -> None:
    stage = prepared(verb)
    stage.elector.step()
    stage.cluster.fail(verb, Unavailable(verb, "secrets", code=429, retry_after=3))
    with pytest.raises(Unavailable):
        WRITES[verb](stage)
    began = stage.clock()
    WRITES[verb](stage)
    assert stage.clock() - began == pytest.approx(3)


@pytest.mark.parametrize("error", [Conflict("patch", "secrets", code=409), Unavailable("patch", "secrets", code=500)])
def test_other_errors_hold_up_nothing(error: Conflict | Unavailable) -> None:
    stage = prepared("patch")
    stage.elector.step()
    stage.cluster.fail("patch", error)
    with pytest.raises(type(error)):
        WRITES["patch"](stage)
    began = stage.clock()
    WRITES["patch"](stage)
    assert stage.clock() == began


def test_writes_keep_their_distance() -> None:
    stage = prepared("patch", qps=4)
    stage.elector.step()
    began = stage.clock()
    for _ in range(5):
        WRITES["patch"](stage)
    assert stage.clock() - began == pytest.approx(1.0)


def test_waiting_for_the_rate_limit_does_not_use_up_the_deadline() -> None:
    stage = prepared("patch", qps=0.5)
    stage.elector.step()
    stage.limiter.acquire()
    with stage.guard.write(Deadline.after(1)) as bounded:  # waits 2 s
        assert bounded.remaining() == pytest.approx(3, abs=0.5)


def test_a_write_ends_before_another_may_lead() -> None:
    stage = prepared("patch")
    stage.elector.step()
    stage.clock.advance(7.5)
    with stage.guard.write(Deadline.after(100)) as bounded:
        assert bounded.remaining() <= 0.5 + 2


def test_a_dry_run_stays_one() -> None:
    stage = prepared("create")
    stage.elector.step()
    stage.writer.create(copy("auth"), soon(), dry_run=True)
    assert stage.cluster.secret("auth") is None
