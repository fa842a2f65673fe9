"""A registry in memory that passes `contracts.registry`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from webhook.core.images import ImageReference
from webhook.core.keyring import DOCKER_CONFIG_JSON, Credential, Keyring
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, LoginAnswer, TokenHeaders


@dataclass
class FakeRegistry:
    """Registries that know the tokens they were told of, and GitHub's API.

    Attributes:
        answers: By host, what its registry answers whatever the credential.
        manifests: By repository, what is answered to a pull whatever the credential.
        logins, pulls, described: What was asked about.
        on_login: Called at each login: time passes, say.
    """

    answers: dict[str, LoginAnswer] = field(default_factory=dict)
    logins: list[tuple[str, Credential]] = field(default_factory=list)
    manifests: dict[str, LoginAnswer] = field(default_factory=dict)
    pulls: list[tuple[str, Credential]] = field(default_factory=list)
    described: list[Credential] = field(default_factory=list)
    on_login: Callable[[Deadline], None] = lambda _: None
    _tokens: dict[Credential, TokenHeaders] = field(default_factory=dict)
    _hidden: set[tuple[str, Credential]] = field(default_factory=set)
    _broken: LoginAnswer | None = None

    @property
    def registry(self) -> "FakeRegistry":
        return self

    def issue(self, credential: Credential, *, scopes: str | None = None, expiration: str | None = None) -> None:
        self._tokens[credential] = TokenHeaders(scopes=scopes, expiration=expiration)

    def revoke(self, credential: Credential) -> None:
        del self._tokens[credential]

    def overload(self, code: int) -> None:
        self._broken = LoginAnswer(code=code)

    def cut_off(self) -> None:
        self._broken = LoginAnswer(failure=ConnectionFailure(fault=ConnectionFault.CONNECTION))

    def recover(self) -> None:
        """End what `overload` and `cut_off` began."""
        self._broken = None

    def login(self, host: str, credential: Credential, deadline: Deadline) -> LoginAnswer:
        if not deadline.remaining():
            return LoginAnswer(failure=ConnectionFailure(fault=ConnectionFault.TIMEOUT))
        self.logins.append((host, credential))
        self.on_login(deadline)
        known = LoginAnswer(code=200 if credential in self._tokens else 403)
        return self._broken or self.answers.get(host) or known

    def hide(self, repository: str, credential: Credential) -> None:
        self._hidden.add((repository, credential))

    def show(self, repository: str, credential: Credential) -> None:
        self._hidden.discard((repository, credential))

    def pull(self, image: ImageReference, credential: Credential, deadline: Deadline) -> LoginAnswer:
        if not deadline.remaining():
            return LoginAnswer(failure=ConnectionFailure(fault=ConnectionFault.TIMEOUT))
        self.pulls.append((image.repository, credential))
        allowed = credential in self._tokens and (image.repository, credential) not in self._hidden
        return self._broken or self.manifests.get(image.repository) or LoginAnswer(code=200 if allowed else 403)

    def token_headers(self, credential: Credential, deadline: Deadline) -> TokenHeaders:
        if not deadline.remaining():
            return TokenHeaders(failure=ConnectionFailure(fault=ConnectionFault.TIMEOUT))
        if self._broken:
            return TokenHeaders(failure=self._broken.failure)
        self.described.append(credential)
        return self._tokens.get(credential, TokenHeaders())


END = datetime(2026, 11, 30, 10, tzinfo=UTC)


def keyring(**auths: str) -> Keyring:
    entries = {registry: {"username": "u", "password": password} for registry, password in auths.items()}
    return Keyring.from_secret(DOCKER_CONFIG_JSON, json.dumps({"auths": entries}).encode())
