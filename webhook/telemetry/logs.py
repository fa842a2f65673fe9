"""JSON log lines of bounded length on standard output.

Whatever libraries log through `logging`, warnings, and exceptions that nobody caught come out in the same form.
"""

import atexit
import io
import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Final

import orjson
import structlog

from webhook.telemetry.redaction import redact_keys, redact_line, redact_text

GATHERING_S: Final = 0.005
"""How long lines gather: unseen by a reader of logs, and at a thousand reviews a second one write for five of them."""

MOST_GATHERED: Final = 4 * 2**20
"""Bytes of lines kept for a reader that has stopped reading: some ten thousand lines. Beyond that the oldest are
dropped: an answer to a review must not wait for a log."""

MOST_WRITTEN: Final = 64 * 1024
"""Bytes of one write, the size of a pipe: what is joined to be written is no second copy of all that is kept."""


class BatchedWriter:
    """Log lines written in batches by one thread; whoever logs does not wait.

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
            while self._size > MOST_GATHERED:
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


LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("json", "text")

MOST_TEXT: Final = 4096
"""Characters of one text: a traceback of some thirty frames."""

MOST_LINE: Final = 16 * 1024
"""Bytes of one line: what container runtimes (CRI) keep together."""

_MOST_ENTRIES: Final = 64
_MOST_DEPTH: Final = 8


def configure(*, level: str = "info", form: str = "json", stream: BinaryIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: The least level that is written, one of `LEVELS`. Libraries are heard from `warning` on, or at
            `debug` in full.
        form: `json`, or `text` for people at a terminal.
        stream: Where to; standard output by default.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _configure(threshold, form, stream or sys.stdout.buffer)
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(threshold if level == "debug" else max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread


@contextmanager
def beside_a_report() -> Iterator[None]:
    """Write warnings as text to standard error meanwhile: programs read a command's standard output."""
    configured, before = structlog.is_configured(), structlog.get_config()
    # Where standard error is closed nobody is told.
    stream = getattr(sys.stderr, "buffer", None) or io.BytesIO()
    _configure(logging.WARNING, "text", stream)
    try:
        yield
    finally:
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _configure(threshold: int, form: str, stream: BinaryIO) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render_exception,
            redact_keys,
            _bound_event,
            _Text() if form == "text" else _to_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


def batched_logger() -> Any:
    """Give a logger like `structlog.get_logger()` whose lines are written some milliseconds later, by a thread.

    For the one line that every review costs. The thread begins with the call and lives as long as the process.
    """
    if not structlog.is_configured():
        return structlog.get_logger()
    config = structlog.get_config()
    write = BatchedWriter(config["logger_factory"]().info)
    return structlog.wrap_logger(
        _Batched(write),
        processors=config["processors"],
        wrapper_class=config["wrapper_class"],
        cache_logger_on_first_use=True,
    )


class _Batched:
    """What structlog hands rendered lines to."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.info = write


def _render_exception(_logger: object, _method: str, event: Any) -> Any:
    """Write an exception as Python prints it: frames and source lines, never the values of local variables."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    elif isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["exception"] = "".join(traceback.format_exception(raised)).rstrip()
    return event


def _to_json(_logger: object, _method: str, event: Any) -> bytes:
    line = redact_line(_encode(event))
    if len(line) <= MOST_LINE:
        return line
    # Every text in it is short, but there are many: what remains says so.
    known = {name: event[name] for name in ("event", "level", "timestamp") if name in event}
    return redact_line(_encode({**known, "dropped_fields": len(event) - len(known), "dropped_bytes": len(line)}))


def _encode(event: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:
        # orjson refuses lone surrogates (file names, malformed headers) and integers beyond 64 bits. A line must never
        # be the reason why a review fails.
        return json.dumps(event, default=str, skipkeys=True).encode("ascii")


def _bound_event(_logger: object, _method: str, event: Any) -> Any:
    """Cut the texts and collections of an event, at any depth; the event itself is changed."""
    for name, value in event.items():
        if isinstance(value, str):
            if len(value) > MOST_TEXT:
                event[name] = _cut(value)
        elif not isinstance(value, (int, float)):
            event[name] = _bounded(value, _MOST_DEPTH)
    return event


def _cut(text: str, most: int = MOST_TEXT) -> str:
    """Cut a text: its beginning and its end say most, as in a traceback. A credential in it is taken out before."""
    if len(text) <= most:
        return text
    text = redact_text(text)
    return (
        f"{text[: most // 2]}… [{len(text) - most} characters cut] …{text[-(most // 2) :]}"
        if len(text) > most
        else text
    )


def _printable(text: str) -> str:
    """Write control characters, and whatever else cannot be printed, as Python's escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _bounded(value: Any, depth: int) -> Any:
    match value:
        case str():
            return _cut(value)
        case Mapping() | list() | tuple() | set() | frozenset() if depth == 0:
            return f"{len(value)} entries"
        case Mapping():
            return {
                _cut(str(key), MOST_TEXT // 16): _bounded(entry, depth - 1)
                for key, entry in list(value.items())[:_MOST_ENTRIES]
            }
        case list() | tuple() | set() | frozenset():
            return [_bounded(entry, depth - 1) for entry in list(value)[:_MOST_ENTRIES]]
        case _:
            return value


class _Text:
    """Renders a line for people, on whose terminal no text of others may do anything but stand there."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=False)

    def __call__(self, logger: object, method: str, event: Any) -> bytes:
        fields = {name: _printable(value) if isinstance(value, str) else value for name, value in event.items()}
        if "exception" in fields:
            fields["exception"] = "\n".join(_printable(line) for line in event["exception"].split("\n"))
        line = redact_line(self._render(logger, method, fields).encode("utf-8", "backslashreplace"))
        return line if len(line) <= MOST_LINE else _cut(line.decode("utf-8"), MOST_LINE // 4).encode()


class _Bridge(logging.Handler):
    """Hands records of `logging` to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
            )
        except Exception:  # noqa: BLE001 (the contract of logging.Handler: a record that cannot be written is no error)
            self.handleError(record)


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=error)


def _on_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread else ""
        structlog.get_logger().critical("uncaught_exception", thread=name, exc_info=args.exc_value)
