"""What goes wrong when: a pure function of a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is done to the cluster or to us."""

    KILL_LEADER = "kill_leader"
    RESTART_API = "restart_api"
    HALF_OPEN = "half_open"
    EXPIRE_HISTORY = "expire_history"
    BURST = "burst"
    DELETE_COPY = "delete_copy"
    EDIT_COPY = "edit_copy"
    DISOWN_COPY = "disown_copy"
    ROTATE = "rotate"
    SPOIL_CENTRAL = "spoil_central"
    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    MAKE_NAMESPACE = "make_namespace"
    DELETE_NAMESPACE = "delete_namespace"
    APPLY_WORKLOAD = "apply_workload"


class Burst(StrEnum):
    """How the API server answers our processes during a burst."""

    CONFLICT = "409"
    TOO_MANY = "429"
    INTERNAL = "500"
    UNAVAILABLE = "503"
    RESET = "reset"
    LOST_ANSWER = "lost_answer"


class Edit(StrEnum):
    """How a copy is edited."""

    CONTENT = "content"
    EXTRA_KEY = "extra_key"
    NO_ANNOTATIONS = "no_annotations"
    FROZEN = "frozen"
    """Stale content, and immutable."""
    WRONG_TYPE = "wrong_type"


class Spoiled(StrEnum):
    """What becomes of the central secret, until it is made good by a rotation."""

    UNUSABLE = "unusable"
    DELETED = "deleted"


WORKED: Final = tuple(f"worked-{number}" for number in range(5))
"""Namespaces with a workload and a copy."""
TOGGLED: Final = ("toggled-0", "toggled-1")
"""As those, but they opt out and in."""
DISOWNED: Final = "disowned"
"""As those, but its copy loses our label, and is adopted again the next time."""
FLEETING: Final = ("fleeting-0", "fleeting-1", "fleeting-2")
"""Made and deleted."""
OUT: Final = ("out", "out-foreign")
"""Opted out all the time; the second has a foreign secret."""
EXCLUDED: Final = ("excluded", "excluded-labelled")
"""Excluded by the values; the second has a secret that looks like a stale copy of ours."""
FOREIGN: Final = ("foreign-by-hand", "foreign-owned")
"""With a foreign secret, all the time."""

_WEIGHTS: Final[Mapping[Kind, int]] = {Kind.DELETE_COPY: 2, Kind.EDIT_COPY: 2, Kind.ROTATE: 2}
_PAUSE_S: Final = (0.3, 1.7)
"""Between two actions: every kind comes once in half a minute."""
_SUBJECTS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.HALF_OPEN: ("secrets", "namespaces"),
    Kind.DELETE_COPY: (*WORKED, *TOGGLED),
    Kind.EDIT_COPY: WORKED,
    Kind.DISOWN_COPY: (DISOWNED,),
    Kind.OPT_OUT: TOGGLED,
    Kind.OPT_IN: TOGGLED,
    Kind.MAKE_NAMESPACE: FLEETING,
    Kind.DELETE_NAMESPACE: FLEETING,
    Kind.APPLY_WORKLOAD: (*WORKED, *TOGGLED, DISOWNED, *OUT, *EXCLUDED, *FOREIGN),
}
_VARIANTS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.BURST: tuple(Burst),
    Kind.EDIT_COPY: tuple(Edit),
    Kind.SPOIL_CENTRAL: tuple(Spoiled),
}
_LASTS_S: Final[Mapping[Kind, tuple[float, float]]] = {
    Kind.RESTART_API: (0.2, 3),
    Kind.HALF_OPEN: (2, 10),
    Kind.BURST: (1, 6),
    Kind.SPOIL_CENTRAL: (0.2, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that is done.

    Attributes:
        at_s: When, in seconds from the beginning.
        subject: The namespace, or for `half_open` the resource whose watches fall silent.
        variant: One of `Burst`, `Edit` or `Spoiled`, as the kind asks.
        lasts_s: How long, for what lasts.
    """

    at_s: float
    kind: Kind
    subject: str = ""
    variant: str = ""
    lasts_s: float = 0.0


def schedule(seed: int, seconds: float) -> tuple[Action, ...]:
    """Draw what goes wrong in that many seconds.

    Kinds are drawn as from a bag that is filled again when it is empty, so that even a short run has each of them.
    """
    draw = random.Random(seed)
    actions: list[Action] = []
    bag: list[Kind] = []
    at_s = draw.uniform(*_PAUSE_S)
    while at_s < seconds:
        if not bag:
            bag = [kind for kind in Kind for _ in range(_WEIGHTS.get(kind, 1))]
            draw.shuffle(bag)
        kind = bag.pop()
        low, high = _LASTS_S.get(kind, (0.0, 0.0))
        action = Action(
            at_s=round(at_s, 3),
            kind=kind,
            subject=draw.choice(_SUBJECTS.get(kind, ("",))),
            variant=draw.choice(_VARIANTS.get(kind, ("",))),
            lasts_s=round(draw.uniform(low, high), 3),
        )
        actions.append(action)
        at_s += draw.uniform(*_PAUSE_S)
    return tuple(actions)
