"""Causes for which a Pod cannot pull, and what they rest on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from webhook.core.judging import Problem, SecretFact
from webhook.core.kubelet_words import ContainerWaiting, Symptom
from webhook.core.ownership import Owner, Secret
from webhook.core.policy import ServiceAccount
from webhook.core.scope import Namespace
from webhook.core.vocabulary import CredentialState
from webhook.core.workloads import PodImage


class Cause(StrEnum):
    """Why a Pod cannot pull: the metric's label, and a paragraph of docs/troubleshooting.md."""

    # What the pull secrets are worth; the words are those of `Reason`.
    SECRET_MISSING = "secret_missing"
    NOT_LISTED = "not_listed"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_ENTRY_FOR_IMAGE = "no_entry_for_image"
    EMPTY_CREDENTIAL = "empty_credential"
    CENTRAL_MISSING = "central_missing"
    CENTRAL_UNUSABLE = "central_unusable"
    UNVERIFIABLE = "unverifiable"
    TOO_LARGE = "too_large"
    # How they came to be so.
    STALE = "stale"
    FOREIGN = "foreign"
    ACCOUNT_UNUSED = "account_unused"
    # How the image is written.
    HOST_SPELLING = "host_spelling"
    INVALID_IMAGE_NAME = "invalid_image_name"
    IMAGE_NOT_FOUND = "image_not_found"
    NEVER_PULLED = "never_pulled"
    # What the registry says.
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_NO_ACCESS = "credential_no_access"
    REGISTRY_MIRROR = "registry_mirror"
    REGISTRY_FAILING = "registry_failing"
    # Where it runs.
    REGISTRY_UNREACHABLE = "registry_unreachable"
    NODE_UNREACHABLE = "node_unreachable"
    BACK_OFF = "back_off"
    UNKNOWN = "unknown"
    # Told apart, and no cause of this kind.
    PULLED = "pulled"


UNABLE: Final = tuple(cause for cause in Cause if cause is not Cause.PULLED)
"""The causes for which a Pod is unable to pull."""


class Unused(StrEnum):
    """Why the pull secrets of a ServiceAccount are not the Pod's."""

    OWN_LIST = "own_list"
    """The Pod lists some of its own; the API server copies the account's only to a Pod that lists none."""
    LATER = "later"
    """The account was given them after the Pod was made; the API server copies them only then."""
    OTHER_ACCOUNT = "other_account"
    """They are those of the account `default`, and the Pod runs as another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What there is around a Pod.

    Attributes:
        namespace: Where it is.
        account: Its ServiceAccount.
        default_account: The account `default` of its namespace.
        secrets: The namespace's Secrets that the Pod or one of the two accounts lists, and its `ghcr-secret`; a name
            that is not here is not there.
        central: The central secret.
        rewritten: Names of those Secrets that were written since the kubelet's last attempt.
        word: What the registry says of the central secret's credential and the image, if it was asked and did answer.
        node_lost: The kubelet of its node has not been heard of: what the status says is old.
    """

    namespace: Namespace
    account: ServiceAccount = field(default_factory=ServiceAccount)
    default_account: ServiceAccount = field(default_factory=ServiceAccount)
    secrets: Mapping[str, SecretFact] = field(default_factory=dict)
    central: SecretFact = None
    rewritten: frozenset[str] = frozenset()
    word: CredentialState | None = None
    node_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A container that does not run, of a selected image.

    Attributes:
        waiting: What its status says.
        symptom: What the kubelet met.
        image: What it was to pull.
    """

    waiting: ContainerWaiting
    symptom: Symptom
    image: PodImage


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDiagnosis:
    """Why a Pod cannot pull, and what bears on how to fix it.

    Attributes:
        cause: Why.
        stuck: The container.
        secret: Name of the pull secret it is about, "" for none.
        found: That Secret, if it is there and may be read.
        owner: Whose it is; `None` if it is not a `ghcr-secret` that may be read.
        problem: What the webhook would say of the Pod, where the cause is its reason.
        unused: With `account_unused`: why.
        host: With `registry_mirror`: the mirror.
        exposed: The image would be pulled without a credential, besides.
    """

    cause: Cause
    stuck: Stuck
    secret: str = ""
    found: Secret | None = field(default=None, repr=False)
    owner: Owner | None = None
    problem: Problem | None = None
    unused: Unused | None = None
    host: str = ""
    exposed: bool = False
