"""Report as GitHub workflow annotations and a Markdown step summary.

GitHub shows ten errors and ten warnings of one step; the summary has all of them.
"""

from typing import Final

from webhook.check.outputs.text import summary
from webhook.check.report import Report

MAX_SUMMARY: Final = 1_000_000
"""Longest summary in bytes: GitHub takes 1 MiB of one step."""

_CUT: Final = "\n\nGitHub takes no more than 1 MiB of a step: the rest of the findings is in the log.\n"


def render(report: Report) -> str:
    """Write a workflow command for each finding, and for what could not be read."""
    lines = [
        _command("error", trouble.file, trouble.line, "could not be read", trouble.problem)
        if trouble.fatal
        else _command("warning", trouble.file, trouble.line, "doubtful YAML", trouble.problem)
        for trouble in report.troubles
    ]
    for finding in report.findings:
        pulls = "".join(f"{pull.kind} {pull.name} pulls {pull.image}\n" for pull in finding.pulls)
        fix = f"\nfix: {finding.remedy}" if finding.remedy else ""
        title = f"{finding.subject}: {finding.reason}"
        lines.append(_command(finding.level, finding.place.file, finding.line, title, f"{pulls}{finding.cause}{fix}"))
    return "".join(f"{line}\n" for line in (*lines, _data(summary(report))))


def step_summary(report: Report) -> str:
    """Write the Markdown of a step's summary."""
    lines = ["### Pull secrets of the manifests", "", _cell(summary(report)), ""]
    if report.findings:
        lines += ["| | where | object | reason | fix |", "|---|---|---|---|---|"]
        for finding in report.findings:
            mark = "❌" if finding.level == "error" else "⚠️"
            cells = (
                f"{finding.place.file}:{finding.line}",
                finding.subject,
                finding.reason,
                finding.remedy or finding.cause,
            )
            lines.append(f"| {mark} | {' | '.join(map(_cell, cells))} |")
    lines += [f"- ❌ {_cell(f'{each.file}:{each.line}: {each.problem}')}" for each in report.troubles if each.fatal]
    text = "\n".join(lines) + "\n"
    if len(text.encode("utf-8", "replace")) <= MAX_SUMMARY:
        return text
    return text.encode("utf-8", "replace")[:MAX_SUMMARY].decode("utf-8", "ignore").rpartition("\n")[0] + _CUT


def _command(level: str, file: str, line: int, title: str, message: str) -> str:
    return f"::{level} file={_property(file)},line={line},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    # Of actions/toolkit, packages/core/src/command.ts: what a message must not hold as it stands.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    """Keep a text within its cell, and from being read as Markdown or HTML."""
    for character, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(character, safe)
    for character in "\\*_[]!":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
