"""Leader election: never two at once, and soon another after one is gone."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.services.controller_fakes import FakeLeases, LeaseStore, ManualClock
from webhook.controller.leader import DEFAULT_TIMING, Elector, Timing
from webhook.ports import (
    AlreadyExists,
    Conflict,
    Deadline,
    DeadlineExceeded,
    LeaderLease,
    NotFound,
    NotLeading,
    Unavailable,
)

T = TypeVar("T")
SOON = Deadline(float("inf"))
NOON = dt.datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=dt.UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def store() -> LeaseStore:
    return LeaseStore()


def elector(store: LeaseStore, clock: ManualClock, identity: str = "a") -> Elector:
    return Elector(FakeLeases(store), identity=identity, clock=clock, utc=lambda: NOON)


def leads(one: Elector) -> bool:
    return one.leading


# --- taking and renewing


def test_the_first_to_come_makes_the_lease_and_leads(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    assert not leads(one)
    one.step()
    assert leads(one)
    assert store.lease == LeaderLease(
        holder="a",
        duration_s=12,
        acquired_at="2026-05-04T12:00:00.123456Z",
        renewed_at="2026-05-04T12:00:00.123456Z",
        resource_version="1",
    )


def test_the_second_to_come_waits(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    one.step()
    two.step()
    assert (leads(one), leads(two)) == (True, False)


def test_one_who_was_faster_to_make_it_leads(store: LeaseStore, clock: ManualClock) -> None:
    def on_call(verb: str) -> None:
        if verb == "create":
            store.write(LeaderLease(holder="b", duration_s=12))

    one = Elector(FakeLeases(store, on_call), identity="a", clock=clock)
    one.step()
    assert not leads(one)


def test_a_leader_that_renews_leads_on(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    for _ in range(50):
        one.step()
        two.step()
        assert (leads(one), leads(two)) == (True, False)
        clock.advance(DEFAULT_TIMING.retry_s)
    assert store.lease is not None
    assert store.lease.transitions == 0


def test_a_leader_that_idles_costs_one_request_a_renewal(store: LeaseStore, clock: ManualClock) -> None:
    leases = FakeLeases(store)
    one = Elector(leases, identity="a", clock=clock)
    one.step()
    leases.calls.clear()
    for _ in range(30):
        clock.advance(DEFAULT_TIMING.retry_s)
        one.step()
    assert leases.calls == ["update"] * 30


def test_a_lease_somebody_annotated_is_still_ours(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    assert store.lease is not None
    store.write(store.lease)
    one.step()
    assert leads(one)


def test_a_lease_somebody_deleted_is_made_again(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    store.lease = None
    one.step()
    assert leads(one)
    assert store.lease is not None


def test_a_leader_whose_lease_was_taken_stops_at_once(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    store.write(LeaderLease(holder="b", duration_s=12))
    one.step()
    assert not leads(one)


def test_a_renewal_counts_from_before_it_was_sent(store: LeaseStore, clock: ManualClock) -> None:
    one = Elector(FakeLeases(store, lambda _: clock.advance(1.5)), identity="a", clock=clock)
    one.step()  # get and create: 3 s
    clock.advance(DEFAULT_TIMING.renew_s - 3.0 - 0.01)
    assert leads(one)
    clock.advance(0.01)
    assert not leads(one)


def test_a_leader_that_cannot_renew_leads_to_the_end_of_its_time_and_no_longer(
    store: LeaseStore, clock: ManualClock
) -> None:
    broken = False

    def on_call(verb: str) -> None:
        if broken:
            raise Unavailable(verb, "leases", code=503)

    one = Elector(FakeLeases(store, on_call), identity="a", clock=clock)
    one.step()
    broken = True
    for _ in range(3):
        clock.advance(2)
        one.step()
        assert leads(one)
    clock.advance(2)
    one.step()
    assert not leads(one)
    broken = False
    one.step()
    assert leads(one)


# --- taking over


def test_a_lease_is_taken_over_after_its_whole_duration_without_a_change(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    one.step()
    two.step()
    clock.advance(11.99)
    two.step()
    assert not leads(two)
    clock.advance(0.01)
    two.step()
    assert leads(two)
    assert store.lease is not None
    assert (store.lease.holder, store.lease.transitions) == ("b", 1)


def test_the_duration_counts_from_when_the_change_was_seen_not_from_the_times_in_the_lease(
    store: LeaseStore, clock: ManualClock
) -> None:
    store.write(LeaderLease(holder="b", duration_s=12, renewed_at="1999-01-01T00:00:00.000000Z"))
    one = elector(store, clock)
    one.step()
    assert not leads(one)


def test_the_holders_own_duration_counts(store: LeaseStore, clock: ManualClock) -> None:
    store.write(LeaderLease(holder="b", duration_s=60))
    one = elector(store, clock)
    one.step()
    clock.advance(59)
    one.step()
    assert not leads(one)
    clock.advance(1)
    one.step()
    assert leads(one)


def test_of_two_that_take_over_at_once_one_leads(store: LeaseStore, clock: ManualClock) -> None:
    store.write(LeaderLease(holder="gone", duration_s=12))
    one, two = elector(store, clock), elector(store, clock, "b")
    meddled = False

    def on_call(verb: str) -> None:
        nonlocal meddled
        if verb == "update" and not meddled:
            meddled = True
            two.step()

    one._leases = FakeLeases(store, on_call)
    one.step()
    two.step()
    clock.advance(12)
    one.step()
    assert (leads(one), leads(two)) == (False, True)


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.9, 1.0, 1.7, 1.99])
@pytest.mark.parametrize("killed_after", [0.0, 0.5, 1.0, 1.99])
def test_after_a_kill_another_leads_within_sixteen_seconds(
    store: LeaseStore, clock: ManualClock, phase: float, killed_after: float
) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    retry = DEFAULT_TIMING.retry_s
    one.step()
    one_next, two_next = clock() + retry, clock() + phase
    for _ in range(10):
        at = min(one_next, two_next)
        clock.advance(at - clock())
        if at == two_next:
            two.step()
            two_next += retry
        if at == one_next:
            one.step()
            one_next += retry
    last_renewal = one_next - retry
    killed = max(clock(), last_renewal + killed_after)
    while not leads(two):
        clock.advance(two_next - clock())
        two.step()
        two_next += retry
    assert clock() - killed <= 16


# --- writing


def test_only_a_leader_may_write(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    one.step()
    two.step()
    with one.writing(SOON):
        pass
    with pytest.raises(NotLeading), two.writing(SOON):
        pytest.fail("wrote without leading")


def test_a_write_must_end_before_another_may_lead(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    clock.advance(7)
    with one.writing(SOON) as bounded:
        # One second of leadership is left, and then half of what lies between its end and another's beginning.
        assert bounded.remaining() == pytest.approx(1 + 2, abs=0.5)
    with one.writing(Deadline.after(0.5)) as bounded:
        assert bounded.remaining() <= 0.5
    clock.advance(1)
    with pytest.raises(NotLeading), one.writing(SOON):
        pytest.fail("wrote after the end of its leadership")


def test_the_last_write_ends_before_another_may_lead() -> None:
    timing, drift = DEFAULT_TIMING, 1.05  # one clock 5 % slow, the other 5 % fast
    assert (timing.renew_s + timing.last_write_s) * drift < timing.lease_s / drift


# --- a clean end


def test_a_clean_stop_releases_and_another_leads_at_once(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    one.step()
    two.step()
    one.resign()
    assert not leads(one)
    assert store.lease is not None
    assert (store.lease.holder, store.lease.duration_s) == ("", 1)
    two.step()
    assert leads(two)
    assert store.lease.transitions == 1


def test_who_does_not_hold_it_releases_nothing(store: LeaseStore, clock: ManualClock) -> None:
    one, two = elector(store, clock), elector(store, clock, "b")
    one.step()
    two.resign()
    two.step()
    two.resign()
    assert store.lease is not None
    assert (store.lease.holder, store.lease.resource_version) == ("a", "1")


def test_a_release_waits_for_writes_under_way(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    writes, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with one.writing(SOON):
            writes.set()
            go_on.wait(60)
            holder.append(store.lease.holder if store.lease else None)

    holder: list[str | None] = []
    writer = threading.Thread(target=write)
    writer.start()
    assert writes.wait(30)
    resigner = threading.Thread(target=one.resign)
    resigner.start()
    resigner.join(0.01)
    go_on.set()
    writer.join(5)
    resigner.join(5)
    holder.append(store.lease.holder if store.lease else None)
    assert holder == ["a", ""]


def test_a_write_that_does_not_end_keeps_the_lease_from_being_released(store: LeaseStore, clock: ManualClock) -> None:
    one = elector(store, clock)
    one.step()
    clock.advance(DEFAULT_TIMING.renew_s + DEFAULT_TIMING.last_write_s - 0.005)
    one._valid_until += DEFAULT_TIMING.renew_s  # as if the write had been begun in time
    with one.writing(SOON):
        one._valid_until -= DEFAULT_TIMING.renew_s
        one.resign()
    assert store.lease is not None
    assert store.lease.holder == "a"


def test_a_release_that_fails_is_no_error(store: LeaseStore, clock: ManualClock) -> None:
    broken = False

    def on_call(verb: str) -> None:
        if broken:
            raise Unavailable(verb, "leases")

    one = Elector(FakeLeases(store, on_call), identity="a", clock=clock)
    one.step()
    broken = True
    one.resign()
    assert not leads(one)


def test_run_reports_when_leading_begins_and_holds_the_lease_to_the_end(store: LeaseStore) -> None:
    stop = threading.Event()
    told: list[bool] = []

    def on_change(leads: bool) -> None:
        told.append(leads)
        stop.set()

    one = Elector(FakeLeases(store), identity="a")
    one.run(stop, on_change)
    assert told == [True]
    assert one.leading
    assert store.lease is not None
    assert store.lease.holder == "a"


def test_run_reports_when_leading_ends(store: LeaseStore) -> None:
    stop = threading.Event()
    told: list[bool] = []

    def on_change(leads: bool) -> None:
        told.append(leads)
        if leads:
            store.write(LeaderLease(holder="b", duration_s=12))
        else:
            stop.set()

    timing = Timing(lease_s=12, renew_s=8, retry_s=0.01)
    Elector(FakeLeases(store), identity="a", timing=timing).run(stop, on_change)
    assert told == [True, False]


def test_run_tries_again_after_an_error_without_a_busy_loop(store: LeaseStore) -> None:
    stop = threading.Event()
    calls: list[float] = []

    def on_call(verb: str) -> None:
        calls.append(time.monotonic())
        if len(calls) < 4:
            raise Unavailable(verb, "leases", code=503)
        stop.set()

    timing = Timing(lease_s=12, renew_s=8, retry_s=0.01)
    Elector(FakeLeases(store, on_call), identity="a", timing=timing).run(stop, lambda _: None)
    assert all(later - earlier >= 0.009 for earlier, later in itertools.pairwise(calls[:4]))


# --- the safety property, by simulation


class World:
    """Two candidates and an API server on one time line; what is due while a call is on its way happens in between."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = LeaseStore()
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.candidates: list[Candidate] = []

    def at(self, moment: float, what: Callable[[], None]) -> None:
        self.order += 1
        self.agenda.append((moment, self.order, what))

    def until(self, moment: float) -> None:
        while due := [entry for entry in self.agenda if entry[0] <= moment]:
            entry = min(due)
            self.agenda.remove(entry)
            self.now = max(self.now, entry[0])
            entry[2]()
            self.check()
        self.now = max(self.now, moment)

    def check(self) -> None:
        leaders = [one for one in self.candidates if one.elector.leading]
        assert len(leaders) <= 1, f"two lead at {self.now}"
        for leader in leaders:
            for other in self.candidates:
                if other is not leader:
                    assert other.last_write_ends <= self.now, f"a write of another is under way at {self.now}"


class Candidate:
    """An elector whose clock has an offset and a rate of its own, and whose calls take time, fail, or land late."""

    def __init__(self, world: World, identity: str, *, troubled: bool) -> None:
        self.world = world
        self.identity = identity
        self.offset = world.random.uniform(0, 1e6)
        self.rate = world.random.uniform(0.95, 1.05) if troubled else 1.0
        self.troubled = troubled
        self.alive = True
        self.busy = False
        self.cut_off_until = 0.0
        self.led = 0
        self.last_write_ends = 0.0
        self.elector = Elector(self, identity=identity, clock=self.clock)
        world.candidates.append(self)
        world.at(world.now + world.random.uniform(0, 2), self.step)
        world.at(world.now + world.random.uniform(0, 2), self.write)

    def clock(self) -> float:
        return self.offset + self.world.now * self.rate

    def step(self) -> None:
        """Campaign as `run` does: one step at a time, a pause between two."""
        if not self.alive:
            return
        self.busy = True
        self.elector.step()
        self.busy = False
        self.led += self.elector.leading
        self.world.at(self.world.now + DEFAULT_TIMING.retry_s / self.rate, self.step)

    def write(self) -> None:
        if not self.alive:
            return
        with suppress(NotLeading), self.elector.writing(SOON) as bounded:
            # A deadline is on the real clock, which stands still in here.
            longest = (bounded.at - time.monotonic()) / self.rate
            ends = self.world.now + self.world.random.choice((0.01, 0.5, 1)) * longest
            self.last_write_ends = max(self.last_write_ends, ends)
        self.world.at(self.world.now + self.world.random.uniform(0, 1), self.write)

    def kill(self) -> None:
        self.alive = False

    def stop(self) -> None:
        self.alive = False
        self._when_idle(self.elector.resign)

    def stall(self) -> None:
        """Stop and go on later, as in a paused virtual machine."""
        self.alive = False
        self.world.at(self.world.now + self.world.random.uniform(3, 40), lambda: self._when_idle(self._wake))

    def cut_off(self) -> None:
        """Reach no API server for some time, and write on as long as it may."""
        self.cut_off_until = self.world.now + self.world.random.uniform(3, 40)

    def _wake(self) -> None:
        self.alive = True
        self.write()
        self.step()

    def _when_idle(self, what: Callable[[], None]) -> None:
        if self.busy or self.world.now < self.last_write_ends:
            self.world.at(self.world.now + 0.1, lambda: self._when_idle(what))
        else:
            what()

    # --- Leases

    def get(self, deadline: Deadline) -> LeaderLease | None:
        return self._call(lambda: self.world.store.lease)

    def create(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        return self._call(lambda: FakeLeases(self.world.store).create(lease, deadline))

    def update(self, lease: LeaderLease, deadline: Deadline) -> LeaderLease:
        return self._call(lambda: FakeLeases(self.world.store).update(lease, deadline))

    def _call(self, land: Callable[[], T]) -> T:
        world = self.world
        trouble = world.random.random() if self.troubled else 1.0
        latency = world.random.uniform(0, 0.5) if self.troubled else 0.001
        if trouble < 0.1 or world.now < self.cut_off_until:
            raise Unavailable("call", "leases", code=503)
        if trouble < 0.2:
            world.at(world.now + world.random.uniform(0, 20), lambda: _landed_late(land))
            world.until(world.now + DEFAULT_TIMING.retry_s)
            raise DeadlineExceeded("call", "leases")
        world.until(world.now + latency)
        result = land()
        world.until(world.now + latency)
        if trouble < 0.3:
            raise Unavailable("call", "leases")
        return result


def _landed_late(land: Callable[[], object]) -> None:
    with suppress(Conflict, NotFound, AlreadyExists):
        land()


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(min_value=0, max_value=2**32))
@example(0)
def test_two_never_lead_at_once_nor_write_while_the_other_leads(seed: int) -> None:
    world = World(seed)
    identities: Iterator[int] = iter(range(1000))

    def join() -> None:
        Candidate(world, f"c{next(identities)}", troubled=True)

    def churn() -> None:
        victim = world.random.choice([one for one in world.candidates if one.alive])
        world.random.choice((victim.kill, victim.stop, victim.stall, victim.cut_off, victim.cut_off))()
        if sum(one.alive for one in world.candidates) < 2:
            join()
        world.at(world.now + world.random.uniform(5, 40), churn)

    join()
    join()
    world.at(30, churn)
    world.until(400)
    assert any(one.led for one in world.candidates)


@settings(max_examples=40)
@given(st.integers(min_value=0, max_value=2**32))
def test_after_a_kill_at_any_moment_another_leads_within_sixteen_seconds(seed: int) -> None:
    world = World(seed)
    one, two = Candidate(world, "a", troubled=False), Candidate(world, "b", troubled=False)
    world.until(world.random.uniform(20, 30))
    leader, standby = (one, two) if one.elector.leading else (two, one)
    assert leader.elector.leading
    leader.alive = False
    killed = world.now
    while not standby.elector.leading:
        world.until(world.now + 0.01)
    # The lease and two polls, and a millisecond for each call.
    assert world.now - killed <= 16 + 0.05
