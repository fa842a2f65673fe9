"""Images covered by a pull secret, and Pods that need no review.

Later decisions rest on it: a central secret that covers nothing is not copied, and only by one that covers everything
are Pods admitted without a review. So each answer is a proof in one direction:

| answer | what it says for certain |
|---|---|
| `all` | every image of the pattern, its host *written plainly*, finds a usable credential |
| `none` | no image of the pattern finds a usable credential, however its host is written |
| `some` | neither of them could be shown |

A host is written plainly in lower case and without a port 443: the kubelet compares both as texts, so `GHCR.IO/x` and
`ghcr.io:443/x` find no entry for `ghcr.io` (`images.written_plainly`). A credential is usable with a user name and a
password (`Credential.is_empty`). Excluded images count for nothing: a pattern that an exclude pattern contains is left
out, and so is the part of one that an entry shares with it.

Which Pods need no review (`coverable`), and by which copies (`covers`), the chart's policies say too, in CEL
(`_covered.tpl`); a test holds the two equal.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from webhook.core import hostmatch, images
from webhook.core.hostmatch import Location, glob_matches, globs_meet
from webhook.core.keyring import Keyring
from webhook.core.names import (
    COVERED_LABEL,
    COVERS_ALL,
    COVERS_ANNOTATION,
    PATTERNS_ANNOTATION,
    SECRET_NAME,
    SECRET_TYPE,
    SOURCE_ANNOTATION,
)
from webhook.core.ownership import Secret, is_ours, source
from webhook.core.parts import MAX_IMAGES, selected_images
from webhook.core.patterns import ImagePatterns, Pattern
from webhook.core.review import Json
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.workloads import Workload


class Coverage(StrEnum):
    """How much of what is selected has a usable credential; see the module's table."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCoverage:
    """How far one include pattern is covered.

    Attributes:
        pattern: As in `ImagePatterns.include`.
        coverage: How much of it.
        half_filled: An entry that meets the pattern has no user name or no password.
    """

    pattern: str
    coverage: Coverage
    half_filled: bool = False


def cover(keyring: Keyring, patterns: ImagePatterns) -> tuple[PatternCoverage, ...]:
    """Say for each include pattern that selects anything how far a keyring covers it, in the patterns' order."""
    return tuple(
        _cover(keyring, text, pattern, patterns.excluded)
        for text, pattern in zip(patterns.include, patterns.included, strict=True)
        if not _contained(pattern, patterns.excluded)
    )


def overall(parts: Iterable[PatternCoverage]) -> Coverage:
    """Say the same of all patterns together; without any, nothing is selected and so nothing is left uncovered."""
    found = {part.coverage for part in parts}
    if found <= {Coverage.ALL}:
        return Coverage.ALL
    return Coverage.NONE if found == {Coverage.NONE} else Coverage.SOME


def _cover(keyring: Keyring, text: str, pattern: Pattern, excluded: tuple[Pattern, ...]) -> PatternCoverage:
    meeting = [
        endpoint
        for endpoint in keyring.endpoints
        if meets(endpoint.location, pattern) and not _only_excluded(endpoint.location, pattern, excluded)
    ]
    usable = [endpoint for endpoint in meeting if any(not credential.is_empty for credential in endpoint.credentials)]
    half_filled = any(credential.is_empty for endpoint in meeting for credential in endpoint.credentials)
    least = hostmatch.parse(f"{pattern.name}{pattern.port}/{_literal(pattern)}")
    coverage = Coverage.SOME if usable else Coverage.NONE
    # A star in the pattern's host stands for any number of labels; no entry, nor all of a Secret, has any number.
    if "*" not in pattern.name and least and any(endpoint.location.covers(least) for endpoint in usable):
        coverage = Coverage.ALL
    elif pattern.name == "localhost" and not pattern.port and coverage is Coverage.NONE:
        coverage = _by_default(keyring, alone=not meeting)
    return PatternCoverage(pattern=text, coverage=coverage, half_filled=half_filled)


def _by_default(keyring: Keyring, *, alone: bool) -> Coverage:
    """Docker Hub's credential, which the kubelet also takes for a host without dot and port that no entry matches."""
    if all(credential.is_empty for credential in keyring.default):
        return Coverage.NONE
    return Coverage.ALL if alone else Coverage.SOME


def _literal(pattern: Pattern) -> str:
    """Give the part of the path that every image of a pattern begins with."""
    return pattern.path.partition("*")[0]


# In an entry's path a star is a character like any other, and no image has one.
_IMAGE_PATH: Final = re.compile(r"[a-z0-9._/-]*")


def meets(location: Location, pattern: Pattern) -> bool:
    """Return whether some image of a pattern, however its host is written, lies at a location."""
    if _port_number(location.port) != _port_number(pattern.port[1:]):
        return False
    if not _IMAGE_PATH.fullmatch(location.path) or not globs_meet(f"/{pattern.path}", f"{location.path}*"):
        return False
    folded = replace(location, labels=tuple(label.lower() for label in location.labels))
    if "*" in pattern.name:
        return globs_meet(pattern.name, ".".join(folded.labels), apart=".")
    host = hostmatch.parse(pattern.name + (":1" if location.port else ""))
    return host is not None and folded.names(host.labels)


def _port_number(digits: str) -> str:
    """Reduce a port to its number, as text: a hostile one may have more digits than `int` takes."""
    return digits.lstrip("0") or ("0" if digits else "443")


def _only_excluded(location: Location, pattern: Pattern, excluded: tuple[Pattern, ...]) -> bool:
    """Return whether all that a location and a pattern share is excluded."""
    path = location.path.removeprefix("/")
    shared = replace(pattern, path=f"{path}*") if path.startswith(_literal(pattern)) else pattern
    return _contained(shared, excluded) or _contained(replace(shared, name=".".join(location.labels)), excluded)


def _contained(pattern: Pattern, excluded: tuple[Pattern, ...]) -> bool:
    """Return whether one exclude pattern contains every image of a pattern.

    A glob contains another if it matches the other's text with the stars taken as characters: no character but its own
    star can stand for them.
    """
    return any(
        other.port == pattern.port
        and glob_matches(other.name.split("*"), pattern.name)
        and glob_matches(other.path.split("*"), pattern.path)
        for other in excluded
    )


def coverable(workload: Workload, namespace: Namespace, rules: Rules) -> bool:
    """Return whether a Pod that is created needs nothing but a copy that covers everything.

    All of these hold; everything else is for a review to answer:

    | what | why |
    |---|---|
    | a Pod, and no static one's image | templates may be left to their Pods; the other is not ours to change |
    | it names a selected image, and no image that is never pulled | else there may be nothing to do |
    | each selected image has its host written plainly | the kubelet finds no entry for another spelling |
    | it lists no pull secret but `ghcr-secret` | others may be malformed |
    | neither it nor its namespace is out, and enforcement there is `deny` | else the answer is another |
    | none of our labels and annotations has a value that means nothing | of which users are warned |
    | it names no more than `MAX_IMAGES` images | more are not judged |
    """
    return (
        workload.is_pod
        and not (workload.mirror or workload.opted_out or workload.unknown_inject)
        and rules.injects_into(namespace)
        and rules.enforcement_in(namespace) is Enforcement.DENY
        and not namespace.unknown_labels
        and (workload.listed or 0) == len(workload.pull_secrets)
        and set(workload.pull_secrets) <= {SECRET_NAME}
        and len(workload.images) <= MAX_IMAGES
        and all(image.can_be_pulled for image in workload.images)
        and bool(selected := selected_images(workload, rules))
        and all(images.written_plainly(image.image) for image in selected)
    )


def covers(secret: Secret, rules: Rules) -> bool:
    """Return whether a namespace's `ghcr-secret` is a copy of ours that covers every selected image written plainly."""
    marks = secret.marks
    return (
        secret.type == SECRET_TYPE
        and not secret.deleting
        and is_ours(secret, rules.release_namespace)
        and marks.get(SOURCE_ANNOTATION) == source(rules.release_namespace)
        and marks.get(COVERS_ANNOTATION) == COVERS_ALL
        and marks.get(PATTERNS_ANNOTATION) == rules.patterns.digest
    )


_LABEL_PATH: Final = f"/metadata/labels/{COVERED_LABEL.replace('/', '~1')}"


def add_covered_label(metadata: Mapping[str, Any]) -> tuple[Json, ...]:
    """Make the RFC 6902 operations that give a Pod with this metadata `COVERED_LABEL`; none if it has it."""
    labels = metadata.get("labels")
    if not isinstance(labels, dict):
        return ({"op": "add", "path": "/metadata/labels", "value": {COVERED_LABEL: "true"}},)
    if labels.get(COVERED_LABEL) == "true":
        return ()
    return ({"op": "add", "path": _LABEL_PATH, "value": "true"},)
