"""Judge the policies in the API server that admit covered Pods there (docs/in-api-server.md)."""

from typing import TypeVar

from webhook.core.names import COVERED_LABEL
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.model import Station
from webhook.doctor.objects import Binding, Policy, Webhook
from webhook.doctor.stations import Code, fault, names, ok, skipped

T = TypeVar("T")

NAME = "policies"
_COVERED = "-covered"


def judge(evidence: Evidence) -> Station:
    """Judge the policies; the first row that fits.

    | webhooks leave labelled Pods out | policies | station |
    |---|---|---|
    | yes | no validating one, which checks the label | fault: a Pod with the label is admitted unseen |
    | any | one without binding | fault: it does nothing |
    | no | none | ok: the webhooks are asked about every Pod |
    | yes | both | ok |
    """
    mutating, validating = evidence.mutating_policies, evidence.validating_policies
    bindings = (evidence.mutating_bindings, evidence.validating_bindings)
    for unread in (mutating, validating, *bindings, evidence.mutating, evidence.validating):
        if isinstance(unread, Unread):
            return skipped(NAME, unread)
    admits, checks = _covered(mutating), _covered(validating)
    if _leaves_labelled_out(evidence) and not checks:
        text = f"the webhooks leave Pods with the label {COVERED_LABEL} out, and no ValidatingAdmissionPolicy checks it"
        return fault(NAME, Code.POLICY_MISSING, text, "helm upgrade makes the policy again (docs/in-api-server.md)")
    pairs = zip((mutating, validating), bindings, strict=True)
    if loose := sorted({name for policies, bound in pairs for name in _unbound(policies, bound)}):
        text = f"{names(loose)}: no binding, so that it does nothing"
        return fault(NAME, Code.POLICY_UNBOUND, text, "helm upgrade makes the binding again (docs/in-api-server.md)")
    if admits and checks:
        return ok(NAME, "the API server admits Pods itself where a copy covers everything")
    if checks:
        return ok(NAME, "the API server spares the second call for Pods that a copy covers")
    return ok(NAME, "none that admit Pods: the webhooks are asked about each")


def _unbound(policies: tuple[Policy, ...] | Unread | None, bindings: tuple[Binding, ...] | Unread) -> set[str]:
    bound = {each.spec.policy_name for each in _listed(bindings) if each.spec}
    return {each.metadata.name for each in _listed(policies)} - bound


def _leaves_labelled_out(evidence: Evidence) -> bool:
    configurations = [*_listed(evidence.mutating), *_listed(evidence.validating)]
    return any(_skips(webhook) for each in configurations for webhook in each.webhooks or ())


def _skips(webhook: Webhook) -> bool:
    selector = webhook.object_selector
    return any(each.key == COVERED_LABEL for each in (selector and selector.match_expressions) or ())


def _covered(policies: tuple[Policy, ...] | Unread | None) -> bool:
    return any(each.metadata.name.endswith(_COVERED) for each in _listed(policies))


def _listed(found: tuple[T, ...] | Unread | None) -> tuple[T, ...]:
    return () if found is None or isinstance(found, Unread) else found
