"""Protocol of what the credential watch needs from registries."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from webhook.core.images import ImageReference
from webhook.core.keyring import Credential
from webhook.failures import ConnectionFailure
from webhook.ports.errors import Deadline


class RegistryFault(StrEnum):
    """Why a registry's answer is no word on a credential; a log field."""

    REDIRECT = "redirect"
    NO_CHALLENGE = "no_challenge"
    REALM_REFUSED = "realm_refused"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAnswer:
    """How trying to log in to a registry, or to pull from one, ended.

    Attributes:
        code: HTTP status of the last answer, 0 if there was none. Without a fault, 401 and 403 are answers to a request
            that carried the credential.
        fault: Why this is no word on the credential, `None` if it may be one.
        failure: Why there was no answer, `None` if there was one.
    """

    code: int = 0
    fault: RegistryFault | None = None
    failure: ConnectionFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHeaders:
    """What GitHub's API says of a token in the headers of any answer; `None` for a header that is not there.

    Attributes:
        scopes: `X-OAuth-Scopes`.
        expiration: `GitHub-Authentication-Token-Expiration`.
        failure: Why there was no answer, `None` if there was one or nobody was asked.
    """

    scopes: str | None = None
    expiration: str | None = None
    failure: ConnectionFailure | None = None


class Registry(Protocol):
    """Registries and GitHub's API, asked about a credential. No method raises or outlasts its deadline."""

    def login(self, host: str, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Try to log in to a registry as `docker login` does; `host` may have a port."""
        ...

    def pull(self, image: ImageReference, credential: Credential, deadline: Deadline) -> LoginAnswer:
        """Ask for an image's manifest. 404 says that there is none, or that who asks may not know of it."""
        ...

    def token_headers(self, credential: Credential, deadline: Deadline) -> TokenHeaders:
        """Ask GitHub's API about a token; with no answer, or none that accepts the token, no header is there."""
        ...
