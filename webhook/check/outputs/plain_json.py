"""Report as versioned JSON for programs.

`version` goes up when a field changes its meaning or goes; new fields may come.
"""

from typing import Any, Final

import orjson

from webhook.check.report import Report

VERSION: Final = 1


def render(report: Report) -> str:
    """Write all of a report as one JSON object."""
    document: dict[str, Any] = {
        "version": VERSION,
        "documents": report.documents,
        "fixed": report.fixed,
        "seconds": round(report.seconds, 3),
        "findings": [
            {
                "level": finding.level,
                "reason": finding.reason,
                "file": finding.place.file,
                "line": finding.place.line,
                "kind": finding.kind,
                "namespace": finding.namespace,
                "name": finding.name,
                "template": finding.template,
                "images": [
                    {"in": pull.kind, "name": pull.name, "image": pull.image, "line": pull.line}
                    for pull in finding.pulls
                ],
                "cause": finding.cause,
                "remedy": finding.remedy,
                "hint": finding.hint,
                "fixable": finding.fixable is not None,
                "related": [
                    {"text": related.text, "file": related.place.file, "line": related.place.line}
                    for related in finding.related
                ],
            }
            for finding in report.findings
        ],
        "workloads": [
            {
                "file": checked.place.file,
                "line": checked.place.line,
                "kind": checked.kind,
                "namespace": checked.namespace,
                "name": checked.name,
                "template": checked.template,
                "decision": checked.decision,
                "verdict": checked.verdict,
                "outcome": checked.outcome,
            }
            for checked in report.checked
        ],
        "troubles": [
            {"file": trouble.file, "line": trouble.line, "problem": trouble.problem, "fatal": trouble.fatal}
            for trouble in report.troubles
        ],
    }
    return printable(document) + "\n"


def printable(document: dict[str, Any]) -> str:
    """Write JSON; a file's name that is no UTF-8 is written with question marks."""
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # orjson takes no lone surrogates
        return orjson.dumps(_cleaned(document), option=orjson.OPT_INDENT_2).decode()


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {key: _cleaned(each) for key, each in value.items()}
        case list():
            return [_cleaned(each) for each in value]
        case _:
            return value
