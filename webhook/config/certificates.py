"""Settings of certificate management."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from certs.authority import CA_VALIDITY, LEAF_VALIDITY, service_dns_names
from certs.keeper import Terms, UnendingRotation
from certs.plan import OVERLAP, SETTLE
from webhook.config.resolving import ConfigError, Fault, Setting, under
from webhook.config.values import BadValue, each, object_name

_PERIOD: Final = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST: Final = timedelta(days=36500)


def _period(text: str) -> timedelta:
    match = _PERIOD.fullmatch(text)
    if match is None or float(match["number"]) > _LONGEST / timedelta(**{_UNITS[match["unit"]]: 1}):
        raise BadValue("expected a period such as 10s, 90m, 24h or 3650d, of at most 100 years")
    return timedelta(**{_UNITS[match["unit"]]: float(match["number"])})


def _spelt(period: timedelta) -> str:
    """Spell a period of whole seconds in its largest unit."""
    unit = next(unit for unit, name in reversed(_UNITS.items()) if not period % timedelta(**{name: 1}))
    return f"{period // timedelta(**{_UNITS[unit]: 1})}{unit}"


def _dns_name(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return object_name(text)
    raise BadValue("expected a DNS name, not an IP address")


CERTIFICATE_SETTINGS: Final = under(
    "Certificates",
    Setting(
        name="extra_dns_name",
        metavar="NAME",
        repeatable=True,
        default=(),
        parse=each(_dns_name),
        help="A further name in the server's certificate, besides those of its Service.",
    ),
    Setting(
        name="ca_validity",
        metavar="PERIOD",
        default=_spelt(CA_VALIDITY),
        parse=_period,
        help="Life of the CA; it is replaced when a third of it is left.",
    ),
    Setting(
        name="leaf_validity",
        metavar="PERIOD",
        default=_spelt(LEAF_VALIDITY),
        parse=_period,
        help="Life of the server's certificate; renewed as the CA is.",
    ),
    Setting(
        name="overlap",
        metavar="PERIOD",
        default=_spelt(OVERLAP),
        parse=_period,
        help="How long a replaced CA stays trusted after the server's certificate is the new CA's.",
    ),
    Setting(
        name="settle",
        metavar="PERIOD",
        default=_spelt(SETTLE),
        parse=_period,
        help="How long a new CA is trusted by every webhook before the server's certificate is of it.",
    ),
)


def terms_of(values: Mapping[str, Any], *, service: str, namespace: str) -> Terms:
    """Make the keeper's terms.

    Args:
        values: The resolved `CERTIFICATE_SETTINGS`.
        service: Name of the Service that the API servers call.
        namespace: Its namespace.

    Raises:
        ConfigError: They do not go together.
    """
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
