"""What the copy of a central secret looks like in a namespace."""

from webhook.core import contents
from webhook.core.names import (
    ADOPT_ANNOTATION,
    ARGOCD_ANNOTATIONS,
    COVERS_ALL,
    COVERS_ANNOTATION,
    MANAGED_BY_LABEL,
    MANAGED_BY_VALUE,
    PATTERNS_ANNOTATION,
    SECRET_TYPE,
    SOURCE_ANNOTATION,
)
from webhook.core.ownership import Secret, is_ours
from webhook.core.patterns import ImagePatterns


def desired(namespace: str, central: Secret, patterns: ImagePatterns, existing: Secret | None = None) -> Secret:
    """Say what the copy of a central secret looks like in a namespace.

    Only the credentials are carried over: no label or annotation of the source, no other key. What other tools wrote on
    an existing copy stays, and so does its identity; the marks that it covers every selected image come and go with the
    credentials, in one write. A request to adopt it is answered with the name of who did.
    """
    marks = {
        **(existing.marks if existing else {}),
        MANAGED_BY_LABEL: MANAGED_BY_VALUE,
        SOURCE_ANNOTATION: central.reference,
        **ARGOCD_ANNOTATIONS,
    }
    covers, of_patterns = _coverage_of(central, patterns)
    for mark, value in ((COVERS_ANNOTATION, covers), (PATTERNS_ANNOTATION, of_patterns)):
        if value is None:
            marks.pop(mark, None)
        else:
            marks[mark] = value
    if existing is not None and not is_ours(existing, central.namespace):
        marks[ADOPT_ANNOTATION] = central.reference
    return Secret(
        namespace=namespace,
        payload=central.payload,
        marks=marks,
        immutable=existing.immutable if existing else False,
        given_away=existing.given_away if existing else False,
        written_by_us=True,
        uid=existing.uid if existing else "",
        resource_version=existing.resource_version if existing else "",
    )


def is_current(existing: Secret, central: Secret, patterns: ImagePatterns) -> bool:
    """Return whether `desired` would change nothing; nearly every review asks this, so nothing is built for it."""
    marks = existing.marks
    return (
        existing.type == SECRET_TYPE
        and not existing.extra_keys
        and existing.payload == central.payload
        and marks.get(SOURCE_ANNOTATION) == central.reference
        and all(marks.get(key) == value for key, value in ARGOCD_ANNOTATIONS.items())
        and (marks.get(COVERS_ANNOTATION), marks.get(PATTERNS_ANNOTATION)) == _coverage_of(central, patterns)
    )


def _coverage_of(central: Secret, patterns: ImagePatterns) -> tuple[str, str] | tuple[None, None]:
    """Give the values of `COVERS_ANNOTATION` and `PATTERNS_ANNOTATION`; neither is on a copy that leaves a gap."""
    if contents.covers_all(central.payload or b"", patterns):
        return COVERS_ALL, patterns.digest
    return None, None
