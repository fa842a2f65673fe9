"""Report as SARIF 2.1.0 for GitHub code scanning.

Beyond the published schema, code scanning asks each rule for a full description and a help text, each result for a
location, and takes a bounded number of results ("SARIF support for code scanning" and "SARIF results exceed one or more
limits" in GitHub's documentation).
"""

import hashlib
import importlib.metadata
import posixpath
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from webhook.check.manifests import Spot
from webhook.check.outputs.plain_json import printable
from webhook.check.report import INVALID_SETTING, Finding, Report
from webhook.core.vocabulary import REFUSING

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME: Final = "https://github.com/sesacthon/ghcr-pull-secrets"
_DOCS: Final = f"{_HOME}/blob/main/docs/check.md"
_HELP: Final = "Each result says what fixes it. What is checked, and how:"

MAX_RESULTS: Final = 25_000
"""Most results of one run: code scanning refuses a whole file with more of them."""

_RULES: Final[dict[str, tuple[str, str]]] = {
    **{
        reason: (f"Pull secret: {reason.replace('_', ' ')}", "The webhook would reject the workload, or warn of it.")
        for reason in sorted(REFUSING)
    },
    INVALID_SETTING: (
        "A label or annotation of ghcr-pull-secrets has a value that means nothing",
        "The webhook takes it as if it were not there.",
    ),
}
"""What each is, and what the webhook makes of it."""


def render(report: Report) -> str:
    """Write one run with a result for each finding, and a notification for what could not be read.

    Of more than `MAX_RESULTS` findings the errors go first, and a notification counts what is left out.
    """
    rules = list(_RULES)
    findings: Sequence[Finding] = report.findings
    notifications = [
        {
            "level": "error" if trouble.fatal else "warning",
            "message": {"text": trouble.problem},
            "locations": [_location(trouble.file, Spot(trouble.line))],
        }
        for trouble in report.troubles
    ]
    if len(findings) > MAX_RESULTS:
        text = (
            f"{len(findings) - MAX_RESULTS} of {len(findings)} findings are left out: code scanning takes no more than "
            f"{MAX_RESULTS} of one run. The formats text and json have all of them."
        )
        notifications.append({"level": "warning", "message": {"text": text}})
        findings = sorted(findings, key=lambda finding: finding.level != "error")[:MAX_RESULTS]
    run = {
        "tool": {
            "driver": {
                "name": "ghcr-pull-secrets",
                "informationUri": _HOME,
                "version": importlib.metadata.version("ghcr-pull-secrets"),
                "rules": [
                    {
                        "id": name,
                        "shortDescription": {"text": short},
                        "fullDescription": {"text": f"{short}. {full}"},
                        "help": {"text": f"{_HELP} {_DOCS}"},
                        "helpUri": _DOCS,
                    }
                    for name, (short, full) in _RULES.items()
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not report.unread, "toolExecutionNotifications": notifications}],
        "results": [_result(finding, rules) for finding in findings],
    }
    return printable({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _result(finding: Finding, rules: list[str]) -> dict[str, Any]:
    images = "".join(f" It pulls {pull.image}." for pull in finding.pulls[:1])
    fix = f" To fix it, {finding.remedy}." if finding.remedy else ""
    # What stays the same when lines move: code scanning tells old findings from new ones by it.
    identity = "\n".join((finding.reason, finding.place.file, finding.subject, *(each.image for each in finding.pulls)))
    return {
        "ruleId": finding.reason,
        "ruleIndex": rules.index(finding.reason),
        "level": finding.level,
        "message": {"text": f"{finding.subject}: {finding.cause}.{images}{fix}"},
        "locations": [_location(finding.place.file, finding.spot)],
        "relatedLocations": [
            {"id": number, "message": {"text": related.text}, **_location(related.place.file, Spot(related.place.line))}
            for number, related in enumerate(finding.related)
        ],
        "partialFingerprints": {"ghcrPullSecrets/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()},
    }


def _location(file: str, spot: Spot) -> dict[str, Any]:
    """Name a place: an image's characters, or else a whole line, which a region without columns is."""
    region = {"startLine": spot.line}
    if spot.columns is not None:
        start, end = spot.columns
        region |= {"startColumn": start, "endLine": spot.line, "endColumn": end}
    # Normalised, so that a file has one name however the command line spells it: alerts are told apart by it.
    uri = quote(posixpath.normpath(file.encode("utf-8", "surrogateescape")))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
