"""How often a copy may be rewritten before we hold back, and for how long."""

from itertools import pairwise

import pytest

from webhook.core.contest import FIRST_PAUSE_S, LIMIT, MAX_PAUSE_S, WINDOW_S, Contests

GOOD, NEXT = b"good", b"next"


def contested(*, start: float = 0.0) -> tuple[Contests, float]:
    """A copy that has just become contested, and when."""
    contests = Contests()
    for index in range(LIMIT):
        assert not contests.wrote("auth", GOOD, start + index)
    assert contests.wrote("auth", GOOD, start + LIMIT)
    return contests, start + LIMIT


def test_one_more_rewrite_than_the_limit_within_a_minute_begins_a_pause() -> None:
    contests, now = contested()
    assert contests.pause("auth", now) == FIRST_PAUSE_S
    assert contests.pause("auth", now + FIRST_PAUSE_S) == 0
    assert contests.contested(now) == 1


def test_up_to_the_limit_nothing_is_held_back() -> None:
    contests = Contests()
    for index in range(LIMIT):
        assert not contests.wrote("auth", GOOD, float(index))
        assert contests.pause("auth", float(index)) == 0
    assert contests.contested(float(LIMIT)) == 0


def test_rewrites_that_are_far_apart_are_nobodys_fight() -> None:
    contests, apart = Contests(), WINDOW_S / LIMIT
    assert not any(contests.wrote("auth", GOOD, index * apart) for index in range(40))


def test_the_pause_doubles_with_every_write_up_to_five_minutes() -> None:
    contests, now = contested()
    pauses = [contests.pause("auth", now)]
    while pauses[-1] < MAX_PAUSE_S or len(pauses) < 8:
        now += pauses[-1]
        assert not contests.wrote("auth", GOOD, now), "one event for each contest"
        pauses.append(contests.pause("auth", now))
    assert pauses[:6] == [10, 20, 40, 80, 160, 300]
    assert all(later == min(2 * before, MAX_PAUSE_S) for before, later in pairwise(pauses))


def test_the_copies_of_other_namespaces_are_not_held_back() -> None:
    contests, now = contested()
    assert contests.pause("my", now) == 0
    assert not contests.wrote("my", GOOD, now)


def test_rotations_are_no_rewriting() -> None:
    contests = Contests()
    assert not any(contests.wrote("auth", str(index).encode(), float(index)) for index in range(20))


def test_a_rotation_does_not_lengthen_the_pause_nor_end_the_contest() -> None:
    contests, now = contested()
    now += FIRST_PAUSE_S
    contests.wrote("auth", NEXT, now)
    assert contests.pause("auth", now) == FIRST_PAUSE_S
    contests.wrote("auth", NEXT, now + FIRST_PAUSE_S)
    assert contests.pause("auth", now + FIRST_PAUSE_S) == 2 * FIRST_PAUSE_S


def test_the_first_copy_of_a_namespace_is_no_rewrite() -> None:
    contests = Contests()
    contests.wrote("auth", GOOD, 0.0, again=False)
    assert not any(contests.wrote("auth", GOOD, float(index)) for index in range(1, LIMIT + 1))
    assert contests.wrote("auth", GOOD, LIMIT + 1.0)


@pytest.mark.parametrize("pauses", [1, 4, 7])
def test_a_contest_ends_when_the_copy_stays_for_a_minute_after_the_pause(pauses: int) -> None:
    contests, now = contested()
    for _ in range(pauses):
        now += contests.pause("auth", now)
        contests.wrote("auth", GOOD, now)
    end = now + contests.pause("auth", now) + WINDOW_S
    assert contests.contested(end) == 1
    assert contests.contested(end + 1) == 0
    assert not contests.wrote("auth", GOOD, end + 1)
    assert contests.pause("auth", end + 1) == 0


def test_what_is_over_takes_no_memory() -> None:
    contests = Contests()
    for index in range(1000):
        contests.wrote(f"n{index}", GOOD, 0.0)
    contests.wrote("auth", GOOD, WINDOW_S + 1)
    assert len(contests._records) == 1


def test_a_namespace_that_went_is_forgotten() -> None:
    contests, now = contested()
    contests.forget("auth")
    assert (contests.pause("auth", now), contests.contested(now)) == (0, 0)
    contests.forget("auth")


def test_no_content_is_kept() -> None:
    contests, _ = contested()
    assert "good" not in repr(contests._records)
