"""`check` and the webhook say the same: on recorded reviews, on golden files, and on whatever hypothesis makes up."""

import copy
import json
import pathlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.check.runs import ROLLOUT, check_objects
from tests.objects import (
    RELEASE_NAMESPACE,
    RESOURCES,
    RULES,
    TEMPLATE_PATHS,
    payload,
    pod_spec_of,
    review,
    secret,
    workload,
)
from tests.services.fakes import FakeCluster
from webhook.admission import Admission
from webhook.check.report import ManifestOutcome
from webhook.core.answers import Answer
from webhook.core.copies import Secret
from webhook.core.kinds import BUILT_IN_KINDS
from webhook.core.review import parse
from webhook.core.scope import Enforcement, Rules
from webhook.core.vocabulary import Outcome, Reason
from webhook.ports import Deadline
from webhook.provisioning import Provisioner

DATA = pathlib.Path(__file__).parents[1] / "data"
BOGUS = {
    "none": None,
    "good": payload(),
    "empty": payload(user=""),
    "other": payload(registry="ghcr.io/other/"),
    "bad": b"{",
}


def ask(cluster: FakeCluster, document: dict[str, Any], **rules: Any) -> tuple[Answer, Answer]:
    """Both halves, as an API server asks them: the second with what the first made."""
    chosen = Rules(**{"patterns": RULES.patterns, "release_namespace": RELEASE_NAMESPACE, **rules})
    provisioner = Provisioner(cluster.facts_of_all, cluster.writer, rules=chosen)
    admission = Admission(
        rules=chosen, kinds=(*BUILT_IN_KINDS, ROLLOUT), facts=cluster.facts_of_all, provisioner=provisioner
    )
    mutated = admission.mutate(parse(orjson.dumps(review(document))), Deadline.after(5))
    patched = copy.deepcopy(document)
    for operation in mutated.response.patch:
        holder: Any = patched
        *path, last = operation["path"].split("/")[1:]
        for token in path:
            holder = holder[token]
        if last == "-":
            holder.append(operation["value"])
        else:
            holder[last] = operation["value"]
    return mutated, admission.validate(parse(orjson.dumps(review(patched))), Deadline.after(5))


def manifest(found: Secret) -> dict[str, Any]:
    key = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}.get(
        found.type
    )
    data = {key: found.payload.decode()} if key and found.payload is not None else {}
    metadata = {"name": found.name, "namespace": found.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": found.type, "stringData": data}


def with_plugin(document: dict[str, Any], account: list[str]) -> dict[str, Any]:
    """What the API server's ServiceAccount plugin makes of a Pod before the webhook sees it."""
    document = copy.deepcopy(document)
    mirror = "kubernetes.io/config.mirror" in document["metadata"].get("annotations", {})
    if document["kind"] == "Pod" and account and not mirror and not pod_spec_of(document).get("imagePullSecrets"):
        pod_spec_of(document)["imagePullSecrets"] = [{"name": name} for name in account]
    return document


NAMES = ["ghcr-secret", "corp-pull", "absent"]
IMAGES = ["ghcr.io/sesacthon/a", "nginx", "GHCR.IO/a/b", "ghcr.io:443/a/b", "ghcr.io/other/x", "ghcr.io/A/b", ""]


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    document = workload(
        draw(st.sampled_from(sorted(TEMPLATE_PATHS))),
        images=draw(st.lists(st.sampled_from(IMAGES), max_size=3)),
        secrets=draw(st.none() | st.lists(st.sampled_from(NAMES), max_size=2, unique=True)),
        service_account=draw(st.sampled_from(["", "builder"])),
        owner=draw(st.sampled_from(["", "ReplicaSet"])),
        annotations=draw(
            st.sampled_from(
                [{}, {"ghcr-pull-secrets.io/inject": "false"}, {"kubernetes.io/config.mirror": "x"},
                 {"ghcr-pull-secrets.io/inject": "maybe"}]
            )
        ),
        namespace=draw(st.sampled_from(["auth", "kube-system"])),
        pull_policy=draw(st.sampled_from(["", "Never"])),
    )  # fmt: skip
    return {
        "document": document,
        "labels": draw(
            st.dictionaries(
                st.sampled_from(["ghcr-pull-secrets.io/inject", "ghcr-pull-secrets.io/enforce"]),
                st.sampled_from(["true", "false", "deny", "warn", "off", "x"]),
            )
        ),
        "account": draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)),
        "secrets": draw(st.dictionaries(st.sampled_from(NAMES[:2]), st.sampled_from(sorted(BOGUS)))),
        "type": draw(st.sampled_from(["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg", "Opaque"])),
        "central": draw(st.sampled_from(sorted(BOGUS))),
        "rules": {
            "opt_in": draw(st.booleans()),
            "enforcement": draw(st.sampled_from(Enforcement)),
            "leave_templates": draw(st.booleans()),
        },
    }


@pytest.mark.slow
@given(worlds())
def test_both_say_the_same_of_whatever_there_is(world: dict[str, Any]) -> None:
    document, cluster = world["document"], FakeCluster()
    home = document["metadata"]["namespace"]
    cluster.make_namespace(RELEASE_NAMESPACE)
    cluster.make_namespace(home, world["labels"])
    cluster.make_service_account(home, "builder", world["account"])
    cluster.make_service_account(home, "default", [])
    central = secret(payload=BOGUS[world["central"]])
    cluster.make_secret(central)
    secrets = [
        secret(home, name=name, type=world["type"], payload=BOGUS[content] if world["type"] != "Opaque" else None)
        for name, content in world["secrets"].items()
    ]
    # What the files do not hold is not there: the webhook may read every Secret here, and `check` is told of each.
    listed = {entry["name"] for entry in pod_spec_of(document).get("imagePullSecrets") or ()} | set(world["account"])
    absent = listed & {"corp-pull", "absent"} - set(world["secrets"])
    secrets += [secret(home, name=name, type="Opaque", payload=None) for name in absent]
    for each in secrets:
        cluster.make_secret(each)
    pod = with_plugin(document, world["account"] if pod_spec_of(document).get("serviceAccountName") else [])

    mutated, validated = ask(cluster, pod, **world["rules"])
    report = check_objects(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home, "labels": world["labels"]}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "builder", "namespace": home},
            "imagePullSecrets": [{"name": name} for name in world["account"]],
        },
        document,
        manifest(central),
        *[manifest(replace(each)) for each in secrets],
        **world["rules"],
    )

    assert not [trouble for trouble in report.troubles if trouble.fatal]
    if not report.checked:
        assert mutated.reason in (Reason.NO_SELECTED_IMAGE, Reason.NOT_APPLICABLE)
        return
    (checked,) = report.checked
    assert checked.decision is mutated.reason
    if checked.outcome is ManifestOutcome.NOT_ENFORCED and validated.reason is Reason.SECRET_MISSING:
        # Where nothing is enforced, the webhook asks nobody why the copy is missing.
        assert checked.verdict in (Reason.SECRET_MISSING, Reason.CENTRAL_MISSING, Reason.CENTRAL_UNUSABLE)
    else:
        assert checked.verdict is validated.reason
    assert (checked.outcome is ManifestOutcome.REJECTED) == (validated.outcome is Outcome.DENIED)
    assert (checked.outcome is ManifestOutcome.WARNED) == (validated.outcome is Outcome.WARNED)
    if validated.outcome is Outcome.DENIED:
        (first, *_) = [finding for finding in report.findings if finding.level == "error"]
        assert first.cause.partition(" (")[0] in validated.response.message
        assert first.remedy in validated.response.message


RECORDED = sorted((DATA.parents[1] / "standin" / "tests" / "data" / "admission-reviews").glob("*-create-*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_both_say_the_same_of_every_recorded_review_that_creates_something(path: pathlib.Path) -> None:
    recorded = json.loads(path.read_text())
    request = recorded["request"]
    kind = request["object"]["kind"] if request.get("object") else ""
    if kind not in RESOURCES or request.get("subResource"):
        assert check_objects(request.get("object") or {}).checked == ()
        return
    document = request["object"] | {"metadata": {**request["object"]["metadata"], "namespace": request["namespace"]}}
    cluster = FakeCluster()
    for name in (RELEASE_NAMESPACE, request["namespace"]):
        cluster.make_namespace(name)
    cluster.make_secret(secret())
    mutated, validated = ask(cluster, document)

    report = check_objects(document, manifest(secret()))

    said = [(each.decision, each.verdict) for each in report.checked]
    if mutated.reason is Reason.NO_SELECTED_IMAGE:
        assert said == []
    else:
        assert said == [(mutated.reason, validated.reason)]


@pytest.mark.parametrize("kind", TEMPLATE_PATHS)
@pytest.mark.parametrize("state", ["absent", "null", "empty", "others", "unnamed"])
def test_both_say_the_same_of_every_golden_workload(kind: str, state: str) -> None:
    document = workload(kind)
    entries: dict[str, Any] = {"null": None, "empty": [], "others": [{"name": "a"}, {"name": "b"}], "unnamed": [{}]}
    if state in entries:
        pod_spec_of(document)["imagePullSecrets"] = entries[state]
    cluster = FakeCluster()
    cluster.make_namespace("auth")
    cluster.make_secret(secret())
    mutated, validated = ask(cluster, document)
    (checked,) = check_objects(document).checked
    assert (checked.decision, checked.verdict) == (mutated.reason, validated.reason)


@pytest.mark.parametrize("path", sorted((DATA / "golden" / "chart").glob("*.yaml")), ids=lambda path: path.name)
def test_our_own_chart_as_it_is_rendered_has_no_finding(path: pathlib.Path) -> None:
    if path.name.endswith(".values.yaml"):
        return
    report = check_objects(*yaml.safe_load_all(path.read_text()))
    assert (report.findings, report.troubles) == ((), ())
    assert {str(each.outcome) for each in report.checked} == {"left_out"}
