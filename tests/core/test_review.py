"""AdmissionReviews parsed and answered, and bodies that are none."""

import base64

import orjson
import pytest

from tests.objects import review, workload
from webhook.core.review import BadReview, allowed, denied, kind_of, parse, patched, render, status


def body(**changes: object) -> bytes:
    return orjson.dumps(review(workload(), **changes))  # type: ignore[arg-type]


def test_an_envelope_is_read_and_its_objects_are_left_as_they_came() -> None:
    found = parse(
        orjson.dumps(review(workload("Deployment"), operation="UPDATE", old=workload("Deployment"), dry_run=True))
    )
    assert (found.operation, found.group, found.version, found.resource) == ("UPDATE", "apps", "v1", "deployments")
    assert (found.namespace, found.name, found.dry_run) == ("auth", "auth-api", True)
    assert found.object == workload("Deployment")
    assert found.old_object == workload("Deployment")


def test_a_name_a_namespace_and_dry_run_may_be_absent_or_null() -> None:
    document = review(workload(), name=None, dryRun=None)
    del document["request"]["namespace"]
    found = parse(orjson.dumps(document))
    assert (found.name, found.namespace, found.dry_run) == ("", "", False)


@pytest.mark.parametrize(
    ("raw", "field", "problem"),
    [
        (b"", "", "not JSON"),
        (b"{", "", "not JSON"),
        (b'{"a": NaN}', "", "not JSON"),
        (b"\xff", "", "not JSON"),
        (b"[" * 100_000, "", "not JSON"),
        (b"[]", "", "got array"),
        (b"null", "", "got null"),
        (b"{}", "apiVersion", "got null"),
        (b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}', "apiVersion", "v1beta1"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": 7}', "kind", "got number"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "request", "got null"),
    ],
)
def test_a_body_that_is_no_review_is_refused_with_the_field(raw: bytes, field: str, problem: str) -> None:
    with pytest.raises(BadReview) as refused:
        parse(raw)
    assert refused.value.field == field
    assert problem in refused.value.problem


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uid": None}, "request.uid"),
        ({"uid": ""}, "request.uid"),
        ({"uid": 7}, "request.uid"),
        ({"operation": None}, "request.operation"),
        ({"kind": []}, "request.kind"),
        ({"kind": {"kind": 1}}, "request.kind.kind"),
        ({"resource": "pods"}, "request.resource"),
        ({"resource": {"group": "", "version": "v1"}}, "request.resource.resource"),
        ({"resource": {"group": 1, "version": "v1", "resource": "pods"}}, "request.resource.group"),
        ({"object": "x"}, "request.object"),
        ({"oldObject": []}, "request.oldObject"),
        ({"dryRun": "true"}, "request.dryRun"),
        ({"namespace": 1}, "request.namespace"),
        ({"subResource": {}}, "request.subResource"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(BadReview) as refused:
        parse(body(**changes))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"uid": "eyj" * 16_000}, "request.uid"),
        ({"uid": "u\n"}, "request.uid"),
        ({"operation": "PATCH"}, "request.operation"),
        ({"operation": "create"}, "request.operation"),
        ({"operation": "C" * 10**6}, "request.operation"),
        ({"kind": {"group": "", "version": "v1", "kind": "k" * 254}}, "request.kind.kind"),
        ({"resource": {"group": "g" * 254, "version": "v1", "resource": "pods"}}, "request.resource.group"),
        ({"resource": {"group": "", "version": "v" * 254, "resource": "pods"}}, "request.resource.version"),
        ({"resource": {"group": "", "version": "v1", "resource": "p" * 254}}, "request.resource.resource"),
        ({"subResource": "s" * 254}, "request.subResource"),
        ({"name": "n" * 254}, "request.name"),
        ({"name": "\x1b[2J"}, "request.name"),
        ({"namespace": "a" * 64}, "request.namespace"),
        ({"namespace": "A"}, "request.namespace"),
        ({"namespace": "a/../b"}, "request.namespace"),
        ({"namespace": "a\n"}, "request.namespace"),
    ],
)
def test_a_text_no_api_server_sends_is_refused_and_not_shown(changes: dict[str, object], field: str) -> None:
    with pytest.raises(BadReview) as refused:
        parse(body(**changes))
    assert refused.value.field == field
    assert len(refused.value.problem) < 120
    for value in changes.values():
        assert str(value) not in refused.value.problem


def test_the_longest_texts_an_api_server_sends_are_read() -> None:
    found = parse(body(uid="u" * 253, name="n" * 253, namespace="a" * 63, operation="CONNECT", subResource="s" * 253))
    assert (len(found.uid), len(found.name), len(found.namespace), len(found.subresource)) == (253, 253, 63, 253)


def test_a_fault_after_the_uid_carries_the_uid() -> None:
    with pytest.raises(BadReview) as refused:
        parse(body(object=3))
    assert refused.value.uid == review(workload())["request"]["uid"]


def test_an_error_shows_the_kind_of_a_value_and_not_the_value() -> None:
    with pytest.raises(BadReview) as refused:
        parse(body(object="ghp_secret", kind={"kind": "Pod"}))
    assert "ghp_secret" not in str(refused.value)


def test_a_long_wrong_api_version_is_not_shown() -> None:
    with pytest.raises(BadReview, match="got string"):
        parse(orjson.dumps({"apiVersion": "v" * 65, "kind": "AdmissionReview"}))


def test_a_patch_is_sent_as_base64_of_its_json() -> None:
    operations = ({"op": "add", "path": "/spec/imagePullSecrets", "value": []},)
    answer = orjson.loads(render("u", patched(operations, warnings=["w"], audit={"reason": "injected"})))
    response = answer["response"]
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u", True, "JSONPatch")
    assert orjson.loads(base64.b64decode(response["patch"])) == list(operations)
    assert (response["warnings"], response["auditAnnotations"]) == (["w"], {"reason": "injected"})


def test_an_allowed_object_gets_no_patch_and_no_status() -> None:
    assert orjson.loads(render("u", allowed()))["response"] == {"uid": "u", "allowed": True}


def test_a_denial_is_a_decision_with_code_403() -> None:
    response = orjson.loads(render("u", denied("no", warnings=["w"])))["response"]
    assert response["allowed"] is False
    assert response["status"] == {"code": 403, "reason": "Forbidden", "message": "no"}


@pytest.mark.parametrize("code", [400, 404, 405, 413, 415, 500, 503])
def test_an_error_is_a_v1_status(code: int) -> None:
    answer = orjson.loads(status(code, "why"))
    assert (answer["apiVersion"], answer["kind"], answer["status"]) == ("v1", "Status", "Failure")
    assert (answer["code"], answer["message"]) == (code, "why")
    assert answer["reason"]


def test_every_json_kind_has_a_name() -> None:
    values: list[object] = [None, True, 1, 1.5, "", [], {}]
    assert [kind_of(value) for value in values] == ["null", "boolean", "number", "number", "string", "array", "object"]
    assert kind_of(b"") == "bytes"
