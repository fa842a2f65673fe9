"""One line more, and nothing else: every way in which a pod spec can be written."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.check.runs import checker
from tests.objects import TEMPLATE_PATHS, pod_spec_of, workload
from webhook.check.fixing import diff, fixes
from webhook.check.sources import STDIN_NAME, Text


def fixed(text: str, *, name: str = "f.yaml") -> tuple[str, int]:
    """The text after, and how many objects are left to be changed by hand."""
    given_text = Text(name=name, text=text)
    report = checker(installed=False).run([given_text])
    changes = list(fixes(report, [given_text], checker(installed=False)))
    return (changes[0].after, len(changes[0].troubles)) if changes else (text, 0)


HEAD = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\n"
ENTRY = "- name: ghcr-secret\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("spec: # s\n  # c\n  containers:\n  - image: ghcr.io/a/b\n", "spec: # s\n  imagePullSecrets:\n  - name: ghcr-secret\n  # c\n  containers:\n  - image: ghcr.io/a/b\n"),
        ("spec:\n    containers:\n      - image: 'ghcr.io/a/b'\n", "spec:\n    imagePullSecrets:\n      - name: ghcr-secret\n    containers:\n      - image: 'ghcr.io/a/b'\n"),
        ("spec:\n  imagePullSecrets: []  # none\n  containers: [{image: ghcr.io/a/b}]\n", "spec:\n  imagePullSecrets: [{name: ghcr-secret}]  # none\n  containers: [{image: ghcr.io/a/b}]\n"),
        ("spec:\n  imagePullSecrets:\n  containers: [{image: ghcr.io/a/b}]\n", "spec:\n  imagePullSecrets: [{name: ghcr-secret}]\n  containers: [{image: ghcr.io/a/b}]\n"),
        ("spec:\n  imagePullSecrets: null\n  containers: [{image: ghcr.io/a/b}]\n", "spec:\n  imagePullSecrets: [{name: ghcr-secret}]\n  containers: [{image: ghcr.io/a/b}]\n"),
        ("spec:\n  imagePullSecrets:\n  - {}\n  containers: [{image: ghcr.io/a/b}]\n", "spec:\n  imagePullSecrets:\n  - {}\n  - name: ghcr-secret\n  containers: [{image: ghcr.io/a/b}]\n"),
        ("spec:\n  imagePullSecrets: [{}]\n  containers: [{image: ghcr.io/a/b}]\n", "spec:\n  imagePullSecrets: [{}, {name: ghcr-secret}]\n  containers: [{image: ghcr.io/a/b}]\n"),
        ("spec: {containers: [{image: ghcr.io/a/b}]}\n", "spec: {imagePullSecrets: [{name: ghcr-secret}], containers: [{image: ghcr.io/a/b}]}\n"),
        ("spec:\r\n  containers:\r\n  - image: ghcr.io/a/b\r\n", "spec:\r\n  imagePullSecrets:\r\n  - name: ghcr-secret\r\n  containers:\r\n  - image: ghcr.io/a/b\r\n"),
    ],
)  # fmt: skip
def test_a_pod_spec_gets_the_secret_and_keeps_the_rest(before: str, after: str) -> None:
    assert fixed(HEAD + before) == (HEAD + after, 0)


def test_json_stays_json() -> None:
    for indent in (None, 2):
        text = json.dumps(workload("Deployment"), indent=indent)
        after, left = fixed(text)
        assert (left, pod_spec_of(json.loads(after))["imagePullSecrets"]) == (0, [{"name": "ghcr-secret"}])


def test_several_documents_and_items_of_a_file_are_fixed_and_the_others_left() -> None:
    service = "apiVersion: v1\nkind: Service # {{\nspec: {a:   1}\n"
    pods = yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": [workload(), workload("Job", name="b")]})
    after, left = fixed(f"{service}---\n{pods}---\n{yaml.safe_dump(workload('CronJob'))}")
    assert left == 0
    assert after.startswith(service)
    assert after.count(ENTRY) == 3


@pytest.mark.parametrize(
    "spec",
    [
        "x: &s {containers: [{image: ghcr.io/a/b}]}\nspec: *s\n",
        "x: &s {spec: {containers: [{image: ghcr.io/a/b}]}}\n<<: *s\n",
    ],
)
def test_what_others_share_is_left_to_a_person(spec: str) -> None:
    assert fixed(HEAD + spec) == (HEAD + spec, 1)


def test_an_anchored_pod_spec_that_another_object_shares_is_left_too() -> None:
    shared = (
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: &s {containers: [{image: ghcr.io/a/b}]}}\n"
        "- {apiVersion: v1, kind: Pod, metadata: {name: b, annotations: {ghcr-pull-secrets.io/inject: 'false'}}, spec: *s}\n"
    )
    assert fixed(shared) == (shared, 2)


def test_standard_input_is_not_written() -> None:
    text = yaml.safe_dump(workload())
    assert fixed(text, name=STDIN_NAME) == (text, 1)


@pytest.mark.slow
@given(st.sampled_from(sorted(TEMPLATE_PATHS)), st.booleans(), st.sampled_from([None, [], [{}]]), st.integers(1, 6))
def test_whatever_pyyaml_writes_is_fixed_and_fixed_once(kind: str, flow: bool, listed: Any, indent: int) -> None:
    document = workload(kind, images=["ghcr.io/a/b", "ghcr.io/c/d"])
    if listed is not None:
        pod_spec_of(document)["imagePullSecrets"] = listed
    text = yaml.safe_dump(document, default_flow_style=flow, indent=max(2, indent))
    after, left = fixed(text)
    assert left == 0
    pod_spec_of(document)["imagePullSecrets"] = [*(listed or []), {"name": "ghcr-secret"}]
    assert yaml.safe_load(after) == document
    again, _ = fixed(after)
    assert again == after  # what is missing now is the Secret itself


def test_a_diff_is_one_that_patch_takes() -> None:
    assert diff("k8s/a.yaml", "a\nb", "a\nc\nb") == (
        "--- a/k8s/a.yaml\n+++ b/k8s/a.yaml\n@@ -1,2 +1,3 @@\n a\n+c\n b\n\\ No newline at end of file\n"
    )
