"""Log lines written in batches by one thread."""

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

GATHERING_S: Final = 0.005
"""How long lines gather: unseen by a reader of logs, and at a thousand reviews a second one write for five of them."""

MOST_BYTES: Final = 4 * 2**20
"""Of lines kept for a reader that has stopped reading, some ten thousand. Beyond that the oldest are dropped: an answer
to a review must not wait for a log."""

MOST_WRITTEN: Final = 64 * 1024
"""Bytes of one write, the size of a pipe: what is joined to be written is no second copy of all that is kept."""


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
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._change = threading.Lock()
        self._some = threading.Event()
        self._one_at_a_time = threading.Lock()
        atexit.register(self.flush)
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()

    def __call__(self, line: bytes) -> None:
        """Take a line, without its end."""
        with self._change:
            self._lines.append(line)
            self._size += len(line)
            while self._size > MOST_BYTES:
                self._size -= len(self._lines.popleft())
        if not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Write now what has gathered."""
        with self._one_at_a_time:
            while batch := self._batch():
                self._write(b"\n".join(batch))

    def _batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        with self._change:
            while self._lines and (not batch or size + len(self._lines[0]) <= MOST_WRITTEN):
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            self._size -= size
        return batch

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
