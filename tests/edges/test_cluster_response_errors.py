"""Every way the API server refuses becomes one type, told apart by structure alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.edges.cluster_script import status
from webhook.cluster.requests import Target, Verb
from webhook.cluster.responses import describe_error, error_from_answer, error_from_failure, error_from_status
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    DeadlineExceeded,
    Expired,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
    Unauthorized,
    Unavailable,
)

TRANSCRIPTS = Path(__file__).parents[2] / "standin" / "tests" / "data" / "apiserver-transcripts.jsonl"

CREATE = Target(verb=Verb.CREATE, resource="secrets", namespace="tr", about="ghcr-secret")
GET = Target(verb=Verb.GET, resource="secrets", namespace="tr", name="ghcr-secret")
LIST = Target(verb=Verb.LIST, resource="secrets")
PATCH = Target(verb=Verb.PATCH, resource="secrets", namespace="tr", name="ghcr-secret")
DELETE = Target(verb=Verb.DELETE, resource="secrets", namespace="tr", name="ghcr-secret")

RECORDED: dict[str, tuple[Target, type[ClusterError]]] = {
    "get secret that is missing": (GET, NotFound),
    "create secret that exists": (CREATE, AlreadyExists),
    "create secret in missing namespace": (CREATE, NotFound),
    "create dockerconfigjson secret without its key": (CREATE, Invalid),
    "create dockerconfigjson secret with invalid json": (CREATE, Invalid),
    "create secret with bad base64": (CREATE, Invalid),
    "update secret with stale resourceVersion": (PATCH, Conflict),
    "update secret type (immutable)": (PATCH, Invalid),
    "json patch secret, failing test op": (PATCH, Invalid),
    "merge patch with stale resourceVersion": (PATCH, Conflict),
    "patch missing secret": (PATCH, NotFound),
    "list secrets, forbidden without the name selector": (LIST, Forbidden),
    "get other secret, forbidden": (GET, Forbidden),
    "unauthorized": (GET, Unauthorized),
    "delete with wrong uid precondition": (DELETE, Conflict),
    "delete missing secret": (DELETE, NotFound),
    "create secret over quota": (CREATE, QuotaExceeded),
    "create secret in terminating namespace": (CREATE, NamespaceTerminating),
}


def recordings() -> dict[str, Any]:
    lines = (json.loads(line) for line in TRANSCRIPTS.read_text().splitlines())
    return {line["name"]: line["response"] for line in lines}


@pytest.mark.parametrize("name", RECORDED)
def test_each_recorded_refusal_has_its_type(name: str) -> None:
    target, kind = RECORDED[name]
    response = recordings()[name]
    error = error_from_answer(target, response["status"], json.dumps(response["body"]).encode())
    assert type(error) is kind
    assert error.code == response["status"]
    assert (error.verb, error.namespace) == (target.verb, target.namespace)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (301, Unavailable),
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, Invalid),
        (409, Conflict),
        (410, Expired),
        (413, Invalid),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b'{"details": 7}'])
def test_a_body_that_is_no_status_leaves_the_code_to_decide(code: int, kind: type[ClusterError], body: bytes) -> None:
    assert type(error_from_answer(GET, code, body)) is kind


def test_a_403_without_permission_to_create_is_not_taken_for_a_quota() -> None:
    """RBAC refuses a POST before the body is read: no name."""
    assert type(error_from_status(CREATE, 403, status(403, "Forbidden", kind="secrets"))) is Forbidden


def test_a_policys_denial_of_a_create_is_not_taken_for_a_quota() -> None:
    """A ValidatingAdmissionPolicy names its message as a cause."""
    refused = status(403, "Forbidden", kind="secrets", name="ghcr-secret", causes=[{"message": "no"}])
    assert type(error_from_status(CREATE, 403, refused)) is Forbidden


def test_a_webhooks_denial_of_a_create_is_not_taken_for_a_quota() -> None:
    assert type(error_from_status(CREATE, 403, {"code": 403, "message": "denied"})) is Forbidden


def test_only_a_create_can_exceed_a_quota() -> None:
    assert (
        type(error_from_status(PATCH, 403, status(403, "Forbidden", kind="secrets", name="ghcr-secret"))) is Forbidden
    )


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("3", {}, 3),
        (None, {"retryAfterSeconds": 5}, 5),
        ("2", {"retryAfterSeconds": 5}, 2),
        ("soon", {}, 0),
        ("-1", {}, 0),
    ],
)
def test_retry_after_is_taken_from_the_header_or_else_the_status(
    header: str | None, details: dict[str, Any], seconds: float
) -> None:
    assert error_from_status(GET, 429, status(429, "TooManyRequests", **details), header).retry_after == seconds


def test_no_text_of_the_server_gets_into_an_error() -> None:
    error = error_from_answer(CREATE, 422, json.dumps(status(422, "Invalid", name="CANARY")).encode())
    assert "MESSAGE-OF-THE-SERVER" not in str(error) + repr(error) + describe_error(error) + repr(vars(error))
    assert "CANARY" not in repr(vars(error))


def test_a_failure_to_connect_is_unavailable_and_one_to_answer_in_time_is_the_deadlines() -> None:
    broken = urllib3.exceptions.ProtocolError("CANARY")
    assert type(error_from_failure(GET, broken, timed_out=False)) is Unavailable
    assert type(error_from_failure(GET, broken, timed_out=True)) is DeadlineExceeded
    slow = urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", "CANARY")
    assert type(error_from_failure(GET, slow, timed_out=False)) is DeadlineExceeded


def test_the_description_names_the_failures_type_and_not_its_text() -> None:
    error = error_from_failure(GET, urllib3.exceptions.ProtocolError("CANARY"), timed_out=False)
    assert describe_error(error) == (
        "Unavailable: get secrets tr/ghcr-secret: the API server is not available (ProtocolError)"
    )


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "../secrets/x", "a b", "x" * 300, "-a", "a\n"])
def test_a_name_no_object_can_have_is_not_asked_for(name: str) -> None:
    with pytest.raises(NotFound):
        _ = Target(verb=Verb.GET, resource="secrets", namespace="tr", name=name).path
    if name:
        with pytest.raises(NotFound):
            _ = Target(verb=Verb.GET, resource="secrets", namespace=name, name="a").path


def test_paths_are_those_of_the_api() -> None:
    assert LIST.path == "/api/v1/secrets"
    assert CREATE.path == "/api/v1/namespaces/tr/secrets"
    assert GET.path == "/api/v1/namespaces/tr/secrets/ghcr-secret"
    assert Target(verb=Verb.GET, resource="namespaces", name="tr").path == "/api/v1/namespaces/tr"
    lease = Target(verb=Verb.GET, resource="leases", namespace="tr", name="l", api="/apis/coordination.k8s.io/v1")
    assert lease.path == "/apis/coordination.k8s.io/v1/namespaces/tr/leases/l"
