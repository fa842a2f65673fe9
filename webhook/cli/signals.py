"""SIGTERM and SIGINT as a threading event."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that either signal sets; on leaving, the handlers are as they were. Main thread only.

    A handler runs in the main thread, between any two of its instructions. If that thread is just then about to wait
    for the event it holds the event's lock, which `set` needs as well: to set it there would now and then hang the
    process. So the handler only puts into a `SimpleQueue`, the one container that allows that, and a thread does the
    rest.
    """
    stop = threading.Event()
    arrived: SimpleQueue[int | None] = SimpleQueue()

    def pass_on() -> None:
        if arrived.get() is not None:
            stop.set()

    thread = threading.Thread(target=pass_on, name="signals", daemon=True)
    thread.start()
    before = {number: signal.signal(number, lambda number, _: arrived.put(number)) for number in _STOPPING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        arrived.put(None)
        thread.join()
