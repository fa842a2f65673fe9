"""The queue of keys: each waits once, is in one worker's hands, and comes back later after a failure."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.controller_fakes import ManualClock
from webhook.controller.workqueue import BASE_DELAY_S, MAX_DELAY_S, Queue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> Queue[str]:
    return Queue(clock=clock, jitter=lambda: 1.0)


def take_all(queue: Queue[str]) -> list[str]:
    taken = []
    while (key := queue.get(timeout_s=0)) is not None:
        taken.append(key)
        queue.done(key)
    return taken


def test_a_key_added_many_times_waits_once(queue: Queue[str]) -> None:
    for _ in range(100):
        queue.add("auth")
    assert len(queue) == 1
    assert take_all(queue) == ["auth"]


def test_keys_come_in_the_order_they_were_added(queue: Queue[str]) -> None:
    for key in ("auth", "my", "scan", "auth"):
        queue.add(key)
    assert take_all(queue) == ["auth", "my", "scan"]


def test_a_key_added_while_it_is_worked_on_comes_again_and_only_after_that_work(queue: Queue[str]) -> None:
    queue.add("auth")
    assert queue.get(timeout_s=0) == "auth"
    queue.add("auth")
    queue.add("auth")
    assert queue.get(timeout_s=0) is None
    queue.done("auth")
    assert queue.get(timeout_s=0) == "auth"
    queue.done("auth")
    assert queue.get(timeout_s=0) is None


def test_a_key_that_is_worked_on_counts_and_a_delayed_one_does_not(queue: Queue[str]) -> None:
    queue.add("auth")
    queue.get(timeout_s=0)
    queue.add_after("my", 5)
    assert len(queue) == 1
    queue.done("auth")
    assert len(queue) == 0


def test_a_delayed_key_comes_when_its_time_has_come(queue: Queue[str], clock: ManualClock) -> None:
    queue.add_after("auth", 5)
    clock.advance(4.9)
    assert queue.get(timeout_s=0) is None
    clock.advance(0.1)
    assert queue.get(timeout_s=0) == "auth"


def test_delayed_keys_come_in_the_order_of_their_times(queue: Queue[str], clock: ManualClock) -> None:
    queue.add_after("late", 9)
    queue.add_after("early", 1)
    clock.advance(10)
    assert take_all(queue) == ["early", "late"]


def test_the_earlier_of_two_times_counts_and_the_later_is_void(queue: Queue[str], clock: ManualClock) -> None:
    queue.add_after("auth", 5)
    queue.add_after("auth", 1)
    queue.add_after("auth", 9)
    clock.advance(1)
    assert take_all(queue) == ["auth"]
    clock.advance(100)
    assert take_all(queue) == []


def test_a_delay_of_nothing_is_no_delay(queue: Queue[str]) -> None:
    queue.add_after("auth", 0)
    assert take_all(queue) == ["auth"]


def test_back_off_doubles_up_to_a_ceiling_and_starts_again_after_success(queue: Queue[str]) -> None:
    delays = [queue.retry("auth") for _ in range(14)]
    assert delays[:4] == [BASE_DELAY_S, 2 * BASE_DELAY_S, 4 * BASE_DELAY_S, 8 * BASE_DELAY_S]
    assert delays[-1] == MAX_DELAY_S == max(delays)
    queue.forget("auth")
    assert queue.retry("auth") == BASE_DELAY_S


def test_back_off_never_overflows(queue: Queue[str]) -> None:
    for _ in range(2000):
        assert queue.retry("auth") <= MAX_DELAY_S


def test_each_key_has_a_back_off_of_its_own(queue: Queue[str]) -> None:
    for _ in range(5):
        queue.retry("auth")
    assert queue.retry("my") == BASE_DELAY_S


def test_jitter_keeps_half_of_the_back_off(clock: ManualClock) -> None:
    assert Queue[str](clock=clock, jitter=lambda: 0.0).retry("auth") == BASE_DELAY_S / 2


def test_a_pause_the_api_server_asked_for_is_the_least(queue: Queue[str], clock: ManualClock) -> None:
    assert queue.retry("auth", at_least_s=7) == 7
    clock.advance(6.9)
    assert queue.get(timeout_s=0) is None
    clock.advance(0.1)
    assert queue.get(timeout_s=0) == "auth"


def test_a_stopped_queue_gives_and_takes_nothing(queue: Queue[str]) -> None:
    queue.add("auth")
    queue.stop()
    queue.add("my")
    assert queue.get() is None
    assert len(queue) == 1


def test_a_waiting_worker_is_woken_by_an_add_by_a_delayed_add_and_by_the_stop() -> None:
    queue: Queue[str] = Queue()
    taken: list[str | None] = []
    got = threading.Semaphore(0)

    def work() -> None:
        while True:
            key = queue.get()
            taken.append(key)
            got.release()
            if key is None:
                return
            queue.done(key)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    queue.add("auth")
    assert got.acquire(timeout=5)
    queue.add_after("my", 0.005)
    assert got.acquire(timeout=5)
    queue.stop()
    assert got.acquire(timeout=5)
    worker.join(5)
    assert taken == ["auth", "my", None]


def test_get_gives_up_in_time() -> None:
    began = time.monotonic()
    assert Queue[str]().get(timeout_s=0.01) is None
    assert time.monotonic() - began < 5


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "later", "get", "done", "wait"]), st.sampled_from(["a", "b", "c"])),
        max_size=60,
    )
)
def test_no_key_is_lost_doubled_or_in_two_hands(steps: list[tuple[str, str]]) -> None:
    clock = ManualClock()
    queue: Queue[str] = Queue(clock=clock)
    working: set[str] = set()
    owed: set[str] = set()  # asked for and not taken since
    for step, key in steps:
        match step:
            case "add":
                queue.add(key)
                owed.add(key)
            case "later":
                queue.add_after(key, 1)
                owed.add(key)
            case "get":
                taken = queue.get(timeout_s=0)
                if taken is not None:
                    assert taken not in working
                    working.add(taken)
                    owed.discard(taken)
            case "done" if key in working:
                queue.done(key)
                working.discard(key)
            case _:
                clock.advance(1)
    for key in working:
        queue.done(key)
    clock.advance(2)
    rest = take_all(queue)
    assert owed <= set(rest)
    # One that also waited for a later time may come once more, never twice.
    assert len(rest) == len(set(rest))


def test_many_workers_do_all_the_work_and_no_key_is_in_two_hands() -> None:
    queue: Queue[int] = Queue()
    lock = threading.Lock()
    working: set[int] = set()
    clashes = 0
    done: Counter[int] = Counter()
    enough = threading.Event()

    def work() -> None:
        nonlocal clashes
        while (key := queue.get()) is not None:
            with lock:
                clashes += key in working
                working.add(key)
            with lock:
                working.discard(key)
                done[key] += 1
                if len(done) == 300:
                    enough.set()
            queue.done(key)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for worker in workers:
        worker.start()
    for key in range(300):
        queue.add(key)
        queue.add(key % 7)
        queue.add_after(key, 0.001)
    assert enough.wait(10)
    queue.stop()
    for worker in workers:
        worker.join(5)
    assert clashes == 0
    assert set(done) == set(range(300))
