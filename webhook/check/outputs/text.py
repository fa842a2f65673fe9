"""Report as text for people."""

from collections import Counter
from typing import Final

from webhook.check.report import Finding, ManifestOutcome, Report
from webhook.core.display import printable

_MARKS: Final = {"error": "✗", "warning": "!"}
_OUTCOMES: Final = {
    ManifestOutcome.INJECTED: "would be injected",
    ManifestOutcome.COVERED: "covered",
    ManifestOutcome.ON_TRUST: "on trust",
    ManifestOutcome.LEFT_OUT: "left out",
    ManifestOutcome.NOT_ENFORCED: "not enforced",
    ManifestOutcome.WARNED: "warned of",
    ManifestOutcome.REJECTED: "rejected",
}
_IMAGES_SHOWN: Final = 5
"""Most images of one finding that are shown; all of them are in the JSON."""


def render(report: Report) -> str:
    """Write a paragraph for each finding, and a line that counts."""
    lines = [f"{printable(trouble.file)}:{trouble.line}: {trouble.problem}" for trouble in report.troubles]
    for finding in report.findings:
        lines.extend(_finding(finding))
    if lines:
        lines.append("")
    return "\n".join([*lines, summary(report)]) + "\n"


def summary(report: Report) -> str:
    """Count the workloads by outcome, in one line."""
    counted = Counter(checked.outcome for checked in report.checked)
    parts = [f"{counted[outcome]} {words}" for outcome, words in _OUTCOMES.items() if counted[outcome]]
    text = f"{_count(report.documents, 'document')}, {_count(len(report.checked), 'workload')} with selected images"
    text += f": {', '.join(parts)}" if parts else ""
    if report.fixed:
        text += f"; {report.fixed} fixed"
    return f"{text}; {report.seconds:.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _finding(finding: Finding) -> list[str]:
    place = f"{printable(finding.place.file)}:{finding.place.line}"
    lines = [f"{_MARKS[finding.level]} {place}   {finding.subject}   {finding.reason}"]
    lines += [
        f"    {pull.kind} {pull.name} pulls {pull.image} (line {pull.line})" for pull in finding.pulls[:_IMAGES_SHOWN]
    ]
    if len(finding.pulls) > _IMAGES_SHOWN:
        lines.append(f"    and {_count(len(finding.pulls) - _IMAGES_SHOWN, 'more image')}")
    where = "".join(
        f" ({related.text}: {printable(related.place.file)}:{related.place.line})" for related in finding.related
    )
    lines.append(f"    {finding.cause}{where}")
    if finding.remedy:
        lines.append(f"    fix: {finding.remedy}")
    if finding.hint:
        lines.append(f"    {finding.hint}")
    return lines
