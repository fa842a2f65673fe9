"""Settings of the controller and of the certificates it keeps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from certs.facts import CA_VALIDITY, LEAF_VALIDITY
from certs.plan import OVERLAP, SETTLE
from webhook.config.declared import CLUSTER_SETTINGS, LOG_SETTINGS, POLICY_SETTINGS, SERVER_SETTINGS
from webhook.config.resolving import ConfigError, Fault, Raw, Setting, resolve, under
from webhook.config.values import (
    Address,
    BadValue,
    dns_name,
    each,
    namespace,
    object_name,
    period,
    seconds,
    spelt_period,
    switch,
    threads,
)
from webhook.core.patterns import ImagePatterns
from webhook.core.scope import Rules
from webhook.trust import Trust

if TYPE_CHECKING:
    from certs.keeper import Terms


CERTIFICATE_SETTINGS: Final = under(
    "Certificates",
    Setting(
        name="extra_dns_name",
        metavar="NAME",
        repeatable=True,
        default=(),
        parse=each(dns_name),
        help="A further name in the server's certificate, besides those of its Service.",
    ),
    Setting(
        name="ca_validity",
        metavar="PERIOD",
        default=spelt_period(CA_VALIDITY),
        parse=period,
        help="Life of the CA; it is replaced when a third of it is left.",
    ),
    Setting(
        name="leaf_validity",
        metavar="PERIOD",
        default=spelt_period(LEAF_VALIDITY),
        parse=period,
        help="Life of the server's certificate; renewed as the CA is.",
    ),
    Setting(
        name="overlap",
        metavar="PERIOD",
        default=spelt_period(OVERLAP),
        parse=period,
        help="How long a replaced CA stays trusted after the server's certificate is the new CA's.",
    ),
    Setting(
        name="settle",
        metavar="PERIOD",
        default=spelt_period(SETTLE),
        parse=period,
        help="How long a new CA is trusted by every webhook before the server's certificate is of it.",
    ),
)


def terms_of(values: Mapping[str, Any], *, service: str, namespace: str) -> "Terms":
    """Make the keeper's terms.

    Args:
        values: The resolved `CERTIFICATE_SETTINGS`.
        service: Name of the Service that the API servers call.
        namespace: Its namespace.

    Raises:
        ConfigError: They do not go together.
    """
    # Imported late: cryptography would make `--help` slow, that of `serve` too.
    from certs.authority import service_dns_names  # noqa: PLC0415
    from certs.keeper import Terms, UnendingRotation  # noqa: PLC0415

    try:
        return Terms(
            dns_names=(*service_dns_names(service, namespace), *values["extra_dns_name"]),
            common_name=f"{service} webhook CA",
            ca_validity=values["ca_validity"],
            leaf_validity=values["leaf_validity"],
            overlap=values["overlap"],
            settle=values["settle"],
        )
    except UnendingRotation as error:
        raise ConfigError([Fault("--" + error.field.replace("_", "-"), error.problem)]) from None


_RATE: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_IDENTITY: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?")
_LONGEST_NAME: Final = 48
"""As in the chart: a Service's 63 characters less those of the longest suffix."""

_LEAST_CHECK_INTERVAL_S: Final = 10.0
"""The watch is a guest at the registry; what changes in the cluster is checked at once in any case."""

_HTTPS_URL: Final = re.compile(
    r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)


def _rate(text: str) -> float:
    if not _RATE.fullmatch(text):
        raise BadValue("expected a number of requests a second, such as 200, or 0 for no limit")
    return float(text)


def _sweep_interval(text: str) -> float:
    value = seconds(text)
    if value < 1:
        raise BadValue("expected a duration of at least 1s")
    return value


def _check_interval(text: str) -> float:
    value = seconds(text)
    if value < _LEAST_CHECK_INTERVAL_S:
        raise BadValue(f"expected at least {_LEAST_CHECK_INTERVAL_S:.0f}s")
    return value


def _api_url(text: str) -> str:
    if text == "none":
        return ""
    match = _HTTPS_URL.fullmatch(text)
    if match is None or int(match["port"] or 443) > 65535:
        raise BadValue("expected https://HOST[:PORT][/PATH], or none")
    return text


def _identity(text: str) -> str:
    if not _IDENTITY.fullmatch(text):
        raise BadValue("expected letters, digits, '-', '_' and '.', at most 253")
    return text


def _prefix(text: str) -> str:
    if len(text) > _LONGEST_NAME:
        raise BadValue(f"expected at most {_LONGEST_NAME} characters")
    return namespace(object_name(text))


def _only(settings: tuple[Setting, ...], *names: str) -> tuple[Setting, ...]:
    return tuple(setting for setting in settings if setting.name in names)


_WHERE: Final = _only(CLUSTER_SETTINGS, "namespace", "kubeconfig", "ca_bundle")

_CONTROLLER: Final = under(
    "Controller",
    *_only(SERVER_SETTINGS, "ops_bind"),
    Setting(
        name="name",
        metavar="NAME",
        default="ghcr-pull-secrets",
        parse=_prefix,
        help="Name of Service and webhook configurations, prefix of the names of Lease and certificates.",
    ),
    Setting(
        name="last_configuration",
        metavar="NAME",
        parse=object_name,
        help="Name of the second mutating webhook configuration, which is called last. Without it: there is none.",
    ),
    Setting(name="workers", metavar="N", default="16", parse=threads, help="Namespaces written to at the same time."),
    Setting(name="qps", metavar="RATE", default="200", parse=_rate, help="Most writes a second; 0 for no limit."),
    Setting(
        name="sweep_interval",
        metavar="DURATION",
        default="300s",
        parse=_sweep_interval,
        help="Time between two looks for Pending Pods that lack their Secret; every fourth is at all Pods.",
    ),
    Setting(
        name="identity",
        metavar="TEXT",
        parse=_identity,
        help="Who we are among the candidates for the Lease, never the same twice. Without it: host name and UUID.",
    ),
)

CREDENTIAL_SETTINGS: Final = under(
    "Credential check",
    Setting(
        name="credential_check",
        switch=True,
        default="true",
        parse=switch,
        help="Ask the registry whether it accepts the central secret's credential, and GitHub until when.",
    ),
    Setting(
        name="credential_check_interval",
        metavar="DURATION",
        default="60m",
        parse=_check_interval,
        help="Time between two checks of an unchanged credential.",
    ),
    Setting(
        name="credential_api_url",
        metavar="URL|none",
        default="https://api.github.com/",
        parse=_api_url,
        help="GitHub's API, which tells a ghcr.io token's scopes and end; none not to ask it.",
    ),
)
"""What is asked about the credential, where and how often."""

CONTROLLER_SETTINGS: Final = (
    *_CONTROLLER,
    *_WHERE,
    *_only(POLICY_SETTINGS, "images_include", "images_exclude", "namespaces_mode", "namespaces_excluded"),
    *under(
        "Certificates",
        Setting(
            name="manage_certificates",
            switch=True,
            default="true",
            parse=switch,
            help="Make and renew the webhook's certificates, and keep caBundle of its configurations.",
        ),
    ),
    *CERTIFICATE_SETTINGS,
    *CREDENTIAL_SETTINGS,
    *LOG_SETTINGS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """What `ghcr-pull-secrets controller` runs with; times in seconds.

    Attributes:
        terms: What certificates to make.
    """

    ops_bind: Address
    name: str
    last_configuration: str | None
    workers: int
    qps: float
    sweep_interval: float
    identity: str | None
    manage_certificates: bool
    terms: "Terms"
    credential_check: bool
    credential_check_interval: float
    credential_api_url: str
    kubeconfig: Path | None
    ca_bundle: Trust | None
    rules: Rules
    log_level: str
    log_format: str

    @classmethod
    def parse(cls, flags: Raw, environ: Mapping[str, str]) -> "ControllerSettings":
        """Parse everything `controller` needs; `ConfigError` with every fault."""
        values: dict[str, Any] = resolve(CONTROLLER_SETTINGS, flags, environ)
        terms = terms_of(values, service=values["name"], namespace=values["namespace"])
        for setting in CERTIFICATE_SETTINGS:
            del values[setting.name]
        rules = Rules(
            patterns=ImagePatterns(include=values.pop("images_include"), exclude=values.pop("images_exclude")),
            release_namespace=values.pop("namespace"),
            excluded=frozenset(values.pop("namespaces_excluded")),
            opt_in=values.pop("namespaces_mode") == "opt-in",
        )
        return cls(rules=rules, terms=terms, **values)

    @property
    def lease(self) -> str:
        """Name of the Lease."""
        return f"{self.name}-controller"

    @property
    def authority_secret(self) -> str:
        """Name of the Secret with the CA."""
        return f"{self.name}-webhook-ca"

    @property
    def certificate_secret(self) -> str:
        """Name of the Secret with the server's certificate."""
        return f"{self.name}-webhook-tls"
