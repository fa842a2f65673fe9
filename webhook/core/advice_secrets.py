"""Advice on Pods whose pull secrets or credential are at fault."""

import shlex

from webhook.core import images
from webhook.core.advice_words import (
    Advice,
    StuckPod,
    again,
    at_source,
    cause,
    create,
    place,
    problem_of,
    registry,
    remedy,
    roll_out,
    template,
    whose,
)
from webhook.core.causes import Cause, PodDiagnosis, Unused
from webhook.core.display import ENTRY_GUIDE, ROTATE_GUIDE, ask_for_copy, delete_secret, force_sync, shown
from webhook.core.names import ADOPT_ANNOTATION, SECRET_NAME
from webhook.core.ownership import Owner


def secret_missing(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    problem = problem_of(diagnosis)
    if problem.secret == SECRET_NAME and pod.copied_to:
        return Advice(
            detail=cause(problem, pod),
            remedy=(
                "label the namespace, so that the controller makes the copy, and the kubelet pulls with it within five "
                "minutes; if none comes, look at the controller and at the namespace's events"
            ),
            commands=(ask_for_copy(place(pod)),),
        )
    return Advice(
        detail=cause(problem, pod),
        remedy="make that Secret; the kubelet pulls with it within five minutes",
        commands=create(problem.secret, diagnosis, pod),
    )


def not_listed(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    problem = problem_of(diagnosis)
    if not pod.injected:
        return Advice(detail=cause(problem, pod), remedy=remedy(problem, pod))
    detail = "neither the Pod nor its ServiceAccount lists a pull secret"
    detail += "; it was made before the webhook was there" if pod.made_before else ""
    return again("a new Pod is given ghcr-secret", detail, pod)


def unfit(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    """Of a Secret whose type or content no kubelet takes: it has to be made again, by whoever makes it."""
    problem = diagnosis.problem
    if problem is None:
        names = ", ".join(shown(name) for name in pod.workload.pull_secrets[:3]) or "its ServiceAccount's"
        return Advice(
            detail="one of its pull secrets is malformed, which stops every pull of the Pod; they may not be read",
            remedy=f"have somebody look who may read Secrets there: {names}",
        )
    detail = whose(cause(problem, pod), diagnosis)
    if problem.found is not None and problem.found.owner:
        return Advice(detail=detail, remedy=remedy(problem, pod))
    delete = delete_secret(problem.secret, place(pod))
    if problem.secret == SECRET_NAME and pod.injected:
        return Advice(
            detail=detail,
            remedy="delete it, if nothing else uses it; the controller makes a copy of the central secret in its place",
            commands=(delete,),
        )
    return Advice(
        detail=detail,
        remedy="make it again, with what else is in it",
        commands=(delete, *create(problem.secret, diagnosis, pod)),
    )


def content(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    problem = problem_of(diagnosis)
    return Advice(detail=whose(cause(problem, pod), diagnosis), remedy=remedy(problem, pod))


def unread(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    if diagnosis.cause is Cause.TOO_LARGE:
        return Advice(
            detail=f"Secret {place(pod)}/{shown(diagnosis.secret)} is too large to be judged",
            remedy="remove the entries that no image here needs",
        )
    return Advice(
        detail=f"Secret {place(pod)}/{shown(diagnosis.secret)} may not be read, so it is not known what it lacks",
        remedy="have somebody look who may read Secrets there",
        commands=(f"kubectl auth can-i get secrets --namespace {place(pod)}",),
    )


def stale(_: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=f"the copy {place(pod)}/{SECRET_NAME} is not what the central secret says",
        remedy="see what keeps the controller from it: whether it leads, and the events of the copy",
        commands=(
            f"kubectl get pods,leases --namespace {shlex.quote(pod.rules.release_namespace)}",
            f"kubectl get events --namespace {place(pod)} --field-selector involvedObject.name={SECRET_NAME}",
        ),
    )


def foreign(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    detail = whose("the registry refuses a credential that is not the central secret's", diagnosis)
    found = diagnosis.found
    if found is not None and found.owner:
        kind, _, name = found.owner.partition(" ")
        renew = f"renew the credential where {shown(found.owner)} takes it from, or delete that and have a copy instead"
        return Advice(
            detail=detail, remedy=renew, commands=(force_sync(name, place(pod)),) if kind == "ExternalSecret" else ()
        )
    if diagnosis.owner is Owner.OTHER_RELEASE:
        return Advice(detail=detail, remedy="renew the central secret of the release that its source names")
    return Advice(
        detail=detail,
        remedy="renew its credential, or have it taken over, so that it follows the central secret",
        commands=(f"kubectl annotate secret {SECRET_NAME} --namespace {place(pod)} {ADOPT_ANNOTATION}=true",),
    )


def account_unused(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    secret = shown(diagnosis.secret)
    account = f"{pod.namespace.name}/{shown(pod.workload.service_account)}"
    match diagnosis.unused:
        case Unused.OWN_LIST:
            return Advice(
                detail=(
                    f"ServiceAccount {account} lists {secret}, but the Pod lists pull secrets of its own, and an "
                    "account's are given to a Pod without any"
                ),
                remedy=f"add '- name: {secret}' to imagePullSecrets of {template(pod)}, and {roll_out(pod)}",
            )
        case Unused.OTHER_ACCOUNT:
            return Advice(
                detail=f"ServiceAccount {pod.namespace.name}/default lists {secret}, but the Pod runs as {account}",
                remedy=f"list {secret} in imagePullSecrets of ServiceAccount {account}, and restart what runs as it",
            )
        case _:
            return again(
                "a new Pod is given what the account lists now",
                f"ServiceAccount {account} lists {secret} since after the Pod was made",
                pod,
            )


def credential_rejected(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    return Advice(
        detail=whose(
            f"{registry(diagnosis)} does not accept the credential: it has expired, was revoked or is mistyped; public "
            "images fail with it too",
            diagnosis,
        ),
        remedy=at_source("put a new token into", ROTATE_GUIDE, diagnosis, pod),
    )


def credential_no_access(diagnosis: PodDiagnosis, pod: StuckPod) -> Advice:
    try:
        package = images.parse(diagnosis.stuck.image.image).repository.partition("/")[2]
    except images.InvalidReference:
        package = diagnosis.stuck.image.image
    return Advice(
        detail=whose(f"{registry(diagnosis)} refuses {shown(package)} to the credential", diagnosis),
        remedy=(
            "authorise the token for the organisation, or give its account read access to the package "
            f"{shown(package)}; else {at_source('add an entry of another token to', ENTRY_GUIDE, diagnosis, pod)}"
        ),
    )
