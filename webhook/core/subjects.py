"""Subject of a review: the object's pod specs, read as parts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from webhook.core import policy
from webhook.core.before import read_before
from webhook.core.kinds import WorkloadKind, find_kind
from webhook.core.parts import Part, parts, repositories_together
from webhook.core.review import BadReview, Json, Review
from webhook.core.scope import Rules
from webhook.core.vocabulary import Half, Reason
from webhook.core.workloads import read_all

_EPHEMERAL: Final = ("pods", "ephemeralcontainers")
_NO_IMAGE: Final = Reason.NO_SELECTED_IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a review is about.

    Attributes:
        review: The review.
        update: The object is there already (UPDATE), as against CREATE.
        parts: A Pod or template; of a kind with several pod templates as many as the object has, none too.
    """

    review: Review
    update: bool
    parts: tuple[Part, ...]

    @property
    def metadata(self) -> Json:
        """The object's metadata as it came."""
        return (self.review.object or {}).get("metadata") or {}

    @property
    def repositories(self) -> tuple[str, ...]:
        """What the object pulls selected images from."""
        return repositories_together(self.parts)

    @property
    def needs_copy(self) -> bool:
        """Return whether the namespace needs its copy for it."""
        return any(each.images or (not self.update and policy.mounts_copy(each.workload)) for each in self.parts)

    @property
    def to_judge(self) -> tuple[Part, ...]:
        """Those of its parts that the validating half judges."""
        return tuple(each for each in self.parts if each.exemption is None)

    @property
    def exemption(self) -> Reason:
        """Say why none of its parts is judged; that none pulls a selected image only where that holds for all."""
        reasons = (each.exemption for each in self.parts)
        return next((each for each in reasons if each not in (None, _NO_IMAGE)), None) or _NO_IMAGE


def read(review: Review, half: Half, kinds: Iterable[WorkloadKind], rules: Rules) -> Subject | None:
    """Read what a half of the webhook decides on; `None` if that is nothing.

    | review | read |
    |---|---|
    | DELETE, CONNECT, or without an object | no |
    | of a subresource | no, but for the validating half the debug containers that are added to a Pod |
    | of what is none of the kinds | no |
    | else | yes |

    Args:
        review: The review.
        half: Which parts need not be judged is noted for the validating half only.
        kinds: What has a pod spec.
        rules: The installation's settings.

    Raises:
        BadReview, MalformedObject: The request is not what an API server sends.
    """
    if review.operation not in ("CREATE", "UPDATE") or review.object is None:
        return None
    debugging = half is Half.VALIDATE and (review.resource, review.subresource) == _EPHEMERAL
    if review.subresource and not debugging:
        return None
    kind = find_kind(kinds, group=review.group, version=review.version, resource=review.resource)
    if kind is None:
        return None
    if not review.namespace:
        raise BadReview("request.namespace", "must not be empty for a workload", uid=review.uid)
    update = review.operation == "UPDATE"
    before = read_before(kind, review.old_object) if update and review.old_object is not None else {}
    found = read_all(kind, review.object)
    made = parts(found, rules, update=update, before=before, added=debugging)
    if half is Half.VALIDATE:
        exemptions = [policy.exempt(each, namespace=review.namespace, rules=rules) for each in made]
        made = tuple(
            each if reason is None else replace(each, exemption=reason)
            for each, reason in zip(made, exemptions, strict=True)
        )
    return Subject(review=review, update=update, parts=made)
