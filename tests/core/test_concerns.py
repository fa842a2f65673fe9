"""What is doubtful in a central secret that can be used."""

import json
from typing import Any

import pytest

from tests.objects import CANARY
from webhook.core.concerns import MAX_CONCERNS, Concern, ConcernKind, concerns, text
from webhook.core.keyring import DOCKER_CONFIG_JSON, Keyring
from webhook.core.patterns import ImagePatterns


def found(auths: dict[str, Any], *include: str) -> list[tuple[str, str]]:
    keyring = Keyring.from_secret(DOCKER_CONFIG_JSON, json.dumps({"auths": auths}).encode())
    return [
        (each.kind.value, each.entry) for each in concerns(keyring, ImagePatterns(include=include or ("ghcr.io/*",)))
    ]


def entry(token: str = CANARY) -> dict[str, str]:
    return {"username": "robot", "password": token}


@pytest.mark.parametrize(
    ("registry", "pattern", "kind"),
    [
        ("ghcr.io", "ghcr.io/*", ""),
        ("ghcr.io", "ghcr.io/my-org/*", "host_wide"),
        ("ghcr.io/", "ghcr.io/my-org/*", "host_wide"),
        ("https://ghcr.io", "ghcr.io/my-org/app", "host_wide"),
        ("*.io", "ghcr.io/*", "host_wide"),
        ("*.pkg.dev", "*.pkg.dev/*", ""),
        ("quay.io", "ghcr.io/my-org/*", ""),
        ("ghcr.io/my-org/", "ghcr.io/my-org/*", ""),
        ("ghcr.io/my-org", "ghcr.io/my-org/*", "no_closing_slash"),
        ("ghcr.io/my-org", "ghcr.io/*", "no_closing_slash"),
        ("ghcr.io/v2/my-org", "ghcr.io/*", "no_closing_slash"),
        ("ghcr.io/my-org/app", "ghcr.io/my-org/*", "no_closing_slash"),
        ("ghcr.io/my-org/app", "ghcr.io/my-org/app", ""),
        ("ghcr.io/other", "ghcr.io/my-org/*", ""),
    ],
)
def test_an_entry_wider_than_it_looks_is_named(registry: str, pattern: str, kind: str) -> None:
    assert [name for name, _ in found({registry: entry()}, pattern)] == ([kind] if kind else [])


def test_the_entry_is_named_as_it_is_compared() -> None:
    assert found({"https://ghcr.io/v2/org-a": entry()}) == [("no_closing_slash", "ghcr.io/org-a")]


@pytest.mark.parametrize("token", [f" {CANARY}", f"{CANARY}\n", f"{CANARY}\r\n", f"\t{CANARY}", "\u00a0github_pat_x"])
def test_a_github_token_with_white_space_at_its_ends_is_named(token: str) -> None:
    assert found({"ghcr.io": entry(token)}) == [("token_white_space", "ghcr.io")]
    assert found({"r.example.com": entry(token)}, "r.example.com/*") == [("token_white_space", "r.example.com")]


def test_a_password_of_another_registry_may_have_any_ends() -> None:
    assert found({"r.example.com": entry(" secret ")}, "r.example.com/*") == []
    assert found({"ghcr.io": entry("0123456789abcdef ")}) == [("token_white_space", "ghcr.io")]
    assert found({"ghcr.io": entry("ghp_with space")}) == []


@pytest.mark.parametrize("misplaced", [CANARY, f"ghcr.io/{CANARY}", f"{CANARY}.io/x", f"ghcr.io/my-org/{CANARY}"])
def test_a_token_in_the_place_of_a_registry_is_not_shown(misplaced: str) -> None:
    assert found({misplaced: entry()}, "ghcr.io/*", "*.io/*", "*.*/*") == []


def test_no_more_than_a_few_are_named_and_no_long_one() -> None:
    assert len(found({f"ghcr.io/org-{number}": entry() for number in range(50)})) == MAX_CONCERNS
    assert found({"ghcr.io/" + "a" * 300: entry()}) == []


@pytest.mark.parametrize("kind", ConcernKind)
def test_each_concern_has_a_text_that_says_what_to_write(kind: ConcernKind) -> None:
    said = text(Concern(kind=kind, entry="ghcr.io/org-a"))
    assert said.startswith("the ")
    assert "ghcr.io/org-a" in said
    assert "write" in said
