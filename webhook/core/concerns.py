"""Warnings about a usable central secret's doubtful entries.

Nothing here keeps a Secret from being copied; it is reported, once, before the Secret is spread.

| entry for selected images | concern |
|---|---|
| for a whole host though no pattern selects all of it, or for hosts by a star that no pattern has | host_wide |
| with a path that has no closing slash, and is not just one selected image | no_closing_slash |
| a GitHub token with white space at its ends | token_white_space |

The kubelet matches an entry's path as the beginning of a text (`hostmatch.Location.covers`): `ghcr.io/org-a` is also
tried for `ghcr.io/org-ab/x`. And a credential that is tried and refused breaks public images too, so a whole host's
entry does harm once its token has expired.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from webhook.core import coverage
from webhook.core.keyring import Credential, Endpoint, Keyring
from webhook.core.patterns import ImagePatterns, Pattern

MAX_CONCERNS: Final = 8
"""Most that are named. Each becomes an Event."""

_SHOWABLE: Final = re.compile(r"(?=.{1,200}\Z)[a-z0-9.*:\[\]-]+(?:/[a-z0-9._/-]*)?")
GITHUB_REGISTRY: Final = "ghcr.io"
"""The one registry whose passwords are tokens of GitHub's API."""

_GITHUB_TOKENS: Final = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
"""How GitHub's tokens begin (its "About authentication to GitHub"); none has white space in it."""


class ConcernKind(StrEnum):
    """What is doubtful; a log field."""

    HOST_WIDE = "host_wide"
    NO_CLOSING_SLASH = "no_closing_slash"
    TOKEN_WHITE_SPACE = "token_white_space"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One doubtful entry.

    Attributes:
        kind: What is doubtful.
        entry: The registry and path it is for, as it is compared.
    """

    kind: ConcernKind
    entry: str


def concerns(keyring: Keyring, patterns: ImagePatterns) -> tuple[Concern, ...]:
    """Name what is doubtful, `MAX_CONCERNS` at most.

    Only entries that a selected image can find are named, and only in lower case: a token that was pasted into the
    wrong place is not shown.
    """
    found = (
        Concern(kind=kind, entry=entry)
        for endpoint in keyring.endpoints
        if (entry := showable(endpoint))
        and (meeting := [each for each in patterns.included if coverage.meets(endpoint.location, each)])
        for kind in _kinds(endpoint, meeting)
    )
    return tuple(dict.fromkeys(found))[:MAX_CONCERNS]


def showable(endpoint: Endpoint) -> str:
    """Name an entry as it is compared, "" where it looks like anything but a registry and a path in lower case."""
    entry = f"{endpoint.location.host}{endpoint.location.path}"
    return entry if _SHOWABLE.fullmatch(entry) else ""


def _kinds(endpoint: Endpoint, meeting: list[Pattern]) -> list[ConcernKind]:
    found = []
    path = endpoint.location.path.removeprefix("/")
    alike = [pattern for pattern in meeting if "*" in pattern.name or "*" not in endpoint.location.host]
    if not path:
        if not any(pattern.path == "*" for pattern in alike):
            found.append(ConcernKind.HOST_WIDE)
    elif not path.endswith("/") and not any(pattern.path == path for pattern in meeting):
        found.append(ConcernKind.NO_CLOSING_SLASH)
    if any(_has_white_space(credential, endpoint.location.host) for credential in endpoint.credentials):
        found.append(ConcernKind.TOKEN_WHITE_SPACE)
    return found


def _has_white_space(credential: Credential, host: str) -> bool:
    token = credential.password.strip()
    return token != credential.password and (host.lower() == GITHUB_REGISTRY or token.startswith(_GITHUB_TOKENS))


def text(concern: Concern) -> str:
    """Say what is doubtful and what to write instead."""
    entry = concern.entry
    match concern.kind:
        case ConcernKind.HOST_WIDE:
            return (
                f"the entry {entry} is wider than images.include: public images there are pulled with its token too, "
                "and not at all once it has expired; write an entry for each organisation, such as ghcr.io/my-org/"
            )
        case ConcernKind.NO_CLOSING_SLASH:
            return (
                f"the entry {entry} has no closing slash, so it also serves whatever begins like it, such as "
                f"{entry}b/x; write {entry}/ for that organisation alone"
            )
        case ConcernKind.TOKEN_WHITE_SPACE:
            return (
                f"the token of the entry {entry} has white space at its ends, which no GitHub token has: the registry "
                "will not accept it; write it again without"
            )
