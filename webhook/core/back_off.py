"""Times of the kubelet's attempts to pull an image: its back-off."""

from typing import Final

from webhook.core.waiting import Symptom

_ATTEMPTS_S: Final = (3, 15, 41, 83, 164, 331)
_LAST_PAUSE_S: Final = 300
_PARSER_PAUSE_S: Final = 15


def pulls(elapsed_s: float, found: Symptom) -> tuple[float, float]:
    """Estimate when the kubelet pulled last and pulls next.

    Seen on a real kubelet 1.36, for each Pod and image: attempts so many seconds (`_ATTEMPTS_S`) after the first, then
    every five minutes, also when the Secret changes meanwhile; a malformed Secret is read again every 10 to 15 s.

    Args:
        elapsed_s: Seconds since the Pod began to wait.
        found: What the kubelet met.

    Returns:
        Seconds since the last attempt, and seconds until the next.
    """
    elapsed_s = max(0.0, elapsed_s)
    if found is Symptom.MALFORMED_SECRET:
        return min(elapsed_s, _PARSER_PAUSE_S), _PARSER_PAUSE_S
    past = [attempt for attempt in (0, *_ATTEMPTS_S) if attempt <= elapsed_s]
    if len(past) <= len(_ATTEMPTS_S):
        return elapsed_s - past[-1], _ATTEMPTS_S[len(past) - 1] - elapsed_s
    since = (elapsed_s - _ATTEMPTS_S[-1]) % _LAST_PAUSE_S
    return since, _LAST_PAUSE_S - since
