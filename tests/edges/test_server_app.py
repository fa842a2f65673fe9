"""The HTTP contract of `/mutate` and `/validate`: answers, and a `v1` `Status` for everything that is none."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.edges.server_double import Double, logging_restored, review
from webhook.core.review import BadReview
from webhook.core.workloads import MalformedObject
from webhook.ports import ClusterError, DeadlineExceeded, Forbidden, Unauthorized, Unavailable
from webhook.server.app import create_app
from webhook.server.limits import MIB, derive
from webhook.server.request import ENVIRON_KEY, Visit, parse_go_duration, review_seconds
from webhook.telemetry import logs
from webhook.telemetry.metrics import Metrics

LIMIT = 4096
LIMITS = derive(memory_bytes=256 * MIB, threads=16, body_bytes=LIMIT)


class Harness:
    """The app with a double behind it, its lines and its figures."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        logs.configure(stream=self.out)
        self.double = Double()
        self.metrics = Metrics(version="test")
        self.client: FlaskClient = create_app(self.double, self.metrics, limits=LIMITS).test_client()

    def post(self, path: str = "/mutate", body: object = None, content_type: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(review() if body is None else body).encode()
        return self.client.post(path, data=data, content_type=content_type)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"ghcr_pull_secrets_{name}", labels)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
def harness() -> Harness:
    return Harness()


def assert_status(response: Any, code: int, reason: str) -> str:
    body = response.get_json()
    assert response.status_code == code
    assert response.headers["Content-Type"] == "application/json"
    assert (body["apiVersion"], body["kind"], body["status"]) == ("v1", "Status", "Failure")
    assert (body["code"], body["reason"]) == (code, reason)
    return str(body["message"])


def test_each_half_answers_its_own_path(harness: Harness) -> None:
    mutated = harness.post("/mutate").get_json()
    assert (mutated["apiVersion"], mutated["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert mutated["response"]["uid"] == "u-1"
    assert json.loads(base64.b64decode(mutated["response"]["patch"]))[0]["op"] == "add"
    validated = harness.post("/validate").get_json()
    assert validated["response"] == {"uid": "u-1", "allowed": True, "warnings": ["careful"]}
    assert [half for half, _, _ in harness.double.seen] == ["mutate", "validate"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken_with_parameters_and_in_any_case(harness: Harness, content_type: str) -> None:
    assert harness.post(content_type=content_type).status_code == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonx", "application/yaml", ";"])
def test_another_content_type_is_415(harness: Harness, content_type: str) -> None:
    assert_status(harness.post(content_type=content_type), 415, "UnsupportedMediaType")
    assert harness.value("review_errors_total", half="mutate", kind="bad_content_type") == 1


def test_a_body_of_exactly_the_limit_is_read_and_one_more_byte_is_413(harness: Harness) -> None:
    body = json.dumps(review()).encode()
    assert harness.post(body=body + b" " * (LIMIT - len(body))).status_code == 200
    assert_status(harness.post(body=body + b" " * (LIMIT + 1 - len(body))), 413, "RequestEntityTooLarge")
    assert harness.value("review_errors_total", half="mutate", kind="body_too_large") == 1


def test_a_body_of_unknown_length_is_refused(harness: Harness) -> None:
    response = harness.client.post(
        "/mutate",
        input_stream=io.BytesIO(json.dumps(review()).encode()),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert_status(response, 411, "")


def test_a_body_that_ends_early_is_the_peers_doing(harness: Harness) -> None:
    response = harness.client.post(
        "/mutate",
        input_stream=io.BytesIO(b"{"),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "500"},
    )
    assert_status(response, 400, "BadRequest")
    assert harness.value("review_errors_total", half="mutate", kind="client_gone") == 1


@pytest.mark.parametrize("length", ["x", "-1", "１"])
def test_a_length_that_is_no_number_is_400(harness: Harness, length: str) -> None:
    response = harness.client.post(
        "/mutate", data=b"{}", content_type="application/json", environ_overrides={"CONTENT_LENGTH": length}
    )
    assert_status(response, 400, "BadRequest")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "got array"),
        ({}, "apiVersion"),
        (review(uid=""), "request.uid"),
        (review(operation=7), "request.operation"),
        (review(object=[]), "request.object"),
        ({**review(), "apiVersion": "admission.k8s.io/v1beta1"}, "apiVersion"),
    ],
)
def test_what_is_no_review_is_400_and_the_field_is_named(harness: Harness, body: object, names: str) -> None:
    assert names in assert_status(harness.post(body=body), 400, "BadRequest")
    assert harness.value("review_errors_total", half="mutate", kind="bad_request") == 1
    assert harness.value("reviews_total", half="mutate", outcome="error", reason="bad_request") == 1


def test_a_review_that_comes_too_late_to_be_answered_in_time_is_an_error_and_no_decision(harness: Harness) -> None:
    assert "the time to answer is over" in assert_status(harness.post("/mutate?timeout=10ms"), 500, "InternalError")
    assert not harness.double.seen
    assert harness.value("review_errors_total", half="mutate", kind="overloaded") == 1
    assert harness.post("/mutate?timeout=1s").status_code == 200


def test_a_body_there_is_no_memory_for_is_an_error_and_no_decision(harness: Harness) -> None:
    response = harness.client.post(
        "/mutate",
        data=json.dumps(review()).encode(),
        content_type="application/json",
        environ_overrides={ENVIRON_KEY: Visit(no_room=True)},
    )
    assert "too many bodies are being received" in assert_status(response, 500, "InternalError")
    assert harness.value("review_errors_total", half="mutate", kind="overloaded") == 1


def test_a_line_waits_for_the_loop_to_send_the_answer_and_the_review_is_counted_before(harness: Harness) -> None:
    visit = Visit(may_wait=True)
    harness.client.post(
        "/mutate",
        data=json.dumps(review()).encode(),
        content_type="application/json",
        environ_overrides={ENVIRON_KEY: visit},
    )
    assert harness.value("review_duration_seconds_count", half="mutate") == 1
    assert visit.review is None
    assert harness.lines() == []
    visit.write_log_line()
    visit.write_log_line()
    assert [line["event"] for line in harness.lines()] == ["review_answered"]


def test_reviews_of_one_namespace_or_of_none_do_not_keep_us_from_looking_at_ourselves(harness: Harness) -> None:
    looked: list[Any] = []

    def look(visit: Visit, body: dict[str, Any]) -> int:
        response = harness.client.post(
            "/validate",
            data=json.dumps(body).encode(),
            content_type="application/json",
            environ_overrides={ENVIRON_KEY: visit},
        )
        return int(response.status_code)

    class Busy:
        """While one review is decided on, others come."""

        def mutate(self, inner: Any, deadline: Any) -> Any:
            if inner.name == f"deep-{LIMITS.namespace_threads}":
                looked.append(look(Visit(), review(namespace="")))
                looked.append(look(Visit(quiet=True), review(namespace="")))
            else:
                depth = int(inner.name.partition("-")[2])
                harness.post("/mutate", review(f"deep-{depth + 1}", namespace=""))
            return harness.double.mutate(inner, deadline)

        def validate(self, inner: Any, deadline: Any) -> Any:
            return harness.double.validate(inner, deadline)

    harness.client = create_app(Busy(), harness.metrics, limits=LIMITS).test_client()
    harness.post("/mutate", review("deep-1", namespace=""))
    assert looked == [500, 200]
    # It is neither counted nor logged.
    assert harness.value("review_duration_seconds_count", half="validate") in (0, 1)
    assert [line["half"] for line in harness.lines()].count("validate") == 1


def raising(error: Exception) -> Any:
    def decide(*_: object) -> Any:
        raise error

    return decide


def answer_to(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[Harness, Any]:
    monkeypatch.setattr(Double, "_act", staticmethod(raising(error)))
    harness = Harness()
    return harness, harness.post()


def test_a_malformed_object_is_400_and_the_pointer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    harness, response = answer_to(monkeypatch, MalformedObject("/spec/containers", "expected an array, got string"))
    assert "request.object/spec/containers: expected an array" in assert_status(response, 400, "BadRequest")
    line = harness.lines()[-1]
    assert (line["event"], line["uid"], line["kind"]) == ("review_failed", "u-1", "malformed_object")


def test_a_review_found_bad_after_parsing_keeps_its_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    harness, response = answer_to(monkeypatch, BadReview("request.namespace", "must not be empty"))
    assert_status(response, 400, "BadRequest")
    assert harness.lines()[-1]["uid"] == "u-1"


@pytest.mark.parametrize("kind", [Unavailable, DeadlineExceeded, Unauthorized, Forbidden])
def test_a_fact_that_cannot_be_read_is_an_error_and_no_decision(
    monkeypatch: pytest.MonkeyPatch, kind: type[ClusterError]
) -> None:
    harness, response = answer_to(monkeypatch, kind("get", "secrets", "apps", "ghcr-secret"))
    assert "get secrets apps/ghcr-secret" in assert_status(response, 500, "InternalError")
    assert harness.value("review_errors_total", half="mutate", kind="cluster") == 1
    assert harness.value("reviews_total", half="mutate", outcome="error", reason="error") == 1


def test_the_unexpected_is_caught_once_with_traceback_and_uid_and_without_values(harness: Harness) -> None:
    message = assert_status(harness.post("/validate", review("boom", uid="u-9")), 500, "InternalError")
    assert "u-9" in message
    assert "bug" not in message
    [line] = harness.lines()
    assert (line["event"], line["uid"], line["level"], line["half"]) == ("review_failed", "u-9", "error", "validate")
    assert "RuntimeError: a bug" in line["exception"]
    assert "x" * 30 not in harness.out.getvalue().decode()
    assert harness.value("review_errors_total", half="validate", kind="internal") == 1
    assert harness.value("reviews_in_flight", half="validate") == 0


def test_another_path_is_404_and_another_method_405(harness: Harness) -> None:
    assert_status(harness.client.get("/"), 404, "NotFound")
    for response in (harness.client.get("/mutate"), harness.client.options("/mutate")):
        assert_status(response, 405, "MethodNotAllowed")
        assert response.headers["Allow"] == "POST"


def test_a_review_is_one_line_one_count_and_one_duration(harness: Harness) -> None:
    harness.post("/mutate", review("", object={"metadata": {"generateName": "api-"}}, dryRun=True))
    [line] = harness.lines()
    assert line.pop("duration_s") >= 0
    assert line.pop("timestamp")
    assert line == {
        "event": "review_answered",
        "level": "info",
        "half": "mutate",
        "uid": "u-1",
        "operation": "CREATE",
        "kind": "Pod",
        "namespace": "apps",
        "name": "api-*",
        "dry_run": True,
        "reason": "injected",
        "outcome": "patched",
        "provisioning": "created",
    }
    assert harness.value("reviews_total", half="mutate", outcome="patched", reason="injected") == 1
    assert harness.value("review_duration_seconds_count", half="mutate") == 1


def test_an_endless_name_is_refused_and_makes_no_endless_line(harness: Harness) -> None:
    assert "request.name" in assert_status(harness.post("/mutate", review("n" * 1000)), 400, "BadRequest")
    harness.post("/mutate", review("", object={"metadata": {"generateName": "n" * 1000}}))
    assert len(harness.lines()[1]["name"]) == 253
    assert max(len(line) for line in harness.out.getvalue().splitlines()) < 1000


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("?timeout=5s", 4.5), ("?timeout=1m30s", 27), ("", 9), ("?timeout=soon", 9), ("?a=b&timeout=500ms", 0.45)],
)
def test_the_timeout_of_the_url_bounds_the_work(harness: Harness, query: str, seconds: float) -> None:
    harness.post("/mutate" + query)
    [(_, _, deadline)] = harness.double.seen
    assert seconds - 0.4 < deadline.remaining() <= seconds
    assert ("timeout_not_understood" in {line["event"] for line in harness.lines()}) == ("soon" in query)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("1h0m0s", 3600),
        ("250µs", 0.00025),
        (".5s", 0.5),
        ("0s", None),
        ("", None),
        ("5", None),
        ("-5s", None),
        ("5 s", None),
        ("5s!", None),
        ("s", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float | None) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)


def test_an_escaped_timeout_is_understood() -> None:
    seconds, understood = review_seconds("timeout=500%C2%B5s")
    assert seconds == pytest.approx(0.00045)
    assert understood
