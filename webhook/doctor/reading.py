"""Read what the chain is judged from, of the release that is meant."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from webhook.cluster.certificates import ADMISSION_V1, MUTATING, VALIDATING
from webhook.cluster.hooks import APPS_V1
from webhook.cluster.leases import COORDINATION_V1
from webhook.cluster.requests import CORE_V1, Target, Verb
from webhook.config import CLUSTER_SETTINGS, ENVIRONMENT_PREFIX, POLICY_SETTINGS, ConfigError, resolve, rules_of
from webhook.core.copies import Secret
from webhook.core.names import FIELD_MANAGER, SECRET_NAME
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.doctor.asking import Asks, attempt
from webhook.doctor.evidence import COMPONENT, PART_OF, VERSION, Evidence, PresentedCertificate, Release, Source, Unread
from webhook.doctor.objects import Binding, Configuration, ExternalSecret, NamespaceObject, Policy, SecretStore
from webhook.doctor.processes import ApiGroup, CertificateSecret, Deployment, Event, Lease, Pod, Service
from webhook.ports import EventReason

T = TypeVar("T")

_SETTINGS: Final = (*POLICY_SETTINGS, *(each for each in CLUSTER_SETTINGS if each.name == "namespace"))

DEFAULT_INCLUDE: Final = "ghcr.io/*"
"""Taken as selected where a release's settings may not be read."""


def rules_of_server(server: Deployment, namespace: str) -> Rules | Unread:
    """Read the settings as the server itself does: a flag goes before its environment variable."""
    container = next(iter(server.spec.template.spec.containers), None)
    environ = {each.name: each.value for each in (container.env if container else None) or ()}
    given = {name: value for name, value in environ.items() if name.startswith(ENVIRONMENT_PREFIX)}
    flags: dict[str, str | Sequence[str]] = {"namespace": namespace}
    for setting in POLICY_SETTINGS:
        if values := _flags(server).get(setting.name):
            flags[setting.name] = values if setting.repeatable else values[-1]
    try:
        return rules_of(resolve(_SETTINGS, flags, given))
    except ConfigError as error:
        faults = ", ".join(fault.flag for fault in error.faults)
        return Unread(f"the arguments of Deployment {server.metadata.name} cannot be used ({faults})")


def default_rules(namespace: str) -> Rules:
    """Give the rules of a release without settings of its own."""
    return Rules(patterns=ImagePatterns(include=(DEFAULT_INCLUDE,), exclude=()), release_namespace=namespace)


def tls_secret(server: Deployment) -> str:
    """Name the Secret with the certificate that a server serves: the one it reads, or the one that is mounted."""
    if named := _flags(server).get("tls_secret"):
        return named[-1]
    volumes = server.spec.template.spec.volumes or ()
    mounted = next((each.secret for each in volumes if each.name == "tls" and each.secret), None)
    return mounted.secret_name if mounted else ""


def _flags(server: Deployment) -> Mapping[str, list[str]]:
    """Read arguments as the chart writes them: `--flag=value`, or a switch."""
    container = next(iter(server.spec.template.spec.containers), None)
    found: dict[str, list[str]] = {}
    for argument in (container.args if container else None) or ():
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            found.setdefault(name.replace("-", "_"), []).append(value if equals else "true")
    return found


DEFAULT_NAME: Final = "ghcr-pull-secrets"
"""Release namespace and full name where nothing says another."""

_OURS: Final = {"labelSelector": f"{PART_OF}={FIELD_MANAGER}"}
_ITS_PODS: Final = {"labelSelector": f"{COMPONENT} in (server,controller)"}
_OPERATOR: Final = "external-secrets.io"
_RECENT: Final = timedelta(minutes=15)
"""A contested copy is written, and reported, every 5 minutes at least (`webhook.core.contest`)."""


class Reading:
    """One reading of a cluster.

    Args:
        asks: The API server.
        namespace: Whose copies to look at; "" for those of every namespace.
        release_namespace: Of the release that is meant; "" to look for it.
    """

    def __init__(self, asks: Asks, *, namespace: str = "", release_namespace: str = "") -> None:
        self._asks = asks
        self._namespace = namespace
        self._wanted = release_namespace

    def evidence(self, now: datetime) -> Evidence:
        """Read everything there is to read.

        Raises:
            ClusterError: The API server cannot be asked at all.
        """
        mutating, validating = self._configurations(MUTATING), self._configurations(VALIDATING)
        homes = _homes((mutating, validating))
        home = self._wanted or (DEFAULT_NAME if DEFAULT_NAME in homes or not homes else homes[0])
        mutating, validating = _of(mutating, home), _of(validating, home)
        deployments = attempt(lambda: self._list(Deployment, "deployments", home, api=APPS_V1, query=_OURS))
        server, controller = _component(deployments, "server"), _component(deployments, "controller")
        release = _release(home, server, controller, (mutating, validating))
        central = attempt(lambda: next(iter(self._asks.secrets(home)), None))
        service = attempt(lambda: self._get(Service, "services", home, release.name))
        return Evidence(
            now=now,
            release=release,
            others=tuple(each for each in homes if each != home),
            source=self._source(home),
            central=central,
            secrets=self._secrets(home),
            namespaces=attempt(self._namespaces),
            contested=self._contested(now),
            mutating=mutating,
            validating=validating,
            service=service,
            certificate=self._certificate(release, server, service),
            mutating_policies=self._policies("mutatingadmissionpolicies", release),
            validating_policies=self._policies("validatingadmissionpolicies", release),
            mutating_bindings=self._bindings("mutatingadmissionpolicybindings", release),
            validating_bindings=self._bindings("validatingadmissionpolicybindings", release),
            server=server,
            controller=controller,
            pods=attempt(lambda: self._list(Pod, "pods", home, query=_ITS_PODS)),
            lease=attempt(lambda: self._get(Lease, "leases", home, f"{release.name}-controller", COORDINATION_V1)),
        )

    # --- what each of it takes

    def _get(self, kind: type[T], resource: str, namespace: str, name: str, api: str = CORE_V1) -> T | None:
        return self._asks.get(Target(verb=Verb.GET, resource=resource, namespace=namespace, name=name, api=api), kind)

    def _list(
        self,
        kind: type[T],
        resource: str,
        namespace: str = "",
        *,
        api: str = CORE_V1,
        query: Mapping[str, str] | None = None,
    ) -> tuple[T, ...]:
        target = Target(verb=Verb.LIST, resource=resource, namespace=namespace, api=api)
        return self._asks.list(target, kind, query) or ()

    def _configurations(self, resource: str) -> tuple[Configuration, ...] | Unread:
        return attempt(lambda: self._list(Configuration, resource, api=ADMISSION_V1, query=_OURS))

    def _namespaces(self) -> tuple[NamespaceObject, ...]:
        if not self._namespace:
            return self._list(NamespaceObject, "namespaces")
        found = self._get(NamespaceObject, "namespaces", "", self._namespace)
        return (found,) if found else ()

    def _secrets(self, home: str) -> tuple[Secret, ...] | Unread:
        found = attempt(lambda: self._asks.secrets(self._namespace))
        return found if isinstance(found, Unread) else tuple(each for each in found if each.namespace != home)

    def _source(self, home: str) -> Source | Unread:
        def read() -> Source:
            group = Target(verb=Verb.LIST, resource=_OPERATOR, api="/apis")
            served = self._asks.get(group, ApiGroup)
            if served is None:
                return Source()
            api = f"/apis/{served.preferred_version.group_version}"
            every = self._list(ExternalSecret, "externalsecrets", home, api=api)
            external = next((each for each in every if each.makes == SECRET_NAME), None)
            return Source(external=external, store=self._store(external, home, api), api=api)

        return attempt(read)

    def _store(self, external: ExternalSecret | None, home: str, api: str) -> SecretStore | Unread | None:
        reference = external.spec.secret_store_ref if external and external.spec else None
        if reference is None or not reference.name:
            return Unread("the ExternalSecret names no store")
        whole = reference.kind == "ClusterSecretStore"
        resource = "clustersecretstores" if whole else "secretstores"
        return attempt(lambda: self._get(SecretStore, resource, "" if whole else home, reference.name, api))

    def _certificate(
        self, release: Release, server: Deployment | Unread | None, service: Service | Unread | None
    ) -> PresentedCertificate | Unread | None:
        """Take the certificate from its Secret, or from the Service where that may not be read."""
        named = tls_secret(server) if isinstance(server, Deployment) else ""
        name = named or f"{release.name}-webhook-tls"
        secret = attempt(lambda: self._get(CertificateSecret, "secrets", release.namespace, name))
        if secret is None:
            return None
        if isinstance(secret, CertificateSecret):
            return (
                PresentedCertificate(pem=secret.data.certificate) if secret.data and secret.data.certificate else None
            )
        if isinstance(service, Service) and service.spec.ports and service.spec.cluster_ip not in ("", "None"):
            served = self._asks.served(service.spec.cluster_ip, service.spec.ports[0].port)
            if served is not None:
                return served
        return Unread(f"{secret.why}, and the Service cannot be reached from here")

    def _policies(self, resource: str, release: Release) -> tuple[Policy, ...] | Unread | None:
        target = Target(verb=Verb.LIST, resource=resource, api=ADMISSION_V1)
        found = attempt(lambda: self._asks.list(target, Policy, _OURS))
        if found is None or isinstance(found, Unread):
            return found
        return tuple(each for each in found if each.metadata.name.startswith(f"{release.name}-"))

    def _bindings(self, resource: str, release: Release) -> tuple[Binding, ...] | Unread:
        found = attempt(lambda: self._list(Binding, resource, api=ADMISSION_V1, query=_OURS))
        if isinstance(found, Unread):
            return found
        return tuple(each for each in found if each.metadata.name.startswith(f"{release.name}-"))

    def _contested(self, now: datetime) -> tuple[str, ...] | Unread:
        query = {"fieldSelector": f"reason={EventReason.COPY_CONTESTED}"}
        found = attempt(lambda: self._list(Event, "events", self._namespace, query=query))
        if isinstance(found, Unread):
            return found
        recent = [each for each in found if each.last_timestamp and now - each.last_timestamp < _RECENT]
        return tuple(sorted({each.involved_object.namespace for each in recent}))


def _homes(halves: Sequence[tuple[Configuration, ...] | Unread]) -> list[str]:
    """Name the namespaces that webhook configurations of ours lead to."""
    found = [
        webhook.client_config.service.namespace
        for half in halves
        if not isinstance(half, Unread)
        for each in half
        for webhook in each.webhooks or ()
        if webhook.client_config.service
    ]
    return list(dict.fromkeys(found))


def _of(half: tuple[Configuration, ...] | Unread, home: str) -> tuple[Configuration, ...] | Unread:
    if isinstance(half, Unread):
        return half
    return tuple(each for each in half if home in _homes([(each,)]))


def _component(deployments: tuple[Deployment, ...] | Unread, component: str) -> Deployment | Unread | None:
    if isinstance(deployments, Unread):
        return deployments
    return next((each for each in deployments if (each.metadata.labels or {}).get(COMPONENT) == component), None)


def _release(
    home: str,
    server: Deployment | Unread | None,
    controller: Deployment | Unread | None,
    halves: Sequence[tuple[Configuration, ...] | Unread],
) -> Release:
    """Say which release it is: its name from its Deployments, or from the validating configuration."""
    name, labels = "", {}
    for found, suffix in ((server, "-server"), (controller, "-controller")):
        if isinstance(found, Deployment) and not name:
            name, labels = found.metadata.name.removesuffix(suffix), found.metadata.labels or {}
    validating = halves[1]
    if not name and not isinstance(validating, Unread) and validating:
        name, labels = validating[0].metadata.name, validating[0].metadata.labels or {}
    rules = rules_of_server(server, home) if isinstance(server, Deployment) else server or Unread("there is no server")
    unread = rules if isinstance(rules, Unread) else None
    seen = any(isinstance(each, Unread) or each for each in (server, controller, *halves))
    return Release(
        namespace=home,
        name=name or DEFAULT_NAME,
        version=labels.get(VERSION, ""),
        rules=default_rules(home) if isinstance(rules, Unread) else rules,
        rules_unread=unread,
        found=seen,
    )
