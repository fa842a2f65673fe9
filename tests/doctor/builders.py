"""A healthy cluster as it is read, and its parts."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.authority import issue_leaf, new_ca, service_dns_names
from tests.objects import RELEASE_NAMESPACE, RULES, secret
from webhook.core.copies import Secret, desired
from webhook.core.names import COVERED_LABEL
from webhook.doctor.evidence import COMPONENT, Evidence, PresentedCertificate, Release, Source
from webhook.doctor.objects import Binding, Configuration, ExternalSecret, NamespaceObject, Policy, SecretStore
from webhook.doctor.processes import Deployment, Lease, Pod, Service

T = TypeVar("T")

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NAME = "ghcr-pull-secrets"
CA = new_ca(common_name="ca", now=NOW - timedelta(days=800))
OTHER_CA = new_ca(common_name="ca", now=NOW - timedelta(days=800))
_NAMES = service_dns_names(NAME, RELEASE_NAMESPACE)


def leaf(
    *, of: Any = CA, days: float = 90, made: float = 10, names: tuple[str, ...] = _NAMES, now: datetime = NOW
) -> bytes:
    """A serving certificate that was made some days ago for some days."""
    begun = now - timedelta(days=made)
    return issue_leaf(of, dns_names=names, now=begun, validity=timedelta(days=days)).certificate_pem


_served = functools.cache(leaf)


def convert(kind: type[T], document: Mapping[str, Any]) -> T:
    """Make what the API server's JSON is read as."""
    return msgspec.convert(document, kind)


def namespace(name: str, **labels: str) -> NamespaceObject:
    """A Namespace; underscores of a label's name are dashes behind our prefix."""
    given = {f"ghcr-pull-secrets.io/{key}": value for key, value in labels.items()}
    labels = {"kubernetes.io/metadata.name": name, **given}
    return convert(NamespaceObject, {"metadata": {"name": name, "labels": labels}})


def condition(status: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """A status with the condition Ready."""
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message}]}


def external(
    status: Mapping[str, Any] | None,
    *,
    store_kind: str = "ClusterSecretStore",
    every: str = "1h",
    policy: str = "Periodic",
) -> ExternalSecret:
    """The ExternalSecret that makes the central secret."""
    keys = ("/sesacthon/dev/ghcr/username", "/sesacthon/dev/ghcr/token")
    spec = {
        "refreshPolicy": policy,
        "refreshInterval": every,
        "secretStoreRef": {"name": "aws-ssm-store", "kind": store_kind},
        "target": {"name": "ghcr-secret"},
        "data": [{"secretKey": "x", "remoteRef": {"key": key}} for key in keys],
    }
    metadata = {"name": "ghcr-secret", "namespace": RELEASE_NAMESPACE}
    return convert(ExternalSecret, {"metadata": metadata, "spec": spec, "status": status})


def store(status: Mapping[str, Any] | None) -> SecretStore:
    """Its store."""
    return convert(SecretStore, {"metadata": {"name": "aws-ssm-store"}, "status": status})


def source(status: Mapping[str, Any] | None, **changes: Any) -> Source:
    """An ExternalSecret and its store, which is ready."""
    read = Source(external=external(status), store=store(condition("True")), api="/apis/external-secrets.io/v1")
    return replace(read, **changes)


def configuration(
    name: str = NAME,
    *,
    bundle: bytes = CA.certificate_pem,
    policy: str = "Fail",
    covered: bool = False,
    selector: Mapping[str, Any] | None = None,
) -> Configuration:
    """A webhook configuration with one webhook."""
    webhook: dict[str, Any] = {
        "name": "pods.ghcr-pull-secrets.io",
        "clientConfig": {"caBundle": bundle, "service": {"name": NAME, "namespace": RELEASE_NAMESPACE}},
        "failurePolicy": policy,
        "namespaceSelector": selector or {},
    }
    if covered:
        expression = {"key": COVERED_LABEL, "operator": "NotIn", "values": ["true"]}
        webhook["objectSelector"] = {"matchExpressions": [expression]}
    return convert(Configuration, {"metadata": {"name": name}, "webhooks": [webhook]})


def deployment(component: str, *, ready: int = 2, replicas: int = 2) -> Deployment:
    """One of the release's Deployments."""
    return convert(
        Deployment,
        {
            "metadata": {"name": f"{NAME}-{component}", "labels": {COMPONENT: component}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": component}]}}},
            "status": {"readyReplicas": ready},
        },
    )


def pod(component: str, *, ready: bool = True, restarts: int = 0, waiting: str = "", **labels: str) -> Pod:
    """A Pod of the release."""
    state = {"waiting": {"reason": waiting}} if waiting else {}
    status = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"restartCount": restarts, "state": state}],
    }
    return convert(Pod, {"metadata": {"name": "p", "labels": {COMPONENT: component, **labels}}, "status": status})


def lease(
    *, holder: str = "pod-1", renewed: timedelta = timedelta(seconds=2), since: timedelta = timedelta(days=3)
) -> Lease:
    """The controller's Lease."""
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 15,
        "acquireTime": NOW - since,
        "renewTime": NOW - renewed,
    }
    return convert(Lease, {"metadata": {"name": f"{NAME}-controller"}, "spec": spec})


def policy(name: str) -> Policy:
    """A policy in the API server."""
    return convert(Policy, {"metadata": {"name": name}})


def binding(name: str) -> Binding:
    """The binding of one."""
    return convert(Binding, {"metadata": {"name": name}, "spec": {"policyName": name}})


def copy(where: str, **changes: Any) -> Secret:
    """A copy of the central secret as it should be."""
    return replace(desired(where, secret(), RULES.patterns), **changes)


RELEASE = Release(namespace=RELEASE_NAMESPACE, name=NAME, version="0.1.0", rules=RULES)


def evidence(**changes: Any) -> Evidence:
    """What is read of a healthy cluster, but for these changes."""
    healthy = Evidence(
        now=NOW,
        release=RELEASE,
        central=secret(),
        secrets=(copy("auth"), copy("my")),
        namespaces=tuple(map(namespace, ("auth", "my", "kube-system", RELEASE_NAMESPACE))),
        mutating=(configuration(), configuration(f"zz-{NAME}", policy="Ignore")),
        validating=(configuration(),),
        service=convert(Service, {"metadata": {"name": NAME}, "spec": {"selector": {COMPONENT: "server"}}}),
        certificate=PresentedCertificate(pem=_served()),
        mutating_policies=(),
        validating_policies=(),
        server=deployment("server"),
        controller=deployment("controller", ready=1, replicas=1),
        pods=(pod("server"), pod("server"), pod("controller")),
        lease=lease(),
    )
    return replace(healthy, **changes)


def chain_of_three() -> tuple[bytes, bytes, bytes]:
    """A root, a CA that it signed, and a leaf of that one, as a CA of a company has them; our own sign leaves only."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("root", "middle", "leaf")]
    made = []
    for number, signer in ((0, 0), (1, 0), (2, 1)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[signer])
            .public_key(keys[number].public_key())
            .serial_number(number + 1)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number < 2, path_length=None), critical=True)
        )
        made.append(builder.sign(keys[signer], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return made[0], made[1], made[2]
