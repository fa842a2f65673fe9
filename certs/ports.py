"""Protocols for the cluster, the clock and the reports of a keeper."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from certs.plan import RenewalReason
from certs.state import SecretData


class Changed(Exception):
    """What was to be written is no longer as it was read: somebody was faster.

    Args:
        name: Of the Secret or registration.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed meanwhile")
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A Secret as it was read.

    Attributes:
        data: Its data, decoded.
        version: What a change is conditional on; opaque.
    """

    data: SecretData = field(repr=False)
    version: str


class CertificateStore(Protocol):
    """Keeps Secrets by name. Whatever a method raises besides `Changed` ends `keep`."""

    def get(self, name: str) -> Stored | None:
        """Read one; `None` if it does not exist."""
        ...

    def create(self, name: str, data: SecretData) -> None:
        """Make one; `Changed` if it exists."""
        ...

    def update(self, name: str, data: SecretData, seen: Stored) -> None:
        """Replace all data of one; `Changed` unless it is still as it was seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A webhook configuration as it was read.

    Attributes:
        bundles: Each webhook's name and `caBundle` (decoded; empty if unset), in order.
        version: What a change is conditional on; opaque.
    """

    bundles: Sequence[tuple[str, bytes]]
    version: str


class Registration(Protocol):
    """One webhook configuration. Whatever a method raises besides `Changed` ends `keep`."""

    @property
    def name(self) -> str:
        """Tell it from the others; for events and logs too."""
        ...

    def read(self) -> Registered | None:
        """Read it; `None` if it does not exist (yet)."""
        ...

    def publish(self, bundle: bytes, seen: Registered) -> None:
        """Make this the `caBundle` of every webhook; `Changed` unless it is still as it was seen."""
        ...


class CertificateKind(StrEnum):
    """Which certificate."""

    AUTHORITY = "authority"
    LEAF = "leaf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A certificate was made and stored."""

    kind: CertificateKind
    secret: str
    reason: RenewalReason
    fingerprint: str
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A webhook configuration was given these CAs, by fingerprint."""

    registration: str
    authorities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """These CAs, by fingerprint, are no longer in the bundle: their overlap is over."""

    authorities: tuple[str, ...]


Done = Renewed | Published | Retired
