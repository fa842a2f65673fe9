"""A Secret's JSON to what the core looks at, and what is sent for each write."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.edges.cluster_script import Request, content, scripted
from tests.services.contracts.world import MARKS, PAYLOAD, copy, soon
from webhook.cluster import ClusterFacts
from webhook.cluster.caches import Caches
from webhook.cluster.secrets import ANNOTATION_MARKS, LABEL_MARKS, ClusterSecretWriter, decode, encode
from webhook.core.ownership import MARKS as ALL_MARKS
from webhook.core.ownership import Secret
from webhook.ports import Unavailable


def test_what_is_encoded_decodes_to_the_same() -> None:
    assert decode(content(encode(copy("a")))) == copy("a")


def test_every_mark_is_a_label_or_an_annotation_and_not_both() -> None:
    assert LABEL_MARKS | ANNOTATION_MARKS == ALL_MARKS
    assert not LABEL_MARKS & ANNOTATION_MARKS


def test_the_least_a_secret_can_have_is_enough() -> None:
    """Items of a list have neither kind nor apiVersion; `data`, `labels` and others can be null or absent."""
    minimal = {"metadata": {"namespace": "a", "name": "ghcr-secret", "labels": None, "annotations": None}, "data": None}
    assert decode(content(minimal)) == Secret(namespace="a", type="Opaque")


def test_one_being_deleted_says_so() -> None:
    obj = encode(copy("a"))
    obj["metadata"]["deletionTimestamp"] = "2026-11-22T20:23:17Z"
    assert decode(content(obj)).deleting


APPLY, UPDATE = "Apply", "Update"
DATA: dict[str, Any] = {"f:data": {"f:.dockerconfigjson": {}}}


@pytest.mark.parametrize(
    ("manager", "operation", "fields", "given_away", "written_by_us"),
    [
        ("kubectl", APPLY, DATA, True, False),
        ("argocd-controller", APPLY, {"f:stringData": {"f:.dockerconfigjson": {}}}, True, False),
        ("labeller", APPLY, {"f:metadata": {"f:labels": {"f:team": {}}}}, False, False),
        ("kubectl-edit", UPDATE, DATA, False, False),
        ("kubectl-patch", UPDATE, DATA, False, False),
        ("ghcr-pull-secrets", UPDATE, DATA, False, True),
        ("ghcr-pull-secrets", APPLY, DATA, False, True),
        ("ghcr-pull-secrets-2", UPDATE, DATA, False, False),
        ("kubectl", APPLY, None, False, False),
    ],
)
def test_the_field_managers_say_who_applied_and_who_wrote(
    manager: str, operation: str, fields: dict[str, Any] | None, given_away: bool, written_by_us: bool
) -> None:
    obj = encode(copy("a"))
    entry = {"manager": manager, "operation": operation, "fieldsType": "FieldsV1"}
    obj["metadata"]["managedFields"] = [entry | ({"fieldsV1": fields} if fields is not None else {})]
    found = decode(content(obj))
    assert (found.given_away, found.written_by_us) == (given_away, written_by_us)


def test_client_side_apply_leaves_its_annotation() -> None:
    obj = encode(copy("a"))
    obj["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    assert decode(content(obj)).given_away
    assert decode(content(obj)).marks == MARKS


@pytest.mark.parametrize("value", ["***", "YQ", 7, None, "é"])
def test_a_value_that_is_no_base64_counts_as_absent(value: object) -> None:
    obj = encode(copy("a"))
    obj["data"][".dockerconfigjson"] = value
    assert decode(content(obj)).payload is None


def test_no_payload_is_in_a_repr() -> None:
    assert "dTpw" not in repr(decode(content(encode(copy("a")))))


@pytest.mark.parametrize(
    ("write", "method", "path", "query"),
    [
        (
            lambda writer: writer.create(copy("a"), soon()),
            "POST",
            "/api/v1/namespaces/a/secrets",
            {"fieldManager": "ghcr-pull-secrets"},
        ),
        (
            lambda writer: writer.create(copy("a"), soon(), dry_run=True),
            "POST",
            "/api/v1/namespaces/a/secrets",
            {"fieldManager": "ghcr-pull-secrets", "dryRun": "All"},
        ),
        (
            lambda writer: writer.update(copy("a"), soon()),
            "PATCH",
            "/api/v1/namespaces/a/secrets/ghcr-secret",
            {"fieldManager": "ghcr-pull-secrets"},
        ),
        (lambda writer: writer.delete(copy("a"), soon()), "DELETE", "/api/v1/namespaces/a/secrets/ghcr-secret", {}),
    ],
    ids=["create", "dry-run", "update", "delete"],
)
def test_each_write_is_one_request(
    write: Callable[[ClusterSecretWriter], object], method: str, path: str, query: dict[str, str]
) -> None:
    with scripted(lambda request: request.json(encode(copy("a")))) as script:
        write(ClusterSecretWriter(script.client()))
        (request,) = script.requests
    assert (request.method, request.path, request.query) == (method, path, query)


def test_a_copy_carries_its_marks_where_they_belong_and_one_key() -> None:
    sent: list[dict[str, Any]] = []

    def keep(request: Request) -> None:
        sent.append(json.loads(request.body))
        request.json(encode(copy("a")))

    with scripted(keep) as script:
        ClusterSecretWriter(script.client()).create(copy("a"), soon())
    (body,) = sent
    metadata = body["metadata"]
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"}
    assert metadata["labels"] | metadata["annotations"] == MARKS
    assert body["data"] == {".dockerconfigjson": base64.b64encode(PAYLOAD).decode()}
    assert body["type"] == "kubernetes.io/dockerconfigjson"


@pytest.mark.parametrize("answer", [[], {}, {"metadata": {}}, {"metadata": 7}, "text", None])
def test_an_answer_of_another_shape_is_unavailable_and_no_crash(answer: object) -> None:
    with scripted(lambda request: request.json(answer)) as script:
        client = script.client()
        facts, writer = ClusterFacts(client, Caches(client)), ClusterSecretWriter(client)
        for ask in (
            lambda: facts.namespace("a", soon()),
            lambda: facts.service_account("a", "b", soon()),
            lambda: facts.copy("a", soon()),
            lambda: writer.create(copy("a"), soon()),
            lambda: writer.update(copy("a"), soon()),
        ):
            with pytest.raises(Unavailable):
                ask()
