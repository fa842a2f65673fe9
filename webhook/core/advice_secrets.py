"""Advice on Pods whose pull secrets are the trouble, or whose credential is."""

import shlex
from typing import Final

from webhook.core import images
from webhook.core.advice_words import (
    Advice,
    Subject,
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
from webhook.core.display import shown
from webhook.core.names import ADOPT_ANNOTATION, PROVISION_LABEL, SECRET_NAME
from webhook.core.ownership import Owner

_ROTATE_GUIDE: Final = 'docs/operations.md, "Rotate the token"'
_ENTRY_GUIDE: Final = 'docs/operations.md, "Add an entry to a pull secret"'


def secret_missing(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    problem = problem_of(diagnosis)
    if problem.secret == SECRET_NAME and subject.copied_to:
        return Advice(
            detail=cause(problem, subject),
            remedy=(
                "label the namespace, so that the controller makes the copy, and the kubelet pulls with it within five "
                "minutes; if none comes, look at the controller and at the namespace's events"
            ),
            commands=(f"kubectl label namespace {place(subject)} {PROVISION_LABEL}=true",),
        )
    return Advice(
        detail=cause(problem, subject),
        remedy="make that Secret; the kubelet pulls with it within five minutes",
        commands=create(problem.secret, diagnosis, subject),
    )


def not_listed(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    problem = problem_of(diagnosis)
    if not subject.injected:
        return Advice(detail=cause(problem, subject), remedy=remedy(problem, subject))
    detail = "neither the Pod nor its ServiceAccount lists a pull secret"
    detail += "; it was made before the webhook was there" if subject.made_before else ""
    return again("a new Pod is given ghcr-secret", detail, subject)


def unfit(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    """Of a Secret whose type or content no kubelet takes: it has to be made again, by whoever makes it."""
    problem = diagnosis.problem
    if problem is None:
        names = ", ".join(shown(name) for name in subject.workload.pull_secrets[:3]) or "its ServiceAccount's"
        return Advice(
            detail="one of its pull secrets is malformed, which stops every pull of the Pod; they may not be read",
            remedy=f"have somebody look who may read Secrets there: {names}",
        )
    detail = whose(cause(problem, subject), diagnosis)
    if problem.found is not None and problem.found.owner:
        return Advice(detail=detail, remedy=remedy(problem, subject))
    delete = f"kubectl delete secret {shlex.quote(problem.secret)} --namespace {place(subject)}"
    if problem.secret == SECRET_NAME and subject.injected:
        return Advice(
            detail=detail,
            remedy="delete it, if nothing else uses it; the controller makes a copy of the central secret in its place",
            commands=(delete,),
        )
    return Advice(
        detail=detail,
        remedy="make it again, with what else is in it",
        commands=(delete, *create(problem.secret, diagnosis, subject)),
    )


def content(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    problem = problem_of(diagnosis)
    return Advice(detail=whose(cause(problem, subject), diagnosis), remedy=remedy(problem, subject))


def unread(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    if diagnosis.cause is Cause.TOO_LARGE:
        return Advice(
            detail=f"Secret {place(subject)}/{shown(diagnosis.secret)} is too large to be judged",
            remedy="remove the entries that no image here needs",
        )
    return Advice(
        detail=f"Secret {place(subject)}/{shown(diagnosis.secret)} may not be read, so it is not known what it lacks",
        remedy="have somebody look who may read Secrets there",
        commands=(f"kubectl auth can-i get secrets --namespace {place(subject)}",),
    )


def stale(_: PodDiagnosis, subject: Subject) -> Advice:
    return Advice(
        detail=f"the copy {place(subject)}/{SECRET_NAME} is not what the central secret says",
        remedy="see what keeps the controller from it: whether it leads, and the events of the copy",
        commands=(
            f"kubectl get pods,leases --namespace {shlex.quote(subject.rules.release_namespace)}",
            f"kubectl get events --namespace {place(subject)} --field-selector involvedObject.name={SECRET_NAME}",
        ),
    )


def foreign(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    detail = whose("the registry refuses a credential that is not the central secret's", diagnosis)
    found = diagnosis.found
    if found is not None and found.owner:
        kind, _, name = found.owner.partition(" ")
        renew = f"renew the credential where {shown(found.owner)} takes it from, or delete that and have a copy instead"
        sync = (
            f"kubectl annotate externalsecret {shlex.quote(name)} --namespace {place(subject)} --overwrite "
            'force-sync="$(date +%s)"'
        )
        return Advice(detail=detail, remedy=renew, commands=(sync,) if kind == "ExternalSecret" else ())
    if diagnosis.owner is Owner.OTHER_RELEASE:
        return Advice(detail=detail, remedy="renew the central secret of the release that its source names")
    return Advice(
        detail=detail,
        remedy="renew its credential, or have it taken over, so that it follows the central secret",
        commands=(f"kubectl annotate secret {SECRET_NAME} --namespace {place(subject)} {ADOPT_ANNOTATION}=true",),
    )


def account_unused(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    secret = shown(diagnosis.secret)
    account = f"{subject.namespace.name}/{shown(subject.workload.service_account)}"
    match diagnosis.unused:
        case Unused.OWN_LIST:
            return Advice(
                detail=(
                    f"ServiceAccount {account} lists {secret}, but the Pod lists pull secrets of its own, and an "
                    "account's are given to a Pod without any"
                ),
                remedy=f"add '- name: {secret}' to imagePullSecrets of {template(subject)}, and {roll_out(subject)}",
            )
        case Unused.OTHER_ACCOUNT:
            return Advice(
                detail=f"ServiceAccount {subject.namespace.name}/default lists {secret}, but the Pod runs as {account}",
                remedy=f"list {secret} in imagePullSecrets of ServiceAccount {account}, and restart what runs as it",
            )
        case _:
            return again(
                "a new Pod is given what the account lists now",
                f"ServiceAccount {account} lists {secret} since after the Pod was made",
                subject,
            )


def credential_rejected(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    return Advice(
        detail=whose(
            f"{registry(diagnosis)} does not accept the credential: it has expired, was revoked or is mistyped; public "
            "images fail with it too",
            diagnosis,
        ),
        remedy=at_source("put a new token into", _ROTATE_GUIDE, diagnosis, subject),
    )


def credential_no_access(diagnosis: PodDiagnosis, subject: Subject) -> Advice:
    try:
        package = images.parse(diagnosis.stuck.image.image).repository.partition("/")[2]
    except images.InvalidReference:
        package = diagnosis.stuck.image.image
    return Advice(
        detail=whose(f"{registry(diagnosis)} refuses {shown(package)} to the credential", diagnosis),
        remedy=(
            "authorise the token for the organisation, or give its account read access to the package "
            f"{shown(package)}; else {at_source('add an entry of another token to', _ENTRY_GUIDE, diagnosis, subject)}"
        ),
    )
