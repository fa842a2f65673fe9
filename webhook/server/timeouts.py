"""Review deadline parsed from the API server's `?timeout=`."""

import re
from typing import Final
from urllib.parse import unquote

DEFAULT_SECONDS: Final = 10.0
"""`timeoutSeconds` of a webhook configuration that does not say (admissionregistration.k8s.io/v1)."""

MAX_SECONDS: Final = 30.0
"""The longest `timeoutSeconds` the API server accepts."""

RESERVE: Final = 0.1
"""Share of the time kept back: an answer has to be rendered and to travel, and one that is late is no answer."""

_PARAMETER: Final = re.compile(r"(?:^|&)timeout=([^&]*)")
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_go_duration(text: str) -> float | None:
    """Read a positive duration as Go's `time.Duration` writes it, such as `1m30s` or `1.5s`.

    Returns:
        Seconds, or `None` for anything else. Signs are not taken: no timeout is negative.
    """
    seconds, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    return seconds if end == len(text) and seconds > 0 else None


def budget(query: str) -> tuple[float, bool]:
    """Say how long work on a review may take.

    Args:
        query: The URL's query string.

    Returns:
        Seconds, the reserve taken off; and whether the query could be understood. A timeout that is absent is the
        default; one that cannot be read is too, since an answer under a guess beats an error over a detail.
    """
    found = _PARAMETER.search(query)
    if found is None:
        return DEFAULT_SECONDS * (1 - RESERVE), True
    text = found[1]
    seconds = parse_go_duration(unquote(text) if "%" in text else text)
    return min(seconds or DEFAULT_SECONDS, MAX_SECONDS) * (1 - RESERVE), seconds is not None
