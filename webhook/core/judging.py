"""Judgement of images by pull secrets, and refusals made of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from webhook.core import copies
from webhook.core.keyring import Credential, Keyring, MalformedSecret, SecretTooLarge
from webhook.core.names import PULL_SECRET_KEYS, SECRET_NAME
from webhook.core.ownership import source
from webhook.core.parts import Part
from webhook.core.policy import Decision
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import CentralFault, Reason
from webhook.core.workloads import PodImage, Workload

MAX_ENTRIES_IN_ALL: Final = 2000
"""Entries after which no more Secrets of one workload are read: twice what one of them may have."""

MAX_SECRETS: Final = 32
"""Most pull secrets of one workload that are read; with `rbac.readAllSecrets` each costs a call to the API server."""

UNNAMED: Final = "(a pull secret of its ServiceAccount)"
"""In place of a Secret's name that its reader may not know; no Secret can have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSecret:
    """A Secret we are not allowed to read."""


SecretFact = copies.Secret | UnreadableSecret | None
"""A listed pull secret: as it is, not readable for us, or not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFacts:
    """What the cluster knows of a workload's pull secrets.

    Attributes:
        listed: Names in effect, in order; `secrets_in_effect` computes them.
        secrets: Each listed name's Secret; on a dry run `ghcr-secret` as the mutating half would have made it.
        missing_because: If `ghcr-secret` is absent though something listed it: why, when that is known to be another
            reason than that it is just not there (`central_missing`, `central_unusable`, `provisioning_failed`).
        central_fault: With `central_unusable`: what is wrong with the central secret.
        detail: With `provisioning_failed`: the cause, for people.
    """

    listed: tuple[str, ...]
    secrets: Mapping[str, SecretFact] = field(default_factory=dict)
    missing_because: Reason = Reason.SECRET_MISSING
    central_fault: CentralFault | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One image that would be pulled without credentials, or one Secret that stops every pull.

    Attributes:
        reason: Why.
        image: The image; `None` if it is not about one image (`malformed`).
        secret: The listed Secret that was expected to cover it, empty if there is none; `UNNAMED` to some readers.
        central_fault: With `central_unusable`: what is wrong with the central secret.
        detail: Cause known beyond the reason: never content.
        found: That Secret, if it is there and may be read.
        uses_helper: It leaves the login to a credential helper, which no kubelet has.
    """

    reason: Reason
    image: PodImage | None
    secret: str = ""
    central_fault: CentralFault | None = None
    detail: str = ""
    found: copies.Secret | None = field(default=None, repr=False)
    uses_helper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a workload has usable credentials for what it pulls.

    Attributes:
        reason: `covered`, a reason it need not be judged, or the first problem's.
        problems: Empty if it is to be admitted.
        unverifiable: Names of Secrets that counted as credentials without having been read; none with `too_large` if it
            is the workload that names too many images.
    """

    reason: Reason
    problems: tuple[Problem, ...] = ()
    unverifiable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What both halves decide on one part."""

    part: Part
    decision: Decision
    verdict: Verdict


def secrets_to_read(listed: Sequence[str]) -> frozenset[str]:
    """Name those of the pull secrets in effect that are looked at, `MAX_SECRETS` at most; ours comes first."""
    return frozenset(sorted(listed, key=lambda name: name != SECRET_NAME)[:MAX_SECRETS])


def verdict(part: Part, facts: PullFacts, rules: Rules, check: Callable[[], None] = lambda: None) -> Verdict:
    """Judge a part's images by the kubelet's own rules.

    Args:
        part: A pod spec with its selected images.
        facts: What the cluster knows of the pull secrets in effect.
        rules: The installation's settings.
        check: Called before each step that takes a while; may raise, to end what takes too long.

    | of the Secrets listed | answer |
    |---|---|
    | whatever they are, for more than `parts.MAX_IMAGES` different images | too_large, admitted or not as below |
    | one we may read is malformed | malformed: it stops every pull of the Pod |
    | one we may read has a credential for the image | covered |
    | one we may not read | by `allow_unverifiable`: unverifiable, admitted or not |
    | one over a bound (`read_keyring`), or after `MAX_ENTRIES_IN_ALL` | by `allow_unverifiable`: too_large |
    | `ghcr-secret` is there | wrong_type, no_entry_for_image, empty_credential |
    | `ghcr-secret` is not there | secret_missing, central_missing, central_unusable, provisioning_failed |
    | only others | theirs, in the same way |
    | none | not_listed |
    """
    if part.crowded:
        problem = Problem(reason=Reason.TOO_LARGE, image=None)
        return Verdict(reason=Reason.TOO_LARGE, problems=() if rules.allow_unverifiable else (problem,))
    try:
        keyrings, unread = _open(facts, check)
    except _MalformedListed as error:
        return Verdict(reason=Reason.MALFORMED, problems=(error.problem,))
    faults = _faults(part, facts, keyrings, check)
    if not faults:
        return Verdict(reason=Reason.COVERED)
    if unread and rules.allow_unverifiable:
        reason = Reason.UNVERIFIABLE if Reason.UNVERIFIABLE in unread.values() else Reason.TOO_LARGE
        return Verdict(reason=reason, unverifiable=tuple(unread))
    if unread and (SECRET_NAME not in facts.listed or SECRET_NAME in unread):
        name = SECRET_NAME if SECRET_NAME in unread else next(iter(unread))
        faults = [Problem(reason=unread[name], image=fault.image, secret=name) for fault in faults]
    return Verdict(reason=faults[0].reason, problems=tuple(faults))


class _MalformedListed(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.secret)
        self.problem = problem


def _open(facts: PullFacts, check: Callable[[], None]) -> tuple[dict[str, Keyring], dict[str, Reason]]:
    """Read what can be read of the listed Secrets: keyrings by name, and why each of the others was not read."""
    keyrings: dict[str, Keyring] = {}
    unread: dict[str, Reason] = {}
    entries = 0
    for name in facts.listed:
        match facts.secrets.get(name):
            case None:
                continue
            case UnreadableSecret():
                unread[name] = Reason.UNVERIFIABLE
            case _ if entries > MAX_ENTRIES_IN_ALL and name != SECRET_NAME:
                unread[name] = Reason.TOO_LARGE
            case secret:
                check()
                try:
                    keyrings[name] = copies.read_keyring(secret)
                    entries += len(keyrings[name].endpoints)
                except MalformedSecret as error:
                    problem = Problem(reason=Reason.MALFORMED, image=None, secret=name, detail=str(error), found=secret)
                    raise _MalformedListed(problem) from None
                except SecretTooLarge:
                    unread[name] = Reason.TOO_LARGE
    return keyrings, unread


_Found = Mapping[str, Mapping[str, tuple[Credential, ...]]]
"""By a Secret's name and a repository: what the kubelet finds."""


def _faults(part: Part, facts: PullFacts, keyrings: Mapping[str, Keyring], check: Callable[[], None]) -> list[Problem]:
    found = {name: keyring.lookup_each(part.repositories, check) for name, keyring in keyrings.items()}
    return [
        fault
        for image in part.images
        # The kubelet refuses what it cannot parse as InvalidImageName and asks no registry: it needs no credential.
        if (repository := image.repository) and (fault := _fault(image, repository, facts, keyrings, found))
    ]


def _fault(
    image: PodImage, repository: str, facts: PullFacts, keyrings: Mapping[str, Keyring], found: _Found
) -> Problem | None:
    empty_in = ""
    for name in keyrings:
        credentials = found[name].get(repository, ())
        if any(not credential.is_empty for credential in credentials):
            return None
        if credentials and not empty_in:
            empty_in = name
    if empty_in:
        return _helpless(Reason.EMPTY_CREDENTIAL, image, empty_in, facts, keyrings)
    if not facts.listed:
        return Problem(reason=Reason.NOT_LISTED, image=image)
    # Of several that do not help, `ghcr-secret` is the one we can do something about.
    name = SECRET_NAME if SECRET_NAME in facts.listed else facts.listed[0]
    match facts.secrets.get(name):
        case None:
            if name != SECRET_NAME:
                return Problem(reason=Reason.SECRET_MISSING, image=image, secret=name)
            return Problem(
                reason=facts.missing_because,
                image=image,
                secret=name,
                central_fault=facts.central_fault,
                detail=facts.detail,
            )
        case copies.Secret(type=kind) if kind not in PULL_SECRET_KEYS:
            return _helpless(Reason.WRONG_TYPE, image, name, facts, keyrings)
        case _:
            return _helpless(Reason.NO_ENTRY_FOR_IMAGE, image, name, facts, keyrings)


def _helpless(reason: Reason, image: PodImage, name: str, facts: PullFacts, keyrings: Mapping[str, Keyring]) -> Problem:
    """Make the problem of an image whose Secret is there and does not help."""
    secret = facts.secrets[name]
    return Problem(
        reason=reason,
        image=image,
        secret=name,
        found=secret if isinstance(secret, copies.Secret) else None,
        uses_helper=name in keyrings and keyrings[name].uses_helper,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused workload, and what bears on how to fix it.

    Attributes:
        part: The workload, with its images that need a credential.
        namespace: Where it is.
        release_namespace: Home of the central secret.
        provisions: Sending it again makes the copy (`policy.Decision.provision`).
        bypassed: The mutating half would have listed the secret, and yet it is not listed.
        opted_out: It or its namespace is out of injection; whether itself says `Workload.opted_out`.
        namespace_out: Its namespace is.
        installed: The add-on is in the cluster that the workload is for.
    """

    part: Part
    namespace: str
    release_namespace: str
    provisions: bool = False
    bypassed: bool = False
    opted_out: bool = False
    namespace_out: bool = False
    installed: bool = True

    @property
    def workload(self) -> Workload:
        """The workload."""
        return self.part.workload

    @property
    def central(self) -> str:
        """The central secret, as texts name it."""
        return f"the central secret {source(self.release_namespace)}"


def refused(part: Part, *, namespace: Namespace, decision: Decision, rules: Rules, installed: bool = True) -> Refusal:
    """Collect what bears on the fix of a refused workload, by what the mutating half decided on it."""
    return Refusal(
        part=part,
        namespace=namespace.name,
        release_namespace=rules.release_namespace,
        provisions=decision.provision,
        bypassed=bool(decision.add),
        opted_out=decision.reason is Reason.OPTED_OUT,
        namespace_out=decision.reason is Reason.OPTED_OUT and not rules.injects_into(namespace),
        installed=installed,
    )
