"""Refusal and warning texts for users.

One line: the workload, the container, the image, the cause, the fix. The fixes stand in `remedies`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from webhook.core import remedies
from webhook.core.discretion import UNNAMED
from webhook.core.display import shown
from webhook.core.judging import Problem, Verdict
from webhook.core.keyring import MAX_BYTES, MAX_ENTRIES
from webhook.core.names import INJECT_KEY, SECRET_NAME
from webhook.core.policy import MAX_IMAGES
from webhook.core.remedies import Refusal
from webhook.core.scope import Namespace, label_faults
from webhook.core.vocabulary import CentralFault, Reason
from webhook.core.workloads import PodImage, Workload

_BOUNDS: Final = f"{MAX_BYTES // 1024} KiB or {MAX_ENTRIES} entries"
_NAMES_SHOWN: Final = 3
"""Most names one text lists: a workload may name thousands of Secrets."""

_CENTRAL_FAULTS: Final[Mapping[CentralFault, str]] = {
    CentralFault.WRONG_TYPE: "it is not of type kubernetes.io/dockerconfigjson",
    CentralFault.MALFORMED: "its content is malformed",
    CentralFault.TOO_LARGE: f"it is larger than {_BOUNDS}",
    CentralFault.NO_ENTRY_FOR_IMAGE: "it has no entry for {}",
    CentralFault.EMPTY_CREDENTIAL: (
        "it has no credential, or an entry that lacks a user name or a password (a credential store has them)"
    ),
}


def denial(refusal: Refusal, verdict: Verdict) -> str:
    """Say in one line why a workload is refused and what fixes it.

    Args:
        refusal: The workload and where it is.
        verdict: With at least one problem; the first is told, the others are counted.
    """
    problem = verdict.problems[0]
    pull = f"would pull {_image(problem.image)} without credentials" if problem.image else _no_image(problem)
    others = sum(each.image is not None for each in verdict.problems[1:])
    more = f" {others} more image{'s' if others > 1 else ''} would be pulled without credentials too." if others else ""
    cause = CAUSES[problem.reason](problem, refusal)
    subject = f"{_kind(refusal.workload)} {refusal.namespace}/{shown(refusal.workload.name) or '(unnamed)'}"
    if refusal.workload.place:
        subject += f" (pod template {refusal.workload.place})"
    return f"{subject} {pull}: {cause}. To fix it, {remedies.remedy(problem, refusal)}.{more}"


def _no_image(problem: Problem) -> str:
    return "cannot be checked" if problem.reason is Reason.TOO_LARGE else "could not pull any image"


def central_fault(fault: CentralFault, wanted: str = "any image that needs it") -> str:
    """Say what is wrong with a central secret.

    Args:
        fault: From `contents.central_fault`.
        wanted: What it should have an entry for.
    """
    return _CENTRAL_FAULTS[fault].format(wanted)


def unverified(workload: Workload, verdict: Verdict) -> str:
    """Warn that credentials were taken on trust."""
    subject = f"{_kind(workload)} {shown(workload.name)} was admitted without verification"
    if not verdict.unverifiable:
        return f"{subject}: it names more than {MAX_IMAGES} different images"
    names = ", ".join(shown(name) for name in verdict.unverifiable[:_NAMES_SHOWN])
    more = len(verdict.unverifiable) - _NAMES_SHOWN
    if more > 0:
        names += f" and {more} more"
    why = f"are larger than {_BOUNDS}" if verdict.reason is Reason.TOO_LARGE else "could not be read"
    return f"{subject}: its pull secrets {why}: {names}"


def unknown_inject(workload: Workload) -> str:
    """Warn of an annotation whose value means nothing."""
    subject = f"{_kind(workload)} {shown(workload.name)}"
    return f'annotation {INJECT_KEY} of {subject} is neither "true" nor "false" and has no effect'


def unknown_settings(namespace: Namespace, workloads: Iterable[Workload]) -> list[str]:
    """Warn of labels and an annotation of ours whose value means nothing, once for all pod specs of one object."""
    unknown = {unknown_inject(workload): None for workload in workloads if workload.unknown_inject}
    return [*label_faults(namespace), *unknown]


def not_provisioned(namespace: str, cause: str) -> str:
    """Warn that the copy a workload needs could not be made."""
    return f"Secret {namespace}/{SECRET_NAME} was not made: {cause}"


def _missing(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} does not exist{_detail(problem.detail)}"


def _wrong_type(problem: Problem, refusal: Refusal) -> str:
    return (
        f"{_secret(problem, refusal)} is not of type kubernetes.io/dockerconfigjson, so the kubelet does not look "
        "into it"
    )


def _malformed(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} is malformed, which stops every pull of the Pod{_detail(problem.detail)}"


def _no_entry(problem: Problem, refusal: Refusal) -> str:
    return _helper(problem, refusal) or f"{_secret(problem, refusal)} has no entry that matches this image"


def _empty(problem: Problem, refusal: Refusal) -> str:
    text = f"the matching entry of {_secret(problem, refusal)} lacks a user name or a password"
    return _helper(problem, refusal) or text


def _helper(problem: Problem, refusal: Refusal) -> str:
    if not problem.uses_helper:
        return ""
    return (
        f"{_secret(problem, refusal)} leaves the login to a credential helper (credsStore or credHelpers), which the "
        "kubelet does not have"
    )


def _not_listed(_: Problem, refusal: Refusal) -> str:
    cause = "neither it nor its ServiceAccount lists a pull secret"
    if refusal.opted_out:
        itself = [f"it opted out of injection (annotation {INJECT_KEY})"] if refusal.workload.opted_out else []
        namespace = [f"its namespace is out of injection (label {INJECT_KEY})"] if refusal.namespace_out else []
        return ", and ".join([cause, *itself, *namespace])
    if refusal.bypassed:
        return (
            f"{cause}, although injection is on here: another webhook added the image after the mutating webhook of "
            "ghcr-pull-secrets had its turn, or that webhook was not called"
        )
    return cause


def _central_missing(problem: Problem, refusal: Refusal) -> str:
    return (
        f"{_secret(problem, refusal)} does not exist and cannot be made, because the central secret "
        f"{refusal.release_namespace}/{SECRET_NAME} does not exist"
    )


def _central_unusable(problem: Problem, refusal: Refusal) -> str:
    wanted = "this image" if problem.image else "its images"
    fault = central_fault(problem.central_fault, wanted) if problem.central_fault else problem.detail
    return (
        f"{_secret(problem, refusal)} does not exist and is not made, because the central secret "
        f"{refusal.release_namespace}/{SECRET_NAME} is unusable{_detail(fault)}"
    )


def _provisioning_failed(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} does not exist and could not be made{_detail(problem.detail)}"


def _unverifiable(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} is the only one listed and may not be read, so it does not count"


def _too_large(problem: Problem, refusal: Refusal) -> str:
    if not problem.secret:
        return f"it names more than {MAX_IMAGES} different images"
    return f"{_secret(problem, refusal)} is larger than {_BOUNDS}, so it is not read and does not count"


CAUSES: Final[Mapping[Reason, Callable[[Problem, Refusal], str]]] = {
    Reason.SECRET_MISSING: _missing,
    Reason.WRONG_TYPE: _wrong_type,
    Reason.MALFORMED: _malformed,
    Reason.NO_ENTRY_FOR_IMAGE: _no_entry,
    Reason.EMPTY_CREDENTIAL: _empty,
    Reason.NOT_LISTED: _not_listed,
    Reason.CENTRAL_MISSING: _central_missing,
    Reason.CENTRAL_UNUSABLE: _central_unusable,
    Reason.PROVISIONING_FAILED: _provisioning_failed,
    Reason.UNVERIFIABLE: _unverifiable,
    Reason.TOO_LARGE: _too_large,
}


def _secret(problem: Problem, refusal: Refusal) -> str:
    if problem.secret == UNNAMED:
        return "a pull secret of its ServiceAccount"
    return f"Secret {refusal.namespace}/{shown(problem.secret)}"


def _detail(detail: str) -> str:
    return detail and f" ({detail})"


def _kind(workload: Workload) -> str:
    return workload.kind.kind or workload.kind.resource


def _image(image: PodImage) -> str:
    place = "volume" if image.place == "volumes" else "container"
    return f"{shown(image.image)} ({place} {shown(image.name) or '(unnamed)'})"
