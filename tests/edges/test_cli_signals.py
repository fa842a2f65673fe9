"""Signals that stop the controller."""

import os
import signal
import threading

import pytest

from webhook.cli.controller_process import stopped_by_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_stops_even_if_it_comes_while_the_event_is_locked(number: int) -> None:
    with stopped_by_signals() as stop:
        # Where the main thread is for a moment in each `wait`; a test cannot hit that moment otherwise.
        with stop._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), number)
        assert stop.wait(10)


def test_several_signals_stop_once() -> None:
    with stopped_by_signals() as stop:
        for number in NUMBERS:
            os.kill(os.getpid(), number)
        assert stop.wait(10)


def test_afterwards_the_handlers_are_as_they_were_and_no_thread_is_left() -> None:
    before, threads = [signal.getsignal(number) for number in NUMBERS], threading.active_count()

    with stopped_by_signals() as stop:
        assert [signal.getsignal(number) for number in NUMBERS] != before

    assert not stop.is_set()
    assert [signal.getsignal(number) for number in NUMBERS] == before
    assert threading.active_count() == threads
