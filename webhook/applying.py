"""The one writer of copies: plan, write, plan again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from webhook.core.copies import Create, Delete, Leave, Replace, Step, Update
from webhook.core.names import SECRET_NAME
from webhook.ports import AlreadyExists, Conflict, Deadline, Facts, NotFound, SecretWriter

ATTEMPTS: Final = 5
"""Steps tried for one copy: replacing it takes two, the rest is for lost races."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came before a plan.

    Attributes:
        again: A step was tried already: what a cache says may be what lost the race.
        replaced: The copy was deleted, as it could not be changed in place, and has to be created.
    """

    again: bool = False
    replaced: bool = False


Plan = Callable[[Tried], Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done, or left.

    Attributes:
        step: The last step; the `copy` of a create or an update is the Secret as the API server has it now.
        replaced: It was deleted before, as it could not be changed in place.
    """

    step: Create | Update | Delete | Leave
    replaced: bool = False


def apply(plan: Plan, facts: Facts, writer: SecretWriter, namespace: str, deadline: Deadline) -> Applied:
    """Bring one namespace's copy to its plan.

    | what happens | what follows |
    |---|---|
    | create, update or delete is done | the end; what was written is observed, ahead of the watch |
    | the first half of a replacement is done | planned again: what is there now decides on the create |
    | somebody was faster: exists already, conflict, not found | planned again |
    | not found on create | raised: only the namespace can be what is not found |
    | any other error | raised |

    Args:
        plan: Reads, and decides on the next step; how fresh what it reads has to be is the caller's rule.
        facts: Learn of what was written.
        writer: Writes.
        namespace: Where, for the error.
        deadline: For the writes.

    Raises:
        Conflict: The race was lost `ATTEMPTS` times.
        ClusterError: Whatever `plan` or the writer raise.
    """
    replaced = False
    for attempt in range(ATTEMPTS):
        step = plan(Tried(again=attempt > 0, replaced=replaced))
        try:
            match step:
                case Leave():
                    return Applied(step=step, replaced=replaced)
                case Create():
                    made = writer.create(step.copy, deadline)
                    facts.observe(made)
                    return Applied(step=replace(step, copy=made), replaced=replaced)
                case Update():
                    made = writer.update(step.copy, deadline)
                    facts.observe(made)
                    return Applied(step=replace(step, copy=made), replaced=replaced)
                case Replace():
                    writer.delete(step.existing, deadline)
                    replaced = True
                case Delete():
                    writer.delete(step.copy, deadline)
                    return Applied(step=step, replaced=replaced)
                case _:
                    assert_never(step)
        except (AlreadyExists, Conflict, NotFound) as error:
            if isinstance(error, NotFound) and isinstance(step, Create):
                raise
    raise Conflict("write", "secrets", namespace, SECRET_NAME)
