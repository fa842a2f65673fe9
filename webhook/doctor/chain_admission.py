"""Judge what admits Pods: the webhook configurations and the policies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from certs.facts import CertificateFacts
from certs.inspection import inspect, split_bundle
from webhook.core.names import COVERED_LABEL, SYSTEM_NAMESPACES
from webhook.doctor.evidence import COMPONENT, Evidence, Unread
from webhook.doctor.model import Code, Station, fault, names, ok, skipped
from webhook.doctor.objects import Binding, Configuration, Expression, Policy, Selector, Webhook
from webhook.doctor.processes import Deployment

T = TypeVar("T")


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Return whether a selector selects an object with these labels; none, or an empty one, selects everything.

    As `LabelSelectorAsSelector` of apimachinery.
    """
    if selector is None:
        return True
    wanted = (selector.match_labels or {}).items()
    return wanted <= labels.items() and all(_holds(each, labels) for each in selector.match_expressions or ())


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    there = expression.key in labels
    match expression.operator:
        case "In":
            return there and labels[expression.key] in (expression.values or ())
        case "NotIn":
            return not there or labels[expression.key] not in (expression.values or ())
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
        case _:
            # The API server knows no other; one that is to come selects nothing as far as we know.
            return False


_WEBHOOKS: Final = "webhooks"
_LONGEST_CHAIN: Final = 5


def judge_webhooks(evidence: Evidence) -> Station:
    """Judge the configurations; the first row that fits.

    | configurations | station |
    |---|---|
    | none, and nothing else of a release | fault: not installed |
    | one of the halves is missing | fault |
    | a webhook without caBundle | fault: no call succeeds |
    | a caBundle that did not sign what is served | fault: no call succeeds |
    | a Service that does not exist, or leads to none of the servers that are ready | fault |
    | else | ok |
    """
    mutating, validating = evidence.mutating, evidence.validating
    if isinstance(mutating, Unread):
        return skipped(_WEBHOOKS, mutating)
    if isinstance(validating, Unread):
        return skipped(_WEBHOOKS, validating)
    namespace = evidence.release.namespace
    if missing := [half for half, found in (("mutating", mutating), ("validating", validating)) if not found]:
        return _missing(evidence, missing)
    webhooks = [webhook for each in (*mutating, *validating) for webhook in each.webhooks or ()]
    keeper = f"kubectl logs --namespace {namespace} --selector {COMPONENT}=controller --tail 50"
    if empty := [webhook.name for webhook in webhooks if not webhook.client_config.ca_bundle]:
        text = f"{names(_distinct(empty))}: no caBundle, so that no call succeeds"
        return fault(
            _WEBHOOKS,
            Code.CA_BUNDLE_MISSING,
            text,
            "the controller (or cert-manager) writes it: see why it did not",
            keeper,
        )
    trust = _trust(evidence, webhooks)
    if isinstance(trust, list):
        text = f"{names(trust)}: caBundle did not sign the certificate that is served, so that no call succeeds"
        return fault(
            _WEBHOOKS,
            Code.CA_BUNDLE_MISMATCH,
            text,
            'the controller (or cert-manager) writes it: see why it did not; docs/operations.md, "Certificate trouble"',
            keeper,
        )
    if (unreachable := _unreachable(evidence)) is not None:
        return unreachable
    others = f"another release in {names(evidence.others)} is called too" if evidence.others else ""
    said = (trust, _failure_policies(mutating, validating), others, _left_out(evidence, webhooks))
    return ok(_WEBHOOKS, "; ".join(filter(None, said)))


def trusts(bundle: bytes, served: bytes) -> bool:
    """Return whether a bundle of CAs signed the first certificate of a chain, directly or through the others of it."""
    blocks = split_bundle(served)
    for _ in range(_LONGEST_CHAIN):
        if not blocks:
            return False
        leaf, *others = blocks
        if _signed(leaf, bundle):
            return True
        signer = next((each for each in others if _signed(leaf, each)), None)
        blocks = (signer, *(each for each in others if each != signer)) if signer else ()
    return False


def _signed(certificate: bytes, bundle: bytes) -> bool:
    found = inspect(certificate, ca_pem=bundle)
    return isinstance(found, CertificateFacts) and bool(found.signed_by)


def _missing(evidence: Evidence, halves: Sequence[str]) -> Station:
    release = evidence.release
    if not release.found:
        text = f"no release of the add-on is in {release.namespace}, nor a webhook configuration of one anywhere"
        remedy = "install it, or name its namespace with --release-namespace (docs/install.md)"
        return fault(_WEBHOOKS, Code.NOT_INSTALLED, text, remedy)
    text = f"there is no {' and no '.join(halves)} webhook configuration of {release.name}"
    return fault(
        _WEBHOOKS,
        Code.WEBHOOKS_MISSING,
        text,
        "helm upgrade makes them again, with the version and the values that are installed",
        f"helm upgrade {release.name} oci://ghcr.io/sesacthon/charts/ghcr-pull-secrets "
        f"--version {release.version or 'VERSION'} --namespace {release.namespace} --reset-then-reuse-values",
    )


def _trust(evidence: Evidence, webhooks: Sequence[Webhook]) -> str | list[str]:
    """Say whether what is served is trusted, or name the webhooks by which it is not."""
    served = evidence.certificate
    if isinstance(served, Unread):
        return f"caBundle not compared: {served.why}"
    if served is None:
        return "caBundle not compared: there is no certificate"
    known: dict[bytes, bool] = {}
    for webhook in webhooks:
        bundle = webhook.client_config.ca_bundle
        if bundle not in known:
            known[bundle] = trusts(bundle, served.pem)
    strangers = [webhook.name for webhook in webhooks if not known[webhook.client_config.ca_bundle]]
    if strangers and not served.whole:
        return "caBundle not compared: of what is served only the last certificate is known"
    return list(_distinct(strangers)) if strangers else "caBundle fits the certificate"


def _unreachable(evidence: Evidence) -> Station | None:
    """Judge the Service; how many servers are ready is another station's."""
    service, pods, server = evidence.service, evidence.pods, evidence.server
    namespace = evidence.release.namespace
    if service is None:
        text = f"there is no Service {evidence.release.name} in {namespace}, which the API server calls"
        return fault(_WEBHOOKS, Code.NO_ENDPOINTS, text, "helm upgrade makes it again")
    if (
        isinstance(service, Unread)
        or isinstance(pods, Unread)
        or not isinstance(server, Deployment)
        or not server.ready
    ):
        return None
    selector = (service.spec.selector or {}).items()
    if any(pod.ready and selector <= (pod.metadata.labels or {}).items() for pod in pods):
        return None
    text = f"Service {service.metadata.name} leads to none of the {server.ready} servers that are ready"
    look = f"kubectl get service {service.metadata.name} --namespace {namespace} --output jsonpath='{{.spec.selector}}'"
    return fault(_WEBHOOKS, Code.NO_ENDPOINTS, text, "its selector was changed: helm upgrade makes it as it was", look)


def _failure_policies(mutating: Iterable[Configuration], validating: Iterable[Configuration]) -> str:
    halves = [_failure_policy(mutating), _failure_policy(validating)]
    if halves[0] == halves[1]:
        return f"failurePolicy {halves[0]}"
    return f"failurePolicy {halves[0]} (mutating), {halves[1]} (validating)"


def _failure_policy(configurations: Iterable[Configuration]) -> str:
    # The mutating configuration that is called last always fails open; the strictest says what a user meets.
    found = {webhook.failure_policy for each in configurations for webhook in each.webhooks or ()}
    return "Fail" if "Fail" in found else "Ignore"


def _left_out(evidence: Evidence, webhooks: Sequence[Webhook]) -> str:
    """Name the namespaces, but for the system's and ours, in which no webhook is called."""
    if isinstance(evidence.namespaces, Unread):
        return f"namespaces left out: {evidence.namespaces.why}"
    always = SYSTEM_NAMESPACES | {evidence.release.namespace}
    out = [
        each.metadata.name
        for each in evidence.namespaces
        if each.metadata.name not in always
        and not any(selects(webhook.namespace_selector, each.metadata.labels or {}) for webhook in webhooks)
    ]
    return f"left out: {names(sorted(out))}" if out else ""


def _distinct(found: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(found)


_POLICIES: Final = "policies"
_COVERED: Final = "-covered"


def judge_policies(evidence: Evidence) -> Station:
    """Judge the policies that admit covered Pods in the API server (docs/in-api-server.md); the first row that fits.

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
            return skipped(_POLICIES, unread)
    admits, checks = _covered(mutating), _covered(validating)
    if _leaves_labelled_out(evidence) and not checks:
        text = f"the webhooks leave Pods with the label {COVERED_LABEL} out, and no ValidatingAdmissionPolicy checks it"
        return fault(
            _POLICIES, Code.POLICY_MISSING, text, "helm upgrade makes the policy again (docs/in-api-server.md)"
        )
    pairs = zip((mutating, validating), bindings, strict=True)
    if loose := sorted({name for policies, bound in pairs for name in _unbound(policies, bound)}):
        text = f"{names(loose)}: no binding, so that it does nothing"
        return fault(
            _POLICIES, Code.POLICY_UNBOUND, text, "helm upgrade makes the binding again (docs/in-api-server.md)"
        )
    if admits and checks:
        return ok(_POLICIES, "the API server admits Pods itself where a copy covers everything")
    if checks:
        return ok(_POLICIES, "the API server spares the second call for Pods that a copy covers")
    return ok(_POLICIES, "none that admit Pods: the webhooks are asked about each")


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
