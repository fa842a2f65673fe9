"""Causes of restarted watches, and their pacing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class RestartCause(StrEnum):
    """Why a watch was begun again; a metric label."""

    ENDED = "ended"
    """The server ended the stream, as it does by itself after a while."""
    SILENT = "silent"
    """No end, no error, no bytes: the connection is half open."""
    EXPIRED = "expired"
    """410: our place in the history is gone; listed again."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    """Any other refusal, or no connection."""
    UNDECODABLE = "undecodable"
    """A line that is no event; listed again."""
    TOO_LARGE = "too_large"
    """An object beyond what is read; listed again, where its metadata alone is asked for."""
    INTERNAL = "internal"
    """A fault of ours; listed again."""


LIST_AGAIN: Final = frozenset(
    {RestartCause.EXPIRED, RestartCause.UNDECODABLE, RestartCause.TOO_LARGE, RestartCause.INTERNAL}
)
"""After these what is held may differ from what is there, so everything is listed once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Times of a reflector, in seconds.

    What is promised: within 60 s of the end of any fault the cache agrees again.

    - Half-open: a stream must end after `stream_max` (40) at the latest, as we asked the server for it; if it has not
      `slack` (5) later, it is given up. That is at most 45 after the fault began. Then come a pause (0.2 at most), the
      connection (5 at most) and the headers: there is time for one of these to fail.
    - Refusals: the pause grows to `backoff_cap` (10), so the first try after the fault comes 10 later at most;
      `Retry-After` can stretch it to `retry_after_cap` (30).
    - Lost place: as above, plus one list.

    Attributes:
        stream_min, stream_max: A stream lasts a random time between these, so that replicas do not move in step.
        slack: Grace for the server to end a stream.
        header_timeout: Until a watch has been accepted.
        list_timeout: One page of a list.
        backoff_base, backoff_cap: Exponential backoff with full jitter: the n-th pause in a row is random between 0
            and `base * 2**n`, capped.
        healthy: A stream that lasted this long ends the row.
        retry_after_cap: Longest `Retry-After` we obey.
    """

    stream_min: float = 30
    stream_max: float = 40
    slack: float = 5
    header_timeout: float = 10
    list_timeout: float = 30
    backoff_base: float = 0.2
    backoff_cap: float = 10
    healthy: float = 10
    retry_after_cap: float = 30


DEFAULT_PACING: Final = Pacing()
