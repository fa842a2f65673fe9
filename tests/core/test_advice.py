"""What is said of a Pod that cannot pull: every cause, for a Deployment's Pod, one of another controller, and a bare one."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.stuck_pods import (
    ANONYMOUS,
    AUTH,
    COPY,
    DENIED,
    MIRROR,
    NO_HOST,
    OTHER_TOKEN,
    REJECTED,
    around,
    diagnosed,
    pod,
    with_payload,
)
from tests.objects import CANARY_PREFIX, RELEASE_NAMESPACE, RULES, payload, secret
from webhook.core import workloads
from webhook.core.advice import Advice, StuckPod, advise
from webhook.core.causes import Cause, PodDiagnosis, Surroundings
from webhook.core.judging import UnreadableSecret
from webhook.core.kinds import POD
from webhook.core.names import SOURCE_ANNOTATION
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace

TABLE = Path(__file__).parents[1] / "data" / "advice.txt"
"""All advice, to be read by people: `python -m tests.core.test_advice` writes it."""

OUT = Namespace(name="auth", inject="false")
OPERATOR: dict[str, Any] = {"owned": True, "owner": "ExternalSecret ghcr-secret"}
ELSEWHERE = {"marks": {**COPY.marks, SOURCE_ANNOTATION: "other/ghcr-secret"}}

CASES: dict[str, tuple[dict[str, Any], Surroundings]] = {
    "secret_missing": ({}, around(None)),
    "secret_missing, opted out": ({}, around(None, namespace=OUT)),
    "secret_missing, not installed": ({}, around(None, central=UnreadableSecret())),
    "secret_missing, another": ({"secrets": ["corp"]}, around(secrets={"corp": None})),
    "not_listed": ({"secrets": []}, around(secrets={})),
    "not_listed, opted out": ({"secrets": []}, around(secrets={}, namespace=OUT)),
    "not_listed, not installed": ({"secrets": []}, around(secrets={}, central=UnreadableSecret())),
    "wrong_type, not installed": ({}, around(secret("auth", type="Opaque", payload=None))),
    "wrong_type": ({}, around(secret("auth", type="Opaque", payload=None))),
    "wrong_type, opted out": ({}, around(secret("auth", type="Opaque", payload=None), namespace=OUT)),
    "wrong_type, owned": ({}, around(secret("auth", type="Opaque", payload=None, **OPERATOR))),
    "malformed": ({"reason": "illegal base64 data"}, around(with_payload(b"x", marks={}))),
    "malformed, owned": ({"reason": "illegal base64 data"}, around(with_payload(b"x", **OPERATOR))),
    "malformed, not read": ({"reason": "illegal base64 data", "secrets": ["corp"]}, around(secrets={"corp": UnreadableSecret()})),
    "no_entry_for_image": ({}, around(with_payload(payload(registry="quay.io"), marks={}))),
    "empty_credential": ({}, around(with_payload(payload(token=""), **OPERATOR))),
    "central_missing": ({}, around(None, central=None)),
    "central_unusable": ({}, around(None, central=secret(payload=b"{}"))),
    "unverifiable": ({"secrets": ["corp"]}, around(secrets={"corp": UnreadableSecret()})),
    "too_large": (
        {"secrets": ["corp"]}, around(secrets={"corp": secret("auth", name="corp", payload=None, too_large=True)})
    ),
    "stale": ({"message": REJECTED}, around(with_payload(OTHER_TOKEN))),
    "foreign": ({"message": REJECTED}, around(with_payload(OTHER_TOKEN, marks={}))),
    "foreign, owned": ({"message": REJECTED}, around(with_payload(OTHER_TOKEN, **OPERATOR))),
    "foreign, applied": ({"message": REJECTED}, around(with_payload(OTHER_TOKEN, given_away=True))),
    "foreign, another release's": ({"message": REJECTED}, around(with_payload(OTHER_TOKEN, **ELSEWHERE))),
    "account_unused, a list of its own": (
        {"secrets": ["corp"], "service_account": "builder"}, around(account=ServiceAccount(secrets=("ghcr-secret",)))
    ),
    "account_unused, later": (
        {"secrets": [], "service_account": "builder"}, around(account=ServiceAccount(secrets=("ghcr-secret",)))
    ),
    "account_unused, of default": (
        {"secrets": [], "service_account": "builder"}, around(default_account=ServiceAccount(secrets=("ghcr-secret",)))
    ),
    "host_spelling": ({"images": ["GHCR.IO/sesacthon/auth-api:1"]}, around()),
    "invalid_image_name": ({"images": ["ghcr.io/sesacthon/Auth_API:x:y"], "reason": "InvalidImageName"}, around()),
    "image_not_found": ({"message": "manifest unknown"}, around()),
    "image_not_found, exposed": ({"message": "manifest unknown"}, around(None)),
    "never_pulled": ({"reason": "ErrImageNeverPull", "pull_policy": "Never"}, around()),
    "credential_rejected": ({"message": REJECTED}, around()),
    "credential_rejected, owned": ({"message": REJECTED}, around(replace(COPY, **OPERATOR))),
    "credential_rejected, another": ({"message": REJECTED, "secrets": ["corp"]}, around(secrets={"corp": secret("auth", name="corp")})),
    "credential_rejected, not read": ({"message": REJECTED, "secrets": ["corp"]}, around(secrets={"corp": UnreadableSecret()})),
    "credential_no_access": ({"message": DENIED}, around()),
    "registry_mirror": ({"message": f"{MIRROR}403 Forbidden"}, around()),
    "registry_failing": ({"message": "503 Service Unavailable"}, around()),
    "registry_unreachable": ({"message": NO_HOST}, around()),
    "node_unreachable": ({}, around(node_lost=True)),
    "back_off": ({}, around()),
    "unknown": ({"message": "whatever"}, around()),
    "pulled": ({"reason": "CreateContainerConfigError", "message": 'configmap "info-env" not found'}, around()),
    "pulled, crashes": ({"reason": "CrashLoopBackOff"}, around()),
}  # fmt: skip

OWNERS = {"Deployment": "auth-api", "Rollout": "auth-api", "Pod": "auth-api"}
CONTROLLERS = {"Deployment": "ReplicaSet auth-api-5d9c", "Rollout": "ReplicaSet auth-api-77f1", "Pod": ""}


def diagnosis_of(case: str) -> tuple[PodDiagnosis, dict[str, Any], Surroundings]:
    changes, facts = CASES[case]
    manifest = pod(
        changes.get("message", ANONYMOUS), **{key: value for key, value in changes.items() if key != "message"}
    )
    found = diagnosed(manifest, facts)
    assert found is not None
    return found, manifest, facts


def advice(case: str, owner: str = "Deployment", **changes: Any) -> Advice:
    found, manifest, facts = diagnosis_of(case)
    pod = StuckPod(
        workload=replace(workloads.read(POD, manifest), controlled=owner != "Pod", controller=CONTROLLERS[owner]),
        namespace=facts.namespace,
        rules=RULES,
        **{
            "installed": "not installed" not in case,
            "owner_kind": owner,
            "owner_name": OWNERS[owner],
            "node": "node-1",
            "next_pull_s": 170,
            **changes,
        },
    )
    return advise(found, pod)


def table() -> str:
    lines = []
    for case in CASES:
        lines.append(f"# {case}")
        seen: dict[str, list[str]] = {}
        for owner in OWNERS:
            told = advice(case, owner)
            text = "\n".join((f"  {told.detail}", f"  fix: {told.remedy}", *(f"  $ {each}" for each in told.commands)))
            seen.setdefault(text, []).append(owner)
        lines += [f"{', '.join(owners)}\n{text}" for text, owners in seen.items()]
    return "\n".join(lines) + "\n"


def test_all_advice_is_as_it_was_read_last() -> None:
    assert table() == TABLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_of_the_cause_it_is_named_after(case: str) -> None:
    assert diagnosis_of(case)[0].cause == case.partition(",")[0]


def test_every_cause_has_advice() -> None:
    assert {case.partition(",")[0] for case in CASES} == set(Cause)


def test_no_token_and_no_line_break_is_in_any() -> None:
    text = table()

    assert CANARY_PREFIX not in text
    assert CANARY_PREFIX[::-1] not in text
    for case in CASES:
        told = advice(case)
        assert "\n" not in told.detail + told.remedy + "".join(told.commands)
        assert told.detail
        assert told.remedy


def test_a_restart_is_advised_where_nothing_else_is_needed() -> None:
    assert {case for case in CASES if advice(case).restart} == {"not_listed", "account_unused, later", "back_off"}
    assert not any(advice(case, "Pod").restart for case in CASES)
    assert advice("back_off").commands == ("kubectl rollout restart deployment/auth-api --namespace auth",)
    assert advice("back_off", "Rollout").commands == ("kubectl delete pod auth-api --namespace auth",)


def test_a_pod_that_is_older_than_the_webhook_is_said_to_be() -> None:
    assert "made before the webhook was there" in advice("not_listed", made_before=True).detail
    assert "made before the webhook was there" not in advice("not_listed").detail


@pytest.mark.parametrize(("seconds", "said"), [(3, "in about 10 s"), (44, "in about 40 s"), (170, "in about 3 min")])
def test_the_next_attempt_is_said_roughly(seconds: float, said: str) -> None:
    assert said in advice("back_off", next_pull_s=seconds).remedy


def test_whatever_an_owner_is_called_a_command_takes_it_for_a_name() -> None:
    owner = "x; kubectl delete namespace auth"
    [command] = advice("back_off", owner_name=owner).commands

    assert shlex.split(command) == ["kubectl", "rollout", "restart", f"deployment/{owner}", "--namespace", "auth"]


def test_the_release_namespace_is_named_as_it_is() -> None:
    assert f"{RELEASE_NAMESPACE}/ghcr-secret" in advice("credential_rejected").remedy
    assert AUTH.name in advice("secret_missing").commands[0]


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
