"""The contract of `webhook.ports.Registry`."""

from typing import Protocol

import pytest

from tests.objects import CANARY
from webhook.core.images import parse
from webhook.core.keyring import Credential
from webhook.failures import ConnectionFailure, ConnectionFault
from webhook.ports import Deadline, LoginAnswer, Registry, TokenHeaders

GOOD = Credential(username="robot", password=CANARY)
WRONG = Credential(username="robot", password=CANARY.replace("42", "43"))
UNTIL = "2026-11-30 10:00:00 UTC"


class RegistryWorld(Protocol):
    """Registries and an API that know the tokens they were told of."""

    @property
    def registry(self) -> Registry:
        """What is tested."""
        ...

    def issue(self, credential: Credential, *, scopes: str | None = None, expiration: str | None = None) -> None:
        """Let ghcr.io and the API accept a credential from now on."""
        ...

    def revoke(self, credential: Credential) -> None:
        """Let nobody accept it any more."""
        ...

    def hide(self, repository: str, credential: Credential) -> None:
        """Let a credential not read that repository from now on."""
        ...

    def overload(self, code: int) -> None:
        """Let ghcr.io and the API answer everything with this from now on."""
        ...

    def cut_off(self) -> None:
        """Let nothing be reached from now on."""
        ...


IMAGE = parse("ghcr.io/sesacthon/auth-api:latest")
LATE = ConnectionFailure(fault=ConnectionFault.TIMEOUT)


class RegistryContract:
    """Every implementation passes these, given a fixture `world`."""

    def test_a_good_credential_is_accepted_until_it_is_revoked(self, world: RegistryWorld) -> None:
        world.issue(GOOD)
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(10)) == LoginAnswer(code=200)
        world.revoke(GOOD)
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(10)) == LoginAnswer(code=403)

    def test_user_and_password_both_count(self, world: RegistryWorld) -> None:
        world.issue(GOOD)
        for wrong in (WRONG, Credential(username="", password=CANARY), Credential(username="robot", password="")):
            assert world.registry.login("ghcr.io", wrong, Deadline.after(10)) == LoginAnswer(code=403)

    @pytest.mark.parametrize("code", [429, 500, 502, 503])
    def test_an_overloaded_registry_is_no_word_on_the_credential(self, world: RegistryWorld, code: int) -> None:
        world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
        world.overload(code)
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(10)) == LoginAnswer(code=code)
        assert world.registry.token_headers(GOOD, Deadline.after(10)) == TokenHeaders()

    def test_what_cannot_be_reached_is_a_fault_and_no_error(self, world: RegistryWorld) -> None:
        world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
        world.cut_off()
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(10)).failure is not None
        told = world.registry.token_headers(GOOD, Deadline.after(10))
        assert told.failure is not None
        assert told == TokenHeaders(failure=told.failure)

    def test_past_the_deadline_nobody_is_asked(self, world: RegistryWorld) -> None:
        world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(0)) == LoginAnswer(failure=LATE)
        assert world.registry.token_headers(GOOD, Deadline.after(0)) == TokenHeaders(failure=LATE)

    def test_an_image_can_be_pulled_by_who_may_read_it(self, world: RegistryWorld) -> None:
        world.issue(GOOD)
        assert world.registry.pull(IMAGE, GOOD, Deadline.after(10)) == LoginAnswer(code=200)
        assert world.registry.pull(IMAGE, WRONG, Deadline.after(10)) == LoginAnswer(code=403)
        world.hide(IMAGE.repository, GOOD)
        assert world.registry.pull(IMAGE, GOOD, Deadline.after(10)) == LoginAnswer(code=403)
        assert world.registry.login("ghcr.io", GOOD, Deadline.after(10)) == LoginAnswer(code=200)

    def test_a_pull_ends_without_an_answer_as_a_login_does(self, world: RegistryWorld) -> None:
        world.issue(GOOD)
        assert world.registry.pull(IMAGE, GOOD, Deadline.after(0)) == LoginAnswer(failure=LATE)
        world.overload(503)
        assert world.registry.pull(IMAGE, GOOD, Deadline.after(10)) == LoginAnswer(code=503)
        world.cut_off()
        assert world.registry.pull(IMAGE, GOOD, Deadline.after(10)).failure is not None

    @pytest.mark.parametrize(
        ("scopes", "expiration"),
        [("read:packages, repo", UNTIL), ("", None), (None, UNTIL), (None, None)],
        ids=["classic, expires", "classic without scopes, for ever", "fine-grained, expires", "neither"],
    )
    def test_the_api_tells_scopes_and_end_as_they_are_or_not_at_all(
        self, world: RegistryWorld, scopes: str | None, expiration: str | None
    ) -> None:
        world.issue(GOOD, scopes=scopes, expiration=expiration)
        told = world.registry.token_headers(GOOD, Deadline.after(10))
        assert told == TokenHeaders(scopes=scopes, expiration=expiration)

    def test_the_api_tells_nothing_of_a_token_it_does_not_accept(self, world: RegistryWorld) -> None:
        world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
        assert world.registry.token_headers(WRONG, Deadline.after(10)) == TokenHeaders()
