"""Refusal and warning texts for users.

One line: the workload, the container, the image, the cause, the fix. The fixes stand in `remedies`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from webhook.core import remedies
from webhook.core.display import named, shown
from webhook.core.judging import UNNAMED, Problem, Refusal, Verdict
from webhook.core.keyring import MAX_BYTES, MAX_ENTRIES
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL, SECRET_NAME, SECRET_TYPE
from webhook.core.parts import MAX_IMAGES
from webhook.core.scope import Namespace
from webhook.core.vocabulary import CentralFault, Reason
from webhook.core.workloads import Workload

_LARGER: Final = f"larger than {MAX_BYTES // 1024} KiB or {MAX_ENTRIES} entries"
_OTHER_TYPE: Final = f"is not of type {SECRET_TYPE}"
_TOO_MANY_IMAGES: Final = f"it names more than {MAX_IMAGES} different images"
_NAMES_SHOWN: Final = 3
"""Most names one text lists: a workload may name thousands of Secrets."""

_CENTRAL_FAULTS: Final[Mapping[CentralFault, str]] = {
    CentralFault.WRONG_TYPE: f"it {_OTHER_TYPE}",
    CentralFault.MALFORMED: "its content is malformed",
    CentralFault.TOO_LARGE: f"it is {_LARGER}",
    CentralFault.NO_ENTRY_FOR_IMAGE: "it has no entry for {}",
    CentralFault.EMPTY_CREDENTIAL: (
        "it has no credential, or an entry that lacks a user name or a password (a credential store has them)"
    ),
}

_SWITCH: Final = 'neither "true" nor "false"'
_WANTED: Final[Mapping[str, str]] = {
    INJECT_KEY: _SWITCH,
    ENFORCE_LABEL: "none of deny, warn, off",
    PROVISION_LABEL: _SWITCH,
}
"""Of each label and annotation of ours, what a value is that means nothing."""


def denial(refusal: Refusal, verdict: Verdict) -> str:
    """Say in one line why a workload is refused and what fixes it.

    Args:
        refusal: The workload and where it is.
        verdict: With at least one problem; the first is described, the others are counted.
    """
    problem = verdict.problems[0]
    others = sum(each.image is not None for each in verdict.problems[1:])
    more = f" {others} more image{'s' if others > 1 else ''} would be pulled without credentials too." if others else ""
    workload = refusal.workload
    subject = template_named(workload.kind.title, f"{refusal.namespace}/{named(workload.name)}", workload.place)
    fix = remedies.remedy(problem, refusal)
    return f"{subject} {_consequence(problem)}: {cause(problem, refusal)}. To fix it, {fix}.{more}"


def template_named(kind: str, name: str, place: str) -> str:
    """Name an object, and which of its pod templates it is (`Workload.place`)."""
    return f"{kind} {name} (pod template {place})" if place else f"{kind} {name}"


def _consequence(problem: Problem) -> str:
    if problem.image is not None:
        kind = "volume" if problem.image.place == "volumes" else "container"
        return f"would pull {shown(problem.image.image)} ({kind} {named(problem.image.name)}) without credentials"
    return "cannot be checked" if problem.reason is Reason.TOO_LARGE else "could not pull any image"


def cause(problem: Problem, refusal: Refusal) -> str:
    """Say what is wrong, as a clause.

    Args:
        problem: Of a reason that refuses a workload.
        refusal: The workload.
    """
    return CAUSES[problem.reason](problem, refusal)


def central_fault(fault: CentralFault, wanted: str = "any image that needs it") -> str:
    """Say what is wrong with a central secret.

    Args:
        fault: From `contents.central_fault`.
        wanted: What it should have an entry for.
    """
    return _CENTRAL_FAULTS[fault].format(wanted)


def unverified(workload: Workload, verdict: Verdict) -> str:
    """Warn that credentials were taken on trust."""
    subject = f"{_short(workload)} was admitted without verification"
    if not verdict.unverifiable:
        return f"{subject}: {_TOO_MANY_IMAGES}"
    names = ", ".join(shown(name) for name in verdict.unverifiable[:_NAMES_SHOWN])
    more = len(verdict.unverifiable) - _NAMES_SHOWN
    if more > 0:
        names += f" and {more} more"
    why = f"are {_LARGER}" if verdict.reason is Reason.TOO_LARGE else "could not be read"
    return f"{subject}: its pull secrets {why}: {names}"


def unknown_settings(namespace: Namespace, workloads: Iterable[Workload]) -> list[str]:
    """Warn of labels and an annotation of ours whose value means nothing, once for all pod specs of one object."""
    unknown = {unknown_inject(workload): None for workload in workloads if workload.unknown_inject}
    return [*unknown_labels(namespace), *unknown]


def unknown_labels(namespace: Namespace) -> list[str]:
    """Warn of each label of ours on a namespace whose value means nothing."""
    return [_without_effect("label", key, f"namespace {namespace.name}") for key in namespace.unknown_labels]


def unknown_inject(workload: Workload) -> str:
    """Warn of an annotation whose value means nothing."""
    return _without_effect("annotation", INJECT_KEY, _short(workload))


def _without_effect(what: str, key: str, holder: str) -> str:
    return f"{what} {key} of {holder} is {_WANTED[key]} and has no effect"


def _short(workload: Workload) -> str:
    return f"{workload.kind.title} {shown(workload.name)}"


def not_provisioned(namespace: str, cause: str) -> str:
    """Warn that the copy a workload needs could not be made."""
    return f"Secret {namespace}/{SECRET_NAME} was not made: {cause}"


def _missing(problem: Problem, refusal: Refusal) -> str:
    return _absent(problem, refusal, _detail(problem.detail))


def _wrong_type(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} {_OTHER_TYPE}, so the kubelet does not look into it"


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
    text = "neither it nor its ServiceAccount lists a pull secret"
    if refusal.opted_out:
        itself = [f"it opted out of injection (annotation {INJECT_KEY})"] if refusal.workload.opted_out else []
        namespace = [f"its namespace is out of injection (label {INJECT_KEY})"] if refusal.namespace_out else []
        return ", and ".join([text, *itself, *namespace])
    if refusal.bypassed:
        return (
            f"{text}, although injection is on here: another webhook added the image after the mutating webhook of "
            "ghcr-pull-secrets had its turn, or that webhook was not called"
        )
    return text


def _central_missing(problem: Problem, refusal: Refusal) -> str:
    return _absent(problem, refusal, f" and cannot be made, because {refusal.central} does not exist")


def _central_unusable(problem: Problem, refusal: Refusal) -> str:
    wanted = "this image" if problem.image else "its images"
    fault = central_fault(problem.central_fault, wanted) if problem.central_fault else problem.detail
    return _absent(problem, refusal, f" and is not made, because {refusal.central} is unusable{_detail(fault)}")


def _provisioning_failed(problem: Problem, refusal: Refusal) -> str:
    return _absent(problem, refusal, f" and could not be made{_detail(problem.detail)}")


def _absent(problem: Problem, refusal: Refusal, more: str) -> str:
    return f"{_secret(problem, refusal)} does not exist{more}"


def _unverifiable(problem: Problem, refusal: Refusal) -> str:
    return f"{_secret(problem, refusal)} is the only one listed and may not be read, so it does not count"


def _too_large(problem: Problem, refusal: Refusal) -> str:
    if not problem.secret:
        return _TOO_MANY_IMAGES
    return f"{_secret(problem, refusal)} is {_LARGER}, so it is not read and does not count"


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
        return UNNAMED.strip("()")
    return f"Secret {refusal.namespace}/{shown(problem.secret)}"


def _detail(detail: str) -> str:
    return detail and f" ({detail})"
