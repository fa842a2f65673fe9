"""Log lines: their form, who may write them, and that no credential is in one."""

import io
import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.e2e.machinery.waiting import until
from tests.edges.server_double import logging_restored
from webhook.telemetry import logs
from webhook.telemetry.logs import MOST_LINE, MOST_TEXT
from webhook.telemetry.redaction import REDACTED, redact_line

TOKEN = "CANARYcanary0123456789canaryCANARY42"
JWT = f"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.{TOKEN}"

CREDENTIALS = [
    f"Authorization: Bearer {TOKEN}",
    f"authorization: basic {TOKEN}",
    f"got ghp_{TOKEN}",
    f"got github_pat_{TOKEN}",
    f"token {JWT} refused",
    f"https://robot:{TOKEN}@ghcr.io/v2/",
    f'{{"auths": {{"ghcr.io": {{"auth": "{TOKEN}"}}}}}}',
    f'{{"password":"{TOKEN}","username":"robot"}}',
    f"-----BEGIN EC PRIVATE KEY-----\n{TOKEN}\n-----END EC PRIVATE KEY-----",
]


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    stream = io.BytesIO()
    with logging_restored():
        logs.configure(stream=stream)
        yield stream


def lines(out: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_json_object_on_one_line(out: io.BytesIO) -> None:
    structlog.get_logger().info("review_answered", uid="u", text="two\nlines")
    [line] = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "review_answered", "level": "info", "uid": "u", "text": "two\nlines"}


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.BytesIO()
    with logging_restored():
        logs.configure(level="warning", stream=out)
        structlog.get_logger().info("quiet")
        logging.getLogger("urllib3").info("quiet")
        structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_libraries_are_heard_from_warning_on_and_in_full_at_debug(out: io.BytesIO) -> None:
    for stream, level, expected in ((out, "info", ["bad 7"]), (io.BytesIO(), "debug", ["tiny", "bad 7"])):
        logs.configure(level=level, stream=stream)
        logging.getLogger("urllib3").debug("tiny")
        logging.getLogger("urllib3").warning("bad %d", 7)
        assert [line["event"] for line in lines(stream)] == expected
        assert lines(stream)[-1]["logger"] == "urllib3"


def test_warnings_and_uncaught_exceptions_come_in_the_same_form(out: io.BytesIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)

    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="watcher")
    thread.start()
    thread.join()
    error = KeyError("at the top")
    sys.excepthook(KeyError, error, None)
    warned, threaded, top = lines(out)
    assert "old" in warned["event"]
    assert (threaded["event"], threaded["thread"]) == ("uncaught_exception", "watcher")
    assert "ValueError: in a thread" in threaded["exception"]
    assert "KeyError: 'at the top'" in top["exception"]


def test_an_exception_is_written_with_its_causes_and_without_local_values(out: io.BytesIO) -> None:
    def fail(password: str) -> None:
        try:
            _ = dict[int, str]()[len(password)]
        except KeyError as error:
            raise RuntimeError("outer") from error

    try:
        fail("hunter2" + TOKEN)
    except RuntimeError:
        structlog.get_logger().exception("failed")
        logging.getLogger("lib").exception("failed too")
    for line in lines(out):
        assert "KeyError: 43" in line["exception"]
        assert "RuntimeError: outer" in line["exception"]
        assert TOKEN not in json.dumps(line)


@pytest.mark.parametrize("value", ["lone \ud800 surrogate", 2**70], ids=["surrogate", "big"])
def test_a_value_the_fast_encoder_refuses_is_written_all_the_same(out: io.BytesIO, value: object) -> None:
    structlog.get_logger().info("odd", value=value, other=object)
    assert lines(out)[0]["value"] == value


@pytest.mark.parametrize(
    "key", ["password", "auth", "token", "data", "Authorization", ".dockerconfigjson", "stringData", "payload"]
)
def test_a_value_under_a_secret_key_is_not_written_at_any_depth(out: io.BytesIO, key: str) -> None:
    structlog.get_logger().info("e", **{key: TOKEN, "nested": {"deep": [{key: TOKEN}]}})
    assert TOKEN not in out.getvalue().decode()
    [line] = lines(out)
    assert line[key] == REDACTED
    assert line["nested"]["deep"][0][key] == REDACTED


def test_bytes_are_never_written(out: io.BytesIO) -> None:
    structlog.get_logger().info("e", body=TOKEN.encode(), bodies=[TOKEN.encode()])
    [line] = lines(out)
    assert (line["body"], line["bodies"]) == ("36 bytes", ["36 bytes"])


@pytest.mark.parametrize("text", CREDENTIALS)
@pytest.mark.parametrize("form", logs.FORMATS)
def test_what_looks_like_a_credential_is_cut_out_of_any_text(text: str, form: str) -> None:
    out = io.BytesIO()
    with logging_restored():
        logs.configure(stream=out, form=form)
        structlog.get_logger().warning("library said", text=text, more={"text": [text]})
        logging.getLogger("lib").error(text)
    assert TOKEN not in out.getvalue().decode()
    assert REDACTED in out.getvalue().decode()
    if form == "json":
        assert len(lines(out)) == 2


def test_ordinary_words_stay(out: io.BytesIO) -> None:
    words = {
        "namespace": "auth",
        "name": "password-reset",
        "image": "ghcr.io/sesacthon/auth-api:latest",
        "url": "https://127.0.0.1:6443/api/v1/secrets?watch=1",
        "text": "the token expires; basic checks passed",
    }
    structlog.get_logger().info("e", **words)
    [line] = lines(out)
    assert {key: line[key] for key in words} == words


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_batched_logger_writes_the_same_line(form: str) -> None:
    direct, batched = io.BytesIO(), io.BytesIO()
    with logging_restored():
        logs.configure(stream=direct, form=form)
        structlog.get_logger().info("e", name=f"ghp_{TOKEN}", other=7)
        logs.configure(stream=batched, form=form)
        logs.batched_logger().info("e", name=f"ghp_{TOKEN}", other=7)
        logs.configure(stream=batched, form=form, level="error")
        logs.batched_logger().info("e", name="below the level")
        until(lambda: batched.getvalue().endswith(b"\n"), "the line is written")
    if form == "json":
        [one], [other] = lines(direct), lines(batched)
        assert len(one.pop("timestamp")) == len(other.pop("timestamp"))
        assert one == other
    else:
        assert direct.getvalue()[27:] == batched.getvalue()[27:]


def test_a_batched_logger_does_without_configure() -> None:
    with structlog.testing.capture_logs() as captured:
        logs.batched_logger().info("e", name="n", other=7)
    assert captured == [{"event": "e", "log_level": "info", "name": "n", "other": 7}]


_PIECES = [
    "eyj", "eyj.", "eyJhbGciOi.", "ghp_", "github_pat_", "bearer ", "basic a", "://", "://a:", "://a:b@", '"auth":"', '\\"auth\\":\\"',
    "-----begin private key-----", "-----end private key-----", "a.b", "-", "x", "a" * 12, "@", "\n", " ",
]  # fmt: skip


@pytest.mark.parametrize("piece", _PIECES)
def test_looking_for_credentials_takes_time_in_proportion_to_the_line(piece: str) -> None:
    assert_linear(piece)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8))
def test_doubling_any_text_does_not_square_the_time(parts: list[str]) -> None:
    assert_linear("".join(parts))


def assert_linear(piece: str) -> None:
    """Double a line four times: a linear search takes 16 times as long, a quadratic one 256 times; between is air."""

    def seconds(size: int) -> float:
        # The first one's mark is what lets the search begin.
        line = b"eyj " + (piece * (size // len(piece) + 1)).encode()[:size]
        begun = time.thread_time()
        redact_line(line)
        return time.thread_time() - begun

    small = max(min(seconds(10_000) for _ in range(3)), 0.0001)
    # The best of three, of which the second is needed only where something else took the first one's time.
    assert any(seconds(160_000) < 16 * 6 * small for _ in range(3))


@pytest.mark.parametrize("before", ["", "bad:\n", "x", "token=", "eyj eyjeyj."])
def test_a_token_behind_anything_is_found(out: io.BytesIO, before: str) -> None:
    structlog.get_logger().info("e", text=f"{before}{JWT} after")
    assert TOKEN not in out.getvalue().decode()
    assert "after" in lines(out)[0]["text"]


@pytest.mark.slow
@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 10**7},
        {"more": {"deep": ["x" * 10**6] * 100}},
        {"more": [[[[[[[[[[[["x"]]]]]]]]]]]]},
        {f"f{number}": "y" * 4000 for number in range(500)},
        {"many": ["z"] * 10**6},
        {"odd": {"k" * 10**6: "v"}},
    ],
    ids=["text", "deep", "deeper", "fields", "entries", "key"],
)
def test_no_line_is_longer_than_its_bound(form: str, fields: dict[str, Any]) -> None:
    out = io.BytesIO()
    with logging_restored():
        logs.configure(stream=out, form=form)
        structlog.get_logger().warning("much", **fields)
        logs.batched_logger().info("batched", name="n" * 10**6)
        until(lambda: b"batched" in out.getvalue(), "the line is written")
    for line in out.getvalue().splitlines():
        assert len(line) <= MOST_LINE
    assert b"much" in out.getvalue()


def test_a_credential_at_the_edge_of_a_cut_is_not_half_written(out: io.BytesIO) -> None:
    for offset in range(0, 60, 7):
        structlog.get_logger().info("e", text="x " * (MOST_TEXT // 4 - offset // 2) + JWT + " y" * MOST_TEXT)
        structlog.get_logger().info("e", text="x " * (MOST_TEXT // 4 - offset // 2) + f"ghp_{TOKEN}" + " y" * MOST_TEXT)
    text = out.getvalue().decode()
    assert "CANARY" not in text
    assert "eyJ" not in text
    assert "characters cut" in text


def test_text_for_people_holds_no_control_character() -> None:
    out = io.BytesIO()
    evil = "a\x1b[2Jb\rc\nuncaught_exception d\x9b\u202e\x00"
    with logging_restored():
        logs.configure(stream=out, form="text")
        structlog.get_logger().info("e", name=evil, more={evil: [evil]})
        logging.getLogger("lib").warning(evil)
        structlog.get_logger().error("failed", exc_info=ValueError(evil))
    text = out.getvalue().decode()
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    assert r"\x1b[2Jb\rc\nuncaught_exception" in text
    first_two = text.splitlines()[:2]
    assert ["info" in first_two[0], "warning" in first_two[1]] == [True, True]


@pytest.mark.parametrize("configured", [True, False])
def test_beside_a_report_warnings_go_to_standard_error_and_nothing_to_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes], configured: bool
) -> None:
    with logging_restored():
        if configured:
            logs.configure(level="debug", stream=io.BytesIO())
        before, was = structlog.get_config(), structlog.is_configured()
        with logs.beside_a_report():
            log = structlog.get_logger()
            log.info("token_reloaded")
            log.warning("pod_too_large", name="x")
        assert (structlog.get_config(), structlog.is_configured()) == (before, was)
    said = capfdbinary.readouterr()

    assert (said.out, b"pod_too_large" in said.err, b"token_reloaded" in said.err) == (b"", True, False)


def test_beside_a_report_a_closed_standard_error_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with logs.beside_a_report():
        structlog.get_logger().warning("pod_too_large")
