"""What `check` says of manifests, given what they hold."""

import base64
import json
from typing import Any

import pytest

from tests.check.runs import check, check_objects, checker, outcomes, reasons
from tests.objects import CANARY, RELEASE_NAMESPACE, payload, pod_spec_of, workload
from webhook.check.outputs import FORMATS
from webhook.check.outputs.github import step_summary
from webhook.check.run import resource_of


def pull_secret(namespace: str = "auth", name: str = "ghcr-secret", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(payload()).decode()},
        **changes,
    }


def external(**target: Any) -> dict[str, Any]:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "pull", "namespace": "auth"},
        "spec": {"target": {"name": "corp-pull", **target}},
    }


def out(namespace: str = "auth") -> dict[str, Any]:
    labels = {"ghcr-pull-secrets.io/inject": "false"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}


def test_with_the_add_on_a_workload_is_injected_and_without_it_rejected() -> None:
    assert outcomes(check_objects(workload("Deployment"))) == ["injected"]
    report = check_objects(workload("Deployment"), installed=False)
    assert outcomes(report) == ["rejected"]
    assert reasons(report) == [("not_listed", "Deployment auth/auth-api")]
    assert report.findings[0].line == report.findings[0].pulls[0].line == 13


def test_without_the_add_on_the_secret_has_to_be_in_the_files() -> None:
    listing = workload(secrets=["ghcr-secret"])
    missing = check_objects(listing, installed=False)
    assert reasons(missing) == [("secret_missing", "Pod auth/auth-api")]
    assert missing.findings[0].hint == "--assume-secret auth/ghcr-secret takes it on trust"
    assert outcomes(check_objects(listing, pull_secret(), installed=False)) == ["covered"]
    trusting = checker(installed=False)
    trusting.evidence.trust("auth", "ghcr-secret")
    assert outcomes(trusting.run([])) == []


def test_a_secret_taken_on_trust_counts() -> None:
    from webhook.check.sources import Text  # noqa: PLC0415

    subject = checker(installed=False)
    subject.evidence.trust("auth", "corp-pull")
    report = subject.run([Text(name="a", text=json.dumps(workload(secrets=["corp-pull"])))])
    assert (outcomes(report), report.findings) == (["on_trust"], ())


def test_a_secret_that_no_file_has_is_unverifiable() -> None:
    report = check_objects(out(), workload(secrets=["corp-pull"]))
    assert [(each.level, each.reason, each.hint) for each in report.findings] == [
        ("warning", "unverifiable", "--assume-secret auth/corp-pull takes it on trust")
    ]
    denied = check_objects(out(), workload(secrets=["corp-pull"]), allow_unverifiable=False)
    assert [(each.level, each.reason) for each in denied.findings] == [("error", "unverifiable")]


@pytest.mark.parametrize(
    ("target", "outcome", "reason"),
    [
        ({"template": {"type": "kubernetes.io/dockerconfigjson"}}, "on_trust", []),
        ({}, "rejected", ["wrong_type"]),
        ({"creationPolicy": "Merge"}, "on_trust", ["unverifiable"]),
    ],
)
def test_an_external_secret_makes_the_secret_it_says(target: dict[str, Any], outcome: str, reason: list[str]) -> None:
    report = check_objects(out(), workload("Deployment", secrets=["corp-pull"]), external(**target))
    assert outcomes(report) == [outcome]
    assert [each.reason for each in report.findings] == reason


def test_a_finding_names_the_external_secret_and_where_it_is() -> None:
    (finding,) = check_objects(out(), workload("Deployment", secrets=["corp-pull"]), external()).findings
    assert "ExternalSecret pull" in finding.remedy
    assert [each.text for each in finding.related] == ["Namespace auth", "ExternalSecret pull"]


@pytest.mark.parametrize("listed", [["corp-pull"], None])
def test_a_service_account_gives_its_secrets_to_a_pod_and_to_a_template(listed: list[str] | None) -> None:
    account: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "auth"},
    }
    account["imagePullSecrets"] = [{"name": name} for name in listed or ()]
    for kind in ("Pod", "Deployment"):
        report = check_objects(out(), workload(kind), account, pull_secret(name="corp-pull"))
        assert outcomes(report) == (["covered"] if listed else ["rejected"])


def test_a_foreign_secret_is_judged_and_a_central_one_is_copied() -> None:
    wrong = {".dockerconfigjson": base64.b64encode(payload(registry="ghcr.io/other/")).decode()}
    assert reasons(check_objects(workload(), pull_secret(data=wrong))) == [("no_entry_for_image", "Pod auth/auth-api")]
    central = check_objects(workload(), pull_secret(RELEASE_NAMESPACE, data=wrong))
    assert reasons(central) == [("central_unusable", "Pod auth/auth-api")]
    assert [each.text for each in central.findings[0].related] == [f"Secret {RELEASE_NAMESPACE}/ghcr-secret"]


def test_the_entries_of_the_values_are_what_the_central_secret_has() -> None:
    assert outcomes(check_objects(workload(), entries=("ghcr.io/sesacthon/",))) == ["injected"]
    assert outcomes(check_objects(workload(), entries=("ghcr.io/others/",))) == ["rejected"]


def test_a_host_that_no_entry_can_match_is_found_though_the_secret_is_assumed() -> None:
    (finding,) = check_objects(workload(images=["GHCR.IO/a/b"])).findings
    assert finding.remedy == "write the registry's host as ghcr.io: credentials are matched with case and port"


@pytest.mark.parametrize(
    "changes",
    [{"sops": {"mac": "x"}, "data": {".dockerconfigjson": "ENC[x]"}}, {"data": {".dockerconfigjson": "${X}"}}],
)
def test_a_secret_whose_content_is_filled_in_later_is_taken_on_trust(changes: dict[str, Any]) -> None:
    listing = workload(secrets=["corp-pull"])
    assert outcomes(check_objects(out(), listing, pull_secret(name="corp-pull", **changes))) == ["on_trust"]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"ghcr-pull-secrets.io/inject": False}}}],
         "Namespace: metadata.labels.ghcr-pull-secrets.io/inject: expected a string, got boolean (put it in quotes)"),
        ([pull_secret(data={".dockerconfigjson": "no base64!"})],
         "Secret: data..dockerconfigjson: expected base64; plain text belongs under stringData"),
        ([pull_secret(data=["x"])], "Secret: data: expected an object, got array"),
        ([{"apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": {}}],
         "ServiceAccount: imagePullSecrets: expected an array, got object"),
        ([{"apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": [7]}],
         "ServiceAccount: imagePullSecrets: expected objects, got number"),
        ([workload() | {"spec": {"containers": {}}}], "Pod: /spec/containers: expected an array, got object"),
        ([workload(namespace=7)], "Pod: /metadata/namespace: expected a string, got number"),  # type: ignore[arg-type]
        ([workload(images=["ghcr.io/{{ .Values.image }}"])], "Pod: this looks like a Helm template"),
    ],
)  # fmt: skip
def test_what_no_api_server_would_take_is_reported_with_its_line(objects: list[Any], said: str) -> None:
    report = check_objects(*objects)
    (trouble,) = report.troubles
    assert trouble.problem.startswith(said)
    assert trouble.line > 1
    assert report.unread


def test_labels_that_mean_nothing_are_reported() -> None:
    odd = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "a", "labels": {"ghcr-pull-secrets.io/enforce": "x"}},
    }
    annotated = workload(annotations={"ghcr-pull-secrets.io/inject": "no"})
    assert reasons(check_objects(odd, annotated)) == [
        ("invalid_setting", "Namespace a"),
        ("invalid_setting", "Pod auth/auth-api"),
    ]


def test_a_configured_kind_is_found_by_its_resource() -> None:
    assert [resource_of(kind) for kind in ("Rollout", "Ingress", "NetworkPolicy")] == [
        "rollouts",
        "ingresses",
        "networkpolicies",
    ]
    assert outcomes(check_objects(workload("Rollout"))) == ["injected"]
    assert outcomes(check_objects(workload("Rollout") | {"apiVersion": "argoproj.io/v9"})) == []


def test_images_of_volumes_and_init_containers_have_their_lines() -> None:
    pod = workload()
    pod_spec_of(pod)["volumes"] = [{"name": "v", "image": {"reference": "ghcr.io/a/model"}}]
    pod_spec_of(pod)["initContainers"] = [{"name": "c0", "image": "ghcr.io/a/init"}]
    text = json.dumps(pod, indent=1)
    (finding,) = check(text, installed=False).findings
    lines = text.split("\n")
    assert {pull.kind for pull in finding.pulls} == {"container", "volume"}
    assert len(finding.pulls) == 3
    assert all(pull.image in lines[pull.line - 1] for pull in finding.pulls)


@pytest.mark.parametrize("render", [*FORMATS.values(), step_summary])
def test_no_credential_of_a_manifest_is_in_any_output(render: Any) -> None:
    encoded = base64.b64encode(payload()).decode()
    report = check_objects(
        out(),
        workload(secrets=["ghcr-secret", "a", "b"]),
        pull_secret(data={".dockerconfigjson": base64.b64encode(payload()[:-1]).decode()}),
        pull_secret(name="a", data={".dockerconfigjson": f"{CANARY} {CANARY}"}),
        pull_secret(name="b", data=None, stringData={".dockerconfigjson": {"password": CANARY}}),
    )
    assert report.findings
    assert len(report.troubles) == 2
    said = render(report) + repr(report)
    assert CANARY[:12] not in said
    assert encoded[:24] not in said
