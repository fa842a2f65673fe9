"""Every name of gunicorn's that the server uses and its documentation does not promise: an update says what has gone."""

import inspect
from pathlib import Path

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import Response, create
from gunicorn.workers.base import Worker

import webhook
from webhook.server import gthread


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_worker_has_what_ours_builds_on() -> None:
    assert parameters(Worker.__init__) == ["self", "age", "ppid", "sockets", "app", "timeout", "cfg", "log"]
    assert parameters(Worker.handle_exit) == ["self", "sig", "frame"]
    assert parameters(Worker.run) == parameters(Worker.notify) == ["self"]
    source = inspect.getsource(Worker)
    for name in ("self.PIPE", "self.alive", "self.ppid", "self.sockets", "self.app", "self.cfg", "self.wsgi"):
        assert f"{name} = " in source, name
    assert "signal.set_wakeup_fd(self.PIPE[1])" in source
    assert "signal.signal(signal.SIGTERM, self.handle_exit)" in source


def test_requests_and_answers_have_what_ours_build_on() -> None:
    assert parameters(Request.__init__) == ["self", "cfg", "unreader", "peer_addr", "req_number"]
    assert parameters(Request.force_close) == ["self"]
    assert parameters(IterUnreader.__init__) == ["self", "iterable"]
    assert parameters(create)[:5] == ["req", "sock", "client", "server", "cfg"]
    assert "_expected_100_continue" in inspect.getsource(create)
    for name in ("start_response", "write", "close", "should_close"):
        assert callable(getattr(Response, name)), name


def test_what_is_told_that_it_listens_knows_where() -> None:
    assert Arbiter.LISTENERS == []
    assert "self.LISTENERS = sock.create_sockets(" in inspect.getsource(Arbiter)


def test_the_log_has_what_ours_replaces() -> None:
    assert parameters(Logger.setup) == ["self", "cfg"]
    assert "self.error_log = " in inspect.getsource(Logger.__init__)
    assert parameters(Logger.access) == ["self", "resp", "req", "environ", "request_time"]


@pytest.mark.parametrize("package", ["gunicorn.workers", "gunicorn.http", "LISTENERS"])
def test_no_other_module_knows_them(package: str) -> None:
    folder = Path(webhook.__file__).parent
    knowing = {path for path in folder.rglob("*.py") if package in path.read_text(encoding="utf-8")}
    assert knowing == {Path(gthread.__file__)}
