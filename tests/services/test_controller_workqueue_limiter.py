"""The rate limit of the controller's writes."""

from __future__ import annotations

import pytest

from tests.services.controller_fakes import ManualClock
from webhook.controller.workqueue import MAX_PAUSE_S, Limiter


def moments(limiter: Limiter, clock: ManualClock, writes: int) -> list[float]:
    """When each of so many writes in a row goes."""
    found = []
    for _ in range(writes):
        limiter.acquire()
        found.append(clock())
    return found


def limiter(clock: ManualClock, qps: float) -> Limiter:
    return Limiter(qps, clock=clock, sleep=clock.advance)


def test_writes_keep_their_distance() -> None:
    clock = ManualClock()
    assert moments(limiter(clock, 4), clock, 5) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_quiet_time_earns_nothing() -> None:
    clock = ManualClock()
    bucket = limiter(clock, 4)
    moments(bucket, clock, 3)
    clock.advance(1000)
    began = clock()
    assert [at - began for at in moments(bucket, clock, 3)] == pytest.approx([0, 0.25, 0.5])


def test_no_second_has_more_than_the_rate() -> None:
    clock = ManualClock()
    found = moments(limiter(clock, 50), clock, 300)
    for start in found:
        assert sum(start <= at < start + 1 - 1e-6 for at in found) <= 50 + 1


def test_without_a_rate_nothing_waits() -> None:
    clock = ManualClock()
    assert moments(limiter(clock, 0), clock, 100) == [0.0] * 100


@pytest.mark.parametrize("qps", [0, 4])
def test_a_pause_holds_up_every_write(qps: float) -> None:
    clock = ManualClock()
    bucket = limiter(clock, qps)
    bucket.pause(7)
    assert moments(bucket, clock, 1) == pytest.approx([7])


def test_after_a_pause_the_rate_holds_again() -> None:
    clock = ManualClock()
    bucket = limiter(clock, 4)
    bucket.pause(7)
    assert moments(bucket, clock, 3) == pytest.approx([7, 7.25, 7.5])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    clock = ManualClock()
    bucket = limiter(clock, 0)
    bucket.pause(7)
    bucket.pause(1)
    assert moments(bucket, clock, 1) == pytest.approx([7])


def test_an_endless_pause_is_not_believed() -> None:
    clock = ManualClock()
    bucket = limiter(clock, 0)
    bucket.pause(86_400)
    assert moments(bucket, clock, 1) == pytest.approx([MAX_PAUSE_S])
