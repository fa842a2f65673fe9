"""Next step for a namespace's copy, planned from its state.

Whose a `ghcr-secret` is says `webhook.core.ownership`. What is not ours is left alone, also what was ours until
somebody took the label off, applied their own over it, or an owner took it over: no tug of war.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from webhook.core import contents
from webhook.core.concerns import Concern
from webhook.core.contents import desired, is_current
from webhook.core.keyring import MAX_BYTES, Keyring, SecretTooLarge
from webhook.core.ownership import Owner, Secret, adoptable, deletable, is_ours, owner_of
from webhook.core.patterns import ImagePatterns
from webhook.core.vocabulary import CentralFault, Reason

__all__ = [
    "Create",
    "Delete",
    "Leave",
    "LeaveReason",
    "Place",
    "Replace",
    "Secret",
    "Step",
    "Update",
    "central_fault",
    "concerns",
    "desired",
    "fault",
    "plan",
    "plan_removal",
    "preview",
    "read_keyring",
]


class LeaveReason(StrEnum):
    """Why a Secret, or the lack of one, is left as it is."""

    CURRENT = "current"
    ABSENT = "absent"
    """It was to be removed, and there is none."""
    OPTED_OUT = "opted_out"
    NOT_WANTED = "not_wanted"
    CENTRAL = "central"
    """It is the central secret, which is no copy."""
    FOREIGN = "foreign"
    OWNED = "owned"
    GIVEN_AWAY = "given_away"
    OTHER_RELEASE = "other_release"
    NAMESPACE_TERMINATING = "namespace_terminating"
    DELETING = "deleting"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    HELD_BACK = "held_back"
    """It is contested, and not written before its pause ends (see `webhook.core.contest`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create `copy`; it is not there."""

    copy: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Bring the copy to `copy`, if it still has that resourceVersion; `adopts` takes over what was foreign."""

    copy: Secret
    adopts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Delete the copy, if it is still that one (uid and resourceVersion), then create it: it cannot be changed."""

    existing: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the copy, if it is still that one (uid and resourceVersion); none is to be there."""

    copy: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Do nothing; with `central_unusable`, `fault` says what is wrong with the central secret."""

    reason: LeaveReason
    fault: CentralFault | None = None


Step = Create | Update | Replace | Delete | Leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace as far as copies go.

    Attributes:
        namespace: Its name.
        release_namespace: Home of the central secret, which says whose a copy is.
        wanted: Something there uses a copy; without it none is made (an existing one is still kept right).
        opted_out: It wants no copy of ours.
        terminating: It is being deleted; nothing can be created in it.
    """

    namespace: str
    release_namespace: str
    wanted: bool = True
    opted_out: bool = False
    terminating: bool = False


def plan(
    place: Place,
    central: Secret | None,
    existing: Secret | None,
    patterns: ImagePatterns,
    repositories: Sequence[str] = (),
) -> Step:
    """Decide the next step for one namespace.

    Args:
        place: The namespace.
        central: The central secret, `None` if it does not exist.
        existing: The `ghcr-secret` of the namespace, `None` if there is none.
        patterns: Which images are selected, see `central_fault`.
        repositories: Normalised repositories the copy is for; a central secret that covers none of them is unusable
            for this purpose.

    | existing | central usable | central not usable |
    |---|---|---|
    | any, in a terminating namespace | leave | leave |
    | foreign, also of another release | leave (adoption asked: update or replace) | leave |
    | ours, opted out | delete if we wrote it, else leave | the same |
    | ours, as it should be | leave | leave: the last good copy stays |
    | ours, data or marks differ | update | leave |
    | ours, wrong type, or immutable and stale | replace | leave |
    | none | create if wanted and not opted out | leave |
    """
    if place.terminating:
        return Leave(reason=LeaveReason.NAMESPACE_TERMINATING)
    settled = _absent(place) if existing is None else _present(place, existing)
    if settled is not None:
        return settled
    if central is None:
        return Leave(reason=LeaveReason.CENTRAL_MISSING)
    if (wrong := central_fault(central, patterns, repositories)) is not None:
        return Leave(reason=LeaveReason.CENTRAL_UNUSABLE, fault=wrong)
    if existing is None:
        return Create(copy=desired(place.namespace, central, patterns))
    ours = is_ours(existing, place.release_namespace)
    if ours and is_current(existing, central, patterns):
        return Leave(reason=LeaveReason.CURRENT)
    return _bring_to(existing, desired(place.namespace, central, patterns, existing), adopts=not ours)


def _absent(place: Place) -> Step | None:
    if place.opted_out:
        return Leave(reason=LeaveReason.OPTED_OUT)
    return None if place.wanted else Leave(reason=LeaveReason.NOT_WANTED)


def _present(place: Place, existing: Secret) -> Step | None:
    if existing.deleting:
        return Leave(reason=LeaveReason.DELETING)
    owner = owner_of(existing, place.release_namespace)
    if place.opted_out:
        if deletable(existing, place.release_namespace):
            return Delete(copy=existing)
        return Leave(reason=LeaveReason.FOREIGN)
    if owner is Owner.OURS or adoptable(existing, place.release_namespace):
        return None
    return Leave(reason=LeaveReason.OTHER_RELEASE if owner is Owner.OTHER_RELEASE else LeaveReason.FOREIGN)


def _bring_to(existing: Secret, wanted: Secret, *, adopts: bool) -> Step:
    # The type of a Secret cannot be changed (422), nor can anything of an immutable one.
    if existing.type != wanted.type or existing.immutable:
        return Replace(existing=existing)
    return Update(copy=wanted, adopts=adopts)


def plan_removal(existing: Secret | None, release_namespace: str) -> Delete | Leave:
    """Decide on a `ghcr-secret` when every copy of a release is to go.

    | existing | step |
    |---|---|
    | none | leave: absent |
    | the central secret | leave |
    | foreign, also of another release | leave, by whose it is |
    | being deleted | leave |
    | ours | delete |
    """
    if existing is None:
        return Leave(reason=LeaveReason.ABSENT)
    if existing.namespace == release_namespace:
        return Leave(reason=LeaveReason.CENTRAL)
    match owner_of(existing, release_namespace):
        case Owner.FOREIGN:
            return Leave(reason=LeaveReason.FOREIGN)
        case Owner.OWNED:
            return Leave(reason=LeaveReason.OWNED)
        case Owner.GIVEN_AWAY:
            return Leave(reason=LeaveReason.GIVEN_AWAY)
        case Owner.OTHER_RELEASE:
            return Leave(reason=LeaveReason.OTHER_RELEASE)
        case Owner.OURS:
            return Leave(reason=LeaveReason.DELETING) if existing.deleting else Delete(copy=existing)


def preview(
    place: Place,
    central: Secret | None,
    existing: Secret | None,
    patterns: ImagePatterns,
    repositories: Sequence[str] = (),
) -> Secret | None:
    """Say what the namespace's `ghcr-secret` will be once `plan` has nothing more to do, if it is in."""
    step = plan(place, central, existing, patterns, repositories)
    match step:
        case Create() | Update():
            return step.copy
        case Replace():
            return desired(place.namespace, central, patterns) if central else None
        case Delete():
            return None
        case Leave():
            return existing
        case _:
            assert_never(step)


def central_fault(central: Secret, patterns: ImagePatterns, repositories: Sequence[str] = ()) -> CentralFault | None:
    """Say why a central secret must not be copied; `None` if it is good. See `contents.central_fault`."""
    if central.too_large:
        return CentralFault.TOO_LARGE
    return contents.central_fault(central.type, central.payload or b"", patterns, repositories)


def concerns(central: Secret, patterns: ImagePatterns) -> tuple[Concern, ...]:
    """Name what is doubtful in a central secret, though it may be copied. See `webhook.core.concerns`."""
    return contents.concerns_of(central.type, central.payload or b"", patterns)


def fault(secret: Secret, repositories: Sequence[str] = ()) -> Reason | None:
    """Say why a pull secret is of no use; `None` if it is good. See `contents.fault`."""
    if secret.too_large:
        return Reason.TOO_LARGE
    return contents.fault(secret.type, secret.payload or b"", repositories)


def read_keyring(secret: Secret) -> Keyring:
    """Read a Secret's credentials as the kubelet does; none for a type the kubelet does not look into.

    Raises:
        MalformedSecret: The kubelet would refuse it, and with it every pull of the Pod.
        SecretTooLarge: It is over a bound, so that it was not read.
    """
    # Of the right type but without its key: the kubelet passes over it as over an empty one.
    if secret.too_large:
        raise SecretTooLarge(f"{MAX_BYTES} bytes")
    return contents.read(secret.type, secret.payload or b"")
