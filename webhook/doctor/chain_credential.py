"""Ask registries about the central credential, and judge their answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from webhook.core.images import ImageReference
from webhook.core.keyring import Keyring
from webhook.core.review import Json
from webhook.core.scope import Rules
from webhook.core.vocabulary import CredentialState
from webhook.credential.judging import EXPIRY_WARNINGS, CredentialReport, LoginTarget, judge_pull, targets
from webhook.credential.probing import ask, images_in_use, tried_first
from webhook.doctor.model import Code, Station, StationState, fault, names, ok, span
from webhook.ports import Deadline, Registry

NAME: Final = "credential"

MAX_IMAGES: Final = 16
"""Images tried. Each takes a registry two or three requests."""

_ASK_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the registries said.

    Attributes:
        reports: Of each credential.
        refused: By repository, the HTTP status with which it was refused to a credential that is accepted.
        tried: How many images were tried.
        more: There were others.
        words: By repository, what was said of the credential and the image, as far as that is a word on either.
    """

    reports: tuple[CredentialReport, ...] = ()
    refused: Mapping[str, int] | None = None
    tried: int = 0
    more: bool = False
    words: Mapping[str, CredentialState] = field(default_factory=dict)


NOT_ASKED: Final = Station(
    name=NAME, state=StationState.SKIPPED, text="not looked at: --check-credential asks the registry"
)


def ask_registries(registry: Registry, keyring: Keyring, pods: Iterable[Json], rules: Rules) -> Answers:
    """Ask about every credential that is for selected images, with the scope of each image in use.

    Args:
        registry: Whom to ask; a credential goes to its own registry alone.
        keyring: The central secret's.
        pods: Those whose images are tried, the most wanted first.
        rules: The release's settings.
    """
    whole = Deadline.after(_ASK_S)
    images, more = _wanted(keyring, pods, rules)
    reports, refused, tried = [], {}, 0
    words: dict[str, CredentialState] = {}
    for target in targets(keyring, rules.patterns.include):
        its = [image for image, of in images.items() if of == target]
        report = ask(registry, target, its[0] if its else None, whole)
        reports.append(report)
        if report.state is CredentialState.REJECTED:
            words |= dict.fromkeys((image.repository for image in its), report.state)
        if report.state not in {CredentialState.ACCEPTED, CredentialState.UNREADABLE}:
            continue
        tried += len(its)
        if report.probe is CredentialState.UNREADABLE:
            refused[report.probed] = report.probe_code
        if report.probe in _WORDS:
            words[report.probed] = report.probe
        for image in its[1:]:
            answer = registry.pull(image, target.credential, whole)
            if (state := judge_pull(answer)) is CredentialState.UNREADABLE:
                refused[image.repository] = answer.code
            if state in _WORDS:
                words[image.repository] = state
    return Answers(reports=tuple(reports), refused=refused, tried=tried, more=more, words=words)


_WORDS: Final = (CredentialState.ACCEPTED, CredentialState.UNREADABLE)
"""What is a word on an image; other answers say nothing of it."""


def judge(answers: Answers, now: datetime) -> Station:
    """Judge what was answered; the first row that fits.

    | any credential | station |
    |---|---|
    | rejected | fault: every pull that is given it fails |
    | without the scope that pulling needs | fault |
    | refused an image in use | fault |
    | whose registry gave no answer | fault: from here |
    | else | ok, with the end of the token that ends first |
    """
    reports = answers.reports
    if not reports:
        return ok(NAME, "there is none for any image that is selected, so no registry was asked")
    if rejected := [each for each in reports if each.state is CredentialState.REJECTED]:
        text = f"{_hosts(rejected)} does not accept it (HTTP {rejected[0].code})"
        remedy = (
            'make a new token and put it where the central secret comes from (docs/operations.md, "Rotate the token")'
        )
        return fault(NAME, Code.CREDENTIAL_REJECTED, text, remedy)
    if poor := [each for each in reports if each.missing_scope]:
        text = f"{_hosts(poor)} accepts it, but it lacks the scope {poor[0].missing_scope}"
        return fault(NAME, Code.CREDENTIAL_INSUFFICIENT, text, f"give the token the scope {poor[0].missing_scope}")
    if answers.refused:
        first = next(iter(answers.refused))
        packages = names(each.partition("/")[2] for each in sorted(answers.refused))
        text = f"{first.partition('/')[0]} accepts it, but refuses {packages} ({answers.refused[first]})"
        remedy = f"authorise the token for the organisation, or give its account read access to {packages}"
        return fault(NAME, Code.CREDENTIAL_NO_ACCESS, text, remedy)
    silent = (CredentialState.UNREACHABLE, CredentialState.NOT_CHECKED)
    if lost := [each for each in reports if each.state in silent]:
        why = lost[0].failure or lost[0].fault or f"HTTP {lost[0].code}"
        text = f"{_hosts(lost)} gave no answer here: {why}"
        return fault(NAME, Code.REGISTRY_UNREACHABLE, text, "see whether the nodes reach it; this machine does not")
    return ok(NAME, _accepted(answers, now))


def _accepted(answers: Answers, now: datetime) -> str:
    text = f"{_hosts(answers.reports)} accepts it"
    if answers.tried:
        bound = f", the first {MAX_IMAGES}" if answers.more else ""
        text += f", and lets it read the images in use ({answers.tried} tried{bound})"
    ends = [each.expires_at for each in answers.reports if each.expires_at is not None]
    if ends:
        left = min(ends) - now
        text += f"; it ends in {span(left)}" + (": make the next" if left <= EXPIRY_WARNINGS[-1] else "")
    return text


def _wanted(keyring: Keyring, pods: Iterable[Json], rules: Rules) -> tuple[Mapping[ImageReference, LoginTarget], bool]:
    found: dict[str, tuple[ImageReference, LoginTarget]] = {}
    for pod in pods:
        for image in images_in_use(pod, rules):
            if image.repository in found or (target := tried_first(keyring, image)) is None:
                continue
            if len(found) == MAX_IMAGES:
                return dict(found.values()), True
            found[image.repository] = image, target
    return dict(found.values()), False


def _hosts(reports: Sequence[CredentialReport]) -> str:
    return names(dict.fromkeys(each.registry for each in reports))
