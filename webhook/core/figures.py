"""Figures of watches and credentials, for metrics and probes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHealth:
    """How a watch is.

    Attributes:
        resource: Plural name, or the label the watch was given.
        synced: It has been listed once.
        last_event_age_s: Seconds since the API server last told anything: a list, an event, a bookmark, or the end of
            a stream that had lasted. Before any, since the reflector was made.
        restarts: How often it was begun again, by cause; every cause is there.
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
