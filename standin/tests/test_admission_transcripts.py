"""Every line of webhook-transcripts.jsonl is answered as a real kube-apiserver 1.36.2 answered it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standin.admission import AdmissionChain, warning_headers
from standin.admission.fake_webhook import Authority, Behaviour, FakeWebhook, Reply, decide, failure, patch
from standin.admission.selection import MUTATING, VALIDATING
from standin.errors import ApiError
from standin.interfaces import Json
from standin.tests.fake_cluster import FakeCluster, create, resource

LINES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "webhook-transcripts.jsonl").read_text("utf-8").splitlines()
]
CALLS = [line for line in LINES if "request" in line]
CONFIGURATIONS = [line for line in LINES if "configuration_response" in line]
RESOURCES = {
    "mutate": (MUTATING, "MutatingWebhookConfiguration"),
    "validate": (VALIDATING, "ValidatingWebhookConfiguration"),
}
DENIAL = "pod would pull ghcr.io/a/b:1 without credentials"
# What the webhook behind the recordings answered, by path.
BEHAVIOURS: dict[str, Behaviour] = {
    "/ok": decide,
    "/deny": lambda r: decide(r, allowed=False, status={"code": 403, "reason": "Forbidden", "message": DENIAL}),
    "/deny-bare": lambda r: decide(r, allowed=False),
    "/warn": lambda r: decide(r, warnings=["ghcr-secret was not found", "second"]),
    "/uid": lambda r: decide(r, uid="wrong"),
    "/badpatch": lambda r: patch(r, {"op": "replace", "path": "/spec/nope/x", "value": 1}),
    "/add": lambda r: patch(r, {"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": "ghcr-secret"}]}),
    "/500": lambda _: Reply(status=500, body=b"{}"),
    "/notjson": lambda _: Reply(body=b'"not a review"'),
    "/slow": lambda r: Reply(body=decide(r).body, delay_seconds=1.2),
    "/status500": lambda _: failure(500, "ghcr-pull-secrets: the cluster could not be read: timeout"),
    "/status400": lambda _: failure(400, "request.uid is missing"),
    "/denied500": lambda r: decide(
        r, allowed=False, status={"code": 500, "reason": "InternalError", "message": "could not read the cluster"}
    ),
    "/denied422": lambda r: decide(
        r,
        allowed=False,
        status={
            "code": 422,
            "reason": "Invalid",
            "message": "m",
            "details": {
                "causes": [
                    {
                        "reason": "FieldValueInvalid",
                        "message": "no credential",
                        "field": "spec.containers[0].image",
                    }
                ]
            },
        },
    ),
    "/longwarn": lambda r: decide(r, warnings=["x" * 300, "한글"]),
    "/multiline": lambda r: decide(r, allowed=False, status={"code": 403, "message": "line one\nline two"}),
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def webhook(authority: Authority) -> Iterator[FakeWebhook]:
    with FakeWebhook(authority.issue("127.0.0.1"), BEHAVIOURS) as running:
        yield running


@pytest.fixture(scope="module")
def refused_port() -> Iterator[int]:
    """A port that is taken but not listened on, so that nobody else gets it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("line", CALLS, ids=[line["name"].replace(" ", "-") for line in CALLS])
def test_a_recorded_call_is_answered_as_recorded(
    line: Json, webhook: FakeWebhook, authority: Authority, refused_port: int
) -> None:
    cluster, name = FakeCluster(), line["name"]
    port = refused_port if name.startswith("connection refused") else webhook.port
    bundle = {"caBundle of another CA": Authority().bundle, "no caBundle": None}.get(name, authority.bundle)
    client = {"url": line["webhook"]["clientConfig"]["url"].replace("WEBHOOK", f"127.0.0.1:{port}")}
    if bundle:
        client["caBundle"] = bundle
    hook = {**line["webhook"], "clientConfig": client}
    cluster.store.put(RESOURCES[line["half"]][0], {"metadata": {"name": "tr"}, "webhooks": [hook]})
    chain = AdmissionChain(cluster)
    recorded = line["response"]

    def ask() -> tuple[Json | None, list[str]]:
        obj, warnings = chain.mutate(create(line["request"]["body"], dry_run=True))
        return obj, warnings + chain.validate(create(obj or {}, dry_run=True))

    if recorded["status"] != 201:
        with pytest.raises(ApiError) as caught:
            ask()
        chain.close()
        assert _placed(caught.value.status()) == _placed(recorded["body"])
        return

    obj, warnings = ask()
    chain.close()
    assert warning_headers(warnings) == recorded["warning"]
    assert obj is not None
    assert _plugin_fields(obj) == _plugin_fields(recorded["body"])
    assert all(call.webhook == hook["name"] for call in chain.calls)
    assert bool(chain.calls) == (name != "matchConditions false: not called")


@pytest.mark.parametrize("line", CONFIGURATIONS, ids=[line["name"].replace(" ", "-") for line in CONFIGURATIONS])
def test_a_recorded_configuration_is_refused_as_recorded(line: Json) -> None:
    plural, kind = "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
    hook = {**line["webhook"], "clientConfig": {"url": "https://127.0.0.1:1/ok"}}
    obj = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "tr"},
        "webhooks": [hook],
    }
    info = resource(plural, kind, group="admissionregistration.k8s.io", namespaced=False)
    with pytest.raises(ApiError) as caught:
        AdmissionChain(FakeCluster()).validate(create(obj, of=info))
    assert caught.value.status() == line["configuration_response"]["body"]
    assert caught.value.code == line["configuration_response"]["status"]


def _placed(status: Json) -> Any:
    """Put a word for what differs from call to call: the webhook's port and the review's uid."""
    text = json.dumps(status)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return json.loads(re.sub(r'expected response.uid=\\"[0-9a-f-]{36}', r'expected response.uid=\\"UID', text))


def _plugin_fields(pod: Json) -> Json:
    """Keep what admission decides; defaults are the core's."""
    text = re.sub(r"kube-api-access-[a-z0-9]{5}", "kube-api-access-SUFFIX", json.dumps(pod["spec"]))
    spec = json.loads(text)
    kept = (
        "volumes",
        "serviceAccountName",
        "serviceAccount",
        "tolerations",
        "priority",
        "preemptionPolicy",
        "imagePullSecrets",
    )
    return {
        **{key: spec[key] for key in kept if key in spec},
        "mounts": [container.get("volumeMounts") for container in spec["containers"]],
    }
