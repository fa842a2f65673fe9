"""Whose a `ghcr-secret` is."""

from dataclasses import replace
from typing import Any

import pytest

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, secret
from webhook.core.copies import desired
from webhook.core.names import ADOPT_ANNOTATION, MANAGED_BY_LABEL, SOURCE_ANNOTATION
from webhook.core.ownership import Owner, Secret, adoptable, deletable, is_ours, not_ours, owner_of, source

COPY = desired("auth", secret(), RULES.patterns)
OWN, OTHER = source(RELEASE_NAMESPACE), "other-release/ghcr-secret"


def marked(**changes: str | None) -> dict[str, str]:
    """The marks of a copy, some changed or taken off."""
    keys = {"label": MANAGED_BY_LABEL, "source": SOURCE_ANNOTATION, "adopt": ADOPT_ANNOTATION}
    marks = {**COPY.marks, **{keys[name]: value for name, value in changes.items() if value is not None}}
    return {key: value for key, value in marks.items() if key not in {keys[n] for n, v in changes.items() if v is None}}


CASES: dict[str, tuple[dict[str, Any], Owner, bool, bool]] = {
    # what is different from a copy that we made, whose it is, may we adopt it, is it ours to delete
    "as we made it": ({}, Owner.OURS, False, True),
    "edited by hand": ({"payload": b"{}"}, Owner.OURS, False, True),
    "its source stripped": ({"marks": marked(source=None)}, Owner.OURS, False, False),
    "carried here by hand": ({"written_by_us": False}, Owner.OURS, False, False),
    "its label taken off": ({"marks": marked(label=None)}, Owner.FOREIGN, False, False),
    "managed by another tool": ({"marks": marked(label="Helm")}, Owner.FOREIGN, False, False),
    "with an owner": ({"owned": True}, Owner.OWNED, False, False),
    "with an owner, adoption asked": ({"owned": True, "marks": marked(adopt="true")}, Owner.OWNED, False, False),
    "applied by somebody": ({"given_away": True}, Owner.GIVEN_AWAY, False, False),
    "applied, adoption asked": ({"given_away": True, "marks": marked(adopt="true")}, Owner.GIVEN_AWAY, True, False),
    "applied, and adopted by us": ({"given_away": True, "marks": marked(adopt=OWN)}, Owner.OURS, True, True),
    "applied, and adopted by another release": (
        {"given_away": True, "marks": marked(adopt=OTHER)},
        Owner.GIVEN_AWAY,
        False,
        False,
    ),
    "of another release": ({"marks": marked(source=OTHER)}, Owner.OTHER_RELEASE, False, False),
    "of another release, adoption asked": (
        {"marks": marked(source=OTHER, adopt="true")},
        Owner.OTHER_RELEASE,
        True,
        False,
    ),
    "adopted by another release": ({"marks": marked(source=OTHER, adopt=OTHER)}, Owner.OTHER_RELEASE, False, False),
    "of another release, adoption by us asked": (
        {"marks": marked(source=OTHER, adopt=OWN)},
        Owner.OTHER_RELEASE,
        True,
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_whose_a_secret_is_and_what_we_may_do_with_it(case: str) -> None:
    changes, owner, may_adopt, may_delete = CASES[case]
    found = replace(COPY, **changes)
    assert owner_of(found, RELEASE_NAMESPACE) is owner
    assert is_ours(found, RELEASE_NAMESPACE) == (owner is Owner.OURS)
    assert adoptable(found, RELEASE_NAMESPACE) == may_adopt
    assert deletable(found, RELEASE_NAMESPACE) == may_delete


@pytest.mark.parametrize("value", ["false", "yes", "True", "", "auth"])
def test_only_the_documented_values_ask_for_adoption(value: str) -> None:
    assert not adoptable(Secret(namespace="auth", marks={ADOPT_ANNOTATION: value}), RELEASE_NAMESPACE)


def test_two_releases_do_not_take_a_copy_from_each_other() -> None:
    first, second = secret("release-a"), secret("release-b")
    asked = Secret(namespace="auth", marks={ADOPT_ANNOTATION: "true"}, given_away=True)
    assert adoptable(asked, "release-a")
    assert adoptable(asked, "release-b")
    for winner, loser in ((first, second), (second, first)):
        taken = desired("auth", winner, RULES.patterns, asked)
        assert is_ours(taken, winner.namespace)
        assert owner_of(taken, loser.namespace) is Owner.OTHER_RELEASE
        assert not adoptable(taken, loser.namespace)


def test_no_credential_is_shown() -> None:
    assert CANARY not in repr(secret()) + str(secret())


ADOPT = (
    "; to have a copy of the central secret in its place: kubectl annotate secret ghcr-secret --namespace auth "
    "ghcr-pull-secrets.io/adopt=true --overwrite"
)
LEFT = (
    "ghcr-secret belongs to {0} now and is left to it: no rotation reaches it; to have a copy of the central secret in "
    "its place, delete {0}"
)
TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "owned": ({"owned": True, "owner": "ExternalSecret ghcr-secret"}, LEFT.format("ExternalSecret ghcr-secret")),
    "owned by we do not know what": ({"owned": True}, LEFT.format("the object in its ownerReferences")),
    "label taken off": (
        {"marks": marked(label=None)},
        "ghcr-secret lost the label app.kubernetes.io/managed-by that makes it ours: it is left as it is, no rotation "
        "reaches it" + ADOPT,
    ),
    "applied": (
        {"given_away": True},
        "ghcr-secret was applied by somebody, and is theirs from now on: no rotation reaches it" + ADOPT,
    ),
    "of another release": (
        {"marks": marked(source="b\x1bad/ghcr-secret")},
        "ghcr-secret is a copy that another release keeps, of b?ad/ghcr-secret, and is left to it" + ADOPT,
    ),
    "ours": ({}, "ghcr-secret is ours"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_whose_a_secret_is_and_how_to_have_it_back_is_said(case: str) -> None:
    changes, expected = TEXTS[case]
    found = replace(COPY, **changes)
    assert not_ours(found, owner_of(found, RELEASE_NAMESPACE)) == expected
    if ADOPT in expected:
        # The command does what it says.
        asked = replace(found, marks={**found.marks, ADOPT_ANNOTATION: "true"})
        assert adoptable(asked, RELEASE_NAMESPACE)
