"""Advice on a Pod that cannot pull: what is seen, what fixes it.

What the webhook says of a workload that it refuses is said here in the same words (`texts`, `remedies`). A Pod that is
there differs in one thing: nobody applies it again, so that what helps is the kubelet's next attempt, or a new Pod.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Final

from webhook.core import advice_secrets, images
from webhook.core.advice_words import (
    Advice,
    StuckPod,
    again,
    events,
    image,
    node,
    place,
    registry,
    template,
    within,
)
from webhook.core.causes import Cause, PodDiagnosis
from webhook.core.display import shown
from webhook.core.kubelet_words import Symptom, after_the_pull

__all__ = ["Advice", "StuckPod", "advise"]


def advise(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    """Say what was seen and what fixes it."""
    return _ADVICE[diagnosis.cause](diagnosis, pod)


def _host_spelling(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    plain = images.plain_host(diagnosis.stuck.image.image.partition("/")[0])
    return Advice(
        detail=f"{image(diagnosis)} is pulled without a credential: no entry has a host that is written so",
        remedy=f"write the registry's host as {shown(plain)} in {template(pod)}: case and port are compared",
    )


def _invalid_image_name(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    try:
        images.parse(diagnosis.stuck.image.image)
        fault = "the kubelet cannot read it"
    except images.InvalidReference as error:
        fault = str(error.reason).replace("_", " ")
    return Advice(
        detail=f"{image(diagnosis)} is no valid image ({fault})",
        remedy=f"correct the image in {template(pod)}",
    )


def _image_not_found(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    exposed = "; besides, none of the Pod's pull secrets covers it" if diagnosis.exposed else ""
    return Advice(
        detail=f"the registry has no {image(diagnosis)}, or does not tell who may not read it{exposed}",
        remedy=f"push that tag, or correct the image in {template(pod)}",
    )


def _never_pulled(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=f"{image(diagnosis)} is not on the node, and imagePullPolicy Never keeps the kubelet from pulling it",
        remedy=f"set imagePullPolicy to IfNotPresent in {template(pod)}, or load the image on the node",
    )


def _registry_mirror(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=f"the node asks the mirror {shown(diagnosis.host)} for {image(diagnosis)}, and does not get it",
        remedy=(
            f"see whether that mirror is up and may read the image, or take it out of the runtime's configuration on "
            f"{node(pod)} (/etc/containerd/certs.d, or mirrors of registries.conf)"
        ),
    )


def _registry_failing(diagnosis: PodDiagnosis, _: StuckPod) -> Advice:
    return Advice(
        detail=f"{registry(diagnosis)} answers with an error of its own, or that it is asked too often",
        remedy="wait; the kubelet tries again by itself, at least every five minutes",
    )


def _registry_unreachable(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=(
            f"{node(pod)} has no connection to {registry(diagnosis)}: DNS, a firewall, a proxy, or a CA it does "
            "not trust"
        ),
        remedy=f"look at the network of {node(pod)}; nothing in the cluster's pull secrets changes it",
        commands=(events(pod),),
    )


def _node_unreachable(_: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=f"the kubelet of {node(pod)} is not heard of, so that the Pod's status is old",
        remedy="bring the node back, or delete it, so that its Pods are made elsewhere",
        commands=(f"kubectl get node {shlex.quote(pod.node)}",) if pod.node else (),
    )


def _back_off(_: PodDiagnosis, pod: StuckPod) -> Advice:
    return again(
        f"the kubelet tries again by itself {within(pod.next_pull_s)}; a new Pod pulls at once",
        "what kept it from pulling is gone",
        pod,
    )


def _unknown(_: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail="its kubelet cannot pull, in words that are not known here",
        remedy="read them in the Pod's events",
        commands=(events(pod),),
    )


def _pulled(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    waiting = diagnosis.stuck.waiting
    crashed = waiting.crashed or waiting.reason == "CrashLoopBackOff"
    name, container = shlex.quote(pod.workload.name), shlex.quote(waiting.container)
    logs = f"kubectl logs {name} --container {container} --namespace {place(pod)} --previous"
    return Advice(
        detail=f"pulled: {after_the_pull(waiting)}",
        remedy="the image was pulled; look at the logs"
        if crashed
        else "the image was pulled; look at the Pod's events",
        commands=(logs if crashed else events(pod),),
    )


_ADVICE: Final[Mapping[Cause, Callable[[PodDiagnosis, StuckPod], Advice]]] = {
    Cause.SECRET_MISSING: advice_secrets.secret_missing,
    Cause.NOT_LISTED: advice_secrets.not_listed,
    Cause.WRONG_TYPE: advice_secrets.unfit,
    Cause.MALFORMED: advice_secrets.unfit,
    Cause.NO_ENTRY_FOR_IMAGE: advice_secrets.content,
    Cause.EMPTY_CREDENTIAL: advice_secrets.content,
    Cause.CENTRAL_MISSING: advice_secrets.content,
    Cause.CENTRAL_UNUSABLE: advice_secrets.content,
    Cause.UNVERIFIABLE: advice_secrets.unread,
    Cause.TOO_LARGE: advice_secrets.unread,
    Cause.STALE: advice_secrets.stale,
    Cause.FOREIGN: advice_secrets.foreign,
    Cause.ACCOUNT_UNUSED: advice_secrets.account_unused,
    Cause.HOST_SPELLING: _host_spelling,
    Cause.INVALID_IMAGE_NAME: _invalid_image_name,
    Cause.IMAGE_NOT_FOUND: _image_not_found,
    Cause.NEVER_PULLED: _never_pulled,
    Cause.CREDENTIAL_REJECTED: advice_secrets.credential_rejected,
    Cause.CREDENTIAL_NO_ACCESS: advice_secrets.credential_no_access,
    Cause.REGISTRY_MIRROR: _registry_mirror,
    Cause.REGISTRY_FAILING: _registry_failing,
    Cause.REGISTRY_UNREACHABLE: _registry_unreachable,
    Cause.NODE_UNREACHABLE: _node_unreachable,
    Cause.BACK_OFF: _back_off,
    Cause.UNKNOWN: _unknown,
    Cause.PULLED: _pulled,
}


_ATTEMPTS_S: Final = (3, 15, 41, 83, 164, 331)
_LAST_PAUSE_S: Final = 300
_PARSER_PAUSE_S: Final = 15


def pull_times(elapsed_s: float, found: Symptom) -> tuple[float, float]:
    """Estimate when the kubelet pulled last and pulls next.

    Seen on a real kubelet 1.36, for each Pod and image: attempts so many seconds (`_ATTEMPTS_S`) after the first, then
    every five minutes, also when the Secret changes meanwhile; a malformed Secret is read again every 10 to 15 s.

    Args:
        elapsed_s: Seconds since the Pod began to wait.
        found: What the kubelet met.

    Returns:
        Seconds since the last attempt, and seconds until the next.
    """
    elapsed_s = max(0.0, elapsed_s)
    if found is Symptom.MALFORMED_SECRET:
        return min(elapsed_s, _PARSER_PAUSE_S), _PARSER_PAUSE_S
    past = [attempt for attempt in (0, *_ATTEMPTS_S) if attempt <= elapsed_s]
    if len(past) <= len(_ATTEMPTS_S):
        return elapsed_s - past[-1], _ATTEMPTS_S[len(past) - 1] - elapsed_s
    since = (elapsed_s - _ATTEMPTS_S[-1]) % _LAST_PAUSE_S
    return since, _LAST_PAUSE_S - since
