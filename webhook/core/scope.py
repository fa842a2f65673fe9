"""Selection of images and namespaces, and their enforcement."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhook.core.names import ENFORCE_LABEL, INJECT_KEY, PROVISION_LABEL, SYSTEM_NAMESPACES
from webhook.core.patterns import ImagePatterns


class Enforcement(StrEnum):
    """What happens to a workload that would pull without credentials."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


_ENFORCEMENTS: Final = frozenset(Enforcement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The installation's settings, as far as decisions need them.

    Attributes:
        patterns: Which images are selected.
        release_namespace: Home of the central secret.
        excluded: Further namespaces that are never touched.
        opt_in: Only namespaces labelled `inject: "true"` are in; without it, all but those labelled `"false"`.
        allow_unverifiable: Pull secrets we may not read count as credentials for what `ghcr-secret` does not cover.
        leave_templates: Every template without a list is left to its Pods.
    """

    patterns: ImagePatterns
    release_namespace: str
    excluded: frozenset[str] = frozenset()
    opt_in: bool = False
    enforcement: Enforcement = Enforcement.DENY
    allow_unverifiable: bool = True
    leave_templates: bool = False

    def untouchable(self, namespace: str) -> bool:
        """Return whether a namespace is never touched, whatever its labels."""
        return namespace in SYSTEM_NAMESPACES or namespace == self.release_namespace or namespace in self.excluded

    def injects_into(self, namespace: "Namespace") -> bool:
        """Return whether a namespace is in."""
        if self.untouchable(namespace.name):
            return False
        if self.opt_in:
            return namespace.inject == "true"
        return namespace.inject != "false"

    def provisions_in(self, namespace: "Namespace") -> bool:
        """Return whether a namespace asks for a copy outright, before anything in it does.

        So may one that is not in with `opt-in`; one that says `inject: "false"` gets none whatever else it says.
        """
        return namespace.provision == "true" and namespace.inject != "false" and not self.untouchable(namespace.name)

    def may_have_copy(self, namespace: "Namespace") -> bool:
        """Return whether a copy may be in a namespace: it is in, or asks for one."""
        return self.injects_into(namespace) or self.provisions_in(namespace)

    def enforcement_in(self, namespace: "Namespace") -> Enforcement:
        """Say how strict we are in a namespace.

        Its own label decides; one with any other value is passed over, and warned about (`Namespace.unknown_labels`).
        With opt-in, a namespace that has neither label is none of our business yet.
        """
        if self.untouchable(namespace.name):
            return Enforcement.OFF
        if namespace.enforce in _ENFORCEMENTS:
            return Enforcement(namespace.enforce)
        if self.opt_in and namespace.inject != "true":
            return Enforcement.OFF
        return self.enforcement


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A Namespace as decisions need it; `inject`, `enforce` and `provision` are its labels' values, empty if absent."""

    name: str
    inject: str = ""
    enforce: str = ""
    provision: str = ""
    terminating: bool = False

    @property
    def unknown_labels(self) -> tuple[str, ...]:
        """Keys of those of our labels whose value means nothing."""
        values = ((INJECT_KEY, self.inject), (ENFORCE_LABEL, self.enforce), (PROVISION_LABEL, self.provision))
        return tuple([key for key, value in values if value and value not in _MEANINGFUL[key]])


_SWITCH: Final = frozenset({"true", "false"})
_MEANINGFUL: Final = {INJECT_KEY: _SWITCH, ENFORCE_LABEL: _ENFORCEMENTS, PROVISION_LABEL: _SWITCH}
