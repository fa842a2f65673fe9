"""Helm values file parsed into the settings that decide.

Read as Helm would: of several files the last one that has a value counts. Only what bears on decisions is looked at;
that the rest is right is for the chart's schema to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webhook.config import POLICY_SETTINGS, ConfigError, Fault, resolve, rules_of
from webhook.config.values import BadValue, namespace
from webhook.core.kinds import BUILT_IN_KINDS, WorkloadKind
from webhook.core.review import kind_of
from webhook.core.scope import Rules

RELEASE_NAMESPACE: Final = "ghcr-pull-secrets"
"""The release namespace of the documentation, for who does not say another."""

_DEFAULT_INCLUDE: Final = ("ghcr.io/*",)

_TEXTS: Final[Mapping[str, str]] = {
    "enforcement": "enforcement",
    "unverifiable": "unverifiable",
    "namespaces_mode": "namespaces.mode",
    "templates": "templates",
    "namespace": "namespaceOverride",
}
_LISTS: Final[Mapping[str, str]] = {
    "images_include": "images.include",
    "images_exclude": "images.exclude",
    "namespaces_excluded": "namespaces.excluded",
}
_PATHS: Final[dict[str, str]] = {f"--{name.replace('_', '-')}": path for name, path in {**_TEXTS, **_LISTS}.items()}
_PATHS["--workload-kind"] = "extraWorkloadKinds"
_OPTIONS: Final = {
    "--images-include": "--include",
    "--images-exclude": "--exclude",
    "--namespace": "--release-namespace",
}
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides.

    Attributes:
        entries: The registries the central secret has entries for, if the values make it; else none.
    """

    rules: Rules
    kinds: tuple[WorkloadKind, ...]
    entries: tuple[str, ...] = ()


def settings(
    values: Sequence[Any], *, include: Sequence[str] = (), exclude: Sequence[str] = (), release_namespace: str = ""
) -> Settings:
    """Make the settings.

    Args:
        values: What the files hold, the first one first.
        include: Goes before `images.include`.
        exclude: Goes before `images.exclude`.
        release_namespace: Goes before `namespaceOverride`.

    Raises:
        ConfigError: With every fault; each names the value's path, or the option.
    """
    lookup = _Lookup(values)
    raw: dict[str, Any] = {name: lookup.text(path) for name, path in _TEXTS.items()}
    raw |= {name: lookup.texts(path) for name, path in _LISTS.items()}
    kinds = lookup.kinds()
    raw["workload_kind"] = kinds
    given = {"images_include": include, "images_exclude": exclude, "namespace": release_namespace}
    raw |= {name: value for name, value in given.items() if value}
    faults = list(lookup.faults)
    own = {**_PATHS, **{option: flag for option, flag in _OPTIONS.items() if given[option[2:].replace("-", "_")]}}
    home = raw.pop("namespace") or RELEASE_NAMESPACE
    try:
        namespace(home)
    except BadValue as error:
        faults.append(Fault(own["--namespace"], str(error)))
    raw["images_include"] = raw["images_include"] or _DEFAULT_INCLUDE
    resolved: dict[str, Any] = {}
    try:
        resolved = resolve(POLICY_SETTINGS, raw, {})
    except ConfigError as error:
        faults += [Fault(own.get(fault.flag, fault.flag), fault.problem) for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    if kinds is not None and not kinds:
        resolved["workload_kind"] = ()  # an empty list is no default
    return Settings(
        rules=rules_of({**resolved, "namespace": home}),
        kinds=(*BUILT_IN_KINDS, *resolved["workload_kind"]),
        entries=lookup.entries(),
    )


class _Lookup:
    """Looks paths up in the values, and keeps the faults."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.faults: list[Fault] = []
        self._values = [value for value in values if isinstance(value, dict)]
        self.faults += [
            Fault("--values", f"expected an object, got {kind_of(value)}")
            for value in values
            if not isinstance(value, dict | None)
        ]

    def text(self, path: str) -> str | None:
        value = self._get(path)
        if value is _ABSENT or value is None:
            return None
        if not isinstance(value, str):
            self.faults.append(Fault(path, f"expected a string, got {kind_of(value)}"))
            return None
        return value

    def texts(self, path: str) -> tuple[str, ...] | None:
        value = self._get(path)
        if value is _ABSENT or value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self.faults.append(Fault(path, "expected an array of strings"))
            return None
        return tuple(value)

    def kinds(self) -> tuple[str, ...] | None:
        """Read `extraWorkloadKinds` in the words of `--workload-kind`; `None` if it is not given."""
        path = "extraWorkloadKinds"
        value = self._get(path)
        if value is _ABSENT or value is None:
            return None
        kinds = []
        for index, entry in enumerate(value if isinstance(value, list) else [None]):
            fields = entry if isinstance(entry, dict) else {}
            name = [fields.get(key, "") for key in ("group", "version", "resource")]
            pointers = fields.get("podTemplates", [fields.get("podTemplate")])
            if not isinstance(pointers, list) or not all(isinstance(text, str) for text in (*name, *pointers)):
                problem = "expected objects of the texts group, version, resource and podTemplate or podTemplates"
                self.faults.append(Fault(f"{path}[{index}]", problem))
                continue
            kinds += [f"{'/'.join(name)}={pointer}" for pointer in pointers]
        return tuple(kinds)

    def entries(self) -> tuple[str, ...]:
        """List the registries of the central secret that the values make: no credential is looked at."""
        for source in ("create", "externalSecret"):
            path = f"centralSecret.{source}"
            if self._get(f"{path}.enabled") is not True:
                continue
            several = self._get(f"{path}.entries")
            if isinstance(several, list) and several:
                registries = [entry.get("registry") for entry in several if isinstance(entry, dict)]
            else:
                registries = [self._get(f"{path}.registry")]
            if all(isinstance(registry, str) and registry for registry in registries):
                return tuple(str(registry) for registry in registries)
            return ("ghcr.io",) if registries == [_ABSENT] else ()
        return ()

    def _get(self, path: str) -> Any:
        for value in reversed(self._values):
            found: Any = value
            for token in path.split("."):
                found = found.get(token, _ABSENT) if isinstance(found, dict) else _ABSENT
            if found is not _ABSENT:
                return found
        return _ABSENT
