"""What a user reads: the workload, the container, the image, the cause, and the one command or change that mends it."""

from collections.abc import Mapping
from typing import Final

from webhook.core.names import SECRET_NAME
from webhook.core.policy import Problem, Verdict
from webhook.core.reasons import Reason
from webhook.core.workloads import PodImage, Workload

_SHOWN: Final = 256
"""Longest excerpt of a user's own text in a message; a reference has 255 characters at most (distribution grammar)."""

_CAUSES: Final[Mapping[Reason, str]] = {
    Reason.SECRET_MISSING: "Secret {secret} does not exist",
    Reason.WRONG_TYPE: (
        "Secret {secret} is not of type kubernetes.io/dockerconfigjson, so the kubelet does not look into it"
    ),
    Reason.MALFORMED: "Secret {secret} is malformed, which stops every pull of the Pod",
    Reason.NO_ENTRY_FOR_IMAGE: "Secret {secret} has no entry that matches this image",
    Reason.EMPTY_CREDENTIAL: "the matching entry of Secret {secret} has neither username nor password",
    Reason.NOT_LISTED: "neither it nor its ServiceAccount lists a pull secret",
    Reason.CENTRAL_MISSING: (
        "Secret {secret} does not exist and cannot be made, because the central secret {central} does not exist"
    ),
    Reason.CENTRAL_UNUSABLE: (
        "Secret {secret} does not exist and is not made, because the central secret {central} is unusable"
    ),
    Reason.PROVISIONING_FAILED: "Secret {secret} does not exist and could not be made",
    Reason.UNVERIFIABLE: "Secret {secret} is the only one listed and may not be read, so it does not count",
}

_CENTRAL_FAULTS: Final[Mapping[Reason, str]] = {
    Reason.WRONG_TYPE: "it is not of type kubernetes.io/dockerconfigjson",
    Reason.MALFORMED: "its content is malformed",
    Reason.NO_ENTRY_FOR_IMAGE: "it has no entry that matches the image",
    Reason.EMPTY_CREDENTIAL: "its credential is empty",
}

_CREATE: Final = (
    "kubectl create secret docker-registry {name} --namespace {namespace} --docker-server=ghcr.io "
    "--docker-username=USER --docker-password=TOKEN"
)
_REPLACE: Final = f"{_CREATE} --dry-run=client -o yaml | kubectl apply -f -"

_MENDS: Final[Mapping[Reason, str]] = {
    Reason.CENTRAL_MISSING: f"ask the cluster's administrators to run: {_CREATE}",
    Reason.CENTRAL_UNUSABLE: f"ask the cluster's administrators to run: {_REPLACE}",
    Reason.NOT_LISTED: "add '- name: {secret_name}' to {field} of the manifest",
    Reason.PROVISIONING_FAILED: "remove that cause and apply it again",
    Reason.UNVERIFIABLE: "add '- name: {secret_name}' to {field} of the manifest",
}


def denial(workload: Workload, namespace: str, verdict: Verdict, *, release_namespace: str, injected: bool) -> str:
    """Say in one line why a workload is rejected and what mends it.

    Args:
        workload: The workload.
        namespace: Where it is.
        verdict: With at least one problem.
        release_namespace: Home of the central secret.
        injected: Copies are made in this namespace, so that applying again can be the way to mend.
    """
    problem = verdict.problems[0]
    subject = f"{workload.kind.kind or workload.kind.resource} {namespace}/{shown(workload.name) or '(unnamed)'}"
    pull = f"would pull {_image(problem.image)} without credentials" if problem.image else "could not pull any image"
    cause = _CAUSES[problem.reason].format(
        secret=f"{namespace}/{problem.secret}", central=f"{release_namespace}/{SECRET_NAME}"
    )
    detail = central_fault(problem.central_fault) if problem.central_fault else problem.detail
    if detail:
        cause += f" ({detail})"
    others = len(verdict.problems) - 1
    more = f" {others} more image{'s' if others > 1 else ''} would be pulled without credentials too." if others else ""
    mend = _mend(problem, workload, namespace, release_namespace=release_namespace, injected=injected)
    return f"{subject} {pull}: {cause}. To mend it, {mend}.{more}"


def _mend(problem: Problem, workload: Workload, namespace: str, *, release_namespace: str, injected: bool) -> str:
    if host := _odd_host(problem):
        return f"write the registry's host as {host}: credentials are matched with case and port"
    central = problem.reason in (Reason.CENTRAL_MISSING, Reason.CENTRAL_UNUSABLE)
    text = _MENDS.get(problem.reason)
    if text is None:
        text = _mend_secret(problem, injected=injected)
    return text.format(
        name=SECRET_NAME if central else problem.secret,
        namespace=release_namespace if central else namespace,
        secret_name=SECRET_NAME,
        field="/".join((*workload.spec_path, "imagePullSecrets")),
    )


def _mend_secret(problem: Problem, *, injected: bool) -> str:
    ours_to_make = injected and problem.secret == SECRET_NAME
    if problem.reason is Reason.SECRET_MISSING:
        # With injection on, the mutating half makes the copy: it was deleted a moment ago, or that half was not called.
        return "apply it again, which makes the Secret" if ours_to_make else f"run: {_CREATE}"
    if ours_to_make:
        return (
            "run: kubectl delete secret {name} --namespace {namespace}; then apply it again, which makes a good one "
            "from the central secret"
        )
    return f"run: kubectl delete secret {{name}} --namespace {{namespace}} && {_CREATE}"


def _odd_host(problem: Problem) -> str:
    if Reason.NO_ENTRY_FOR_IMAGE not in (problem.reason, problem.central_fault) or problem.image is None:
        return ""
    host = problem.image.image.partition("/")[0]
    plain = host.lower().removesuffix(":443")
    return plain if host != plain else ""


def central_fault(fault: Reason) -> str:
    """Say what is wrong with a central secret."""
    return _CENTRAL_FAULTS[fault]


def unverified(workload: Workload, verdict: Verdict) -> str:
    """Warn that credentials were taken on trust."""
    names = ", ".join(verdict.unverifiable)
    subject = f"{workload.kind.kind or workload.kind.resource} {shown(workload.name)}"
    return f"{subject} was let in unverified: not allowed to read its pull secrets {names}"


def not_provisioned(namespace: str, cause: str) -> str:
    """Warn that the copy a workload needs could not be made."""
    return f"Secret {namespace}/{SECRET_NAME} was not made: {cause}"


def foreign(namespace: str) -> str:
    """Say that a Secret was left alone."""
    return f"Secret {namespace}/{SECRET_NAME} is not managed by ghcr-pull-secrets and was left as it is"


def shown(text: str) -> str:
    """Cut a user's own text to what a message can carry, without control characters."""
    text = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _image(image: PodImage) -> str:
    place = "volume" if image.place == "volumes" else "container"
    return f"{shown(image.image)} ({place} {shown(image.name) or '(unnamed)'})"
