"""Remedy texts for workloads that would pull without credentials.

What can be done differs by the object: a template's list can be edited, that of a running Pod cannot, and a Pod of a
controller has no manifest of its own. It differs by the Secret too: the content of one that an owner makes is fixed at
the owner, a foreign one may hold other logins that must not be lost, and a copy of ours follows the central secret.
"""

from collections.abc import Callable, Mapping
from typing import Final

from webhook.core import images
from webhook.core.display import ENTRY_GUIDE, ask_for_copy, create_secret, delete_secret, dotted, shown
from webhook.core.judging import UNNAMED, Problem, Refusal
from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, SECRET_NAME, SECRET_TYPE
from webhook.core.ownership import give_away, is_ours
from webhook.core.parts import MAX_IMAGES
from webhook.core.vocabulary import CentralFault, Reason
from webhook.core.workloads import Workload

_NO_NAME_OF_A_SECRET: Final = "write a name that a Secret can have: lower-case letters, digits, '-' and '.'"

_MADE_BY_ANOTHER: Final = frozenset({"ReplicaSet"})
"""Controllers of Pods that mostly have a controller of their own: what is edited is a Deployment or a Rollout."""

_INJECTOR_GUIDE: Final = "docs/injectors.md"


def remedy(problem: Problem, refusal: Refusal) -> str:
    """Say what fixes a problem, as the end of the sentence "To fix it, …".

    Args:
        problem: Of a reason that refuses a workload.
        refusal: The workload.
    """
    if host := _odd_host(problem):
        return f"write the registry's host as {host}: credentials are matched with case and port"
    if problem.secret == UNNAMED:
        account = f"{refusal.namespace}/{shown(refusal.workload.service_account)}"
        return f"correct the pull secrets of ServiceAccount {account}, or {_list_it(problem, refusal)}"
    return REMEDIES[problem.reason](problem, refusal)


def server(image: str) -> str:
    """Name the entry of a pull secret that covers an image and its siblings, and no more.

    The host with the first part of the path and a closing slash: `ghcr.io/my-org/`. Without the slash it would serve
    `ghcr.io/my-org2` too, and a whole host gives the token to every public image of that host. Empty if no kubelet
    would parse the image.
    """
    try:
        repository = images.parse(image).repository
    except images.InvalidReference:
        return ""
    host, _, path = repository.partition("/")
    if (login := images.login_server(host)) != host:
        return login
    organisation, slash, _ = path.partition("/")
    return f"{host}/{organisation}/" if slash else host


def _secret_missing(problem: Problem, refusal: Refusal) -> str:
    if problem.secret == SECRET_NAME and refusal.provisions:
        # The mutating half makes the copy: it was deleted a moment ago, or that half was not called.
        return f"{_again(refusal)}, which makes the Secret"
    if problem.secret == SECRET_NAME and refusal.installed and not refusal.opted_out:
        return _have_it_made(refusal)
    return _create(problem.secret, refusal.namespace, problem, refusal)


def _have_it_made(refusal: Refusal) -> str:
    """Say how to get the copy that a review of this kind does not make; it takes a central secret that is usable."""
    return f"run: {ask_for_copy(refusal.namespace)} (which makes the Secret); then {_again(refusal)}"


def _wrong_type(problem: Problem, refusal: Refusal) -> str:
    if owner := _owner(problem):
        return f"have {owner} make that Secret with type {SECRET_TYPE}"
    return _recreate(problem, refusal)


def _malformed(problem: Problem, refusal: Refusal) -> str:
    if owner := _owner(problem):
        return f"fix its content in {owner}, which would make the Secret again if you deleted it"
    return _recreate(problem, refusal)


def _no_entry(problem: Problem, refusal: Refusal) -> str:
    return _complete(f"add an entry for {_server(problem, refusal)}", problem, refusal)


def _empty_credential(problem: Problem, refusal: Refusal) -> str:
    return _complete(f"give its entry for {_server(problem, refusal)} a user name and a token", problem, refusal)


def _not_listed(problem: Problem, refusal: Refusal) -> str:
    text = _list_it(problem, refusal)
    if refusal.bypassed:
        return f"have the mutating webhook of ghcr-pull-secrets act last ({_INJECTOR_GUIDE}), or {text}"
    if refusal.opted_out:
        text += (
            f", or {_opt_in(refusal)}; if the image is public, have the cluster's administrators add it to "
            f"images.exclude, or label the namespace {ENFORCE_LABEL}=off"
        )
    return text


def _opt_in(refusal: Refusal) -> str:
    """Say how to take back what keeps injection off."""
    workload, steps = refusal.workload, []
    if workload.opted_out:
        where = "the manifest" if workload.is_pod else "the manifest (the object's or its pod template's)"
        if workload.is_pod and workload.controller:
            where = _template_of(workload)
        steps.append(f"remove the annotation {INJECT_KEY} from {where}")
    if refusal.namespace_out:
        steps.append(f"run: kubectl label namespace {refusal.namespace} {INJECT_KEY}=true --overwrite")
    again = " and make a new Pod" if workload.is_pod and refusal.part.update else ""
    return f"opt in{again} ({'; '.join(steps)})"


def _central_missing(problem: Problem, refusal: Refusal) -> str:
    create = _create(SECRET_NAME, refusal.release_namespace, problem, refusal)
    return _administrators(create)


def _central_unusable(problem: Problem, refusal: Refusal) -> str:
    central = refusal.central
    entry = _server(problem, refusal)
    match problem.central_fault:
        case CentralFault.NO_ENTRY_FOR_IMAGE:
            # Replacing it would take every other organisation's entry from every copy a second later.
            task = f"add an entry for {entry} to {central} ({ENTRY_GUIDE})"
        case CentralFault.EMPTY_CREDENTIAL:
            # It may be any entry that selected images find, not just the one for this image.
            task = f"give every entry of {central} a user name and a token, one for {entry} among them ({ENTRY_GUIDE})"
        case CentralFault.WRONG_TYPE:
            task = f"make {central} again with type {SECRET_TYPE}"
        case CentralFault.MALFORMED | CentralFault.TOO_LARGE | None:
            task = f"correct {central} where it comes from"
    return _administrators(task)


def _administrators(task: str) -> str:
    return f"ask the cluster's administrators to {task}"


def _provisioning_failed(_: Problem, refusal: Refusal) -> str:
    if refusal.provisions or refusal.opted_out:
        return f"remove that cause and {_again(refusal)}"
    return f"remove that cause, and {_have_it_made(refusal)}"


def _unverifiable(problem: Problem, refusal: Refusal) -> str:
    return f"{_list_it(problem, refusal)}, or have the cluster's administrators set rbac.readAllSecrets"


def _too_large(problem: Problem, refusal: Refusal) -> str:
    if not problem.secret:
        return f"split it into workloads of up to {MAX_IMAGES} different images"
    return _complete("remove the entries that no image here needs", problem, refusal)


REMEDIES: Final[Mapping[Reason, Callable[[Problem, Refusal], str]]] = {
    Reason.SECRET_MISSING: _secret_missing,
    Reason.WRONG_TYPE: _wrong_type,
    Reason.MALFORMED: _malformed,
    Reason.NO_ENTRY_FOR_IMAGE: _no_entry,
    Reason.EMPTY_CREDENTIAL: _empty_credential,
    Reason.NOT_LISTED: _not_listed,
    Reason.CENTRAL_MISSING: _central_missing,
    Reason.CENTRAL_UNUSABLE: _central_unusable,
    Reason.PROVISIONING_FAILED: _provisioning_failed,
    Reason.UNVERIFIABLE: _unverifiable,
    Reason.TOO_LARGE: _too_large,
}


def _list_it(problem: Problem, refusal: Refusal) -> str:
    """Say where a pull secret can be listed: the one place that can still be edited."""
    workload = refusal.workload
    # Who opted out has no copy, so that listing `ghcr-secret` would only lead to the next refusal.
    entry = "a pull secret that covers the image" if refusal.opted_out else f"'- name: {SECRET_NAME}'"
    if problem.image is not None and problem.image.place == "ephemeralContainers":
        text = "use a debug image that the Pod's pull secrets cover, since those of a running Pod cannot be changed"
        if refusal.opted_out:
            return text
        copy = f"kubectl debug {workload.name} --namespace {refusal.namespace} --copy-to={workload.name}-debug"
        return f"{text}, or debug a copy of the Pod: {copy} --image={shown(problem.image.image)}"
    if workload.is_pod and workload.controller:
        return _list_at_controller(entry, refusal)
    path = dotted((*workload.spec_path, "imagePullSecrets"))
    if workload.is_pod and refusal.part.update:
        return (
            f"delete the Pod and create it with {entry} in {path}, which cannot be changed on a running Pod, or set an "
            "image that its pull secrets cover"
        )
    return f"add {entry} to {path} of the manifest"


def _list_at_controller(entry: str, refusal: Refusal) -> str:
    """Say where to list a pull secret for a Pod, which has no manifest of its own."""
    controller = shown(refusal.workload.controller)
    task = f"add {entry} to imagePullSecrets in {_template_of(refusal.workload)}"
    if refusal.part.update:
        return f"{task}, and change the image there too: the pull secrets of a running Pod cannot be changed"
    if controller.startswith("Job "):
        return f"{task}, and delete that Job and create it again, since its template cannot be changed"
    return f"{task}, and roll it out"


def _template_of(pod: Workload) -> str:
    """Name the template that a Pod of a controller is made from."""
    controller = shown(pod.controller)
    made_by_another = controller.partition(" ")[0] in _MADE_BY_ANOTHER
    return f"the pod template that {controller} is made from" if made_by_another else f"the template of {controller}"


def _complete(task: str, problem: Problem, refusal: Refusal) -> str:
    """Say where to change the content of the Secret that was expected to cover the image."""
    if owner := _owner(problem):
        return f"{task} in {owner}, which makes that Secret"
    if problem.found is not None and is_ours(problem.found, refusal.release_namespace):
        return f"{_administrators(f'{task} in {refusal.central}')} ({ENTRY_GUIDE}); {give_away(refusal.namespace)}"
    return f"{task} in that Secret ({ENTRY_GUIDE})"


def _recreate(problem: Problem, refusal: Refusal) -> str:
    delete = delete_secret(problem.secret, refusal.namespace)
    if problem.secret == SECRET_NAME and refusal.provisions:
        then = f"then {_again(refusal)}, which makes a copy of the central secret in its place"
    else:
        then = "; ".join(create_secret(problem.secret, refusal.namespace, _server(problem, refusal)))
    return f"run (if nothing else uses that Secret): {delete}; {then}"


def _create(name: str, namespace: str, problem: Problem, refusal: Refusal) -> str:
    commands = "; ".join(create_secret(name, namespace, _server(problem, refusal)))
    return f"run: {commands}" if commands else _NO_NAME_OF_A_SECRET


def _again(refusal: Refusal) -> str:
    if refusal.workload.is_pod and refusal.part.update:
        return "try again"
    # Only a new Pod is sent by its controller.
    return (
        "wait until its controller tries again"
        if refusal.workload.is_pod and refusal.workload.controller
        else "apply it again"
    )


def _server(problem: Problem, refusal: Refusal) -> str:
    candidates = [problem.image] if problem.image else list(refusal.part.images)
    return next((found for image in candidates if (found := server(image.image))), "REGISTRY")


def _owner(problem: Problem) -> str:
    """Name the object that makes the Secret, such as `ExternalSecret ghcr-secret`."""
    found = problem.found
    return shown(found.owner) if found is not None and found.owner else ""


def _odd_host(problem: Problem) -> str:
    no_entry = problem.reason is Reason.NO_ENTRY_FOR_IMAGE or problem.central_fault is CentralFault.NO_ENTRY_FOR_IMAGE
    if not no_entry or problem.image is None:
        return ""
    host = problem.image.image.partition("/")[0]
    plain = images.plain_host(host)
    return plain if host != plain else ""
