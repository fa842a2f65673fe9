"""A diagnosis as people and programs read it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from tests.doctor.builders import NOW, evidence
from webhook.doctor import chain_credential, rendering, run
from webhook.doctor.model import Counts, Diagnosis, PodGroup, Station, StationState
from webhook.doctor.run import exit_code

STATIONS = (
    Station(name="source", state=StationState.OK, text="ExternalSecret ghcr-pull-secrets/ghcr-secret reads the store"),
    Station(
        name="controller",
        state=StationState.FAULT,
        text="none leads",
        code="no_leader",
        remedy="see the controller's log",
        commands=("kubectl get lease x",),
    ),
)
NODES = Station(name="nodes", state=StationState.SKIPPED, text="not looked at: you may not list nodes")
RESTART = "kubectl rollout restart deployment/chat-api --namespace chat"
GROUPS = (
    PodGroup(
        namespace="legacy",
        owner_kind="StatefulSet",
        owner_name="queue",
        pods=3,
        since=NOW - timedelta(days=2),
        cause="malformed",
        detail="ghcr-secret belongs to ExternalSecret legacy/ghcr-secret",
        remedy="fix ExternalSecret legacy/ghcr-secret at its source",
    ),
    PodGroup(
        namespace="chat",
        owner_kind="Deployment",
        owner_name="chat-api",
        pods=4,
        since=NOW - timedelta(minutes=9),
        cause="not_listed",
        remedy="restart it",
        commands=(RESTART,),
        restart=True,
    ),
    PodGroup(
        namespace="info",
        owner_kind="Deployment",
        owner_name="info-api",
        pods=1,
        since=None,
        cause="pulled",
        detail="pulled: CrashLoopBackOff",
        pulled=True,
    ),
)
COUNTS = Counts(namespaces=7, pods=500, selected=412, unable=7)
BROKEN = Diagnosis(stations=STATIONS, groups=GROUPS, counts=COUNTS, skipped=(NODES,))
HEALTHY = Diagnosis(
    stations=STATIONS[:1], groups=GROUPS[2:], counts=Counts(namespaces=1, pods=2, selected=2), skipped=(NODES,)
)


def test_the_report_has_set_up_pods_and_remedies() -> None:
    assert rendering.as_text(BROKEN, NOW) == (
        "Set-up\n"
        "  ✓ source      ExternalSecret ghcr-pull-secrets/ghcr-secret reads the store\n"
        "  ✗ controller  none leads   no_leader\n"
        "  – nodes       not looked at: you may not list nodes\n"
        "\n"
        "Pods that cannot pull: 7 of 412 with selected images\n"
        "  NAMESPACE  OWNER                PODS  FOR  CAUSE\n"
        "✗ legacy     StatefulSet/queue       3  2d   malformed                   "
        "ghcr-secret belongs to ExternalSecret legacy/ghcr-secret\n"
        "✗ chat       Deployment/chat-api     4  9m   not_listed\n"
        "  info       Deployment/info-api     1  ?    (pulled: CrashLoopBackOff)\n"
        "\n"
        "Remedies\n"
        "  no_leader   see the controller's log\n"
        "              kubectl get lease x\n"
        "  malformed   fix ExternalSecret legacy/ghcr-secret at its source\n"
        "  not_listed  restart it\n"
        f"              {RESTART}\n"
        "\n"
        "1 station; 2 causes, 7 Pods; docs/doctor.md and docs/troubleshooting.md have a paragraph for each\n"
    )


def test_a_healthy_cluster_is_said_to_be_one_and_pods_that_crash_are_no_finding() -> None:
    shown = rendering.as_text(HEALTHY, NOW)

    assert shown.endswith("\n\nNothing to fix; 2 Pods with selected images looked at\n")
    assert "(pulled: CrashLoopBackOff)" in shown
    assert "Remedies" not in shown
    assert exit_code(HEALTHY) == 0
    assert exit_code(BROKEN) == 1


def test_what_several_have_in_common_is_said_once_with_all_their_commands() -> None:
    other = "kubectl rollout restart deployment/b --namespace chat"
    groups = (GROUPS[1], replace(GROUPS[1], owner_name="b", commands=(other,)))
    shown = rendering.as_text(Diagnosis(stations=STATIONS[:1], groups=groups, counts=COUNTS), NOW)

    assert shown.count("restart it") == 1
    assert f"restart it\n              {RESTART}\n              {other}\n" in shown


def test_a_long_remedy_is_broken_into_lines_and_its_commands_and_names_stay_whole() -> None:
    named = "the central secret ghcr-pull-secrets/ghcr-secret (docs/operations.md) " * 3
    command = "kubectl label namespace " + "x" * 100
    group = replace(GROUPS[1], remedy=named.strip(), commands=(command,))
    shown = rendering.as_text(Diagnosis(stations=STATIONS[:1], groups=(group,), counts=COUNTS), NOW)
    remedy = shown.partition("Remedies\n")[2].partition(command)[0]

    assert max(map(len, remedy.splitlines())) <= 96
    assert remedy.count("ghcr-pull-secrets/ghcr-secret") == 3
    assert f"              {command}\n" in shown


def test_verify_ticks_off_the_stations_in_the_order_of_a_credential() -> None:
    stations = run.judge(evidence(), chain_credential.NOT_ASKED)
    shown = rendering.verified(Diagnosis(stations=stations, counts=Counts(pods=3, selected=2)))

    assert [line.split()[:2] for line in shown.splitlines()] == [
        ["✓", "source"], ["–", "sync"], ["✓", "central"], ["✓", "copies"], ["✓", "pull"]
    ]  # fmt: skip


def test_verify_says_where_it_breaks_and_what_fixes_it() -> None:
    stations = run.judge(evidence(central=None), chain_credential.NOT_ASKED)
    shown = rendering.verified(Diagnosis(stations=stations, groups=GROUPS, counts=COUNTS))

    assert "✗ central  Secret ghcr-pull-secrets/ghcr-secret does not exist   central_missing" in shown
    assert "✗ pull     7 of 412 Pods with selected images cannot pull   malformed" in shown
    assert "Remedies" in shown


def test_verify_does_not_tick_off_pods_that_were_not_looked_at() -> None:
    pods = Station(name="pods", state=StationState.SKIPPED, text="not looked at: you may not list pods")

    assert "– pull    not looked at" in rendering.verified(Diagnosis(stations=STATIONS, skipped=(pods,)))


def test_programs_read_the_same() -> None:
    document = json.loads(rendering.as_json(BROKEN))

    assert {key: document[key] for key in ("version", "healthy", "pods")} == {
        "version": 1,
        "healthy": False,
        "pods": {"namespaces": 7, "pods": 500, "selected": 412, "unable": 7},
    }
    assert document["groups"][0]["since"] == "2026-11-23T12:00:00+00:00"
    assert document["groups"][1]["commands"] == [RESTART]
    assert document["skipped"][0]["name"] == "nodes"
    assert [each["code"] for each in document["stations"]] == [None, "no_leader"]


def test_nothing_looked_at_is_not_healthy_for_people_and_for_programs() -> None:
    central = Station(name="central", state=StationState.SKIPPED, text="not looked at: you may not list secrets")
    nothing = Diagnosis(stations=(central,))
    pods_alone = replace(nothing, counts=Counts(pods=1))

    assert [exit_code(each) for each in (nothing, pods_alone)] == [2, 0]
    assert [json.loads(rendering.as_json(each))["healthy"] for each in (nothing, pods_alone)] == [False, True]
    assert rendering.as_text(nothing, NOW).endswith(
        'Nothing could be looked at; docs/doctor.md, "Permissions", has what it takes\n'
    )
