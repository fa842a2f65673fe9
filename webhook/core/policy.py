"""Admission policy: what to add, whether to admit, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from webhook.core import copies, images
from webhook.core.before import Before
from webhook.core.keyring import Credential, Keyring, MalformedSecret, SecretTooLarge
from webhook.core.mounts import mounts
from webhook.core.names import PULL_SECRET_KEYS, SECRET_NAME
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import CentralFault, Reason
from webhook.core.workloads import PodImage, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the mutating half does with an object.

    Attributes:
        reason: Why.
        add: Names to append to its pull secrets.
        provision: A copy must be in the namespace before the answer is sent.
    """

    reason: Reason
    add: tuple[str, ...] = ()
    provision: bool = False


NOTHING_BEFORE: Final = Before()
NOT_APPLICABLE: Final = Decision(reason=Reason.NOT_APPLICABLE)


MAX_IMAGES: Final = 256
"""Most different images of one object that are judged. A Pod has a handful of containers."""


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
    """Return whether there is such an image."""
    return any(image.can_be_pulled and rules.patterns.selects(image.image) for image in workload.images)


MAX_ENTRIES_IN_ALL: Final = 2000
"""Entries after which no more Secrets of one workload are read: twice what one of them may have."""

MAX_SECRETS: Final = 32
"""Most pull secrets of one workload that are read; with `rbac.readAllSecrets` each costs a call to the API server."""


def repositories(selected: Sequence[PodImage]) -> tuple[str, ...]:
    """List the first `MAX_IMAGES` normalised repositories of images, each once, for which a credential can be found.

    An image no kubelet could parse has none, and one whose host is too long to have an address needs none.
    """
    found: dict[str, None] = {}
    for image in selected:
        name = _repository(image.image)
        if name and name.find("/") <= _LONGEST_HOST:
            found[name] = None
            if len(found) == MAX_IMAGES:
                break
    return tuple(found)


_LONGEST_HOST: Final = 253 + len(":65535")
"""RFC 1035's limit of a name in text, and a port. Globs of a tenant are compared with hosts of a tenant."""


def _repository(image: str) -> str:
    try:
        return images.parse(image).repository
    except images.InvalidReference:
        return ""


def uses_copy(workload: Workload, rules: Rules) -> bool:
    """Return whether a workload as it stands pulls a selected image with `ghcr-secret`, or mounts it."""
    pulls = SECRET_NAME in workload.pull_secrets and selects_any(workload, rules)
    return pulls or mounts_copy(workload)


def mounts_copy(workload: Workload) -> bool:
    """Return whether a Pod takes the content of `ghcr-secret` as a volume or variable; of a template, its Pods do."""
    return workload.is_pod and mounts(workload.template, SECRET_NAME)


def needs_service_account(workload: Workload) -> bool:
    """Return whether the ServiceAccount's pull secrets bear on a decision: only where the list is empty."""
    return not workload.listed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A ServiceAccount as far as decisions need it.

    Attributes:
        secrets: Names of its pull secrets, in order.
        exists: It is there; one that is not yet may have pull secrets when it comes.
    """

    secrets: tuple[str, ...] = ()
    exists: bool = True


def decide(
    workload: Workload,
    *,
    update: bool,
    before: Before = NOTHING_BEFORE,
    namespace: Namespace,
    service_account: ServiceAccount,
    rules: Rules,
) -> Decision:
    """Decide what to add to a workload's pull secrets.

    Args:
        workload: The object.
        update: It is there already (UPDATE), as against CREATE.
        before: On UPDATE, what stood where its path leads.
        namespace: The namespace it is in.
        service_account: Its ServiceAccount; for a Pod it does not matter.
        rules: The installation's settings.

    First row that fits (`not_applicable` objects never become a `Workload`, but for mirror Pods):

    | workload | reason | adds | provisions |
    |---|---|---|---|
    | mirror Pod | not_applicable | | |
    | no selected image that can be pulled, and no new Pod that mounts `ghcr-secret` | no_selected_image | | |
    | namespace or workload opted out | opted_out | | |
    | no selected image | mounted | | yes |
    | controlled, and no Pod | controller_owned | | |
    | UPDATE of a Pod or Job | not_mutable | | |
    | UPDATE with a template that was there | unchanged | | |
    | lists `ghcr-secret` | already_listed | | yes |
    | template with empty list, ServiceAccount has secrets or is not there | left_to_pod | | yes |
    | template with empty list, `templates: leave` | left_to_pod | | yes |
    | template of a further kind with a list, `[]` too | left_to_pod | | yes |
    | else | injected | `ghcr-secret` | yes |
    """
    if workload.mirror:
        return NOT_APPLICABLE
    selected = selects_any(workload, rules)
    if not selected and (update or not mounts_copy(workload)):
        return Decision(reason=Reason.NO_SELECTED_IMAGE)
    if workload.opted_out or not rules.injects_into(namespace):
        return Decision(reason=Reason.OPTED_OUT)
    if not selected:
        return Decision(reason=Reason.MOUNTED, provision=True)
    if workload.controlled and not workload.is_pod:
        return Decision(reason=Reason.CONTROLLER_OWNED)
    if update and (workload.is_pod or workload.kind.is_job):
        return Decision(reason=Reason.NOT_MUTABLE)
    if update and before.had(workload):
        return Decision(reason=Reason.UNCHANGED)
    if SECRET_NAME in workload.pull_secrets:
        return Decision(reason=Reason.ALREADY_LISTED, provision=True)
    if not workload.is_pod and _left_to_pods(workload, service_account, rules):
        return Decision(reason=Reason.LEFT_TO_POD, provision=True)
    return Decision(reason=Reason.INJECTED, add=(SECRET_NAME,), provision=True)


def _left_to_pods(template: Workload, service_account: ServiceAccount, rules: Rules) -> bool:
    """Return whether a template stays as it is, so that its Pods are given the Secret when they are made.

    A list would keep the ServiceAccount's secrets from the Pods, those too that it gets later. Of a kind outside
    client-go's scheme Argo CD compares a list as a whole, so that one more entry differs from Git for ever.
    """
    if template.kind.configured and template.listed is not None:
        return True
    if template.listed:
        return False
    return rules.leave_templates or bool(service_account.secrets) or not service_account.exists


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A Secret we are not allowed to read."""


SecretFact = copies.Secret | Unreadable | None
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
        secret: The listed Secret that was expected to cover it, empty if there is none.
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
        problems: Empty if it may come in.
        unverifiable: Names of Secrets that counted as credentials without having been read; none with `too_large` if it
            is the workload that names too many images.
    """

    reason: Reason
    problems: tuple[Problem, ...] = ()
    unverifiable: tuple[str, ...] = ()

    @property
    def names_secrets(self) -> bool:
        """Return whether it tells of any Secret."""
        return bool(self.problems or self.unverifiable)


def secrets_in_effect(workload: Workload, service_account: ServiceAccount, decision: Decision) -> tuple[str, ...]:
    """List the pull secrets the kubelet will be given.

    The pod spec's, or if that list is empty the ServiceAccount's. For a template that is left to its Pods,
    `ghcr-secret` counts as listed: each Pod gets it when it is made.
    """
    names = workload.pull_secrets if workload.listed else service_account.secrets
    if decision.reason is Reason.LEFT_TO_POD and SECRET_NAME not in names:
        names = (*names, SECRET_NAME)
    return tuple(dict.fromkeys(names))


def secrets_to_read(listed: Sequence[str]) -> frozenset[str]:
    """Name those of the pull secrets in effect that are looked at, `MAX_SECRETS` at most; ours comes first."""
    return frozenset(sorted(listed, key=lambda name: name != SECRET_NAME)[:MAX_SECRETS])


def injected(workload: Workload, decision: Decision) -> Workload:
    """Say what a workload is once what is to be added has been: what the validating half then sees."""
    if not decision.add:
        return workload
    return replace(
        workload,
        pull_secrets=(*workload.pull_secrets, *decision.add),
        listed=(workload.listed or 0) + len(decision.add),
    )


def exempt(
    workload: Workload, *, namespace: str, update: bool, before: Before = NOTHING_BEFORE, rules: Rules
) -> Reason | None:
    """Say why a workload need not be judged at all, if so.

    An UPDATE that changes neither the images that can be pulled nor pull secrets nor ServiceAccount is let through,
    however broken the workload is: labels, finalizers and scaling must keep working.
    """
    if workload.mirror:
        return Reason.NOT_APPLICABLE
    if not selects_any(workload, rules):
        return Reason.NO_SELECTED_IMAGE
    if workload.controlled and not workload.is_pod:
        return Reason.CONTROLLER_OWNED
    if update and before.pulled_as(workload):
        return Reason.UNCHANGED
    return Reason.OPTED_OUT if rules.untouchable(namespace) else None


def may_be_made(decision: Decision) -> bool:
    """Return whether the namespace may have a copy: made for this object, or for a label beside what cannot change."""
    return decision.provision or decision.reason is Reason.NOT_MUTABLE


def leading(decisions: Sequence[Decision]) -> Decision:
    """Say which of the decisions on one object's pod specs stands for all: the first that does the most."""
    return max(
        decisions,
        key=lambda each: (bool(each.add), each.provision, each.reason is not Reason.NO_SELECTED_IMAGE),
        default=Decision(reason=Reason.NO_SELECTED_IMAGE),
    )


def verdict(
    to_judge: Sequence[PodImage],
    facts: PullFacts,
    rules: Rules,
    check: Callable[[], None] = lambda: None,
    *,
    among: Sequence[PodImage] = (),
) -> Verdict:
    """Judge images by the kubelet's own rules.

    Args:
        to_judge: The selected images.
        facts: What the cluster knows of the pull secrets in effect.
        rules: The installation's settings.
        check: Called before each step that takes a while; may raise, to end what takes too long.
        among: The selected images of all the object's pod specs, if it has others.

    | of the Secrets listed | answer |
    |---|---|
    | whatever they are, for more than `MAX_IMAGES` different images | too_large, let through or not as below |
    | one we may read is malformed | malformed: it stops every pull of the Pod |
    | one we may read has a credential for the image | covered |
    | one we may not read | by `allow_unverifiable`: unverifiable, let through or not |
    | one over a bound (`read_keyring`), or after `MAX_ENTRIES_IN_ALL` | by `allow_unverifiable`: too_large |
    | `ghcr-secret` is there | wrong_type, no_entry_for_image, empty_credential |
    | `ghcr-secret` is not there | secret_missing, central_missing, central_unusable, provisioning_failed |
    | only others | theirs, in the same way |
    | none | not_listed |
    """
    if len({image.image for image in among or to_judge}) > MAX_IMAGES:
        problem = Problem(reason=Reason.TOO_LARGE, image=None)
        return Verdict(reason=Reason.TOO_LARGE, problems=() if rules.allow_unverifiable else (problem,))
    try:
        keyrings, unread = _open(facts, check)
    except _MalformedListed as error:
        return Verdict(reason=Reason.MALFORMED, problems=(error.problem,))
    faults = _faults(to_judge, facts, keyrings, check)
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
            case Unreadable():
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


def _faults(
    to_judge: Sequence[PodImage], facts: PullFacts, keyrings: Mapping[str, Keyring], check: Callable[[], None]
) -> list[Problem]:
    distinct = repositories(to_judge)
    found = {name: keyring.lookup_each(distinct, check) for name, keyring in keyrings.items()}
    return [
        fault
        for image in to_judge
        # The kubelet refuses what it cannot parse as InvalidImageName and asks no registry: it needs no credential.
        if (repository := _repository(image.image)) and (fault := _fault(image, repository, facts, keyrings, found))
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
