"""Verdict on a credential from registry and API answers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from webhook.core import images
from webhook.core.hostmatch import glob_matches
from webhook.core.keyring import Credential, Endpoint, Keyring
from webhook.core.vocabulary import CredentialState
from webhook.failures import ConnectionFailure
from webhook.ports import LoginAnswer, RegistryFault

NEEDED_SCOPE: Final = "read:packages"
_GRANTING: Final = frozenset({NEEDED_SCOPE, "write:packages"})
"""GitHub shows a token with `write:packages` as one that may read too. `delete:packages` and `repo` are always asked
for *beside* `read:packages` (GitHub's "About permissions for GitHub Packages"), so they do not grant it."""

EXPIRY_WARNINGS: Final = (timedelta(days=1), timedelta(days=3), timedelta(days=14))
"""Time left at which people are warned, shortest first: time to plan, time to act, last call."""

MAX_TARGETS: Final = 16
"""Credentials asked about in one check. A central secret has one entry, or a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTarget:
    """A credential and the registry it is for: host in lower case, with its port unless that is 443."""

    registry: str
    credential: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    """What a check found.

    Attributes:
        registry: Host, with its port unless that is 443.
        state: What is known.
        code: HTTP status of the registry's last answer, 0 if there was none.
        fault: Why what the registry answered is no word on the credential.
        failure: Why there was no answer.
        api_failure: Why there was none of GitHub's API.
        scopes: The token's scopes; `None` if they are not known.
        missing_scope: The scope that pulling needs and the token is known to lack, "" otherwise.
        expires_at: When the token ends, timezone-aware; `None` if it does not or that is not known.
        probed: Repository of the image that was tried, "" for none.
        probe: What came of that; `None` if none was tried.
        probe_code: HTTP status of the answer to it, 0 if there was none.
        probe_failure: Why there was none.
    """

    registry: str
    state: CredentialState
    code: int = 0
    fault: RegistryFault | None = None
    failure: ConnectionFailure | None = None
    api_failure: ConnectionFailure | None = None
    scopes: frozenset[str] | None = None
    missing_scope: str = ""
    expires_at: datetime | None = None
    probed: str = ""
    probe: CredentialState | None = None
    probe_code: int = 0
    probe_failure: ConnectionFailure | None = None


def judge(answer: LoginAnswer) -> CredentialState:
    """Say what a registry's answer means for the credential.

    | fault | code | state |
    |---|---|---|
    | none | 2xx | accepted |
    | none | 401, 403 | rejected |
    | none | 408, 429, 5xx | unreachable |
    | none | any other | not checked |
    | any | any | not checked |

    No answer at all is unreachable.

    Token servers are to answer bad credentials with 401 (distribution's token specification); ghcr.io answers 403.
    """
    if answer.failure is not None:
        return CredentialState.UNREACHABLE
    if answer.fault is not None:
        return CredentialState.NOT_CHECKED
    if 200 <= answer.code < 300:
        return CredentialState.ACCEPTED
    if answer.code in {401, 403}:
        return CredentialState.REJECTED
    if answer.code in {408, 429} or answer.code >= 500:
        return CredentialState.UNREACHABLE
    return CredentialState.NOT_CHECKED


def judge_pull(answer: LoginAnswer) -> CredentialState:
    """Say what the answer to a pull means for a credential that is accepted.

    As `judge`, but 401 and 403 say that it cannot read that image. 404 says nothing: there may be no such image.
    """
    state = judge(answer)
    return CredentialState.UNREADABLE if state is CredentialState.REJECTED else state


def targets(keyring: Keyring, include: Sequence[str]) -> tuple[LoginTarget, ...]:
    """Name the credentials that the kubelet may find for a selected image, and the registry of each.

    Args:
        keyring: The central secret's.
        include: Patterns as in `ImagePatterns.include`, valid.

    A credential counts if its location and a pattern can meet: hosts match (either may have globs) and, of its path
    and the pattern's path up to the first star, one begins with the other. Where both hosts have globs, or only an
    excluded image could meet, there is nothing to ask. Empty credentials are skipped: an anonymous pull needs none.
    """
    found = {
        LoginTarget(registry=registry, credential=credential): None
        for pattern in include
        for endpoint in keyring.endpoints
        if (registry := _registry(endpoint, pattern))
        for credential in endpoint.credentials
        if not credential.is_empty
    }
    return tuple(found)[:MAX_TARGETS]


def _registry(endpoint: Endpoint, pattern: str) -> str:
    """Name the host at which a credential's location and a pattern meet, "" if they do not."""
    pattern_host, _, pattern_path = pattern.partition("/")
    # Ports are numbers: the kubelet finds `ghcr.io:0443` as it is written, and what is asked there is ghcr.io.
    wanted_name, wanted_port = images.split_port(pattern_host.lower())
    port = endpoint.location.port.lstrip("0") or endpoint.location.port[:1]
    port, wanted_port = ("" if each == "443" else each for each in (port, wanted_port))
    # An IPv6 location has its brackets only where it has no port.
    name, wanted_name = ".".join(endpoint.location.labels).lower().strip("[]"), wanted_name.strip("[]")
    path, literal = endpoint.location.path, "/" + pattern_path.partition("*")[0]
    if port != wanted_port or not (path.startswith(literal) or literal.startswith(path)):
        return ""
    if "*" in name:
        globs, labels = name.split("."), wanted_name.split(".")
        meets = len(globs) == len(labels) and all(
            glob_matches(glob.split("*"), label) for glob, label in zip(globs, labels, strict=True)
        )
        name = wanted_name
    else:
        meets = glob_matches(wanted_name.split("*"), name)
    if not meets or "*" in name:
        return ""
    host = f"[{name}]" if ":" in name else name
    return f"{host}:{port}" if port else host


def scopes_from_header(header: str | None, *, token: str) -> frozenset[str] | None:
    """Read `X-OAuth-Scopes`; `None` if it says nothing.

    An empty header is a classic personal access token without any scope. With tokens of other kinds (of GitHub Apps)
    it is empty too and says nothing: they have permissions instead.
    """
    if header is None:
        return None
    scopes = frozenset(scope for part in header.split(",") if (scope := part.strip()))
    return scopes if scopes or token.startswith("ghp_") else None


def missing_scope(scopes: frozenset[str] | None) -> str:
    """Name the scope that pulling needs and that is known to be missing, "" otherwise."""
    return NEEDED_SCOPE if scopes is not None and not scopes & _GRANTING else ""


_EXPIRATION: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}) (?P<zone>UTC|[+-][0-9]{4})"
)


def expiry_from_header(header: str | None) -> datetime | None:
    """Read `GitHub-Authentication-Token-Expiration`: `2026-11-30 10:00:00 UTC` or `2026-11-30 02:00:00 -0800`."""
    match = _EXPIRATION.fullmatch((header or "").strip())
    if match is None:
        return None
    zone = "+0000" if match["zone"] == "UTC" else match["zone"]
    try:
        return datetime.fromisoformat(f"{match['date']}T{match['time']}{zone}")
    except ValueError:
        return None


def expiry_warning(expires_at: datetime | None, *, now: datetime, reported: timedelta | None) -> timedelta | None:
    """Say which of `EXPIRY_WARNINGS` is due; `None` if none is.

    Args:
        expires_at: When the token ends.
        now: The caller's clock.
        reported: The warning given last for this token, `None` for none yet. Each is given once, and none after a
            shorter one.
    """
    if expires_at is None:
        return None
    left = expires_at - now
    due = next((warning for warning in EXPIRY_WARNINGS if left <= warning), None)
    return due if due is not None and (reported is None or due < reported) else None


FIRST_RETRY_S: Final = 60.0


def next_check_s(states: Iterable[CredentialState], *, interval_s: float, failures: int, jitter: float) -> float:
    """Say in how many seconds to check again.

    Args:
        states: What the check found.
        interval_s: The usual time between two checks.
        failures: Checks in a row, this one included, that found a registry unreachable.
        jitter: From 0 to 1. It moves the time by up to a tenth either way, so that clusters set up together do not
            ask together.

    After a check that found a registry unreachable it is a minute, and doubles up to the usual interval.
    """
    seconds = interval_s
    if CredentialState.UNREACHABLE in states:
        seconds = min(interval_s, FIRST_RETRY_S * 2.0 ** min(max(failures - 1, 0), 16))
    return seconds * (0.9 + 0.2 * jitter)
