"""The chaos run, shorter than by hand, and what it rests on: its schedule and its judge.

`CHAOS_SECONDS` and `CHAOS_SEED` set length and seed; `python -m tests.e2e.machinery.chaos` runs it with a longer story.
"""

from __future__ import annotations

import base64
import copy
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.machinery.chaos import run
from tests.e2e.machinery.chaos_judge import Expected, Observed, differences
from tests.e2e.machinery.chaos_schedule import Kind, schedule
from tests.objects import payload

SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
CENTRAL = payload()
STALE = payload(token="stale")
ALWAYS = frozenset({Kind.RESTART_API, Kind.ROTATE})
"""What finds something to act on at least once in half a minute, on either control plane; there may be no leader to kill."""


# Beyond the run: setting up, a minute to converge, taking away, all of it on a busy machine.
@pytest.mark.timeout(SECONDS + 240)
def test_after_chaos_every_copy_equals_the_central_secret_and_nothing_foreign_was_touched() -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"seed {seed}")
    report = run(seed=seed, seconds=SECONDS, say=print)
    print(report)
    assert report.converged_s is not None, str(report)
    assert not report.faults, str(report)
    if SECONDS >= 30:
        assert {kind for kind in ALWAYS if not report.done.get(kind)} == set()
        # One of these may meet a copy that another has just taken away; not all of them.
        assert report.done.get(Kind.DELETE_COPY) or report.done.get(Kind.EDIT_COPY)


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_replays_its_schedule_and_half_a_minute_has_every_kind(seed: int) -> None:
    actions = schedule(seed, 30)
    assert actions == schedule(seed, 30)
    assert actions != schedule(seed + 1, 30)
    assert {action.kind for action in actions} == set(Kind)
    times = [action.at_s for action in actions]
    assert times == sorted(times)
    assert times[-1] < 30


def test_a_longer_run_of_a_seed_begins_as_a_shorter_one() -> None:
    short = schedule(7, 30)
    assert schedule(7, 180)[: len(short)] == short


def a_copy(namespace: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "ghcr-secret",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "ghcr-pull-secrets"},
            "annotations": {
                "ghcr-pull-secrets.io/source": "ghcr-pull-secrets/ghcr-secret",
                "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
                "argocd.argoproj.io/sync-options": "Prune=false",
            },
        },
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(CENTRAL).decode()},
    }


def a_namespace(name: str, *, inject: str = "", phase: str = "Active") -> dict[str, Any]:
    labels = {"ghcr-pull-secrets.io/inject": inject} if inject else {}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}


def a_pod(namespace: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace}, "spec": {"imagePullSecrets": [{"name": "ghcr-secret"}]}}


EXPECTED = Expected(central=CENTRAL, foreign={"theirs": "as it was"}, excluded={"excluded"})


def judged(
    *, namespaces: list[dict[str, Any]], secrets: list[dict[str, Any]], theirs: str = "as it was"
) -> tuple[str, ...]:
    return differences(
        EXPECTED,
        Observed(namespaces=namespaces, secrets=secrets, pods=[a_pod("auth")], foreign={"theirs": theirs}),
    )


def test_the_judge_finds_nothing_where_all_is_well() -> None:
    namespaces = [
        a_namespace("auth"),
        a_namespace("idle"),
        a_namespace("out", inject="false"),
        a_namespace("excluded"),
        a_namespace("theirs"),
        a_namespace("going", phase="Terminating"),
        a_namespace("ghcr-pull-secrets"),
    ]
    foreign = {**a_copy("theirs"), "type": "Opaque"}
    assert judged(namespaces=namespaces, secrets=[a_copy("auth"), foreign]) == ()


def test_the_judge_misses_a_copy_that_pods_wait_for() -> None:
    assert judged(namespaces=[a_namespace("auth")], secrets=[]) == ("auth: no copy, and Pods that wait for one",)


def test_the_judge_sees_a_foreign_secret_that_was_touched_or_removed() -> None:
    for after in ("as it became", ""):
        found = judged(namespaces=[a_namespace("theirs")], secrets=[], theirs=after)
        assert found == ("theirs: the foreign secret was touched",)


@pytest.mark.parametrize("why", ["opted out", "excluded"])
def test_the_judge_sees_a_copy_where_none_may_be(why: str) -> None:
    name = why.partition(" ")[0]
    namespaces = [a_namespace(name, inject="false" if why == "opted out" else "")]
    found = judged(namespaces=namespaces, secrets=[a_copy(name)])
    assert found == (f"{name}: a copy in a namespace that is {why}",)


def _stale(secret: dict[str, Any]) -> None:
    secret["data"][".dockerconfigjson"] = base64.b64encode(STALE).decode()


def _retyped(secret: dict[str, Any]) -> None:
    secret["type"] = "Opaque"


def _with_another_key(secret: dict[str, Any]) -> None:
    secret["data"]["more"] = "eA=="


def _disowned(secret: dict[str, Any]) -> None:
    secret["metadata"]["labels"] = {}


def _without_annotations(secret: dict[str, Any]) -> None:
    del secret["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_stale, "the copy is not equal to the central secret"),
        (_retyped, "the copy has a wrong type"),
        (_with_another_key, "the copy has other keys"),
        (_disowned, "the copy is not marked as ours"),
        (_without_annotations, "the copy lacks annotations"),
    ],
)
def test_the_judge_names_what_is_wrong_with_a_copy_and_never_its_content(
    damage: Callable[[dict[str, Any]], None], told: str
) -> None:
    secret = copy.deepcopy(a_copy("auth"))
    damage(secret)
    assert judged(namespaces=[a_namespace("auth")], secrets=[secret]) == (f"auth: {told}",)
