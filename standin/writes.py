"""The terms of a write: what it is aimed at, how it is asked, what it answers."""

import datetime as dt
import secrets
from dataclasses import dataclass, field, replace

from standin.interfaces import Json, ResourceInfo, User

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The query of a write.

    Attributes:
        manager: Field manager: `fieldManager`, or what the user agent says; never empty.
        named_manager: Whether the query named it.
        validation: `fieldValidation`: `Ignore`, `Warn` or `Strict`; `explicit_validation`: whether the query named it.
        force: Of server-side apply.
    """

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    named_manager: bool = False
    explicit_validation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTarget:
    """Who writes what, where. `namespace` is empty for cluster-scoped resources, `name` for one not known yet."""

    user: User
    resource: ResourceInfo
    namespace: str
    name: str = ""
    subresource: str = ""
    options: WriteOptions = field(default_factory=WriteOptions)

    def named(self, name: str) -> "RuleTarget":
        """Return the same for a name."""
        return self if name == self.name else replace(self, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write answers."""

    obj: Json
    created: bool = False
    warnings: list[str] = field(default_factory=list)


def now_text() -> str:
    """Return the time as `metav1.Time` is written."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix(length: int = 5) -> str:
    """Return a suffix as `generateName` gets it."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
