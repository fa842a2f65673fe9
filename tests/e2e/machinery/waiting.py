"""Waiting for what has to come true."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(probe: Callable[[], Found], what: str, *, timeout_s: float = 20, every_s: float = 0.05) -> Found:
    """Call `probe` until what it returns is true, and return that.

    Raises:
        AssertionError: It did not come true in time; with the last error, if it raised one.
    """
    give_up = time.monotonic() + timeout_s
    error: Exception | None = None
    while True:
        try:
            found = probe()
            if found:
                return found
            error = None
        except (AssertionError, LookupError, OSError, ValueError) as failed:
            error = failed
        if time.monotonic() > give_up:
            raise AssertionError(f"{what} did not come true within {timeout_s} s" + (f": {error}" if error else ""))
        time.sleep(every_s)
