"""Parts to decide on: one pod spec each, with its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from webhook.core.before import NOTHING_BEFORE, Before
from webhook.core.kinds import TemplatePath
from webhook.core.scope import Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import PodImage, Workload

MAX_IMAGES: Final = 256
"""Most different images of one object that are judged. A Pod has a handful of containers."""

_LONGEST_HOST: Final = 253 + len(":65535")
"""RFC 1035's limit of a name in text, and a port. Globs of a tenant are compared with hosts of a tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One pod spec of an object, with everything its decisions need; most objects have one.

    Attributes:
        workload: The pod spec.
        update: Its object is there already (UPDATE), as against CREATE.
        before: On UPDATE, what stood where its path leads.
        images: Its selected images; where debug containers are added to a Pod, only what it has not pulled before.
        repositories: What those are pulled from, as `repositories` lists it.
        crowded: Its object as a whole names more than `MAX_IMAGES` different images.
        exemption: Why it need not be judged; `None` if it must be, or if nobody has asked.
    """

    workload: Workload
    update: bool = False
    before: Before = NOTHING_BEFORE
    images: tuple[PodImage, ...] = ()
    repositories: tuple[str, ...] = field(init=False)
    crowded: bool = False
    exemption: Reason | None = None

    def __post_init__(self) -> None:
        """Name the repositories once: both the copy and the verdict are about them."""
        object.__setattr__(self, "repositories", repositories(self.images))


def parts(
    found: Sequence[Workload],
    rules: Rules,
    *,
    update: bool = False,
    before: Mapping[TemplatePath, Before] | None = None,
    added: bool = False,
) -> tuple[Part, ...]:
    """Make a part of each pod spec of one object.

    Args:
        found: The pod specs.
        rules: The installation's settings.
        update: The object is there already.
        before: On UPDATE, what stood where each path leads.
        added: Only what is added now can be kept out: the other containers run already. An image that the Pod has, but
            never pulls, is no less new.
    """
    made = []
    for workload in found:
        there = before.get(workload.path, NOTHING_BEFORE) if before else NOTHING_BEFORE
        images = selected_images(workload, rules)
        if added:
            images = tuple(image for image in images if image.image not in there.pulled)
        made.append(Part(workload=workload, update=update, before=there, images=images))
    images = made[0].images if len(made) == 1 else tuple(chain.from_iterable(each.images for each in made))
    if len(images) > MAX_IMAGES and len({each.image for each in images}) > MAX_IMAGES:
        made = [replace(each, crowded=True) for each in made]
    return tuple(made)


def repositories_together(of: Sequence[Part]) -> tuple[str, ...]:
    """List what the parts of one object are pulled from, with the bound of `repositories`."""
    return of[0].repositories if len(of) == 1 else repositories([image for part in of for image in part.images])


def selected_images(workload: Workload, rules: Rules) -> tuple[PodImage, ...]:
    """List the images that match the patterns and that the kubelet would pull.

    The list ends with the first that is one too many to be judged: what comes after it changes no answer.
    """
    selected: list[PodImage] = []
    known: dict[str, bool] = {}
    different = 0
    for image in workload.images:
        if not image.can_be_pulled:
            continue
        matches = known.get(image.image)
        if matches is None:
            matches = known[image.image] = rules.patterns.selects(image.image)
            different += matches
        if matches:
            selected.append(image)
            if different > MAX_IMAGES:
                break
    return tuple(selected)


def selects_any(workload: Workload, rules: Rules) -> bool:
    """Return whether any image matches the patterns and would be pulled."""
    return any(image.can_be_pulled and rules.patterns.selects(image.image) for image in workload.images)


def repositories(selected: Sequence[PodImage]) -> tuple[str, ...]:
    """List the first `MAX_IMAGES` normalised repositories of images, each once, for which a credential can be found.

    An image no kubelet could parse has none, and one whose host is too long to have an address needs none.
    """
    found: dict[str, None] = {}
    for image in selected:
        name = image.repository
        if name and name.find("/") <= _LONGEST_HOST:
            found[name] = None
            if len(found) == MAX_IMAGES:
                break
    return tuple(found)
