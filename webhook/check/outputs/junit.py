"""Report as JUnit XML with one test case per workload.

There is no standard. The elements, their order and attributes are those of Jenkins' `junit-10.xsd`; beyond it a case
has `file` and `line`, which GitLab and GitHub's common actions read.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from webhook.check.report import Finding, Report

_ILLEGAL: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""

MAX_BYTES: Final = 30_000_000
"""Longest report in bytes: GitLab reads no JUnit file of more than 30 MB."""

_ROOM: Final = 2_000
"""Bytes that are kept for what stands around the cases, and for the one that says how many are left out."""


_Result = Literal["passed", "failures", "errors", "skipped"]
"""What a case counts as."""


def render(report: Report) -> str:
    """Write one suite; a rejection is a failure, a warning is the case's output, what could not be read an error.

    Of a report longer than `MAX_BYTES` the failures and errors go first, and a skipped case counts what is left out.
    """
    names = _Names()
    cases = _bounded(list(_cases(report, names)), names)
    ended = Counter(result for result, _ in cases)
    numbers = " ".join(f'{each}="{ended[each]}"' for each in ("failures", "errors"))
    counts, time = f'tests="{len(cases)}" {numbers}', f'time="{report.seconds:.3f}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="ghcr-pull-secrets" {counts} {time}>\n'
        f'  <testsuite name="ghcr-pull-secrets check" {counts} skipped="{ended["skipped"]}" {time}>\n'
        + "".join(text for _, text in cases)
        + "  </testsuite>\n</testsuites>\n"
    )


def _cases(report: Report, names: "_Names") -> Iterator[tuple[_Result, str]]:
    by_place: dict[tuple[str, int, str], list[Finding]] = {}
    for finding in report.findings:
        by_place.setdefault((finding.place.file, finding.place.line, finding.subject), []).append(finding)
    for checked in report.checked:
        found = by_place.pop((checked.place.file, checked.place.line, checked.subject), [])
        yield _case(names, checked.subject, checked.place.file, checked.place.line, found)
    for (file, line, subject), found in by_place.items():  # of Namespaces
        yield _case(names, subject, file, line, found)
    for trouble in report.troubles:
        if trouble.fatal:
            body = f"<error message={_attribute(trouble.problem)}>{_text(trouble.problem)}</error>"
            yield "errors", _element(names, "could not be read", trouble.file, trouble.line, body)


def _bounded(cases: list[tuple[_Result, str]], names: "_Names") -> list[tuple[_Result, str]]:
    sizes = [len(text.encode("utf-8", "replace")) for _, text in cases]
    if sum(sizes) + _ROOM <= MAX_BYTES:
        return cases
    kept, left = set(), MAX_BYTES - _ROOM
    for number in sorted(range(len(cases)), key=lambda number: cases[number][0] == "passed"):
        left -= sizes[number]
        if left < 0:
            break
        kept.add(number)
    missing = len(cases) - len(kept)
    text = f"{missing} of {len(cases)} cases are left out: GitLab reads no file over {MAX_BYTES // 10**6} MB"
    last = _element(names, "left out", "ghcr-pull-secrets", 1, f"<skipped message={_attribute(text)}/>")
    return [case for number, case in enumerate(cases) if number in kept] + [("skipped", last)]


class _Names:
    """Gives every case a name of its own: of several with one class and name GitLab reads the first alone."""

    def __init__(self) -> None:
        self._used: Counter[tuple[str, str]] = Counter()

    def unique(self, name: str, file: str, line: int) -> str:
        """Return a name no other case of the file has: with its line, and a number where that is not enough."""
        for each in (name, f"{name}, line {line}"):
            self._used[file, each] += 1
            if self._used[file, each] == 1:
                return each
        return f"{each}, {self._used[file, each]}"


def _case(names: _Names, name: str, file: str, line: int, found: list[Finding]) -> tuple[_Result, str]:
    errors = [finding for finding in found if finding.level == "error"]
    warnings = [finding for finding in found if finding.level == "warning"]
    body = ""
    if errors:
        # One failure a case: GitLab shows no more.
        message = _attribute(f"{errors[0].reason}: {errors[0].cause}")
        details = "\n".join(_described(finding) for finding in errors)
        body += f'<failure type="{errors[0].reason}" message={message}>{_text(details)}</failure>'
    if warnings:
        body += f"<system-out>{_text(chr(10).join(_described(finding) for finding in warnings))}</system-out>"
    return ("failures" if errors else "passed"), _element(names, name, file, line, body)


def _described(finding: Finding) -> str:
    pulls = "".join(f"\n{pull.kind} {pull.name} pulls {pull.image} (line {pull.line})" for pull in finding.pulls)
    fix = f"\nfix: {finding.remedy}" if finding.remedy else ""
    return f"{finding.place.file}:{finding.place.line} {finding.reason}{pulls}\n{finding.cause}{fix}"


def _element(names: _Names, name: str, file: str, line: int, body: str) -> str:
    name = _attribute(names.unique(name, file, line))
    attributes = f'name={name} classname={_attribute(file)} file={_attribute(file)} line="{line}" time="0"'
    return f"    <testcase {attributes}>{body}</testcase>\n" if body else f"    <testcase {attributes}/>\n"


def _text(text: str) -> str:
    return escape(_ILLEGAL.sub("?", text))


def _attribute(text: str) -> str:
    return quoteattr(_ILLEGAL.sub("?", text))
