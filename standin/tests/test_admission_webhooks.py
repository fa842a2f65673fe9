"""Who is asked, in which order, and what becomes of the answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from standin.admission import AdmissionChain, warning_headers
from standin.admission import review as reviews
from standin.admission.conditions import CompileError, Conditions, check
from standin.admission.fake_webhook import Authority, FakeWebhook, Reply, decide, patch
from standin.admission.rules import RuleTarget, covered, rule_matches, selector_matches
from standin.admission.selection import MUTATING, VALIDATING
from standin.errors import ApiError
from standin.interfaces import Attributes, Json, Operation, User
from standin.tests.fake_cluster import (
    NAMESPACES,
    FakeCluster,
    create,
    resource,
)

EVERY_POD = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"]}
REVIEWS = sorted((Path(__file__).parent / "data" / "admission-reviews").glob("*.json"))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def webhook(authority: Authority) -> Iterator[FakeWebhook]:
    with FakeWebhook(authority.issue("hook.prod.svc", "127.0.0.1"), {"/": decide}) as running:
        yield running


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def chain(cluster: FakeCluster) -> Iterator[AdmissionChain]:
    made = AdmissionChain(cluster)
    yield made
    made.close()


@pytest.fixture
def register(cluster: FakeCluster, webhook: FakeWebhook, authority: Authority) -> Callable[..., None]:
    """Register one webhook: ``register(kind, name, path="/", **fields)``."""

    def add(kind: str, name: str, *, path: str = "/", configuration: str = "", **fields: Any) -> None:
        hook = {
            "name": name,
            "clientConfig": {"url": f"https://127.0.0.1:{webhook.port}{path}", "caBundle": authority.bundle},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "rules": [EVERY_POD],
            **fields,
        }
        where = configuration or name
        existing = cluster.store.get(kind, "", where) or {"metadata": {"name": where}, "webhooks": []}
        cluster.store.put(kind, {**existing, "webhooks": [*existing["webhooks"], hook]})

    return add


def pod(**metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "tr2", **metadata},
        "spec": {"containers": [{"name": "a", "image": "ghcr.io/a/b:1"}]},
    }


def label(key: str, value: str) -> Json:
    return {"op": "add", "path": "/metadata/labels", "value": {key: value}}


class TestOrder:
    def test_mutating_webhooks_are_asked_by_configuration_name_and_see_what_the_one_before_did(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/first"] = lambda r: patch(r, label("by", "first"))
        webhook.behaviours["/second"] = lambda r: patch(
            r, {"op": "test", "path": "/metadata/labels/by", "value": "first"}, label("by", "second")
        )
        register(MUTATING, "z.second.test", path="/second", configuration="b")
        register(MUTATING, "a.first.test", path="/first", configuration="a")
        obj, _ = chain.mutate(create(pod()))
        assert obj is not None
        assert obj["metadata"]["labels"] == {"by": "second"}
        assert [call.webhook for call in chain.calls] == ["a.first.test", "z.second.test"]

    def test_all_validating_webhooks_are_asked_even_when_one_denies(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/deny"] = lambda r: decide(r, allowed=False)
        register(VALIDATING, "a.deny.test", path="/deny")
        register(VALIDATING, "b.allow.test")
        with pytest.raises(ApiError, match=r"a\.deny\.test"):
            chain.validate(create(pod()))
        assert len(chain.calls) == 2

    def test_a_mutating_denial_stops_the_rest(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/deny"] = lambda r: decide(r, allowed=False)
        register(MUTATING, "a.deny.test", path="/deny")
        register(MUTATING, "b.allow.test")
        with pytest.raises(ApiError, match=r"a\.deny\.test"):
            chain.mutate(create(pod()))
        assert len(chain.calls) == 1


class TestReinvocation:
    @pytest.mark.parametrize(("policy", "rounds"), [("IfNeeded", [0, 1]), ("Never", [0]), (None, [0])])
    def test_an_earlier_webhook_is_asked_again_after_a_later_change_if_it_wants_to(
        self,
        chain: AdmissionChain,
        webhook: FakeWebhook,
        register: Callable[..., None],
        policy: str | None,
        rounds: list[int],
    ) -> None:
        webhook.behaviours["/change"] = lambda r: patch(r, label("x", "y"))
        register(MUTATING, "a.early.test", **({"reinvocationPolicy": policy} if policy else {}))
        register(MUTATING, "b.late.test", path="/change", reinvocationPolicy="IfNeeded")
        chain.mutate(create(pod()))
        assert [call.round for call in chain.calls if call.webhook == "a.early.test"] == rounds
        assert [call.round for call in chain.calls if call.webhook == "b.late.test"] == [0]

    def test_a_patch_that_changes_nothing_asks_nobody_again(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/noop"] = lambda r: patch(r, {"op": "add", "path": "/spec/imagePullSecrets", "value": []})
        register(MUTATING, "a.early.test", reinvocationPolicy="IfNeeded")
        register(MUTATING, "b.late.test", path="/noop")
        chain.mutate(create(pod()))
        assert len(chain.calls) == 2

    def test_plugins_run_again_and_mount_the_token_into_an_injected_container(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        def add_sidecar(sent: Json) -> Reply:
            if len(sent["request"]["object"]["spec"]["containers"]) > 1:
                return decide(sent)
            return patch(sent, {"op": "add", "path": "/spec/containers/-", "value": {"name": "s", "image": "x"}})

        webhook.behaviours["/sidecar"] = add_sidecar
        # It is asked again: the plugin's mount is a change since the last webhook had its say.
        register(MUTATING, "a.sidecar.test", path="/sidecar", reinvocationPolicy="IfNeeded")
        obj, _ = chain.mutate(create(pod()))
        assert [call.round for call in chain.calls] == [0, 1]
        assert obj is not None
        mounts = [container["volumeMounts"][0]["name"] for container in obj["spec"]["containers"]]
        assert mounts == [obj["spec"]["volumes"][0]["name"]] * 2
        assert len(obj["spec"]["volumes"]) == 1


class TestSelection:
    @pytest.mark.parametrize(
        ("resources", "subresource", "matches"),
        [
            (["pods"], "", True),
            (["pods"], "status", False),
            (["pods/status"], "status", True),
            (["pods/*"], "", True),
            (["pods/*"], "status", True),
            (["*"], "", True),
            (["*"], "status", False),
            (["*/*"], "", True),
            (["*/*"], "status", True),
            (["*/status"], "status", True),
            (["*/scale"], "status", False),
            (["deployments"], "", False),
        ],
    )
    def test_resources_of_a_rule(self, resources: list[str], subresource: str, *, matches: bool) -> None:
        rule = {**EVERY_POD, "resources": resources}
        target = RuleTarget(group="", version="v1", resource="pods", subresource=subresource)
        assert rule_matches(rule, target, "CREATE") is matches

    @pytest.mark.parametrize(
        ("scope", "target", "matches"),
        [
            ("Namespaced", RuleTarget(group="", version="v1", resource="pods"), True),
            ("Cluster", RuleTarget(group="", version="v1", resource="pods"), False),
            ("Cluster", RuleTarget(group="", version="v1", resource="namespaces", namespaced=False), True),
            ("Namespaced", RuleTarget(group="", version="v1", resource="namespaces", namespaced=True), False),
            (None, RuleTarget(group="", version="v1", resource="nodes", namespaced=False), True),
        ],
    )
    def test_scope_of_a_rule(self, scope: str | None, target: RuleTarget, *, matches: bool) -> None:
        rule = {**EVERY_POD, "resources": ["*"], "scope": scope}
        assert rule_matches(rule, target, "CREATE") is matches

    def test_operations_groups_and_versions_of_a_rule(self) -> None:
        target = RuleTarget(group="apps", version="v1", resource="deployments")
        rule = {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
        assert rule_matches(rule, target, "CREATE")
        assert not rule_matches(rule, target, "UPDATE")
        assert not rule_matches({**rule, "apiGroups": [""]}, target, "CREATE")
        assert not rule_matches({**rule, "apiVersions": ["v1beta1"]}, target, "CREATE")

    def test_match_policy_decides_on_other_versions_of_a_resource(self) -> None:
        asked = RuleTarget(group="x.io", version="v1alpha1", resource="rollouts")
        other = replace(asked, version="v1")
        rule = {"operations": ["*"], "apiGroups": ["x.io"], "apiVersions": ["v1"], "resources": ["rollouts"]}
        assert covered({"rules": [rule]}, asked, "CREATE", [other]) == other
        assert covered({"rules": [rule], "matchPolicy": "Exact"}, asked, "CREATE", [other]) is None

    @pytest.mark.parametrize(
        ("selector", "matches"),
        [
            ({}, True),
            ({"matchLabels": {"a": "1"}}, True),
            ({"matchLabels": {"a": "2"}}, False),
            ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
            ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
            ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
            ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
            ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
        ],
    )
    def test_label_selectors(self, selector: Json, *, matches: bool) -> None:
        assert selector_matches(selector, {"a": "1"}) is matches

    def test_namespace_selector_looks_at_the_requests_namespace(
        self, cluster: FakeCluster, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        cluster.add_namespace("out", inject="false")
        selector = {"matchExpressions": [{"key": "inject", "operator": "NotIn", "values": ["false"]}]}
        register(VALIDATING, "a.b.test", namespaceSelector=selector)
        chain.validate(create(pod(), namespace="out"))
        assert chain.calls == []
        chain.validate(create(pod(), namespace="tr2"))
        assert len(chain.calls) == 1

    def test_namespace_selector_looks_at_the_labels_a_namespace_will_have(
        self, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        rule = {**EVERY_POD, "resources": ["namespaces"]}
        register(VALIDATING, "a.b.test", rules=[rule], namespaceSelector={"matchLabels": {"new": "yes"}})
        for labels, calls in (({}, 0), ({"new": "yes"}, 1)):
            obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": labels}}
            chain.validate(create(obj, of=NAMESPACES, namespace="n"))
            assert len(chain.calls) == calls

    def test_a_namespace_that_is_not_there_is_an_error_not_a_bypass(
        self, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        register(VALIDATING, "a.b.test", namespaceSelector={"matchLabels": {"a": "b"}})
        with pytest.raises(ApiError) as caught:
            chain.validate(create(pod(), namespace="nope"))
        assert caught.value.code == 404

    def test_object_selector_takes_the_old_object_too(
        self, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        register(VALIDATING, "a.b.test", objectSelector={"matchLabels": {"a": "b"}})
        attributes = create(pod())
        chain.validate(attributes)
        assert chain.calls == []
        chain.validate(replace(attributes, operation=Operation.UPDATE, old_object=pod(labels={"a": "b"})))
        assert len(chain.calls) == 1

    def test_webhook_configurations_are_never_sent_to_webhooks(
        self, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
        register(VALIDATING, "a.b.test", rules=[rule], failurePolicy="Fail")
        info = resource(
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            group="admissionregistration.k8s.io",
            namespaced=False,
        )
        obj = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": info.kind, "metadata": {"name": "x"}}
        chain.validate(create(obj, of=info))
        chain.mutate(create(obj, of=info))
        assert chain.calls == []

    def test_another_version_is_sent_when_the_webhook_asked_for_it(
        self, cluster: FakeCluster, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        old = resource("rollouts", "Rollout", group="argoproj.io", version="v1alpha1")
        cluster.served += [old, replace(old, version="v1")]
        rule = {"operations": ["*"], "apiGroups": ["argoproj.io"], "apiVersions": ["v1"], "resources": ["rollouts"]}
        register(MUTATING, "a.b.test", rules=[rule])
        webhook.behaviours["/"] = lambda r: patch(r, label("a", "b"))
        obj = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r", "namespace": "tr2"}}
        result, _ = chain.mutate(create(obj, of=old))
        sent = webhook.reviews[0][1]["request"]
        assert sent["kind"]["version"] == sent["resource"]["version"] == "v1"
        assert sent["requestKind"]["version"] == sent["requestResource"]["version"] == "v1alpha1"
        assert sent["object"]["apiVersion"] == "argoproj.io/v1"
        assert result is not None
        assert result["apiVersion"] == "argoproj.io/v1alpha1"
        assert result["metadata"]["labels"] == {"a": "b"}


class TestConditions:
    VARIABLES: ClassVar[Json] = {
        "object": {
            "metadata": {"name": "pod", "namespace": "", "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "a", "image": "GHCR.IO/a/b"}], "n": 5},
        },
        "oldObject": None,
        "request": {"operation": "CREATE", "namespace": "x"},
    }

    @pytest.mark.parametrize(
        ("expression", "matches"),
        [
            (r"object.spec.containers.exists(c, c.image.matches('(?i)^ghcr\\.io(:443)?/'))", True),
            ("has(object.spec.initContainers) && object.spec.initContainers.size() > 0", False),
            ("request.operation in ['CREATE', 'UPDATE']", True),
            ("has(object.spec.x) ? object.spec.x == 1 : true", True),
            ("size(object.spec.containers) == 1", True),
            ("object.metadata.name.startsWith('p') && object.metadata.name.contains('o')", True),
            ("object.metadata.name.lowerAscii().split('o') == ['p', 'd']", True),
            ("oldObject == null", True),
            ("oldObject != null && object.spec != oldObject.spec", False),
            ("'app' in object.metadata.labels", True),
            ("object.spec.nope.x == 'y' || true", True),
            ("object.spec.containers.all(c, c.name != '')", True),
            ("object.metadata.name", True),
            ("object.metadata.namespace", True),
        ],
    )
    def test_expressions_evaluate(self, expression: str, *, matches: bool) -> None:
        check(expression)
        outcome = Conditions().evaluate([expression], self.VARIABLES)
        assert (outcome.matches, outcome.errors) == (matches, ())

    def test_one_that_is_false_settles_it_whatever_another_one_does(self) -> None:
        outcome = Conditions().evaluate(["object.spec.nope.x == 1", "false"], self.VARIABLES)
        assert (outcome.matches, outcome.errors) == (False, ())

    @pytest.mark.parametrize(
        ("expression", "text"),
        [
            ("object.spec.nope == 1", "no such key: nope"),
            ("object.metadata.name + 1 == 2", "no such overload"),
            ("object.spec.containers[7].name == 'a'", "index out of bounds: 7"),
        ],
    )
    def test_an_error_at_run_time_is_worded(self, expression: str, text: str) -> None:
        outcome = Conditions().evaluate([expression], self.VARIABLES)
        assert outcome.errors == (f"expression '{expression}' resulted in error: {text}",)

    def test_two_errors_are_listed_in_brackets(self, chain: AdmissionChain, register: Callable[..., None]) -> None:
        expressions = ["object.spec.nope == 1", "object.spec.gone == 1"]
        conditions = [{"name": name, "expression": name} for name in expressions]
        register(VALIDATING, "a.b.test", matchConditions=conditions)
        with pytest.raises(ApiError, match=r"is forbidden: \[expression .*, expression .*\]$"):
            chain.validate(create(pod()))

    def test_under_ignore_an_error_skips_the_webhook(
        self, chain: AdmissionChain, register: Callable[..., None]
    ) -> None:
        condition = {"name": "n", "expression": "object.spec.nope == 1"}
        register(VALIDATING, "a.b.test", matchConditions=[condition], failurePolicy="Ignore")
        chain.validate(create(pod()))
        assert chain.calls == []

    def test_an_unknown_name_is_found_when_the_configuration_is_written(self) -> None:
        with pytest.raises(CompileError) as caught:
            check("'objec' != '' && objec.spec == 1")
        assert str(caught.value) == (
            "ERROR: <input>:1:18: undeclared reference to 'objec' (in container '')\n"
            " | 'objec' != '' && objec.spec == 1\n | .................^"
        )


class TestConfiguration:
    @pytest.mark.parametrize(
        ("change", "field", "text"),
        [
            ({"name": "short"}, "name", 'Invalid value: "short": should be a domain with at least three segments'),
            ({"sideEffects": None}, "sideEffects", "Required value: must specify one of None, NoneOnDryRun"),
            ({"sideEffects": "Some"}, "sideEffects", 'Unsupported value: "Some": supported values: "None"'),
            ({"timeoutSeconds": 31}, "timeoutSeconds", "Invalid value: 31: the timeout value must be between 1 and 30"),
            ({"admissionReviewVersions": []}, "admissionReviewVersions", "Required value: must specify one of v1"),
            ({"admissionReviewVersions": ["v2"]}, "admissionReviewVersions", 'Invalid value: ["v2"]: must include'),
            ({"clientConfig": {}}, "clientConfig", "Required value: exactly one of url or service is required"),
            ({"clientConfig": {"url": "http://x"}}, "clientConfig.url", "Invalid value: \"http\": 'https' is the only"),
            (
                {"matchConditions": [{"name": "n", "expression": " "}]},
                "matchConditions[0].expression",
                "Required value",
            ),
        ],
    )
    def test_a_wrong_field_is_named(self, chain: AdmissionChain, change: Json, field: str, text: str) -> None:
        good = {
            "name": "a.b.test",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://x"},
        }
        causes = self._causes(chain, [{**good, **change}])
        assert [cause["field"] for cause in causes] == [f"webhooks[0].{field}"]
        assert causes[0]["message"].startswith(text)
        assert self._causes(chain, [good, good])[0]["message"] == 'Duplicate value: "a.b.test"'

    @staticmethod
    def _causes(chain: AdmissionChain, webhooks: list[Json]) -> list[Json]:
        info = resource(
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            group="admissionregistration.k8s.io",
            namespaced=False,
        )
        obj = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": info.kind,
            "metadata": {"name": "x"},
            "webhooks": webhooks,
        }
        with pytest.raises(ApiError) as caught:
            chain.validate(create(obj, of=info))
        assert caught.value.code == 422
        return list((caught.value.details or {})["causes"])


class TestAnswers:
    @pytest.mark.parametrize(
        ("reply", "text"),
        [
            (
                Reply(status=502, body=b"bad gateway\n", content_type="text/plain"),
                'an error on the server ("bad gateway")',
            ),
            (Reply(status=404, body=b"{}"), "the server could not find the requested resource"),
            (Reply(status=403, body=b"go away", content_type="text/html"), "go away"),
            (Reply(status=302, body=b""), "the server responded with the status code 302 but did not return more"),
            (Reply(body=b""), "0-length response with status code: 200 and content type: application/json"),
            (Reply(body=b"<html>"), "json parse error: invalid character '<' looking for beginning of value"),
            (Reply(body=b'{"kind":'), "json parse error: unexpected end of JSON input"),
            (Reply(body=b"[]"), "json parse error: json: cannot unmarshal array into Go value of type struct"),
            (Reply(body=b'{"apiVersion":"v1"}'), "Object 'Kind' is missing in '{\"apiVersion\":\"v1\"}'"),
            (
                Reply(body=b'{"kind":"Pod","apiVersion":"v1"}'),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Pod",
            ),
            (
                Reply(body=b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}'),
                "received invalid webhook response: webhook response was absent",
            ),
        ],
    )
    def test_an_answer_that_is_no_decision_fails_the_call(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None], reply: Reply, text: str
    ) -> None:
        webhook.behaviours["/"] = lambda _: reply
        register(VALIDATING, "a.b.test")
        with pytest.raises(ApiError) as caught:
            chain.validate(create(pod()))
        assert caught.value.code == 500
        assert 'failed calling webhook "a.b.test": ' in caught.value.message
        assert text in caught.value.message
        assert text in (chain.calls[0].error or "")

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
            ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
            ({"patch": "W10=", "patchType": "Merge"}, 'webhook returned invalid response.patchType of "Merge"'),
            ({"patch": "e30=", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
            ({"patch": "***", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
            ({"allowed": "yes"}, "json: cannot unmarshal string into Go struct field"),
        ],
    )
    def test_a_mutating_answer_that_makes_no_sense_fails_the_call(
        self,
        chain: AdmissionChain,
        webhook: FakeWebhook,
        register: Callable[..., None],
        fields: Json,
        text: str,
    ) -> None:
        webhook.behaviours["/"] = lambda r: decide(r, **fields)
        register(MUTATING, "a.b.test")
        with pytest.raises(ApiError, match="failed calling webhook") as caught:
            chain.mutate(create(pod()))
        assert text in caught.value.message

    def test_a_patch_that_does_not_apply_rejects_even_under_ignore(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/"] = lambda r: patch(r, {"op": "remove", "path": "/spec/nope"})
        register(MUTATING, "a.b.test", failurePolicy="Ignore")
        with pytest.raises(ApiError, match="Unable to remove nonexistent key"):
            chain.mutate(create(pod()))

    def test_a_patch_for_a_deletion_is_an_error(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/"] = lambda r: patch(r, label("a", "b"))
        register(MUTATING, "a.b.test")
        attributes = replace(create(pod()), operation=Operation.DELETE, object=None, old_object=pod())
        with pytest.raises(ApiError, match="attempted to modify the object, which is not supported"):
            chain.mutate(attributes)
        sent = webhook.reviews[0][1]["request"]
        assert sent["object"] is None
        assert sent["oldObject"]["metadata"]["name"] == "p"

    def test_audit_annotations_carry_the_webhooks_name(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        webhook.behaviours["/"] = lambda r: decide(r, auditAnnotations={"reason": "covered"})
        register(VALIDATING, "a.b.test")
        chain.validate(create(pod()))
        assert chain.calls[0].audit_annotations == (("a.b.test/reason", "covered"),)

    def test_side_effects_forbid_a_dry_run(self, chain: AdmissionChain, register: Callable[..., None]) -> None:
        register(VALIDATING, "a.b.test", sideEffects="Some")
        with pytest.raises(ApiError) as caught:
            chain.validate(create(pod(), dry_run=True))
        assert (caught.value.code, caught.value.message) == (
            400,
            'admission webhook "a.b.test" does not support dry run',
        )
        chain.validate(create(pod()))
        assert len(chain.calls) == 1


class TestEndpoints:
    def test_a_service_is_called_by_its_name_at_the_place_it_is_bound_to(
        self,
        cluster: FakeCluster,
        chain: AdmissionChain,
        webhook: FakeWebhook,
        register: Callable[..., None],
        authority: Authority,
    ) -> None:
        cluster.services["prod", "hook", 443] = ("127.0.0.1", webhook.port)
        service = {"name": "hook", "namespace": "prod", "path": "/"}
        register(VALIDATING, "a.b.test", clientConfig={"service": service, "caBundle": authority.bundle})
        chain.validate(create(pod()))
        assert webhook.server_names == ["hook.prod.svc"]
        assert webhook.headers[0]["Host"] == "hook.prod.svc:443"
        assert webhook.reviews[0][0] == "/?timeout=10s"

    def test_a_service_that_is_not_there_fails_the_call(
        self, chain: AdmissionChain, register: Callable[..., None], authority: Authority
    ) -> None:
        service = {"name": "hook", "namespace": "prod", "path": "/x", "port": 8443}
        register(
            VALIDATING, "a.b.test", clientConfig={"service": service, "caBundle": authority.bundle}, timeoutSeconds=3
        )
        with pytest.raises(ApiError) as caught:
            chain.validate(create(pod()))
        assert caught.value.message.endswith(
            'failed to call webhook: Post "https://hook.prod.svc:8443/x?timeout=3s": service "hook" not found'
        )

    def test_a_ca_bundle_that_is_no_certificate_fails_the_call(
        self, chain: AdmissionChain, webhook: FakeWebhook, register: Callable[..., None]
    ) -> None:
        config = {"url": f"https://127.0.0.1:{webhook.port}/", "caBundle": base64.b64encode(b"nothing").decode()}
        register(VALIDATING, "a.b.test", clientConfig=config)
        with pytest.raises(ApiError, match="unable to load root certificates: unable to parse bytes as PEM block"):
            chain.validate(create(pod()))


@pytest.mark.parametrize("path", REVIEWS, ids=[path.stem for path in REVIEWS])
def test_a_review_has_the_recorded_shape(path: Path) -> None:
    recorded = json.loads(path.read_text("utf-8"))
    request = recorded["request"]
    who, resource_ = request["userInfo"], request["requestResource"]
    subresource = request.get("subResource", "")
    kind = (request["object"] or request["oldObject"])["kind"] if subresource else request["requestKind"]["kind"]
    attributes = Attributes(
        user=User(name=who["username"], groups=tuple(who["groups"]), uid=who.get("uid", "")),
        verb="",
        operation=Operation(request["operation"]),
        resource=resource(
            resource_["resource"],
            kind if not subresource else "Parent",
            group=resource_["group"],
            version=resource_["version"],
        ),
        subresource=subresource,
        namespace=request.get("namespace", ""),
        name=request.get("name", ""),
        object=request["object"],
        old_object=request["oldObject"],
        dry_run=request["dryRun"],
        options=request["options"] or {},
    )
    form = RuleTarget(group=resource_["group"], version=resource_["version"], resource=resource_["resource"])
    built = reviews.build(attributes, form, attributes.object, uid=request["uid"])
    # Which credential was used is not modelled.
    who.pop("extra")
    assert built == recorded


def test_warnings_past_the_total_are_cut_each() -> None:
    assert warning_headers(["x" * 4000, "y" * 100]) == [
        '299 - "' + "x" * 256 + '"',
        '299 - "' + "y" * 100 + '"',
    ]
    many = [str(number) * 300 for number in range(10, 40)]
    assert len(warning_headers(many)) == 4096 // 256
    assert warning_headers(["x" * 4000]) == ['299 - "' + "x" * 4000 + '"']


def test_warnings_are_sent_once_escaped_and_without_control_characters() -> None:
    assert warning_headers(['say "a\\b"', "", "two\nlines", 'say "a\\b"']) == ['299 - "say \\"a\\\\b\\""']
