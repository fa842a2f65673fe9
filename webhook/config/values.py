"""Parsers from setting text to typed values.

A fault names the kind of value wanted, never the value found.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from webhook.core.kinds import EACH, EACH_ENTRY, TemplatePath, WorkloadKind
from webhook.core.patterns import ImagePatterns, InvalidPattern
from webhook.trust import BundleError, Trust


class BadValue(ValueError):
    """What a parser finds wrong with a value, in words that do not repeat it."""


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """Spell it as it is bound and typed."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_DURATION: Final = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?P<unit>ms|s|m)?")
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})(?P<unit>Ki|Mi|Gi|k|M|G)?")
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KIND: Final = re.compile(r"(?P<group>[^/=]*)/(?P<version>[^/=]+)/(?P<resource>[^/=]+)=(?P<pointer>/.+)")
_VERSION: Final = re.compile(r"v[0-9]+((alpha|beta)[0-9]+)?")


def address(text: str) -> Address:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise BadValue("expected HOST:PORT with a port from 0 to 65535")
    return Address(match["host"].strip("[]"), int(match["port"]))


def directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise BadValue("expected a directory that exists")
    return path


def file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise BadValue("expected a file that exists")
    return path


def ca_bundle(text: str) -> Trust:
    try:
        return Trust(file(text))
    except BundleError as error:
        raise BadValue(f"expected a file of PEM certificates, but {error.fault}") from None


def namespace(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise BadValue("expected the name of a namespace (lower-case letters, digits and '-', at most 63)")
    return text


def object_name(text: str) -> str:
    if len(text) > 253 or not _DNS_NAME.fullmatch(text):
        raise BadValue("expected the name of an object (lower-case letters, digits, '-' and '.', at most 253)")
    return text


def dns_name(text: str) -> str:
    """Read a DNS name; an IP address is none."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return object_name(text)
    raise BadValue("expected a DNS name, not an IP address")


def seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadValue("expected a duration such as 5s, 500ms or 1m")
    return float(match["number"]) * {"ms": 0.001, "m": 60.0}.get(match["unit"], 1.0)


def size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None or not int(match["number"]):
        raise BadValue("expected a number of bytes above 0, such as 8388608 or 8Mi")
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}
    return int(match["number"]) * units.get(match["unit"], 1)


def threads(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 256 and len(text) <= 3):
        raise BadValue("expected a whole number from 1 to 256")
    return int(text)


def switch(text: str) -> bool:
    truths = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in truths:
        raise BadValue("expected true or false")
    return truths[text.lower()]


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise BadValue(f"expected one of {', '.join(choices)}")
        return text

    return parse


def patterns(field: str) -> Callable[[Sequence[str]], tuple[str, ...]]:
    def parse(texts: Sequence[str]) -> tuple[str, ...]:
        patterns = tuple(texts)
        try:
            ImagePatterns(**{"include": (), field: patterns})
        except InvalidPattern as error:
            raise BadValue(f"pattern {error.index + 1} of {len(patterns)}: {error.reason}") from None
        return patterns

    return parse


def each(parse_one: Callable[[str], Any]) -> Callable[[Sequence[str]], tuple[Any, ...]]:
    def parse(texts: Sequence[str]) -> tuple[Any, ...]:
        values = []
        for index, text in enumerate(texts, start=1):
            try:
                values.append(parse_one(text))
            except BadValue as error:
                raise BadValue(f"value {index} of {len(texts)}: {error}") from None
        return tuple(values)

    return parse


def workload_kinds(texts: Sequence[str]) -> tuple[WorkloadKind, ...]:
    """Parse kinds, each with one of its pod templates; a kind that is given again has another."""
    kinds: dict[tuple[str, str, str], WorkloadKind] = {}
    for kind in each(_workload_kind)(texts):
        key = (kind.group, kind.version, kind.resource)
        known = kinds[key].templates if key in kinds else ()
        if kind.templates[0] in known:
            raise BadValue("a kind has the same pod template twice")
        kinds[key] = replace(kind, templates=(*known, *kind.templates))
    return tuple(kinds.values())


def _workload_kind(text: str) -> WorkloadKind:
    match = _KIND.fullmatch(text)
    if match is None:
        raise BadValue("expected GROUP/VERSION/RESOURCE=/json/pointer/to/template")
    group, version, resource = match["group"], match["version"], match["resource"]
    if group and not _DNS_NAME.fullmatch(group):
        raise BadValue("the group is not a DNS name")
    if not _VERSION.fullmatch(version):
        raise BadValue("the version is not one such as v1 or v1alpha1")
    if not _DNS_LABEL.fullmatch(resource):
        raise BadValue("the resource is not the lower-case plural a CustomResourceDefinition declares")
    return WorkloadKind(group=group, version=version, resource=resource, templates=(_template_path(match["pointer"]),))


def _template_path(pointer: str) -> TemplatePath:
    """Read a JSON pointer in which `*` is every value of a map, and a token that ends in `[]` every entry of a list."""
    path: list[str] = []
    for token in pointer.split("/")[1:]:
        name = token.removesuffix(EACH_ENTRY)
        path.append(name.replace("~1", "/").replace("~0", "~"))
        if name != token:
            path.append(EACH_ENTRY)
    if any(token != EACH_ENTRY and token.endswith(EACH_ENTRY) for token in path):
        raise BadValue("the pointer to the template has a list of lists")
    if "" in path:
        raise BadValue("the pointer to the template has an empty token")
    if path[0] in EACH:
        raise BadValue("the pointer to the template begins with the name of a field")
    if len([token for token in path if token in EACH]) > 1:
        raise BadValue("the pointer to the template has more than one [] or *")
    return tuple(path)


_PERIOD: Final = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>[smhd])")
_PERIOD_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST_PERIOD: Final = timedelta(days=36500)


def period(text: str) -> timedelta:
    """Read a period with one unit, days among them."""
    match = _PERIOD.fullmatch(text)
    if match is None or float(match["number"]) > _LONGEST_PERIOD / timedelta(**{_PERIOD_UNITS[match["unit"]]: 1}):
        raise BadValue("expected a period such as 10s, 90m, 24h or 3650d, of at most 100 years")
    return timedelta(**{_PERIOD_UNITS[match["unit"]]: float(match["number"])})


def spelt_period(length: timedelta) -> str:
    """Spell a period of whole seconds in its largest unit."""
    unit = next(unit for unit, name in reversed(_PERIOD_UNITS.items()) if not length % timedelta(**{name: 1}))
    return f"{length // timedelta(**{_PERIOD_UNITS[unit]: 1})}{unit}"
