"""What `check` reads and writes no more of, and that it says so."""

import pytest

from tests.check.runs import check
from webhook.check import documents, run
from webhook.check.outputs import github

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: auth}\nspec: {containers: [{name: c, image: ghcr.io/sesacthon/a}]}\n"


def test_a_list_of_too_many_objects_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_ITEMS", 2)
    item = "- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"
    few, many = (check("apiVersion: v1\nkind: List\nitems:\n" + item * number) for number in (2, 3))
    assert few.troubles == ()
    assert [each.problem for each in many.troubles] == ["a list of more than 2 objects"]
    assert many.troubles[0].fatal


def test_more_workloads_than_are_judged_are_said_by_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_WORKLOADS", 2)
    report = check("---\n".join([POD] * 3))
    assert len(report.checked) == 2
    assert [(each.line, each.problem) for each in report.troubles] == [
        (11, "Pod: no more than 2 workloads are judged in one run")
    ]
    assert report.troubles[0].fatal


def test_a_summary_that_github_would_not_take_is_cut_between_lines_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(
        "---\n".join([POD.replace("name: p,", f"name: p{number},") for number in range(30)]), installed=False
    )
    whole = github.step_summary(report)
    assert whole.count("\n| ") > 30
    monkeypatch.setattr(github, "MAX_SUMMARY", len(whole.encode()) // 2)
    cut = github.step_summary(report)
    kept, _, said = cut.partition("\n\nGitHub takes no more than 1 MiB")
    assert whole.startswith(kept + "\n")
    assert said


def test_kinds_are_told_apart_however_many_a_bundle_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_MOST_KNOWN", 2)
    kinds = [f"apiVersion: v1\nkind: Kind{number}\nmetadata: {{name: a}}\n" for number in range(5)]
    bundle = [text for kind in kinds for text in (f"{{{kind.strip().replace(chr(10), ', ')}}}\n", POD)]
    report = check("---\n".join(bundle))
    assert (len(report.checked), report.troubles) == (5, ())
