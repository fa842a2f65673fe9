"""Admission policy: what to add, whether to admit, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from webhook.core.names import SECRET_NAME
from webhook.core.parts import Part, selects_any
from webhook.core.review import Json
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import CONTAINER_LISTS, MAX_ENTRIES, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the mutating half does with an object.

    Attributes:
        reason: Why.
        add: Names to append to its pull secrets.
        provision: A copy must be in the namespace before the answer is sent.
    """

    reason: Reason
    add: tuple[str, ...] = ()
    provision: bool = False


NOT_APPLICABLE: Final = Decision(reason=Reason.NOT_APPLICABLE)


def uses_copy(workload: Workload, rules: Rules) -> bool:
    """Return whether a workload as it stands pulls a selected image with `ghcr-secret`, or mounts it."""
    pulls = SECRET_NAME in workload.pull_secrets and selects_any(workload, rules)
    return pulls or mounts_copy(workload)


def mounts_copy(workload: Workload) -> bool:
    """Return whether a Pod takes the content of `ghcr-secret` as a volume or variable; of a template, its Pods do."""
    return workload.is_pod and mounts(workload.template, SECRET_NAME)


def needs_service_account(workload: Workload) -> bool:
    """Return whether the ServiceAccount's pull secrets bear on a decision: only where the list is empty."""
    return not workload.listed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A ServiceAccount as far as decisions need it.

    Attributes:
        secrets: Names of its pull secrets, in order.
        exists: It is there; one that is not yet may have pull secrets when it comes.
    """

    secrets: tuple[str, ...] = ()
    exists: bool = True


def decide(part: Part, *, namespace: Namespace, service_account: ServiceAccount, rules: Rules) -> Decision:
    """Decide what to add to a workload's pull secrets.

    Args:
        part: Its pod spec.
        namespace: The namespace it is in.
        service_account: Its ServiceAccount; for a Pod it does not matter.
        rules: The installation's settings.

    First row that fits (`not_applicable` objects never become a `Workload`, but for mirror Pods):

    | workload | reason | adds | provisions |
    |---|---|---|---|
    | mirror Pod | not_applicable | | |
    | no selected image that can be pulled, and no new Pod that mounts `ghcr-secret` | no_selected_image | | |
    | namespace or workload opted out | opted_out | | |
    | no selected image | mounted | | yes |
    | controlled, and no Pod | controller_owned | | |
    | UPDATE of a Pod or Job | not_mutable | | |
    | UPDATE with a template that was there | unchanged | | |
    | lists `ghcr-secret` | already_listed | | yes |
    | template with empty list, ServiceAccount has secrets or is not there | left_to_pod | | yes |
    | template with empty list, `templates: leave` | left_to_pod | | yes |
    | template of a further kind with a list, `[]` too | left_to_pod | | yes |
    | else | injected | `ghcr-secret` | yes |
    """
    workload = part.workload
    if workload.mirror:
        return NOT_APPLICABLE
    if not part.images and (part.update or not mounts_copy(workload)):
        return Decision(reason=Reason.NO_SELECTED_IMAGE)
    if workload.opted_out or not rules.injects_into(namespace):
        return Decision(reason=Reason.OPTED_OUT)
    if not part.images:
        return Decision(reason=Reason.MOUNTED, provision=True)
    if workload.controlled and not workload.is_pod:
        return Decision(reason=Reason.CONTROLLER_OWNED)
    if part.update and (workload.is_pod or workload.kind.is_job):
        return Decision(reason=Reason.NOT_MUTABLE)
    if part.update and part.before.had(workload):
        return Decision(reason=Reason.UNCHANGED)
    if SECRET_NAME in workload.pull_secrets:
        return Decision(reason=Reason.ALREADY_LISTED, provision=True)
    if not workload.is_pod and _left_to_pods(workload, service_account, rules):
        return Decision(reason=Reason.LEFT_TO_POD, provision=True)
    return Decision(reason=Reason.INJECTED, add=(SECRET_NAME,), provision=True)


def _left_to_pods(template: Workload, service_account: ServiceAccount, rules: Rules) -> bool:
    """Return whether a template stays as it is, so that its Pods are given the Secret when they are made.

    A list would keep the ServiceAccount's secrets from the Pods, those too that it gets later. Of a kind outside
    client-go's scheme Argo CD's client-side comparison takes a list as a whole: one more entry differs for ever.
    """
    if template.kind.configured and template.listed is not None:
        return True
    if template.listed:
        return False
    return rules.leave_templates or bool(service_account.secrets) or not service_account.exists


def secrets_in_effect(workload: Workload, service_account: ServiceAccount, decision: Decision) -> tuple[str, ...]:
    """List the pull secrets the kubelet will be given.

    The pod spec's, or if that list is empty the ServiceAccount's. For a template that is left to its Pods,
    `ghcr-secret` counts as listed: each Pod gets it when it is made.
    """
    names = workload.pull_secrets if workload.listed else service_account.secrets
    if decision.reason is Reason.LEFT_TO_POD and SECRET_NAME not in names:
        names = (*names, SECRET_NAME)
    return tuple(dict.fromkeys(names))


def injected(workload: Workload, decision: Decision) -> Workload:
    """Say what a workload is once what is to be added has been: what the validating half then sees."""
    if not decision.add:
        return workload
    return replace(
        workload,
        pull_secrets=(*workload.pull_secrets, *decision.add),
        listed=(workload.listed or 0) + len(decision.add),
    )


def exempt(part: Part, *, namespace: str, rules: Rules) -> Reason | None:
    """Say why a pod spec need not be judged at all, if so.

    An UPDATE that changes neither the images that can be pulled nor pull secrets nor ServiceAccount is admitted,
    however broken the workload is: labels, finalizers and scaling must keep working. First row that fits:

    | workload | reason |
    |---|---|
    | mirror Pod | not_applicable |
    | no selected image that can be pulled | no_selected_image |
    | controlled, and no Pod | controller_owned |
    | UPDATE that pulls as before | unchanged |
    | in a namespace that is never touched | opted_out |
    | debug containers are added, and none pulls a selected image that the Pod has not pulled | no_selected_image |
    """
    workload = part.workload
    if workload.mirror:
        return Reason.NOT_APPLICABLE
    if not (part.images or selects_any(workload, rules)):
        return Reason.NO_SELECTED_IMAGE
    if workload.controlled and not workload.is_pod:
        return Reason.CONTROLLER_OWNED
    if part.update and part.before.pulled_as(workload):
        return Reason.UNCHANGED
    if rules.untouchable(namespace):
        return Reason.OPTED_OUT
    return None if part.images else Reason.NO_SELECTED_IMAGE


def may_be_made(decision: Decision) -> bool:
    """Return whether the namespace may have a copy: made for this object, or for a label beside what cannot change."""
    return decision.provision or decision.reason is Reason.NOT_MUTABLE


def leading(decisions: Sequence[Decision]) -> Decision:
    """Say which of the decisions on one object's pod specs stands for all: the first that does the most."""
    if len(decisions) == 1:
        return decisions[0]
    return max(
        decisions,
        key=lambda each: (bool(each.add), each.provision, each.reason is not Reason.NO_SELECTED_IMAGE),
        default=Decision(reason=Reason.NO_SELECTED_IMAGE),
    )


def mounts(spec: Json, name: str) -> bool:
    """Return whether a pod spec takes content from a Secret other than to pull images.

    Args:
        spec: The pod spec as it came. What has not the shape of one counts as absent: it is stored nowhere.
        name: Of the Secret.

    Looked at are volumes `secret` and `projected`, and of each container `envFrom` and `env`; of each list the first
    `MAX_ENTRIES`. The chart's matchConditions say the same (`gps.celMounts`).
    """
    return any(_of_volume(volume, name) for volume in _each(spec, "volumes")) or any(
        _of_container(container, name) for place in CONTAINER_LISTS for container in _each(spec, place)
    )


def _of_volume(volume: Json, name: str) -> bool:
    if _at(volume, "secret", "secretName") == name:
        return True
    sources = _each(_at(volume, "projected"), "sources")
    return any(_at(source, "secret", "name") == name for source in sources)


def _of_container(container: Json, name: str) -> bool:
    return any(_at(entry, "secretRef", "name") == name for entry in _each(container, "envFrom")) or any(
        _at(entry, "valueFrom", "secretKeyRef", "name") == name for entry in _each(container, "env")
    )


def _at(holder: Any, *path: str) -> Any:
    for token in path:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(token)
    return holder


def _each(holder: Any, name: str) -> Iterator[Json]:
    entries = _at(holder, name)
    if isinstance(entries, list):
        yield from (entry for entry in islice(entries, MAX_ENTRIES) if isinstance(entry, dict))
