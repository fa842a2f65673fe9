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
from webhook.core.images import ImagePatterns
from webhook.core.keyring import MAX_BYTES, Keyring, SecretTooLarge
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
from webhook.core.ownership import Owner, Secret, adoptable, deletable, is_ours, owner_of
from webhook.core.reasons import Reason

__all__ = [
    "Create",
    "Delete",
    "Leave",
    "Place",
    "Secret",
    "Step",
    "StepReason",
    "Update",
    "central_fault",
    "concerns",
    "desired",
    "fault",
    "plan",
    "preview",
    "read_keyring",
]


class StepReason(StrEnum):
    """Why a step is taken or not; a metric label and a log field."""

    ABSENT = "absent"
    STALE = "stale"
    ADOPTED = "adopted"
    WRONG_TYPE = "wrong_type"
    IMMUTABLE = "immutable"
    OPTED_OUT = "opted_out"
    NOT_WANTED = "not_wanted"
    CURRENT = "current"
    FOREIGN = "foreign"
    OTHER_RELEASE = "other_release"
    NAMESPACE_TERMINATING = "namespace_terminating"
    DELETING = "deleting"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create `copy`; it is not there."""

    copy: Secret
    reason: StepReason = StepReason.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Bring the copy to `copy`, if it still has that resourceVersion."""

    copy: Secret
    reason: StepReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the copy, if it is still that one (uid and resourceVersion)."""

    copy: Secret
    reason: StepReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Do nothing; with `central_unusable`, `fault` says what is wrong with the central secret."""

    reason: StepReason
    fault: Reason | None = None


Step = Create | Update | Delete | Leave


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
    | ours, wrong type, or immutable and stale | delete, then create | leave |
    | none | create if wanted and not opted out | leave |
    """
    if place.terminating:
        return Leave(reason=StepReason.NAMESPACE_TERMINATING)
    settled = _absent(place) if existing is None else _present(place, existing)
    if settled is not None:
        return settled
    if central is None:
        return Leave(reason=StepReason.CENTRAL_MISSING)
    if (wrong := central_fault(central, patterns, repositories)) is not None:
        return Leave(reason=StepReason.CENTRAL_UNUSABLE, fault=wrong)
    if existing is None:
        return Create(copy=desired(place.namespace, central, patterns))
    ours = is_ours(existing, place.release_namespace)
    if ours and _is_current(existing, central, patterns):
        return Leave(reason=StepReason.CURRENT)
    return _bring_to(
        existing,
        desired(place.namespace, central, patterns, existing),
        StepReason.STALE if ours else StepReason.ADOPTED,
    )


def _is_current(existing: Secret, central: Secret, patterns: ImagePatterns) -> bool:
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


def _absent(place: Place) -> Step | None:
    if place.opted_out:
        return Leave(reason=StepReason.OPTED_OUT)
    return None if place.wanted else Leave(reason=StepReason.NOT_WANTED)


def _present(place: Place, existing: Secret) -> Step | None:
    if existing.deleting:
        return Leave(reason=StepReason.DELETING)
    owner = owner_of(existing, place.release_namespace)
    if place.opted_out:
        if deletable(existing, place.release_namespace):
            return Delete(copy=existing, reason=StepReason.OPTED_OUT)
        return Leave(reason=StepReason.FOREIGN)
    if owner is Owner.OURS or adoptable(existing, place.release_namespace):
        return None
    return Leave(reason=StepReason.OTHER_RELEASE if owner is Owner.OTHER_RELEASE else StepReason.FOREIGN)


def _bring_to(existing: Secret, wanted: Secret, reason: StepReason) -> Step:
    # The type of a Secret cannot be changed (422), nor can anything of an immutable one.
    if existing.type != wanted.type:
        return Delete(copy=existing, reason=StepReason.WRONG_TYPE)
    if existing.immutable:
        return Delete(copy=existing, reason=StepReason.IMMUTABLE)
    return Update(copy=wanted, reason=reason)


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
        case Delete():
            # Deleted for a type or an immutability that cannot be changed in place, then recreated.
            return desired(place.namespace, central, patterns) if central else None
        case Leave():
            return existing
        case _:
            assert_never(step)


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


def central_fault(central: Secret, patterns: ImagePatterns, repositories: Sequence[str] = ()) -> Reason | None:
    """Say why a central secret must not be copied; `None` if it is good. See `contents.central_fault`."""
    if central.too_large:
        return Reason.TOO_LARGE
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
