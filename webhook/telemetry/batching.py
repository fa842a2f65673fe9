"""Lines handed to one thread, which writes in one call what has gathered."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

GATHERING_S: Final = 0.005
"""How long lines gather: unseen by a reader of logs, and at a thousand reviews a second one write for five of them."""

MOST_LINES: Final = 20_000
"""Lines kept for a reader that has stopped reading: about 8 MB. Beyond that the oldest are dropped: an answer to a
review must not wait for a log."""


class BatchedWriter:
    """Takes lines without waiting.

    A write lets go of the interpreter's lock, and a thread that answers a review then has to wait for its turn again:
    with eight connections that cost a tenth of the throughput (`make bench`).

    Args:
        write: Writes bytes and ends them with a newline.
        gathering_s: See `GATHERING_S`.
    """

    def __init__(self, write: Callable[[bytes], None], *, gathering_s: float = GATHERING_S) -> None:
        self._write = write
        self._gathering_s = gathering_s
        self._lines: deque[bytes] = deque(maxlen=MOST_LINES)
        self._some = threading.Event()
        self._one_at_a_time = threading.Lock()
        atexit.register(self.flush)
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()

    def __call__(self, line: bytes) -> None:
        """Take a line, without its end."""
        self._lines.append(line)
        if not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Write now what has gathered."""
        with self._one_at_a_time:
            gathered = [self._lines.popleft() for _ in range(len(self._lines))]
            if gathered:
                self._write(b"\n".join(gathered))

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(self._gathering_s)
            self._some.clear()
            try:
                self.flush()
            except (OSError, ValueError):
                # Nobody reads any more, or the stream was closed under us. There is nowhere to say so.
                continue
