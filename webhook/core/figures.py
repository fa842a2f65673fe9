"""Figures of watches, credentials and copies, for metrics and probes."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook.core import copies
from webhook.core.ownership import Owner, Secret, owner_of
from webhook.core.scope import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHealth:
    """State of a watch.

    Attributes:
        resource: Plural name, or the label the watch was given.
        synced: It has been listed once.
        last_event_age_s: Seconds since the API server last sent anything: a list, an event, a bookmark, or the end of
            a stream that had lasted. Before any, since the reflector was made.
        restarts: How often it was restarted, by cause; every cause is there.
        error: What is wrong now; empty while a stream is open.
    """

    resource: str
    synced: bool
    last_event_age_s: float
    restarts: Mapping[str, int]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFigures:
    """What the metrics and probes show of a registry; with several credentials, the worst of them.

    Attributes:
        accepted: Whether the registry accepts the credential and it may read packages, as far as that is known; the
            last word, should the registry be unreachable now. `None` if there never was one.
        expires_at: POSIX timestamp, `None` if not known.
        answered_at: When the registry last said whether it accepts the credential, as a POSIX timestamp; before it ever
            did, when it was first asked.
        unreadable: How many images in use the credential is known not to be able to read.
        problem: What is wrong now, for people; "" for nothing.
    """

    registry: str
    accepted: bool | None
    expires_at: float | None
    answered_at: float
    unreadable: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFigures:
    """Numbers of Secrets named as copies are, outside the release namespace.

    Attributes:
        ours: Copies of this release.
        foreign: Not ours, and not of another release.
        other_release: Copies that another release of the add-on keeps.
        stale: Of ours, those that do not have what a usable central secret says. Not those in namespaces that are never
            touched: an older copy there stays as it is, and is no reason for an alert.
    """

    ours: int
    foreign: int
    other_release: int
    stale: int


def count_copies(secrets: Mapping[str, Secret], rules: Rules) -> CopyFigures:
    """Count the Secrets of that name.

    Args:
        secrets: Each by its namespace, the central one included.
        rules: The installation's settings.
    """
    central = secrets.get(rules.release_namespace)
    others = [secret for namespace, secret in secrets.items() if namespace != rules.release_namespace]
    owners = [owner_of(secret, rules.release_namespace) for secret in others]
    ours = [secret for secret, owner in zip(others, owners, strict=True) if owner is Owner.OURS]
    of_others = owners.count(Owner.OTHER_RELEASE)
    spreads = central is not None and copies.central_fault(central, rules.patterns) is None
    return CopyFigures(
        ours=len(ours),
        foreign=len(others) - len(ours) - of_others,
        other_release=of_others,
        stale=sum(
            central is not None and secret.payload != central.payload and not rules.untouchable(secret.namespace)
            for secret in ours
        )
        if spreads
        else 0,
    )
