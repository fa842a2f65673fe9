"""Report formats: SARIF by the schema that OASIS publishes, JUnit by what its readers read, and the bounds of both."""

import base64
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.check.published import junit_faults, sarif_faults
from tests.check.runs import check, check_objects
from tests.objects import RESOURCES, workload
from webhook.check.evidence import Position
from webhook.check.manifests import Trouble
from webhook.check.outputs import FORMATS, junit, sarif
from webhook.check.report import Finding, Level, Report
from webhook.check.sources import Text
from webhook.core.scope import Enforcement
from webhook.core.vocabulary import REFUSING

OUT = "apiVersion: v1\nkind: Namespace\nmetadata: {name: auth, labels: {ghcr-pull-secrets.io/inject: 'false'}}\n"
UNKNOWN = OUT.replace("false", "maybe")
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: 'a\"<&>\\u0001'}\nspec: {containers: [{name: a, image: ghcr.io/s/a}]}\n"
ODD = "surrogate \udce9 and : # ? %.yaml"


def every_kind(**settings: Any) -> Report:
    kinds = itertools.product(RESOURCES, (None, (), ("ghcr-secret",), ("corp",)))
    return check_objects(*[workload(kind, secrets=secrets) for kind, secrets in kinds], **settings)


def pull_secret(content: bytes) -> dict[str, Any]:
    data = {".dockerconfigjson": base64.b64encode(content).decode()}
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "ghcr-secret", "namespace": "auth"}, "data": data,
    }  # fmt: skip


def log(report: Report) -> Any:
    return json.loads(FORMATS["sarif"](report))


def findings(number: int, level: Level = "error") -> tuple[Finding, ...]:
    one = Finding(
        level=level, reason="not_listed", place=Position(file="a.yaml", line=1), kind="Pod", namespace="auth", name="a", cause="c"
    )  # fmt: skip
    return tuple(replace(one, name=f"a-{each}", place=Position(file="a.yaml", line=each + 1)) for each in range(number))


REPORTS: Mapping[str, Callable[[], Report]] = {
    "nothing": Report,
    "no finding": lambda: check(POD),
    "a finding": lambda: check(OUT, POD),
    "a warning": lambda: check(OUT, POD, enforcement=Enforcement.WARN),
    "a Namespace's label": lambda: check(UNKNOWN, POD),
    "what is not YAML": lambda: check("a: [", "\t- {{ a }}", OUT, POD),
    "several faults of one file": lambda: Report(
        troubles=tuple(Trouble(file="a.yaml", line=1 + each // 2, problem="is no \x01 <text>") for each in range(4))
    ),
    "doubtful YAML": lambda: check("kind: Pod\nkind: Pod\n", OUT),
    "one name twice": lambda: check(f"{OUT}---\n{POD}---\n{POD}", f"{POD}---\n{POD}"),
    "one line for all": lambda: check(
        OUT, json.dumps({"apiVersion": "v1", "kind": "List", "items": [workload(), workload(), workload()]})
    ),
    "a name that is no UTF-8": lambda: check(
        Text(name=ODD, text=POD), OUT, Trouble(file=ODD, line=1, problem="is no text")
    ),
    "a malformed Secret": lambda: check_objects(pull_secret(b"no JSON"), workload("Deployment")),
    "a Secret without entries": lambda: check_objects(pull_secret(b"{}"), workload("Deployment")),
    "a Secret nobody can read": lambda: check(POD.replace("spec: {", "spec: {imagePullSecrets: [{name: corp}], ")),
    "every kind": every_kind,
    "every kind, uninstalled": lambda: every_kind(installed=False),
    "every reason": lambda: Report(
        findings=tuple(replace(findings(1)[0], reason=reason) for reason in (*REFUSING, "invalid_setting"))
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_sarif_is_what_oasis_publishes_and_code_scanning_takes(name: str) -> None:
    assert sarif_faults(log(REPORTS[name]())) == []


@pytest.mark.parametrize("name", REPORTS)
def test_junit_is_what_its_readers_read_whole(name: str) -> None:
    assert junit_faults(FORMATS["junit"](REPORTS[name]()).encode("utf-8", "replace").decode()) == []


def test_the_reports_that_are_looked_at_have_findings_and_faults() -> None:
    reports = {name: make() for name, make in REPORTS.items()}
    assert {len(report.findings) > 0 for report in reports.values()} == {True, False}
    assert {report.unread for report in reports.values()} == {True, False}
    assert len(reports["every kind, uninstalled"].findings) > 20


def test_what_is_no_sarif_is_noticed() -> None:
    good = log(REPORTS["a finding"]())
    good["runs"][0]["results"][0]["level"] = "fatal"
    del good["runs"][0]["tool"]["driver"]["rules"][0]["help"]
    assert len(sarif_faults(good)) == 2


def test_what_readers_of_junit_pass_over_is_noticed() -> None:
    case = '<testcase name="a" classname="b"><failure/><error/></testcase>'
    faults = junit_faults(
        f'<testsuites><testsuite name="a" tests="1" failures="1" errors="0" skipped="0">{case}{case}</testsuite></testsuites>'
    )
    assert [fault.partition(" ")[0] for fault in faults] == ["('b',", "a", "a", "testsuites", "testsuite"]


@pytest.mark.parametrize("path", ["k8s/a b.yaml", "./k8s//a b.yaml", "k8s/sub/../a b.yaml"])
def test_a_file_has_one_name_in_sarif_however_the_command_line_spells_it(path: str) -> None:
    (one,) = log(check(Text(name=path, text=POD), OUT))["runs"][0]["results"]
    assert one["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "k8s/a%20b.yaml"}


PLAIN = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: ghcr.io/s/a # why\n"
)
EMOJI = "\U0001f600"


@pytest.mark.parametrize(
    ("text", "line", "marked"),
    [
        (PLAIN, 7, "ghcr.io/s/a"),
        (f"{PLAIN}---\n{PLAIN}", 15, "ghcr.io/s/a"),
        (PLAIN.replace("\n", "\r\n"), 7, "ghcr.io/s/a"),
        (PLAIN.replace("ghcr.io/s/a", "'ghcr.io/s/a'"), 7, "'ghcr.io/s/a'"),
        (POD.replace("name: a,", f"name: a, x: {EMOJI},"), 4, "ghcr.io/s/a"),
        (json.dumps(workload("Pod", images=["ghcr.io/s/a"])), 1, '"ghcr.io/s/a"'),
        (PLAIN.replace("image: ", "image: >-\n      ").replace(" # why", ""), 7, None),
        (PLAIN.replace("image: ", "image:\n      "), 7, None),
        (json.dumps(workload("Pod", name=EMOJI, images=["ghcr.io/s/a"])), 1, None),
    ],
    ids=["plain", "another document", "CRLF", "quoted", "behind an emoji", "JSON", "folded", "on the next line", "escaped pair"],
)  # fmt: skip
def test_a_region_of_sarif_is_the_image_where_it_stands_on_one_line(text: str, line: int, marked: str | None) -> None:
    run = log(check(text, OUT))["runs"][0]
    region = run["results"][-1]["locations"][0]["physicalLocation"]["region"]
    found = text.splitlines()[region["startLine"] - 1][
        region.get("startColumn", 1) - 1 : region.get("endColumn", 1) - 1
    ]

    assert run["columnKind"] == "unicodeCodePoints"
    assert (region["startLine"], found or None) == (line, marked)
    assert set(region) == ({"startLine"} if marked is None else {"startLine", "startColumn", "endLine", "endColumn"})
    assert region.get("endLine", line) == line


@pytest.mark.slow
def test_of_more_results_than_code_scanning_takes_the_errors_go_first_and_the_rest_is_counted() -> None:
    many = sarif.MAX_RESULTS
    run = log(Report(findings=(*findings(2, "warning"), *findings(many - 1))))["runs"][0]
    assert [each["level"] for each in run["results"]] == ["error"] * (many - 1) + ["warning"]
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert said["message"]["text"].startswith(
        f"1 of {many + 1} findings are left out: code scanning takes no more than"
    )
    whole = log(Report(findings=findings(many)))["runs"][0]
    assert len(whole["results"]) == many
    assert whole["invocations"][0]["toolExecutionNotifications"] == []


def test_of_a_longer_junit_report_than_gitlab_reads_the_failures_go_first_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passing = check(*[POD] * 20).checked
    report = Report(
        checked=passing, findings=findings(5), troubles=(Trouble(file="z.yaml", line=1, problem="is no text"),)
    )
    assert len(ET.fromstring(junit.render(report))[0]) == 26
    whole = len(junit.render(report).encode())
    monkeypatch.setattr(junit, "MAX_BYTES", whole)

    text = junit.render(report)

    assert len(text.encode()) <= whole
    assert junit_faults(text) == []
    cases = ET.fromstring(text)[0]
    assert [each[0].tag for each in cases if len(each)] == ["failure"] * 5 + ["error", "skipped"]
    left = 26 - (len(cases) - 1)
    assert cases[-1][0].get("message", "").startswith(f"{left} of 26 cases are left out: GitLab reads no file over")
    assert left > 0
