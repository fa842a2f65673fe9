"""Log lines written in batches by one thread: in order, each once, and none kept for ever."""

import subprocess
import sys
import threading

import pytest

from tests.e2e.machinery.waiting import until
from webhook.telemetry.logs import MOST_GATHERED, MOST_WRITTEN, BatchedWriter

pytestmark = pytest.mark.processes


def test_lines_are_written_soon_in_order_and_several_at_once() -> None:
    written: list[bytes] = []
    writer = BatchedWriter(written.append)
    for number in range(100):
        writer(b"%d" % number)
    until(lambda: b"\n".join(written).split(b"\n") == [b"%d" % number for number in range(100)], "all are written")
    assert len(written) < 100


def test_lines_of_many_threads_are_all_written_once() -> None:
    written: list[bytes] = []
    writer = BatchedWriter(written.append, gathering_s=0.0001)

    def write(name: int) -> None:
        for number in range(500):
            writer(b"%d-%d" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.flush()
    assert sorted(b"\n".join(written).split(b"\n")) == sorted(b"%d-%d" % (a, b) for a in range(8) for b in range(500))


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_reader_that_is_gone_ends_nothing(error: type[Exception]) -> None:
    written: list[bytes] = []
    broken = threading.Event()

    def write(lines: bytes) -> None:
        if not broken.is_set():
            broken.set()
            raise error
        written.append(lines)

    writer = BatchedWriter(write, gathering_s=0)
    writer(b"lost")
    assert broken.wait(30)
    writer(b"kept")
    until(lambda: written == [b"kept"], "the next line is written")


def test_lines_nobody_takes_are_dropped_and_not_kept_for_ever() -> None:
    held, written = threading.Event(), list[bytes]()

    def write(lines: bytes) -> None:
        held.wait(10)
        written.append(lines)

    writer = BatchedWriter(write, gathering_s=0)
    writer(b"first")
    until(lambda: writer._size == 0, "the first line is being written")
    size = 1024
    for number in range(2 * MOST_GATHERED // size):
        writer(b"%d".ljust(size) % number)
    assert MOST_GATHERED - 2 * size < writer._size <= MOST_GATHERED
    held.set()
    until(lambda: b"".join(written).count(b"\n") > 0 and writer._size == 0, "the rest is written")
    assert max(map(len, written)) <= 2 * MOST_WRITTEN
    until(lambda: written[-1].split()[-1] == b"%d" % (2 * MOST_GATHERED // size - 1), "the newest line is among them")
    assert b"0" not in written[1].split()


def test_what_has_gathered_is_written_when_the_process_ends() -> None:
    program = (
        "import sys; from webhook.telemetry.logs import BatchedWriter; "
        "writer = BatchedWriter(lambda lines: sys.stdout.buffer.write(lines + b'\\n'), gathering_s=60); "
        "writer(b'last'); writer(b'words')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=30)
    assert done.stdout == b"last\nwords\n"
