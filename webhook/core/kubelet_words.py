"""Kubelet's words for a container that does not run, as symptoms.

The words are those of `status.*.state.waiting`: a reason, and a message that the container runtime wrote. Recordings of
a real kubelet with containerd 2.3 and 1.6 are in `tests/data/waiting-reasons*.jsonl`; the words of CRI-O and of Docker
are from their own code (containers/image `docker/errors.go`, moby `distribution/errors.go`). An image and an address in
a message are a user's own text, so they are taken out before the words are looked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from webhook.core import images

MAX_MESSAGE: Final = 4096
"""Characters of a message that are read; a real one has some hundred."""

MAX_REASON: Final = 256
"""Characters of a reason that are read. The kubelet puts whole errors of a pull secret's parser there."""

_SHOWN: Final = 253
"""Longest name of an object that is shown, by the API's rules for names."""


class Symptom(StrEnum):
    """What the kubelet met."""

    STARTING = "starting"
    """Nothing that lasts."""
    PULLED = "pulled"
    """The image is there, and something else keeps the container from running."""
    ANONYMOUS = "anonymous"
    """The registry refused a pull without a credential."""
    REJECTED = "rejected"
    """The registry did not accept the credential."""
    NO_TOKEN = "no_token"
    """The registry gave no token: it did not accept the credential, or was sent none. CRI-O's words are the same."""
    DENIED = "denied"
    """The registry refused this image, with whatever was sent, if anything was."""
    NOT_FOUND = "not_found"
    MALFORMED_SECRET = "malformed_secret"
    """A pull secret could not be read, so that nothing was pulled."""
    INVALID_NAME = "invalid_name"
    NEVER_PULLED = "never_pulled"
    UNREACHABLE = "unreachable"
    """The node had no connection to the registry."""
    FAILING = "failing"
    """The registry answered with an error of its own, or that it was asked too often."""
    UNKNOWN = "unknown"
    """It was not pulled, in words that say nothing to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWaiting:
    """A container that does not run.

    Attributes:
        place: The list of the pod spec it stands in (`containers`, …).
        container: Its name.
        reason: As in its status, of `MAX_REASON` characters at most; the reason alone says what the kubelet does next.
        message: As in its status, of `MAX_MESSAGE` characters at most.
        crashed: It ended, was started again and ended again; the kubelet waits before the next start.
    """

    place: str
    container: str
    reason: str = ""
    message: str = ""
    crashed: bool = False


_LISTS: Final = (
    ("initContainerStatuses", "initContainers"),
    ("containerStatuses", "containers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)
"""Lists of a Pod's status, and those of its spec that they are about; what runs first is first."""


def read(pod: Mapping[str, Any]) -> tuple[ContainerWaiting, ...]:
    """Read the containers of a Pod that do not run, as `webhook.ports.Pods` gives it; none of one that has ended."""
    status = pod.get("status") or {}
    if status.get("phase") in ENDED:
        return ()
    found = []
    for of_status, of_spec in _LISTS:
        for entry in status.get(of_status) or ():
            state = entry.get("state") or {}
            waiting, ended = state.get("waiting"), state.get("terminated")
            again = ended is not None and "terminated" in (entry.get("lastState") or {}) and ended.get("exitCode") != 0
            if waiting is not None or again:
                found.append(
                    ContainerWaiting(
                        place=of_spec,
                        container=entry.get("name", ""),
                        reason=(waiting or {}).get("reason", "")[:MAX_REASON],
                        message=(waiting or {}).get("message", "")[:MAX_MESSAGE],
                        crashed=again,
                    )
                )
    return tuple(found)


ENDED: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a Pod that no longer runs."""

_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})

_AFTER_THE_PULL: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "RunContainerError",
        "ContainerStatusUnknown",
    }
)
"""Reasons that the kubelet gives once the image is on the node (`pkg/kubelet/container/sync_result.go`)."""

_BY_REASON: Final[Mapping[str, Symptom]] = {
    "InvalidImageName": Symptom.INVALID_NAME,
    "ErrImageNeverPull": Symptom.NEVER_PULLED,
}

_NO_REGISTRY: Final = "RegistryUnavailable"
"""CRI-O's reason for a refused connection, and cri-dockerd's for HTTP 502, 503 and 504."""

_WORD: Final = re.compile(r"[A-Z][A-Za-z]*")
_PARSER: Final = re.compile(r"base64|auth field|^json:|invalid character|unexpected end of JSON|DockerConfig")

# The first that is found counts: an answer that was never had says nothing of the credential that was to be sent.
_WORDS: Final[tuple[tuple[re.Pattern[str], Symptom], ...]] = tuple(
    (re.compile(words, re.VERBOSE), symptom)
    for words, symptom in (
        (
            r"""dial\ tcp | dial\ udp | no\ such\ host | server\ misbehaving | i/o\ timeout | connection\ refused
            | connection\ reset | no\ route\ to\ host | network\ is\ unreachable | context\ deadline\ exceeded
            | client\.timeout | tls:\  | x509:\  | proxyconnect | server\ gave\ http\ response | unexpected\ eof""",
            Symptom.UNREACHABLE,
        ),
        (
            r"""\b429\  | \b5\d\d\ [a-z] | \b5\d\d$ | statuscode:\ (?:429|5\d\d)\b | \bhttp\ 5\d\d\ response
            | toomanyrequests | too\ many\ requests""",
            Symptom.FAILING,
        ),
        (r"unable\ to\ retrieve\ auth\ token | requesting\ bearer\ token:.*\b40[13]\b", Symptom.NO_TOKEN),
        (r"fetch\ anonymous\ token | no\ basic\ auth\ credentials", Symptom.ANONYMOUS),
        (
            r"""fetch\ oauth\ token | trying\ to\ obtain\ access\ token | invalid\ username/password
            | incorrect\ username\ or\ password | bad\ credentials""",
            Symptom.REJECTED,
        ),
        (
            r"""insufficient_scope | pull\ access\ denied | authorization\ failed | \bdenied\b | unauthorized
            | authentication\ required | \b40[13]\b""",
            Symptom.DENIED,
        ),
        (
            r"not\ found | manifest\ unknown | name\ unknown | repository\ name\ not\ known | statuscode:\ 404\b",
            Symptom.NOT_FOUND,
        ),
        (r"pinging\ container\ registry", Symptom.UNREACHABLE),
    )
)

_MIRRORS_TOO: Final = re.compile(r"\(Mirrors also failed: .*\]\): ", re.DOTALL)
"""What CRI-O puts before the words of the registry itself, which it asks in the end (containers/image)."""

_QUOTED: Final = re.compile(r'"[^"]*"')
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<host>[^/\s\"?]+)(?P<rest>[^\s\"]*)")
_OLD_HOST: Final = re.compile(r"pulling from host (?P<host>\S+) failed")


def symptom(waiting: ContainerWaiting, image: str) -> Symptom:
    """Say what the kubelet met.

    Args:
        waiting: What the status says of the container.
        image: The image that it was to pull, as written in the pod spec.

    | reason | symptom |
    |---|---|
    | none, or a container that is being made | starting |
    | one the kubelet gives after a pull, or a container that ended and ended again | pulled |
    | `InvalidImageName`, `ErrImageNeverPull` | that |
    | `RegistryUnavailable` | failing if the message says so, else unreachable |
    | no single word: an error before the pull | malformed_secret if it is one of the parser, else unknown |
    | any other (`ErrImagePull`, `ImagePullBackOff`, …) | what the message says |
    """
    reason = waiting.reason
    if waiting.crashed or reason in _AFTER_THE_PULL:
        return Symptom.PULLED
    if reason in _STARTING:
        return Symptom.STARTING
    if (known := _BY_REASON.get(reason)) is not None:
        return known
    if not _WORD.fullmatch(reason):
        return Symptom.MALFORMED_SECRET if _PARSER.search(reason) else Symptom.UNKNOWN
    said = _plain(waiting.message, image)
    met = next((found for words, found in _WORDS if words.search(said)), Symptom.UNKNOWN)
    if reason == _NO_REGISTRY and met is not Symptom.FAILING:
        return Symptom.UNREACHABLE
    return met


def _plain(message: str, image: str) -> str:
    """Give the runtime's own words: without the image, addresses and whatever else was quoted, in lower case."""
    text = _URL.sub(" ", _of_the_registry(message))
    return _QUOTED.sub(" ", text.replace(image, " ") if image else text).lower()


def _of_the_registry(message: str) -> str:
    """Leave out what is said of mirrors after which the registry itself was asked."""
    return _MIRRORS_TOO.sub(" ", message[:MAX_MESSAGE])


def failing_image(message: str, named: tuple[str, ...], own: str) -> str:
    """Say which image a message is about: an image volume's failure is reported for the container that mounts it.

    Args:
        message: Of a container that waits.
        named: The images that its Pod names.
        own: The container's image.
    """
    quoted = {found[1:-1] for found in _QUOTED.findall(message[:MAX_MESSAGE])}
    if own in quoted:
        return own
    return next((image for image in named if image in quoted), own)


def other_host(waiting: ContainerWaiting, image: str) -> str:
    """Name the registry that was asked in the place of the image's own: a mirror; "" for none.

    containerd names the registry that a mirror stands for by `?ns=HOST`. Without that a host counts if it was asked for
    the image itself (`/v2/…`): a registry's tokens may come from any host.
    """
    message = _of_the_registry(waiting.message)
    try:
        own = images.plain_host(images.parse(image).registry)
    except images.InvalidReference:
        return ""
    for found in _URL.finditer(message):
        host = images.plain_host(found["host"])
        if "ns=" in found["rest"].partition("?")[2] or (
            found["rest"].startswith("/v2/") and not _same_registry(host, own)
        ):
            return _name(host)
    old = _OLD_HOST.search(message)
    if old is not None and not _same_registry(images.plain_host(old["host"]), own):
        return _name(images.plain_host(old["host"]))
    return ""


_DOCKER_HUB: Final = images.HUB_HOSTS | {images.HUB_REGISTRY}


def _same_registry(asked: str, own: str) -> bool:
    return asked == own or {asked, own} <= _DOCKER_HUB


def _name(text: str) -> str:
    """Cut what stands for a name in a message to one that can be shown."""
    return "".join(character for character in text[:_SHOWN] if character.isprintable())


_MISSING_OBJECT: Final = re.compile(r'(?P<kind>configmap|secret) "(?P<name>[^"]{1,253})" not found')
_MISSING_KEY: Final = re.compile(
    r"couldn't find key (?P<key>\S{1,253}) in (?P<kind>ConfigMap|Secret) (?P<name>\S{1,507})"
)
_KINDS: Final[Mapping[str, str]] = {"configmap": "ConfigMap", "secret": "Secret"}


def after_the_pull(waiting: ContainerWaiting) -> str:
    """Say what keeps a container from running though its image was pulled, in a few words.

    The words of the kubelet's `CreateContainerConfigError` are those of `pkg/kubelet/kubelet_pods.go`.
    """
    reason = "CrashLoopBackOff" if waiting.crashed else waiting.reason
    message = waiting.message[:MAX_MESSAGE]
    if (found := _MISSING_OBJECT.search(message)) is not None:
        return f"{reason}, {_KINDS[found['kind']]} {_name(found['name'])} is missing"
    if (found := _MISSING_KEY.search(message)) is not None:
        return f"{reason}, {found['kind']} {_name(found['name'])} has no key {_name(found['key'])}"
    return reason
