"""Report as JUnit XML with one test case per workload."""

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from webhook.check.findings import Finding, Level, Report

_ILLEGAL: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


def render(report: Report) -> str:
    """Write one suite; a rejection is a failure, a warning is the case's output, what could not be read an error."""
    by_place: dict[tuple[str, int, str], list[Finding]] = {}
    for finding in report.findings:
        by_place.setdefault((finding.place.file, finding.place.line, finding.subject), []).append(finding)
    cases, failures = [], 0
    for checked in report.checked:
        found = by_place.pop((checked.place.file, checked.place.line, checked.subject), [])
        cases.append(_case(checked.subject, checked.place.file, checked.place.line, found))
        failures += any(finding.level is Level.ERROR for finding in found)
    for (file, line, subject), found in by_place.items():  # of Namespaces
        cases.append(_case(subject, file, line, found))
    faults = [trouble for trouble in report.troubles if trouble.fatal]
    for trouble in faults:
        body = f"<error message={_attribute(trouble.problem)}>{_text(trouble.problem)}</error>"
        cases.append(_element("could not be read", trouble.file, trouble.line, body))
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{len(faults)}"'
    time = f'time="{report.seconds:.3f}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="ghcr-pull-secrets" {counts} {time}>\n'
        f'  <testsuite name="ghcr-pull-secrets check" {counts} skipped="0" {time}>\n'
        + "".join(cases)
        + "  </testsuite>\n</testsuites>\n"
    )


def _case(name: str, file: str, line: int, found: list[Finding]) -> str:
    errors = [finding for finding in found if finding.level is Level.ERROR]
    warnings = [finding for finding in found if finding.level is Level.WARNING]
    body = ""
    if errors:
        # One failure a case: GitLab shows no more.
        message = _attribute(f"{errors[0].reason}: {errors[0].cause}")
        details = "\n".join(_described(finding) for finding in errors)
        body += f'<failure type="{errors[0].reason}" message={message}>{_text(details)}</failure>'
    if warnings:
        body += f"<system-out>{_text(chr(10).join(_described(finding) for finding in warnings))}</system-out>"
    return _element(name, file, line, body)


def _described(finding: Finding) -> str:
    pulls = "".join(f"\n{pull.kind} {pull.name} pulls {pull.image} (line {pull.line})" for pull in finding.pulls)
    fix = f"\nfix: {finding.remedy}" if finding.remedy else ""
    return f"{finding.place.file}:{finding.place.line} {finding.reason}{pulls}\n{finding.cause}{fix}"


def _element(name: str, file: str, line: int, body: str) -> str:
    attributes = f'name={_attribute(name)} classname={_attribute(file)} file={_attribute(file)} line="{line}" time="0"'
    return f"    <testcase {attributes}>{body}</testcase>\n" if body else f"    <testcase {attributes}/>\n"


def _text(text: str) -> str:
    return escape(_ILLEGAL.sub("?", text))


def _attribute(text: str) -> str:
    return quoteattr(_ILLEGAL.sub("?", text))
