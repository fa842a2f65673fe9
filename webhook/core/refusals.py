"""Refused workloads, and what bears on how to fix them."""

from dataclasses import dataclass

from webhook.core.ownership import source
from webhook.core.parts import Part
from webhook.core.policy import Decision
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import Reason
from webhook.core.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused workload, and what bears on how to fix it.

    Attributes:
        part: The workload, with its images that need a credential.
        namespace: Where it is.
        release_namespace: Home of the central secret.
        provisions: Sending it again makes the copy (`policy.Decision.provision`).
        bypassed: The mutating half would have listed the secret, and yet it is not listed.
        opted_out: It or its namespace is out of injection; whether itself says `Workload.opted_out`.
        namespace_out: Its namespace is.
        installed: The add-on is in the cluster that the workload is for.
    """

    part: Part
    namespace: str
    release_namespace: str
    provisions: bool = False
    bypassed: bool = False
    opted_out: bool = False
    namespace_out: bool = False
    installed: bool = True

    @property
    def workload(self) -> Workload:
        """The workload."""
        return self.part.workload

    @property
    def central(self) -> str:
        """The central secret, as texts name it."""
        return f"the central secret {source(self.release_namespace)}"


def refused(part: Part, *, namespace: Namespace, decision: Decision, rules: Rules, installed: bool = True) -> Refusal:
    """Collect what bears on the fix of a refused workload, by what the mutating half decided on it."""
    return Refusal(
        part=part,
        namespace=namespace.name,
        release_namespace=rules.release_namespace,
        provisions=decision.provision,
        bypassed=bool(decision.add),
        opted_out=decision.reason is Reason.OPTED_OUT,
        namespace_out=decision.reason is Reason.OPTED_OUT and not rules.injects_into(namespace),
        installed=installed,
    )
