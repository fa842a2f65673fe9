"""The next step for a namespace's copy, and what a copy looks like."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, payload, secret
from webhook.core import copies
from webhook.core.copies import Create, Delete, Leave, LeaveReason, Place, Replace, Secret, Step, Update
from webhook.core.names import (
    ADOPT_ANNOTATION,
    COVERS_ANNOTATION,
    MANAGED_BY_LABEL,
    PATTERNS_ANNOTATION,
    SOURCE_ANNOTATION,
)
from webhook.core.ownership import is_ours
from webhook.core.patterns import ImagePatterns
from webhook.core.vocabulary import CentralFault

CENTRAL = secret()
GOOD = copies.desired("auth", CENTRAL, RULES.patterns)
ROTATED = secret(payload=payload(token="new"))


def plan(central: Secret | None, existing: Secret | None, repositories: tuple[str, ...] = (), **place: Any) -> Step:
    where = Place(namespace="auth", release_namespace=RELEASE_NAMESPACE, **place)
    return copies.plan(where, central, existing, RULES.patterns, repositories)


def changed(**changes: Any) -> Secret:
    return dataclasses.replace(GOOD, **changes)


def test_an_absent_copy_is_created_with_nothing_of_the_source_but_its_credentials() -> None:
    source = secret(marks={ADOPT_ANNOTATION: "true"}, extra_keys=True, uid="u", resource_version="7", immutable=True)
    step = plan(source, None)
    assert isinstance(step, Create)
    assert step.copy == Secret(
        namespace="auth",
        payload=CENTRAL.payload,
        marks={
            "app.kubernetes.io/managed-by": "ghcr-pull-secrets",
            "ghcr-pull-secrets.io/source": "ghcr-pull-secrets/ghcr-secret",
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            "argocd.argoproj.io/sync-options": "Prune=false",
            "ghcr-pull-secrets.io/covers": "all",
            "ghcr-pull-secrets.io/covers-patterns": RULES.patterns.digest,
        },
        written_by_us=True,
    )


def test_a_copy_that_is_as_it_should_be_is_left() -> None:
    assert plan(CENTRAL, changed(uid="u", resource_version="9")) == Leave(reason=LeaveReason.CURRENT)


@pytest.mark.parametrize(
    "existing",
    [
        changed(payload=payload(token="old")),
        changed(payload=None),
        changed(extra_keys=True),
        changed(marks={MANAGED_BY_LABEL: "ghcr-pull-secrets"}),
        changed(marks={**GOOD.marks, "argocd.argoproj.io/sync-options": "Prune=true"}),
    ],
    ids=["payload", "no payload", "another key", "annotations stripped", "another Argo CD option"],
)
def test_a_copy_that_differs_is_updated_where_it_stands(existing: Secret) -> None:
    step = plan(CENTRAL, dataclasses.replace(existing, uid="u", resource_version="9"))
    assert isinstance(step, Update)
    assert not step.adopts
    assert step.copy == changed(uid="u", resource_version="9")


NARROW = secret(payload=payload(registry="ghcr.io/sesacthon/"))
UNCOVERING = {key: value for key, value in GOOD.marks.items() if not key.startswith("ghcr-pull-secrets.io/covers")}


def test_only_a_copy_that_covers_every_selected_image_is_marked_so_and_the_mark_goes_with_the_credentials() -> None:
    assert copies.desired("auth", NARROW, RULES.patterns).marks == UNCOVERING
    assert (
        copies.desired("auth", NARROW, ImagePatterns(include=("ghcr.io/sesacthon/*",))).marks.keys()
        == GOOD.marks.keys()
    )
    narrowed = plan(NARROW, GOOD)
    assert isinstance(narrowed, Update)
    assert (narrowed.copy.payload, narrowed.copy.marks) == (NARROW.payload, UNCOVERING)
    widened = plan(CENTRAL, narrowed.copy)
    assert isinstance(widened, Update)
    assert widened.copy.marks == GOOD.marks


@pytest.mark.parametrize(
    ("central", "marks"),
    [
        (CENTRAL, UNCOVERING),
        (CENTRAL, {**GOOD.marks, COVERS_ANNOTATION: "some"}),
        (CENTRAL, {**GOOD.marks, PATTERNS_ANNOTATION: "0" * 16}),
        (NARROW, GOOD.marks),
        (NARROW, {**UNCOVERING, PATTERNS_ANNOTATION: RULES.patterns.digest}),
    ],
    ids=["taken off", "another value", "for other patterns", "put on a narrow one", "half of it"],
)
def test_a_mark_that_is_not_true_is_put_right(central: Secret, marks: dict[str, str]) -> None:
    step = plan(central, changed(payload=central.payload, marks=marks))
    assert isinstance(step, Update)
    assert step.copy.marks == copies.desired("auth", central, RULES.patterns).marks
    assert plan(central, step.copy) == Leave(reason=LeaveReason.CURRENT)


def test_patterns_are_told_apart_by_their_digest() -> None:
    lists: list[dict[str, tuple[str, ...]]] = [
        {"include": ("ghcr.io/a",)},
        {"include": ("ghcr.io/a", "ghcr.io/b")},
        {"include": ("ghcr.io/b", "ghcr.io/a")},
        {"include": ("ghcr.io/a",), "exclude": ("ghcr.io/b",)},
    ]
    digests = {ImagePatterns(**each).digest for each in lists}
    assert len(digests) == len(lists)
    assert {len(digest) for digest in digests} == {16}


def test_what_an_update_leads_to_needs_no_further_step() -> None:
    step = plan(ROTATED, changed(marks={**GOOD.marks, ADOPT_ANNOTATION: "true"}, extra_keys=True))
    assert isinstance(step, Update)
    assert plan(ROTATED, step.copy) == Leave(reason=LeaveReason.CURRENT)


@pytest.mark.parametrize(
    "existing",
    [
        changed(type="Opaque", payload=None),
        changed(type="kubernetes.io/dockercfg"),
        changed(payload=b"{}", immutable=True),
    ],
)
def test_what_cannot_be_changed_is_deleted_to_be_recreated(existing: Secret) -> None:
    assert plan(CENTRAL, existing) == Replace(existing=existing)


def test_an_immutable_copy_that_is_right_is_left() -> None:
    assert plan(CENTRAL, changed(immutable=True)) == Leave(reason=LeaveReason.CURRENT)


@pytest.mark.parametrize("opted_out", [False, True])
def test_what_somebody_applied_is_left_alone(opted_out: bool) -> None:
    existing = changed(given_away=True, payload=b"{}")
    assert plan(CENTRAL, existing, opted_out=opted_out) == Leave(reason=LeaveReason.FOREIGN)


def test_a_copy_of_another_release_is_left_alone_whatever_is_in_it_until_its_adoption_is_asked_for() -> None:
    existing = changed(marks={**GOOD.marks, SOURCE_ANNOTATION: "elsewhere/ghcr-secret"})
    for other in (existing, dataclasses.replace(existing, payload=b"{}")):
        assert plan(CENTRAL, other) == Leave(reason=LeaveReason.OTHER_RELEASE)
        assert plan(None, other) == Leave(reason=LeaveReason.OTHER_RELEASE)
        assert plan(CENTRAL, other, opted_out=True) == Leave(reason=LeaveReason.FOREIGN)
    asked = dataclasses.replace(existing, marks={**existing.marks, ADOPT_ANNOTATION: "true"})
    step = plan(CENTRAL, asked)
    assert isinstance(step, Update)
    assert step.adopts
    assert step.copy.marks == {**GOOD.marks, ADOPT_ANNOTATION: "ghcr-pull-secrets/ghcr-secret"}
    assert plan(CENTRAL, step.copy) == Leave(reason=LeaveReason.CURRENT)


def test_adoption_of_what_somebody_applied_leads_to_nothing_further() -> None:
    applied = Secret(namespace="auth", payload=b"{}", given_away=True, marks={ADOPT_ANNOTATION: "true"})
    step = plan(CENTRAL, applied)
    assert isinstance(step, Update)
    assert step.copy.given_away
    assert plan(CENTRAL, step.copy) == Leave(reason=LeaveReason.CURRENT)


def test_a_copy_carried_into_a_namespace_that_opted_out_is_not_ours_to_delete() -> None:
    for carried in (changed(written_by_us=False), changed(marks={MANAGED_BY_LABEL: "ghcr-pull-secrets"})):
        assert plan(CENTRAL, carried, opted_out=True) == Leave(reason=LeaveReason.FOREIGN)


@pytest.mark.parametrize(
    "existing",
    [
        secret("auth"),
        secret("auth", marks={MANAGED_BY_LABEL: "Helm"}),
        changed(owned=True),
        changed(owned=True, payload=b"{}"),
        secret("auth", marks={ADOPT_ANNOTATION: "true"}, owned=True),
        secret("auth", marks={ADOPT_ANNOTATION: "yes"}),
    ],
    ids=[
        "by hand",
        "by Helm",
        "taken over",
        "taken over and other",
        "owned, adoption asked",
        "adoption not quite asked",
    ],
)
@pytest.mark.parametrize("opted_out", [False, True])
def test_a_foreign_secret_is_left_alone(existing: Secret, opted_out: bool) -> None:
    assert plan(CENTRAL, existing, opted_out=opted_out) == Leave(reason=LeaveReason.FOREIGN)


def test_a_foreign_secret_is_adopted_when_its_annotation_asks_for_it() -> None:
    foreign = secret("auth", marks={ADOPT_ANNOTATION: "true"}, payload=b"{}", resource_version="3")
    step = plan(CENTRAL, foreign)
    assert isinstance(step, Update)
    assert (step.adopts, step.copy.resource_version) == (True, "3")
    assert is_ours(step.copy, RELEASE_NAMESPACE)
    assert step.copy.payload == CENTRAL.payload
    assert isinstance(plan(CENTRAL, dataclasses.replace(foreign, type="Opaque")), Replace)
    assert plan(CENTRAL, foreign, opted_out=True) == Leave(reason=LeaveReason.FOREIGN)


def test_a_copy_in_a_namespace_that_opted_out_goes() -> None:
    assert plan(CENTRAL, GOOD, opted_out=True) == Delete(copy=GOOD)
    assert plan(None, GOOD, opted_out=True) == Delete(copy=GOOD)
    assert plan(CENTRAL, None, opted_out=True) == Leave(reason=LeaveReason.OPTED_OUT)


def test_nothing_is_done_in_a_terminating_namespace() -> None:
    for existing in (None, GOOD, changed(payload=b"{}")):
        assert plan(CENTRAL, existing, terminating=True) == Leave(reason=LeaveReason.NAMESPACE_TERMINATING)


def test_a_copy_that_is_being_deleted_is_waited_for() -> None:
    assert plan(CENTRAL, changed(deleting=True)) == Leave(reason=LeaveReason.DELETING)


def test_no_copy_is_made_where_nothing_uses_one_but_an_existing_one_is_kept_right() -> None:
    assert plan(CENTRAL, None, wanted=False) == Leave(reason=LeaveReason.NOT_WANTED)
    assert isinstance(plan(CENTRAL, changed(payload=b"{}"), wanted=False), Update)


@pytest.mark.parametrize(
    ("existing", "reason"),
    [
        (None, LeaveReason.ABSENT),
        (secret(), LeaveReason.CENTRAL),
        (changed(namespace=RELEASE_NAMESPACE), LeaveReason.CENTRAL),
        (secret("auth"), LeaveReason.FOREIGN),
        (changed(owned=True), LeaveReason.OWNED),
        (changed(owned=True, deleting=True), LeaveReason.OWNED),
        (changed(given_away=True), LeaveReason.GIVEN_AWAY),
        (changed(marks={**GOOD.marks, SOURCE_ANNOTATION: "elsewhere/ghcr-secret"}), LeaveReason.OTHER_RELEASE),
        (changed(deleting=True), LeaveReason.DELETING),
    ],
    ids=str,
)
def test_what_is_no_copy_of_ours_is_not_removed_with_them(existing: Secret | None, reason: LeaveReason) -> None:
    assert copies.plan_removal(existing, RELEASE_NAMESPACE) == Leave(reason=reason)


def test_every_copy_of_ours_is_removed_as_it_was_read() -> None:
    for ours in (GOOD, changed(written_by_us=False), changed(type="Opaque", payload=None)):
        assert copies.plan_removal(ours, RELEASE_NAMESPACE) == Delete(copy=ours)


DATA = Path(__file__).parents[1] / "data" / "field"
ONE_HALF_FILLED = json.dumps(
    {
        "auths": {
            "ghcr.io/full/": {"username": "robot", "password": CANARY},
            "ghcr.io/half/": {"username": "robot", "password": ""},
        }
    }
).encode()

UNUSABLE = [
    (secret(type="Opaque", payload=None), (), CentralFault.WRONG_TYPE),
    (secret(type="kubernetes.io/dockercfg", payload=b'{"ghcr.io": {"auth": "dTpw"}}'), (), CentralFault.WRONG_TYPE),
    (secret(payload=b"{"), (), CentralFault.MALFORMED),
    (secret(payload=b'{"auths": "x"}'), (), CentralFault.MALFORMED),
    (secret(payload=b"{}"), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=None), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=b'{"auths": {"ghcr.io": {}}}'), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=b'{"auths": {"ghcr.io": {}}}'), ("ghcr.io/a/b",), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=payload(registry="quay.io")), ("ghcr.io/a/b",), CentralFault.NO_ENTRY_FOR_IMAGE),
    (secret(), ("GHCR.IO/a/b",), CentralFault.NO_ENTRY_FOR_IMAGE),
    (secret(payload=payload(registry="quay.io")), (), CentralFault.NO_ENTRY_FOR_IMAGE),
    (secret(payload=payload(registry="ghcr.io:5000")), (), CentralFault.NO_ENTRY_FOR_IMAGE),
    (secret(payload=payload(token="")), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=payload(user="")), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=(DATA / "F05-empty-token.json").read_bytes()), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=(DATA / "F08-identity-token.json").read_bytes()), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=ONE_HALF_FILLED), (), CentralFault.EMPTY_CREDENTIAL),
    (secret(payload=ONE_HALF_FILLED), ("ghcr.io/full/app",), CentralFault.EMPTY_CREDENTIAL),
]


@pytest.mark.parametrize(("central", "repositories", "fault"), UNUSABLE)
@pytest.mark.parametrize("existing", [None, changed(payload=b"{}"), GOOD])
def test_an_unusable_central_secret_is_not_spread_and_the_last_good_copy_stays(
    central: Secret, repositories: tuple[str, ...], fault: CentralFault, existing: Secret | None
) -> None:
    assert plan(central, existing, repositories) == Leave(reason=LeaveReason.CENTRAL_UNUSABLE, fault=fault)


def test_a_missing_central_secret_leaves_the_copies_alone() -> None:
    assert plan(None, GOOD) == Leave(reason=LeaveReason.CENTRAL_MISSING)
    assert plan(None, None) == Leave(reason=LeaveReason.CENTRAL_MISSING)


def test_a_central_secret_is_good_if_it_covers_one_of_the_repositories() -> None:
    assert copies.central_fault(CENTRAL, RULES.patterns, ("ghcr.io/a/b", "quay.io/x/y")) is None


def test_a_central_secret_is_good_though_an_entry_for_what_is_not_selected_is_half_filled() -> None:
    entries = {"ghcr.io": {"username": "robot", "password": CANARY}, "quay.io": {"username": "robot"}}
    central = secret(payload=json.dumps({"auths": entries}).encode())
    assert copies.central_fault(central, RULES.patterns) is None


def test_a_central_secret_is_good_if_it_has_a_credential_for_one_pattern_of_several() -> None:
    patterns = ImagePatterns(include=("ghcr.io/org-a/*", "ghcr.io/org-b/*", "quay.io/*"))
    for registry in ("ghcr.io/org-b/", "quay.io", "ghcr.io"):
        assert copies.central_fault(secret(payload=payload(registry=registry)), patterns) is None
    for registry in ("ghcr.io/org-c/", "r.example.com"):
        fault = copies.central_fault(secret(payload=payload(registry=registry)), patterns)
        assert fault is CentralFault.NO_ENTRY_FOR_IMAGE


@pytest.mark.parametrize("registry", ["GHCR.IO", "Ghcr.io/sesacthon/", "ghcr.io:443"])
def test_a_central_secret_for_a_host_that_nobody_writes_so_is_not_spread_over_good_copies(registry: str) -> None:
    odd = secret(payload=payload(registry=registry))
    assert copies.central_fault(odd, RULES.patterns) is CentralFault.NO_ENTRY_FOR_IMAGE
    assert plan(odd, GOOD) == Leave(reason=LeaveReason.CENTRAL_UNUSABLE, fault=CentralFault.NO_ENTRY_FOR_IMAGE)
    entries = {name: {"username": "robot", "password": CANARY} for name in (registry, "ghcr.io")}
    both = secret(payload=json.dumps({"auths": entries}).encode())
    assert copies.central_fault(both, RULES.patterns) is None


def test_without_patterns_any_credential_makes_a_central_secret_good() -> None:
    nothing = ImagePatterns(include=())
    assert copies.central_fault(CENTRAL, nothing) is None
    assert copies.central_fault(secret(payload=b"{}"), nothing) is CentralFault.EMPTY_CREDENTIAL


def test_no_credential_is_shown() -> None:
    step = plan(CENTRAL, None)
    assert CANARY not in repr(step) + repr(CENTRAL) + str(CENTRAL)
