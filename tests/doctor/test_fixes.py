"""Which findings `--fix` offers to fix, and that what it offers is harmless."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.doctor.builders import NOW, RELEASE, condition, copy, evidence, namespace, source
from tests.objects import RULES, payload, secret
from webhook.doctor import chain_credential, run
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.fixes import Fix, ForceSync, MakeCopy, ReplacePods, Restart, harmless
from webhook.doctor.model import Diagnosis, PodGroup


def group(cause: str, **changes: Any) -> PodGroup:
    made = PodGroup(namespace="my", owner_kind="Deployment", owner_name="my-api", pods=1, since=NOW, cause=cause)
    return replace(made, **changes)


def fixes(read: Evidence, *groups: PodGroup) -> tuple[Fix, ...]:
    stations = run.judge(read, chain_credential.NOT_ASKED)
    return harmless(read, Diagnosis(stations=stations, groups=groups))


def test_where_nothing_is_wrong_nothing_is_offered() -> None:
    assert fixes(evidence()) == ()


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (condition("False", "SecretSyncedError", "x"), True),
        (condition("True") | {"refreshTime": NOW.replace(year=2025)}, True),
        (None, False),
        (condition("True"), False),
    ],
)
def test_an_external_secret_that_failed_is_read_again(status: Any, offered: bool) -> None:
    sync = ForceSync(namespace="ghcr-pull-secrets", name="ghcr-secret", api="/apis/external-secrets.io/v1")

    assert fixes(evidence(source=source(status))) == ((sync,) if offered else ())
    assert f"{sync}" == "have ExternalSecret ghcr-pull-secrets/ghcr-secret read again (annotation force-sync)"


def test_a_missing_copy_is_made_once_and_is_what_the_webhook_would_make() -> None:
    read = evidence(secrets=(copy("auth"),))
    (made,) = fixes(read, group("secret_missing"), group("secret_missing", owner_name="other"))

    assert made == MakeCopy(copy=copy("my"))
    assert f"{made}" == "make Secret my/ghcr-secret from the central secret"


@pytest.mark.parametrize(
    "changes",
    [
        {"secrets": (copy("my"),)},
        {"secrets": (secret("my"),)},
        {"secrets": (), "central": None},
        {"secrets": (), "central": secret(payload=b"[]")},
        {"secrets": (), "central": Unread("x")},
        {"secrets": Unread("x")},
        {"secrets": (), "namespaces": (namespace("my", inject="false"),)},
        {"secrets": (), "namespaces": ()},
        {"secrets": (), "namespaces": Unread("x")},
        {"secrets": (), "release": replace(RELEASE, rules=replace(RULES, opt_in=True))},
    ],
)
def test_no_copy_is_made_where_the_webhook_would_make_none(changes: dict[str, Any]) -> None:
    assert fixes(evidence(**changes), group("secret_missing")) == ()


def test_an_owner_is_restarted_once_where_that_is_all_it_takes() -> None:
    twice = [group("not_listed", restart=True), group("back_off", restart=True)]

    assert fixes(evidence(), *twice) == (Restart(namespace="my", kind="Deployment", name="my-api"),)


@pytest.mark.parametrize("kind", ["ReplicaSet", "Rollout", "ReplicationController"])
def test_pods_that_are_made_again_are_deleted_where_there_is_no_roll_out(kind: str) -> None:
    pods = group("back_off", restart=True, owner_kind=kind, pods=3, replaced=("a", "b"))
    (made,) = fixes(evidence(), pods)

    assert made == ReplacePods(namespace="my", kind=kind, name="my-api", pods=("a", "b"), of=3)
    assert f"{made}" == f"delete 2 of 3 Pods of {kind} my/my-api, to be made again"
    assert f"{replace(made, of=2)}" == f"delete 2 Pods of {kind} my/my-api, to be made again"
    assert f"{replace(made, pods=('a',), of=1)}" == f"delete 1 Pod of {kind} my/my-api, to be made again"


def test_pods_of_what_is_rolled_out_are_not_deleted_besides() -> None:
    pods = group("back_off", restart=True, replaced=("a",))
    assert fixes(evidence(), pods) == (Restart(namespace="my", kind="Deployment", name="my-api"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"restart": False},
        {"restart": False, "owner_kind": "ReplicaSet", "replaced": ("a",)},
        {"restart": True, "owner_kind": "Job"},
        {"restart": True, "owner_kind": "Pod"},
        {"restart": True, "pulled": True},
        {"restart": True, "pulled": True, "owner_kind": "ReplicaSet", "replaced": ("a",)},
    ],
)
def test_no_other_owner_is_restarted(changes: dict[str, Any]) -> None:
    assert fixes(evidence(), group("not_listed", **changes)) == ()


def test_a_fix_shows_no_credential() -> None:
    assert payload().decode() not in f"{MakeCopy(copy=copy('my'))!r}"
    assert "CANARY" not in f"{MakeCopy(copy=copy('my'))!r}"
