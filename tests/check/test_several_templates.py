"""Manifests of kinds with several pod templates: each is judged, named by its path, and fixed where it stands."""

import json
from typing import Any

import jsonpatch
import pytest

from tests.check.runs import check, check_objects, checker
from tests.objects import RELEASE_NAMESPACE, secret
from tests.services.fakes import FakeCluster
from tests.services.templates import ask, ray, template
from webhook.check.fixing import fixes
from webhook.check.outputs import FORMATS
from webhook.check.report import ManifestOutcome
from webhook.check.sources import Text
from webhook.core.parts import MAX_IMAGES
from webhook.core.vocabulary import Outcome, Reason

RAY_CLUSTER = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: ray
  namespace: ml
spec:
  headGroupSpec:
    template:
      spec:
        containers:
          - name: head
            image: ghcr.io/sesacthon/ray:1
  workerGroupSpecs:
    - groupName: small # of one CPU
      template:
        spec:
          containers:
            - name: worker
              image: ghcr.io/sesacthon/ray:1
    - groupName: plain
      template:
        spec: {containers: [{name: worker, image: nginx}]}
    - groupName: large
      template:
        spec: {containers: [{name: worker, image: "ghcr.io/sesacthon/ray:2"}]}
"""
PYTORCH_JOB = """\
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: train, namespace: ml}
spec:
  pytorchReplicaSpecs:
    Master: &master
      template:
        spec:
          containers: [{name: pytorch, image: ghcr.io/sesacthon/train}]
    a/b:
      template:
        spec:
          containers: [{name: pytorch, image: ghcr.io/sesacthon/train}]
    Worker: *master
"""
SMALL, LARGE, HEAD = (
    "RayCluster ml/ray (pod template spec.workerGroupSpecs[0].template)",
    "RayCluster ml/ray (pod template spec.workerGroupSpecs[2].template)",
    "RayCluster ml/ray (pod template spec.headGroupSpec.template)",
)


def test_each_template_with_a_selected_image_is_judged_and_named() -> None:
    report = check(RAY_CLUSTER, installed=False)
    assert [(each.subject, each.reason, each.place.line, each.line) for each in report.findings] == [
        (SMALL, "not_listed", 15, 19),
        (LARGE, "not_listed", 24, 25),
        (HEAD, "not_listed", 8, 12),
    ]
    assert [each.subject for each in report.checked] == [SMALL, LARGE, HEAD]
    assert "to spec.workerGroupSpecs[2].template.spec.imagePullSecrets" in report.findings[1].remedy
    assert [each.outcome for each in check(RAY_CLUSTER).checked] == [ManifestOutcome.INJECTED] * 3


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_report_says_which_template_it_is(name: str) -> None:
    text = FORMATS[name](check(RAY_CLUSTER, installed=False))
    assert "spec.workerGroupSpecs[2].template" in text
    if name == "json":
        document = json.loads(text)
        places = [
            "spec.workerGroupSpecs[0].template",
            "spec.workerGroupSpecs[2].template",
            "spec.headGroupSpec.template",
        ]
        assert [each["template"] for each in document["findings"]] == places
        assert [each["template"] for each in document["workloads"]] == places
    if name == "junit":
        assert text.count("<testcase ") == text.count("<failure ") == 3


def fixed(text: str) -> tuple[str, int, list[int]]:
    """The text after `--fix`, how many pod specs it changed, and the lines of those it did not."""
    settings: dict[str, Any] = {"installed": False}
    (fix,) = fixes(check(text, **settings), [Text(name="0.yaml", text=text)], checker(**settings))
    return fix.after, fix.changed, [trouble.line for trouble in fix.troubles]


def test_fix_writes_into_each_template_and_nothing_else() -> None:
    after, changed, by_hand = fixed(RAY_CLUSTER)
    assert (changed, by_hand) == (3, [])
    assert after == RAY_CLUSTER.replace(
        """\
      spec:
        containers:
          - name: head
""",
        """\
      spec:
        imagePullSecrets:
          - name: ghcr-secret
        containers:
          - name: head
""",
    ).replace(
        """\
        spec:
          containers:
            - name: worker
              image: ghcr""",
        """\
        spec:
          imagePullSecrets:
            - name: ghcr-secret
          containers:
            - name: worker
              image: ghcr""",
    ).replace(
        'spec: {containers: [{name: worker, image: "',
        'spec: {imagePullSecrets: [{name: ghcr-secret}], containers: [{name: worker, image: "',
    )
    assert not [each for each in check(after, installed=False).findings if each.reason == "not_listed"]


def test_what_an_alias_shares_is_left_to_a_person() -> None:
    after, changed, by_hand = fixed(PYTORCH_JOB)
    assert (changed, by_hand) == (1, [7, 7])
    assert after.count("ghcr-secret") == 1
    found = check(after, installed=False)
    assert [each.subject for each in found.findings if each.reason == "not_listed"] == [
        "PyTorchJob ml/train (pod template spec.pytorchReplicaSpecs.Master.template)",
        "PyTorchJob ml/train (pod template spec.pytorchReplicaSpecs.Worker.template)",
    ]


def test_what_has_another_form_than_the_path_says_is_reported_with_its_line() -> None:
    report = check(
        PYTORCH_JOB.replace("template:\n        spec:\n          containers: [{", "template: [{", 1) + "    X: 1\n"
    )
    (trouble, *_) = [each for each in report.troubles if each.fatal]
    assert "expected an object, got array" in trouble.problem
    report = check(RAY_CLUSTER.replace("    - groupName: plain\n", "    - 7\n    - groupName: plain\n"))
    (trouble,) = report.troubles
    assert (trouble.line, trouble.problem) == (
        20,
        "RayCluster: /spec/workerGroupSpecs/1: expected an object, got number",
    )


IMAGE = "ghcr.io/sesacthon/ray:1"
OBJECTS = {
    "fine": ray(template(IMAGE), head=template(IMAGE)),
    "one covered by another": ray(template(IMAGE, secrets=["own"]), template(IMAGE)),
    "an odd host": ray(template(IMAGE), template("GHCR.IO/a/b")),
    "no entry": ray(template(IMAGE), template("ghcr.io/other/b", secrets=["ghcr-secret"])),
    "nothing selected": ray(template("nginx"), head=template("nginx")),
    "nothing there": ray(),
    "opted out": ray(template(IMAGE), annotations={"ghcr-pull-secrets.io/inject": "false"}),
    "many images": ray(*[template(*(f"ghcr.io/a/{n}" for n in range(g, MAX_IMAGES, 2))) for g in (0, 1)], head=template(IMAGE)),
}  # fmt: skip


@pytest.mark.parametrize("unverifiable", [True, False])
@pytest.mark.parametrize("case", OBJECTS)
def test_both_say_the_same_of_an_object_with_several_templates(case: str, unverifiable: bool) -> None:
    obj = OBJECTS[case]
    cluster = FakeCluster()
    for name in (RELEASE_NAMESPACE, "ml"):
        cluster.make_namespace(name)
    cluster.make_service_account("ml", "default", [])
    cluster.make_secret(secret())
    mutated = ask("mutate", cluster, obj, allow_unverifiable=unverifiable)
    patched = jsonpatch.apply_patch(obj, list(mutated.response.patch))
    validated = ask("validate", cluster, patched, allow_unverifiable=unverifiable)

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "ml"}}
    found = {**obj, "metadata": {**obj["metadata"], "namespace": "ml"}}
    report = check_objects(account, found, allow_unverifiable=unverifiable)

    assert not report.troubles
    rejected = [each for each in report.checked if each.outcome is ManifestOutcome.REJECTED]
    assert bool(rejected) is (validated.outcome is Outcome.DENIED)
    if rejected:
        (first, *_) = [each for each in report.findings if each.level == "error"]
        assert first.template in validated.response.message
        assert first.remedy in validated.response.message
    if not report.checked:
        assert mutated.reason is Reason.NO_SELECTED_IMAGE
    else:
        assert mutated.reason in [each.decision for each in report.checked]
