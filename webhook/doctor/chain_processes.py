"""Judge the servers, the certificate they serve, and the controller."""

from datetime import timedelta
from typing import Final

from certs.facts import Unreadable
from certs.inspection import inspect, split_bundle
from webhook.doctor.evidence import COMPONENT, Evidence, Unread
from webhook.doctor.model import Code, Station, ago, count, fault, foreign_text, names, ok, skipped, span
from webhook.doctor.processes import Deployment, Pod

NEAR_EXPIRY: Final = timedelta(days=14)
"""Time left at which somebody has to look, as the chart's alert has it; of a short life, a sixth (see `_near`)."""

_LATE: Final = timedelta(seconds=60)
"""A Lease is not called lost before: the clocks of two machines differ, and a busy API server is late."""


def judge(evidence: Evidence) -> tuple[Station, Station, Station]:
    """Judge the stations `servers`, `certificate` and `controller`."""
    return servers(evidence), certificate(evidence), controller(evidence)


def servers(evidence: Evidence) -> Station:
    """Judge the servers: all that are wanted are ready, or it is a fault."""
    found = _deployment("servers", Code.SERVERS_NOT_READY, evidence.server, evidence)
    if isinstance(found, Station):
        return found
    text = f"{found.ready} of {found.spec.replicas} ready" + _restarts(evidence, "server")
    return ok("servers", text)


def certificate(evidence: Evidence) -> Station:
    """Judge what is served; the first row that fits.

    | certificate | station |
    |---|---|
    | none | fault |
    | not a certificate, or of other names than the API server calls | fault |
    | over, or nearly (`_near`) | fault |
    | else | ok, with its end |
    """
    name, served, release = "certificate", evidence.certificate, evidence.release
    if isinstance(served, Unread):
        return skipped(name, served)
    look = f"kubectl logs --namespace {release.namespace} --selector {COMPONENT}=controller --tail 50"
    keeper = "the controller (or cert-manager) makes it: see why it did not"
    if served is None:
        text = f"there is no certificate in {release.namespace} for the servers to serve"
        return fault(name, Code.CERTIFICATE_MISSING, text, keeper, look)
    facts = inspect(next(iter(split_bundle(served.pem)), b""))
    if isinstance(facts, Unreadable):
        return fault(name, Code.CERTIFICATE_UNUSABLE, f"it cannot be read: {facts.reason}", keeper, look)
    called = f"{release.name}.{release.namespace}.svc"
    if called not in facts.dns_names:
        text = f"it is not for {called}, the name by which the API server calls"
        return fault(name, Code.CERTIFICATE_UNUSABLE, text, keeper, look)
    left = facts.not_after - evidence.now
    if left <= timedelta():
        text = f"it ended {ago(facts.not_after, evidence.now)}, so that no call succeeds"
        return fault(name, Code.CERTIFICATE_EXPIRED, text, keeper, look)
    if left <= _near(facts.not_after - facts.not_before):
        text = f"it ends in {span(left)}, and should have been renewed by now"
        return fault(name, Code.CERTIFICATE_NEAR_EXPIRY, text, keeper, look)
    return ok(name, f"ends in {span(left)}")


def _near(life: timedelta) -> timedelta:
    """Say how near the end is too near: renewal is due with a third of a certificate's life left (`certs.plan`)."""
    return min(NEAR_EXPIRY, life / 6)


def controller(evidence: Evidence) -> Station:
    """Judge the controller: it is ready, and one leads by the Lease."""
    name, release = "controller", evidence.release
    found = _deployment(name, Code.CONTROLLER_NOT_READY, evidence.controller, evidence)
    if isinstance(found, Station):
        return found
    restarts = _restarts(evidence, "controller")
    lease = evidence.lease
    if isinstance(lease, Unread):
        return ok(
            name,
            f"{found.ready} of {found.spec.replicas} ready; whether it leads was not looked at: {lease.why}" + restarts,
        )
    spec = lease.spec if lease else None
    holder = (spec and spec.holder_identity) or ""
    look = f"kubectl get lease {release.name}-controller --namespace {release.namespace} --output yaml"
    if spec is None or not holder:
        text = f"none leads: nobody holds the Lease {release.name}-controller"
        return fault(name, Code.NO_LEADER, text, "see the controller's log", look)
    renewed = spec.renew_time
    lasts = timedelta(seconds=spec.lease_duration_seconds or 0)
    if renewed is None or evidence.now - renewed > lasts + _LATE:
        when = ago(renewed, evidence.now) if renewed else "never"
        text = f"none leads: {foreign_text(holder)} renewed the Lease {when}"
        return fault(name, Code.NO_LEADER, text, "see the controller's log", look)
    since = f" for {span(evidence.now - spec.acquire_time)}" if spec.acquire_time else ""
    return ok(name, f"leads{since}{restarts}")


def _deployment(name: str, code: Code, found: Deployment | Unread | None, evidence: Evidence) -> Station | Deployment:
    """Make a station of a Deployment that is not as it is to be."""
    release = evidence.release
    if isinstance(found, Unread):
        return skipped(name, found)
    component = "server" if name == "servers" else name
    if found is None:
        text = f"there is no Deployment {release.name}-{component} in {release.namespace}"
        return fault(name, code, text, "helm upgrade makes it again")
    if 0 < found.spec.replicas <= found.ready:
        return found
    if not found.spec.replicas:
        text = f"Deployment {found.metadata.name} is scaled to 0"
        scale = f"kubectl scale deployment {found.metadata.name} --namespace {release.namespace} --replicas 2"
        return fault(name, code, text, "scale it up again", scale)
    waiting = sorted({pod.waits_for for pod in _pods(evidence, component) if pod.waits_for})
    why = f" ({names(map(foreign_text, waiting))})" if waiting else ""
    text = f"{found.ready} of {found.spec.replicas} ready{why}{_restarts(evidence, component)}"
    look = f"kubectl describe pods --namespace {release.namespace} --selector {COMPONENT}={component}"
    return fault(name, code, text, "see its Pods", look)


def _pods(evidence: Evidence, component: str) -> list[Pod]:
    if isinstance(evidence.pods, Unread):
        return []
    return [pod for pod in evidence.pods if (pod.metadata.labels or {}).get(COMPONENT) == component]


def _restarts(evidence: Evidence, component: str) -> str:
    number = sum(pod.restarts for pod in _pods(evidence, component))
    return f"; {count(number, 'restart')}" if number else ""
