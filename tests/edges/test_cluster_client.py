"""One call to the API server: in time, once, with the token of now, and without a word too many in its errors."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.client.configuration import Configuration
from structlog.testing import capture_logs

from tests.edges.cluster_script import Request, Script, scripted, status, steps
from webhook.cluster import connect
from webhook.cluster.access import Unreachable, from_kubeconfig, in_cluster
from webhook.cluster.client import Client
from webhook.cluster.requests import PatchType, Target, Verb
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import (
    ClusterError,
    Deadline,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    Unauthorized,
    Unavailable,
)

GET = Target(verb=Verb.GET, resource="secrets", namespace="a", name="ghcr-secret")
PATCH = Target(verb=Verb.PATCH, resource="secrets", namespace="a", name="ghcr-secret")
CANARY = "CANARY-TOKEN"


def soon() -> Deadline:
    return Deadline.after(5)


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted(lambda request: request.json({"metadata": {}})) as script:
        yield script


def test_connections_are_used_again(script: Script) -> None:
    client = script.client()
    for _ in range(5):
        client.request(GET, soon())
    script.answer = lambda request: request.json(status(404), 404)
    for _ in range(5):
        with pytest.raises(NotFound):
            client.request(GET, soon())
    assert len({request.client for request in script.requests}) == 1


def test_says_who_it_is_and_sends_json(script: Script) -> None:
    script.client(CANARY).request(PATCH, soon(), query={"a": "b c"}, body={"x": 1}, patch_type=PatchType.MERGE)
    (request,) = script.requests
    assert request.headers["User-Agent"].startswith("ghcr-pull-secrets/")
    assert request.headers["Authorization"] == f"Bearer {CANARY}"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["Accept"] == "application/json"
    assert (request.method, request.query, json.loads(request.body)) == ("PATCH", {"a": "b c"}, {"x": 1})


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_refusal_is_not_tried_again(script: Script, code: int) -> None:
    script.answer = lambda request: request.json(status(code), code, Retry_After="1")
    with pytest.raises(Unavailable) as caught:
        script.client().request(GET, soon())
    assert caught.value.code == code
    assert caught.value.retry_after == 1
    assert len(script.requests) == 1


def test_a_redirect_is_not_followed(script: Script) -> None:
    """It could lead the token somewhere else."""
    script.answer = lambda request: request.raw(b"", 302, Location=f"{script.url}/elsewhere")
    with pytest.raises(Unavailable):
        script.client(CANARY).request(GET, soon())
    assert len(script.requests) == 1


def test_without_time_left_nothing_is_asked(script: Script) -> None:
    with pytest.raises(DeadlineExceeded):
        script.client().request(GET, Deadline.after(0))
    assert script.requests == []


def hang_before_headers(script: Script, request: Request) -> None:
    request.hang(script.stopping)


def hang_in_body(script: Script, request: Request) -> None:
    request.begin()
    request.chunk(b"{")
    request.hang(script.stopping)


def drip(script: Script, request: Request) -> None:
    request.begin()
    while not script.stopping.wait(0.05):
        request.chunk(b" ")


def drip_and_promise_to_close(script: Script, request: Request) -> None:
    """Without keep-alive the client's connection object lets go of its socket: no timeout can be set on it."""
    request.begin(Connection="close")
    while not script.stopping.wait(0.05):
        request.chunk(b" ")


@pytest.mark.parametrize("fault", [hang_before_headers, hang_in_body, drip, drip_and_promise_to_close])
def test_every_call_ends_by_its_deadline(script: Script, fault: object) -> None:
    assert callable(fault)
    script.answer = lambda request: fault(script, request)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        script.client().request(GET, Deadline.after(0.3))
    assert 0.25 < time.monotonic() - began < 30  # none of these ends by itself


def test_a_call_that_was_given_up_leaves_no_connection_open(script: Script) -> None:
    closed = threading.Event()

    def answer(request: Request) -> None:
        request.begin()
        try:
            while not script.stopping.wait(0.002):
                request.chunk(b" ")
        except OSError:
            closed.set()

    script.answer = answer
    with pytest.raises(DeadlineExceeded) as held:  # its traceback keeps every local variable alive
        script.client().request(GET, Deadline.after(0.1))
    assert closed.wait(30)
    del held


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"metadata"'])
def test_an_answer_that_is_no_json_is_unavailable(script: Script, body: bytes) -> None:
    script.answer = lambda request: request.raw(body)
    with pytest.raises(Unavailable):
        script.client().request(GET, soon())


def test_a_connection_cut_in_the_middle_is_unavailable(script: Script) -> None:
    script.answer = steps(Request.begin, lambda request: request.chunk(b"{"), Request.reset)
    with pytest.raises(Unavailable):
        script.client().request(GET, soon())


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    def load(configuration: Configuration) -> None:
        configuration.host = url

    with pytest.raises(Unavailable) as caught:
        Client(load).request(GET, soon())
    assert caught.value.failure == ConnectionFailure(fault=ConnectionFault.REFUSED, reason="ECONNREFUSED")


def token_client(script: Script, token_file: Path) -> Client:
    kubeconfig = token_file.with_name("kubeconfig")
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": script.url}}],
                "users": [{"name": "u", "user": {"tokenFile": str(token_file)}}],
            }
        )
    )
    return Client(from_kubeconfig(str(kubeconfig)), source="kubeconfig")


def accept(token: str, script: Script) -> None:
    def answer(request: Request) -> None:
        good = request.headers["Authorization"] == f"Bearer {token}"
        request.json({"metadata": {}} if good else status(401), 200 if good else 401)

    script.answer = answer


def test_a_rotated_token_is_read_again_at_once_after_a_401(script: Script, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = token_client(script, token)
    accept("old", script)
    client.request(GET, soon())
    accept("new", script)
    token.write_text("new\n")
    with capture_logs() as logs:
        client.request(GET, soon())
    assert [request.headers["Authorization"] for request in script.requests] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]
    assert [log["event"] for log in logs] == ["token_reloaded"]


def test_a_token_that_is_refused_but_not_replaced_is_tried_once_only(script: Script, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = token_client(script, token)
    accept("new", script)
    with pytest.raises(Unauthorized):
        client.request(GET, soon())
    assert len(script.requests) == 1


def test_a_token_file_that_is_gone_is_unauthorized(script: Script, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = token_client(script, token)
    accept("new", script)
    token.unlink()
    with pytest.raises(Unauthorized):
        client.request(GET, soon())


def test_many_threads_with_a_rotated_token_all_succeed(script: Script, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    client = token_client(script, token)
    token.write_text("new")
    accept("new", script)
    errors: list[ClusterError] = []

    def ask() -> None:
        try:
            client.request(GET, soon())
        except ClusterError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert errors == []


@pytest.mark.parametrize("token", [f"{CANARY}\nX: y", f"{CANARY}é", f"{CANARY}\x00"])
def test_a_token_that_is_no_header_value_is_refused_without_showing_it(script: Script, token: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        script.client(token).request(GET, soon())
    assert CANARY not in str(caught.value) + repr(caught.getrepr(style="long"))
    assert script.requests == []


def test_neither_token_nor_body_is_in_an_error_or_its_traceback(script: Script) -> None:
    """A traceback can be printed with its chain; what lies beneath must not be in it."""
    script.answer = lambda request: request.raw(CANARY.encode(), 403)
    with pytest.raises(Forbidden) as caught:
        script.client(CANARY).request(PATCH, soon(), body={"data": CANARY})
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert CANARY not in str(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "a: [", "clusters: 7", "current-context: x\ncontexts: []\nclusters: []\n", "\x00"]
)
def test_an_unusable_kubeconfig_is_one_kind_of_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Unreachable) as caught:
        connect(str(path))
    assert caught.value.source == str(path)


def test_a_kubeconfig_given_for_its_path_is_not_shown() -> None:
    with pytest.raises(Unreachable) as caught:
        connect(f"users:\n- user: {{token: {CANARY}}}\n")
    assert CANARY not in str(caught.value) + caught.value.source


def test_outside_of_a_cluster_and_without_kubeconfig_there_is_nothing_to_connect_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Unreachable) as caught:
        connect(None)
    assert caught.value.source == "in-cluster"


def test_in_a_cluster_the_mounted_token_and_ca_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mounted")
    (tmp_path / "ca.crt").write_text("not looked at before the first connection")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    configuration = Configuration()
    in_cluster(str(tmp_path / "token"), str(tmp_path / "ca.crt"))(configuration)
    assert configuration.host == "https://[::1]:443"
    assert configuration.ssl_ca_cert == str(tmp_path / "ca.crt")
    assert configuration.get_api_key_with_prefix("BearerToken") == "bearer mounted"


def test_every_request_is_reported_with_its_code_or_none(script: Script) -> None:
    told: list[tuple[str, str, int]] = []
    client = script.client()
    client.on_request(lambda verb, resource, code: told.append((verb, resource, code)))
    client.request(GET, soon())
    script.answer = lambda request: request.json(status(503), 503)
    with pytest.raises(Unavailable):
        client.request(PATCH, soon(), body={})
    script.answer = Request.reset
    with pytest.raises(Unavailable):
        client.request(GET, soon())
    assert told == [("get", "secrets", 200), ("patch", "secrets", 503), ("get", "secrets", 0)]
