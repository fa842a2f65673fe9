"""Trials of a credential: which image, and what registries say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from webhook.core import images, policy, workloads
from webhook.core.concerns import GITHUB_REGISTRY
from webhook.core.images import ImageReference, InvalidReference
from webhook.core.keyring import Keyring
from webhook.core.kinds import POD
from webhook.core.kubelet_words import ENDED
from webhook.core.parts import selected_images
from webhook.core.review import Json
from webhook.core.scope import Rules
from webhook.core.vocabulary import CredentialState
from webhook.core.workloads import MalformedObject
from webhook.credential.judging import (
    CredentialReport,
    LoginTarget,
    expiry_from_header,
    judge,
    judge_pull,
    missing_scope,
    scopes_from_header,
)
from webhook.ports import Deadline, Registry

MAX_UNREADABLE: Final = 16
"""Repositories remembered as unreadable, of each credential."""

_ENOUGH: Final = 3
"""Denials in a row after which a credential counts as one that cannot pull. One image alone may be mistyped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What is remembered of a credential's probes.

    Attributes:
        last: Repository tried last in the rotation, "" for none.
        unreadable: Repositories in use that were denied when tried last, the longest ago first.
        denials: Probes in a row that were denied, those passed over that tried a denied image again beside others.
        in_use: Repositories in use at the last probe, counted up to `_ENOUGH`.
        retried: The last probe was of one of `unreadable`, though there were others.
    """

    last: str = ""
    unreadable: tuple[str, ...] = ()
    denials: int = 0
    in_use: int = 0
    retried: bool = False

    @property
    def nothing_readable(self) -> bool:
        """Return whether all that was tried lately was denied, and that was enough to say so."""
        return 0 < min(_ENOUGH, self.in_use) <= self.denials


def images_in_use(pod: Json, rules: Rules) -> Iterator[ImageReference]:
    """Yield the selected images that a Pod pulls with `ghcr-secret`."""
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    if rules.untouchable(metadata.get("namespace", "")) or status.get("phase") in ENDED:
        return
    try:
        workload = workloads.read(POD, pod)
    except MalformedObject:
        return
    if not policy.uses_copy(workload, rules):
        return
    for image in selected_images(workload, rules):
        try:
            yield images.parse(image.image)
        except InvalidReference:
            continue


class Rotation:
    """Chooses the next image for one credential out of all that are in use, and holds no more than a few of them.

    | what is in use | next |
    |---|---|
    | unreadable ones, and the last probe was of none of them | the one tried the longest ago |
    | others | the one after the last, by name |
    | unreadable ones only | the one tried the longest ago |

    Args:
        probed: What is remembered of the credential.
    """

    def __init__(self, probed: Probed) -> None:
        self._probed = probed
        self._first: ImageReference | None = None
        self._following: ImageReference | None = None
        self._unreadable: dict[str, ImageReference] = {}
        self._some: set[str] = set()

    def offer(self, image: ImageReference) -> None:
        """Take note of an image in use that the credential is for."""
        if len(self._some) < _ENOUGH:
            self._some.add(image.repository)
        if image.repository in self._probed.unreadable:
            self._unreadable[image.repository] = image
            return
        self._first = _earlier(self._first, image)
        if image.repository > self._probed.last:
            self._following = _earlier(self._following, image)

    def choose(self) -> tuple[ImageReference | None, Probed]:
        """Return the image to try, if any is in use, and what is remembered, without what is no longer in use."""
        unreadable = tuple(name for name in self._probed.unreadable if name in self._unreadable)
        probed = replace(self._probed, unreadable=unreadable, in_use=len(self._some))
        others = self._following or self._first
        if unreadable and (others is None or not probed.retried):
            return self._unreadable[unreadable[0]], replace(probed, retried=others is not None)
        return others, replace(probed, retried=False)


def learn(probed: Probed, repository: str, state: CredentialState) -> Probed:
    """Remember a probe's outcome; only the registry's word that an image is readable or is not counts."""
    others = tuple(name for name in probed.unreadable if name != repository)
    last = probed.last if probed.retried else repository
    match state:
        case CredentialState.ACCEPTED:
            return replace(probed, last=last, unreadable=others, denials=0)
        case CredentialState.UNREADABLE:
            kept = (*others, repository)[-MAX_UNREADABLE:]
            return replace(probed, last=last, unreadable=kept, denials=probed.denials + (not probed.retried))
        case _:
            return replace(probed, last=last)


def rotate(rotations: Mapping[LoginTarget, Rotation], keyring: Keyring, pods: Iterable[Json], rules: Rules) -> None:
    """Offer every image in use to the rotation of the credential that is for it."""
    for pod in pods:
        for image in images_in_use(pod, rules):
            target = tried_first(keyring, image)
            if target is not None and (rotation := rotations.get(target)) is not None:
                rotation.offer(image)


def tried_first(keyring: Keyring, image: ImageReference) -> LoginTarget | None:
    """Name the credential that the kubelet tries first for an image, with that image's own registry.

    A target of the central secret equals it only if its own entry is for this registry: no credential goes elsewhere.
    """
    found = keyring.lookup(image.repository)
    return LoginTarget(registry=image.registry.lower().removesuffix(":443"), credential=found[0]) if found else None


def _earlier(known: ImageReference | None, image: ImageReference) -> ImageReference:
    return image if known is None or image.repository < known.repository else known


def ask(registry: Registry, target: LoginTarget, image: ImageReference | None, deadline: Deadline) -> CredentialReport:
    """Log in, try an image if there is one, and read what the API says of the token. Never raises.

    Args:
        registry: Whom to ask.
        target: The credential, and the registry it is for.
        image: An image in use for which it is the one that is tried.
        deadline: For all of it.
    """
    answer = registry.login(target.registry, target.credential, deadline)
    report = CredentialReport(
        registry=target.registry,
        state=judge(answer),
        code=answer.code,
        fault=answer.fault,
        failure=answer.failure,
    )
    if report.state is not CredentialState.ACCEPTED:
        return report
    if image is not None:
        pulled = registry.pull(image, target.credential, deadline)
        report = replace(
            report,
            state=CredentialState.UNREADABLE if judge_pull(pulled) is CredentialState.UNREADABLE else report.state,
            probed=image.repository,
            probe=judge_pull(pulled),
            probe_code=pulled.code,
            probe_failure=pulled.failure,
        )
    if target.registry != GITHUB_REGISTRY:
        return report
    headers = registry.token_headers(target.credential, deadline)
    scopes = scopes_from_header(headers.scopes, token=target.credential.password)
    return replace(
        report,
        scopes=scopes,
        missing_scope=missing_scope(scopes),
        expires_at=expiry_from_header(headers.expiration),
        api_failure=headers.failure,
    )
