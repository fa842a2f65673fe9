"""Redaction of credentials in log lines.

No event is meant to carry one: errors name a value's kind, `repr` leaves payloads out. This is for the mistake nobody
has made yet, and for libraries that log what they like.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"

_SENSITIVE_KEYS: Final = frozenset(
    {
        ".dockercfg",
        ".dockerconfigjson",
        "api_key",
        "auth",
        "authorization",
        "auths",
        "bearer",
        "credential",
        "credentials",
        "data",
        "identitytoken",
        "key_pem",
        "passwd",
        "password",
        "payload",
        "private_key",
        "registrytoken",
        "stringdata",
        "tls.key",
        "token",
    }
)

# A line may hold text that a stranger chose, so the time of every alternative is linear in the line: each ends in a
# repetition with nothing after it to fail on, or may only begin where a run of its characters begins, or is bounded.
_CREDENTIAL: Final = re.compile(
    rb"""
      (?<=bearer\ )[a-z0-9._~+/=-]{8,}
    | (?<=basic\ )[a-z0-9+/=]{8,}
    | gh[opsur]_[a-z0-9]{16,}                                         # tokens of GitHub
    | github_pat_[a-z0-9_]{16,}
    | (?P<jwt>(?<![a-z0-9_-])[a-z0-9_-]{11,}+(?:\.[a-z0-9_-]{8,}+){2})  # perhaps a JSON Web Token, see `_replace`
    | -----begin\ [a-z ]{0,20}private\ key-----.*?(?:-----end\ [a-z ]{0,20}private\ key-----|$)
    | (?<=://)[^\s/:@"]{1,128}+:[^\s/@"]{1,256}+(?=@)                 # user:password in a URL
    | (?P<key>(?:"|\\")(?:auth|password|identitytoken|registrytoken)(?:"|\\"):\ ?(?:"|\\"))[^"\\]+
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

_JWT_BEGINNING: Final = b"eyj"
"""`{"` in base64, in lower case: with it begins the header of every JSON Web Token, a ServiceAccount's too."""

# One of these is in whatever `_CREDENTIAL` matches, in lower case. Looking for them first spares nearly every line a
# search that takes as long as all the rest of writing it.
_MARKS: Final = (
    b"bearer ",
    b"basic ",
    b"gho_",
    b"ghp_",
    b"ghs_",
    b"ghu_",
    b"ghr_",
    b"b_pat_",
    b"eyj",
    b"private k",
    b"://",
    b'auth":',
    b'auth\\":',
    b"password",
    b"ytoken",
)


def redact_keys(_logger: object, _method: str, event: Any) -> Any:
    """Put a mark in place of every value whose key says that it is secret, at any depth. A structlog processor."""
    for key, value in event.items():
        if key.lower() in _SENSITIVE_KEYS:
            event[key] = REDACTED
        elif not isinstance(value, (str, int, float)):
            event[key] = _clean(value)
    return event


def redact_line(line: bytes) -> bytes:
    """Put a mark in place of everything in a finished line that looks like a credential."""
    lowered = line.lower()
    for mark in _MARKS:
        if mark in lowered:
            return _CREDENTIAL.sub(_replace, line)
    return line


def redact_text(text: str) -> str:
    """Put a mark in place of everything in a text that looks like a credential."""
    return redact_line(text.encode("utf-8", "backslashreplace")).decode()


def _replace(found: re.Match[bytes]) -> bytes:
    run = found["jwt"]
    if run is None:
        return (found["key"] or b"") + REDACTED.encode()
    # The header may stand behind something that looks like a part of it, such as the n of an escaped line break.
    header = run.lower().find(_JWT_BEGINNING, 0, run.index(b"."))
    return run if header < 0 else run[:header] + REDACTED.encode()


def _clean(value: Any) -> Any:
    match value:
        case bytes() | bytearray():
            # Nothing we log is bytes; what comes as bytes is a body or a payload.
            return f"{len(value)} bytes"
        case Mapping():
            return {
                key: REDACTED if isinstance(key, str) and key.lower() in _SENSITIVE_KEYS else _clean(entry)
                for key, entry in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_clean(entry) for entry in value]
        case _:
            return value
