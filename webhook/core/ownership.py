"""Ownership of a Secret: ours, foreign or another release's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never

from webhook.core.display import shown
from webhook.core.names import (
    ADOPT_ANNOTATION,
    ARGOCD_ANNOTATIONS,
    COVERS_ANNOTATION,
    MANAGED_BY_LABEL,
    MANAGED_BY_VALUE,
    PATTERNS_ANNOTATION,
    SECRET_NAME,
    SECRET_TYPE,
    SOURCE_ANNOTATION,
)

MARKS: Final = frozenset(
    {
        MANAGED_BY_LABEL,
        SOURCE_ANNOTATION,
        ADOPT_ANNOTATION,
        COVERS_ANNOTATION,
        PATTERNS_ANNOTATION,
        *ARGOCD_ANNOTATIONS,
    }
)
"""Keys of labels and annotations that `Secret.marks` carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A Secret as far as we look at one.

    Attributes:
        payload: Value of the key that holds registry credentials; `None` if the Secret has no such key.
        extra_keys: It has other keys besides.
        too_large: That value is more than is read of one; `payload` is `None` then, and `resource_version` alone tells
            one content from the next.
        marks: The labels and annotations we set or obey, and no others.
        owned: Has an ownerReference, so that its life is somebody else's.
        owner: Kind and name of that owner for people, `ExternalSecret ghcr-secret`; empty without one.
        given_away: Somebody else applied it: it has a `last-applied-configuration`, or another field manager owns its
            data by server-side apply.
        written_by_us: Our field manager has written it.
    """

    namespace: str
    name: str = SECRET_NAME
    type: str = SECRET_TYPE
    payload: bytes | None = field(default=None, repr=False)
    extra_keys: bool = False
    too_large: bool = False
    marks: Mapping[str, str] = field(default_factory=dict)
    owned: bool = False
    owner: str = ""
    given_away: bool = False
    written_by_us: bool = False
    immutable: bool = False
    deleting: bool = False
    uid: str = ""
    resource_version: str = ""

    @property
    def reference(self) -> str:
        """Name it as the annotation `source` of its copies does."""
        return source(self.namespace)


class Owner(StrEnum):
    """Whose a `ghcr-secret` is; a metric label. All but `OURS` are foreign: never written or deleted."""

    OURS = "ours"
    FOREIGN = "foreign"
    """Without our label."""
    OWNED = "owned"
    """It has an ownerReference."""
    GIVEN_AWAY = "given_away"
    """Somebody applied their own over a copy of ours."""
    OTHER_RELEASE = "other_release"
    """A copy that another release of the add-on keeps."""


def source(release_namespace: str) -> str:
    """Say how copies name the central secret of a release."""
    return f"{release_namespace}/{SECRET_NAME}"


def owner_of(secret: Secret, release_namespace: str) -> Owner:
    """Say whose a Secret is, as seen by the release in that namespace; the first row that fits.

    | the Secret | owner |
    |---|---|
    | has an ownerReference | owned |
    | lacks our label | foreign |
    | names another source | other_release |
    | was applied by somebody, and we were not asked to adopt it | given_away |
    | else, also without a source (somebody stripped it) | ours |
    """
    marks = secret.marks
    if secret.owned:
        return Owner.OWNED
    if marks.get(MANAGED_BY_LABEL) != MANAGED_BY_VALUE:
        return Owner.FOREIGN
    own = source(release_namespace)
    if marks.get(SOURCE_ANNOTATION, own) != own:
        return Owner.OTHER_RELEASE
    if secret.given_away and marks.get(ADOPT_ANNOTATION) != own:
        return Owner.GIVEN_AWAY
    return Owner.OURS


def is_ours(secret: Secret, release_namespace: str) -> bool:
    """Return whether a Secret is a copy that this release keeps."""
    return owner_of(secret, release_namespace) is Owner.OURS


def adoptable(secret: Secret, release_namespace: str) -> bool:
    """Return whether the owner of a foreign secret asked this release to take it over; never against an ownerReference.

    `"true"` asks whichever release sees it first. It then writes its own source there, so that two releases that look
    at the same namespace do not take a copy from each other for ever.
    """
    return not secret.owned and secret.marks.get(ADOPT_ANNOTATION) in ("true", source(release_namespace))


def deletable(secret: Secret, release_namespace: str) -> bool:
    """Return whether a copy is ours to delete where none is wanted.

    Our label alone is no proof: `kubectl get secret -o yaml` in one namespace and `kubectl create` in another carries
    label and source along, but not our field manager.
    """
    return (
        is_ours(secret, release_namespace)
        and secret.written_by_us
        and secret.marks.get(SOURCE_ANNOTATION) == source(release_namespace)
    )


def give_away(namespace: str) -> str:
    """Say how somebody keeps a `ghcr-secret` of their own where there is a copy."""
    return (
        f"to keep a {SECRET_NAME} of your own here: kubectl label secret {SECRET_NAME} --namespace {namespace} "
        f"{MANAGED_BY_LABEL}-"
    )


def not_ours(secret: Secret, owner: Owner) -> str:
    """Say of a Secret that we leave alone whose it is, and how to have it kept by us again."""
    adopt = (
        f"to have a copy of the central secret in its place: kubectl annotate secret {SECRET_NAME} --namespace "
        f"{secret.namespace} {ADOPT_ANNOTATION}=true --overwrite"
    )
    match owner:
        case Owner.OWNED:
            whose = shown(secret.owner) or "the object in its ownerReferences"
            return (
                f"{SECRET_NAME} belongs to {whose} now and is left to it: no rotation reaches it; to have a copy of "
                f"the central secret in its place, delete {whose}"
            )
        case Owner.FOREIGN:
            why = f"lost the label {MANAGED_BY_LABEL} that makes it ours: it is left as it is, no rotation reaches it"
        case Owner.GIVEN_AWAY:
            why = "was applied by somebody, and is theirs from now on: no rotation reaches it"
        case Owner.OTHER_RELEASE:
            other = shown(secret.marks.get(SOURCE_ANNOTATION, ""))
            why = f"is a copy that another release keeps, of {other}, and is left to it"
        case Owner.OURS:
            return f"{SECRET_NAME} is ours"
        case _:
            assert_never(owner)
    return f"{SECRET_NAME} {why}; {adopt}"
