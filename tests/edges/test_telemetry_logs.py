"""Log lines: their form, who may write them, and that no credential is in one."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.edges.server_double import logging_restored
from webhook.telemetry import logs
from webhook.telemetry.redaction import REDACTED

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


@pytest.mark.parametrize("text", CREDENTIALS)
def test_the_fast_writer_cuts_credentials_out_of_what_is_others(text: str) -> None:
    out = io.BytesIO()
    with logging_restored():
        logs.configure(stream=out)
        logs.line_writer("e")({"name": text}, {"half": "mutate"})
    assert TOKEN not in out.getvalue().decode()


@pytest.mark.parametrize("form", logs.FORMATS)
def test_the_fast_writer_writes_the_same_line(form: str) -> None:
    slow, fast = io.BytesIO(), io.BytesIO()
    with logging_restored():
        logs.configure(stream=slow, form=form)
        structlog.get_logger().info("e", name=f"ghp_{TOKEN}", other=7)
        logs.configure(stream=fast, form=form)
        logs.line_writer("e")({"name": f"ghp_{TOKEN}"}, {"other": 7})
        logs.configure(stream=fast, form=form, level="error")
        logs.line_writer("e")({"name": "below the level"}, {})
    if form == "json":
        [one], [other] = lines(slow), lines(fast)
        assert len(one.pop("timestamp")) == len(other.pop("timestamp"))
        assert one == other
    else:
        assert slow.getvalue()[27:] == fast.getvalue()[27:]


def test_the_fast_writer_does_without_configure() -> None:
    with structlog.testing.capture_logs() as captured:
        logs.line_writer("e")({"name": "n"}, {"other": 7})
    assert captured == [{"event": "e", "log_level": "info", "name": "n", "other": 7}]
