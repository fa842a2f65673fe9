"""Words and commands that advice on Pods is made of."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webhook.core import images, remedies, texts
from webhook.core.causes import PodDiagnosis
from webhook.core.display import create_secret, shown
from webhook.core.judging import Problem, Refusal, refused
from webhook.core.names import SECRET_NAME
from webhook.core.ownership import Owner
from webhook.core.parts import Part
from webhook.core.policy import Decision
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import Workload

_ROLLED_OUT: Final[Mapping[str, str]] = {
    "Deployment": "deployment",
    "StatefulSet": "statefulset",
    "DaemonSet": "daemonset",
}
"""What `kubectl rollout restart` takes."""

_DELETED_AT_ONCE: Final = 20
"""Most Pods that one command names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckPod:
    """A Pod that cannot pull, as people know it.

    Attributes:
        workload: The Pod.
        namespace: Where it is.
        rules: The installation's settings.
        owner_kind, owner_name: What is edited or restarted to change it; of a Pod without controller the Pod itself.
        replaced: Names of Pods like it, itself mostly among them, that are made again once they are deleted.
        node: Where it runs, "" if that is not known.
        installed: The add-on is in the cluster.
        made_before: It was made before the webhook was there.
        next_pull_s: Seconds until the kubelet pulls again.
    """

    workload: Workload
    namespace: Namespace
    rules: Rules
    owner_kind: str = "Pod"
    owner_name: str = ""
    replaced: tuple[str, ...] = ()
    node: str = ""
    installed: bool = True
    made_before: bool = False
    next_pull_s: float = 0

    @property
    def injected(self) -> bool:
        """Return whether a new Pod in its place would be given `ghcr-secret`."""
        return self.installed and not self.workload.opted_out and self.rules.injects_into(self.namespace)

    @property
    def copied_to(self) -> bool:
        """Return whether a copy would be made where it is."""
        return self.installed and self.rules.may_have_copy(self.namespace)

    @property
    def restart(self) -> str:
        """Give the command that makes new Pods; "" for a Pod that nobody makes again."""
        where = f"--namespace {shlex.quote(self.namespace.name)}"
        if (resource := _ROLLED_OUT.get(self.owner_kind)) is not None:
            return f"kubectl rollout restart {resource}/{shlex.quote(self.owner_name)} {where}"
        if self.owner_kind == "Pod":
            return ""
        names = self.replaced[:_DELETED_AT_ONCE] or (self.workload.name,)
        return f"kubectl delete pod {' '.join(map(shlex.quote, names))} {where}"

    @property
    def of_job(self) -> bool:
        """Return whether a Job made it, which counts a Pod that is deleted as failed."""
        return self.workload.controller.partition(" ")[0] == "Job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is reported of a Pod that cannot pull.

    Attributes:
        detail: What was seen, in one line.
        remedy: What fixes it.
        commands: Shell commands that do it, in their order; none where it is done elsewhere.
        restart: A new Pod is all that is needed.
    """

    detail: str
    remedy: str
    commands: tuple[str, ...] = ()
    restart: bool = False


def again(why: str, detail: str, pod: StuckPod) -> Advice:
    """Advise to have a new Pod."""
    if restart := pod.restart:
        price = "; its Job counts the Pod that is deleted as failed (backoffLimit)" if pod.of_job else ""
        return Advice(detail=detail, remedy=f"restart it: {why}{price}", commands=(restart,), restart=True)
    return Advice(detail=detail, remedy=f"delete the Pod and create it again from its manifest: {why}")


def problem_of(diagnosis: PodDiagnosis) -> Problem:
    assert diagnosis.problem is not None  # noqa: S101 - these causes are a verdict's reason
    return diagnosis.problem


def refusal(pod: StuckPod) -> Refusal:
    out = pod.installed and not pod.injected
    decision = Decision(reason=Reason.OPTED_OUT if out else Reason.NOT_MUTABLE)
    part = Part(workload=pod.workload, update=not pod.workload.controlled)
    return refused(part, namespace=pod.namespace, decision=decision, rules=pod.rules)


def cause(problem: Problem, pod: StuckPod) -> str:
    return texts.cause(problem, refusal(pod))


def remedy(problem: Problem, pod: StuckPod) -> str:
    return remedies.remedy(problem, refusal(pod))


def create(name: str, diagnosis: PodDiagnosis, pod: StuckPod) -> tuple[str, ...]:
    return create_secret(name, pod.namespace.name, remedies.server(diagnosis.stuck.image.image))


def whose(text: str, diagnosis: PodDiagnosis) -> str:
    """Add whose a `ghcr-secret` is that is not ours."""
    match diagnosis.owner:
        case None | Owner.OURS:
            return text
        case Owner.OWNED if diagnosis.found is not None and diagnosis.found.owner:
            return f"{text}; {SECRET_NAME} belongs to {shown(diagnosis.found.owner)}"
        case Owner.OTHER_RELEASE:
            return f"{text}; {SECRET_NAME} is a copy of another release"
        case Owner.GIVEN_AWAY:
            return f"{text}; somebody applied their own {SECRET_NAME} over the copy"
        case _:
            return f"{text}; {SECRET_NAME} was not made by the add-on"


def at_source(task: str, guide: str, diagnosis: PodDiagnosis, pod: StuckPod) -> str:
    """Say where the content of the Secret comes from that the kubelet took the credential from."""
    found = diagnosis.found
    if found is not None and found.owner:
        return f"{task} {shown(found.owner)}, which makes Secret {pod.namespace.name}/{shown(found.name)}"
    if diagnosis.owner is Owner.OURS:
        return f"{task} the central secret {pod.rules.release_namespace}/{SECRET_NAME} ({guide})"
    if diagnosis.secret:
        return f"{task} Secret {pod.namespace.name}/{shown(diagnosis.secret)}"
    return f"{task} the Secret that the credential is from"


def template(pod: StuckPod) -> str:
    return "the Pod's manifest" if pod.owner_kind == "Pod" else f"{shown(pod.owner_kind)} {shown(pod.owner_name)}"


def roll_out(pod: StuckPod) -> str:
    return "create it again" if pod.owner_kind == "Pod" else "roll it out"


def image(diagnosis: PodDiagnosis) -> str:
    return shown(diagnosis.stuck.image.image)


def registry(diagnosis: PodDiagnosis) -> str:
    try:
        return shown(images.parse(diagnosis.stuck.image.image).registry)
    except images.InvalidReference:
        return "the registry"


def node(pod: StuckPod) -> str:
    return f"node {shown(pod.node)}" if pod.node else "the node"


def events(pod: StuckPod) -> str:
    return f"kubectl describe pod {shlex.quote(pod.workload.name)} --namespace {place(pod)}"


def place(pod: StuckPod) -> str:
    return shlex.quote(pod.namespace.name)


def within(seconds: float) -> str:
    """Say roughly when: the kubelet's times are known to some seconds."""
    if seconds < 90:
        return f"in about {max(10, round(seconds, -1)):.0f} s"
    return f"in about {round(seconds / 60):.0f} min"
