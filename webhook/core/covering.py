"""Pods that need no review, as the chart's policies decide.

The chart's policies say the same in CEL (`_covered.tpl`); a test holds the two equal.
"""

from collections.abc import Mapping
from typing import Any, Final

from webhook.core import images
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
from webhook.core.review import Json
from webhook.core.scope import Enforcement, Namespace, Rules
from webhook.core.workloads import Workload


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


def add_label(metadata: Mapping[str, Any]) -> tuple[Json, ...]:
    """Make the RFC 6902 operations that give a Pod with this metadata the label; none if it has it."""
    labels = metadata.get("labels")
    if not isinstance(labels, dict):
        return ({"op": "add", "path": "/metadata/labels", "value": {COVERED_LABEL: "true"}},)
    if labels.get(COVERED_LABEL) == "true":
        return ()
    return ({"op": "add", "path": _LABEL_PATH, "value": "true"},)


_LABEL_PATH: Final = f"/metadata/labels/{COVERED_LABEL.replace('/', '~1')}"
