"""Subjects of reviews: what each half decides on."""

from typing import Any

import orjson
import pytest

from tests.core.kinds import KINDS
from tests.objects import IMAGE, RULES, review, workload
from webhook.core.parts import MAX_IMAGES
from webhook.core.review import BadReview, parse
from webhook.core.subjects import Subject, read
from webhook.core.vocabulary import Half, Reason

DEBUGGER = "ghcr.io/nicolaka/netshoot:latest"


def subject(half: Half, document: dict[str, Any] | None, **changes: Any) -> Subject | None:
    return read(parse(orjson.dumps(review(document, **changes))), half, KINDS, RULES)


def judged(document: dict[str, Any], **changes: Any) -> Subject:
    found = subject(Half.VALIDATE, document, **changes)
    assert found is not None
    return found


def debugged(*images: str, namespace: str = "auth") -> Subject:
    """A running Pod that is given debug containers with these images."""
    pod, old = workload(namespace=namespace), workload(namespace=namespace)
    pod["spec"]["ephemeralContainers"] = [{"name": f"d{n}", "image": image} for n, image in enumerate(images)]
    return judged(pod, operation="UPDATE", old=old, subresource="ephemeralcontainers")


@pytest.mark.parametrize("half", Half)
@pytest.mark.parametrize(
    ("document", "changes"),
    [
        (None, {"operation": "DELETE", "old": workload()}),
        (workload(), {"operation": "CONNECT"}),
        (workload(), {"operation": "UPDATE", "old": workload(), "subresource": "status"}),
    ],
)
def test_what_neither_half_decides_on_is_not_read(half: Half, document: Any, changes: dict[str, Any]) -> None:
    assert subject(half, document, **changes) is None


def test_debug_containers_are_read_for_the_validating_half_alone() -> None:
    changes: dict[str, Any] = {"operation": "UPDATE", "old": workload(), "subresource": "ephemeralcontainers"}
    assert subject(Half.MUTATE, workload(), **changes) is None
    assert subject(Half.VALIDATE, workload(), **changes) is not None


def test_of_debug_containers_only_images_that_the_pod_has_not_pulled_are_judged() -> None:
    (part,) = debugged(IMAGE, DEBUGGER).to_judge
    assert [image.image for image in part.images] == [DEBUGGER]
    assert part.repositories == ("ghcr.io/nicolaka/netshoot",)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: debugged(IMAGE), Reason.UNCHANGED),
        (lambda: debugged("busybox"), Reason.NO_SELECTED_IMAGE),
        (lambda: debugged("busybox", namespace="kube-system"), Reason.OPTED_OUT),
        (lambda: judged(workload(images=["nginx"])), Reason.NO_SELECTED_IMAGE),
        (lambda: judged(workload("ReplicaSet", owner="Deployment")), Reason.CONTROLLER_OWNED),
        (lambda: judged(workload(), operation="UPDATE", old=workload()), Reason.UNCHANGED),
    ],
)
def test_what_need_not_be_judged_says_why(found: Any, expected: Reason) -> None:
    assert not found().to_judge
    assert found().exemption is expected


def test_that_no_image_is_selected_is_the_reason_only_if_it_is_that_of_every_part() -> None:
    one = judged(workload(images=["nginx"]))
    (other,) = judged(workload(), operation="UPDATE", old=workload()).parts
    both = Subject(review=one.review, update=True, parts=(*one.parts, other))
    assert both.exemption is Reason.UNCHANGED


def test_the_mutating_half_is_not_told_what_need_not_be_judged() -> None:
    found = subject(Half.MUTATE, workload(images=["nginx"]))
    assert found is not None
    assert found.parts[0].exemption is None
    assert not found.needs_copy


def test_a_workload_without_a_namespace_is_no_review_of_an_api_server() -> None:
    with pytest.raises(BadReview, match=r"request\.namespace"):
        subject(Half.VALIDATE, workload(), namespace="")


def test_a_part_says_that_its_object_names_more_images_than_are_judged() -> None:
    images = [f"ghcr.io/a/b{number}" for number in range(MAX_IMAGES + 1)]
    assert judged(workload(images=images)).parts[0].crowded
    assert not judged(workload(images=images[1:])).parts[0].crowded
    assert not judged(workload(images=images[:2] * MAX_IMAGES)).parts[0].crowded
