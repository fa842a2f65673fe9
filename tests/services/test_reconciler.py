"""Copies brought to what they should be, one namespace at a call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, payload, secret
from tests.services.controller_fakes import FakeEvents, FakePods, ManualClock, pod
from tests.services.fakes import FakeCluster
from webhook.core.causes import Cause
from webhook.core.copies import Secret, desired
from webhook.core.names import (
    ADOPT_ANNOTATION,
    INJECT_KEY,
    MANAGED_BY_LABEL,
    PROVISION_LABEL,
    SECRET_TYPE,
    SOURCE_ANNOTATION,
    SYSTEM_NAMESPACES,
)
from webhook.core.ownership import is_ours
from webhook.core.scope import Rules
from webhook.core.vocabulary import CentralFault, Reconciliation
from webhook.ports import Conflict, Deadline, EventReason, Forbidden, NotLeading, ObjectRef, QuotaExceeded, Unavailable
from webhook.reconciler import Reconciler
from webhook.reporting import CentralState

OLD = payload(token="old")
NEW = payload(token="new")


def soon() -> Deadline:
    return Deadline.after(30)


@dataclass
class Stage:
    """A cluster with a central secret, and the reconciler under test."""

    rules: Rules = RULES
    cluster: FakeCluster = field(default_factory=FakeCluster)
    pods: FakePods = field(default_factory=FakePods)
    events: FakeEvents = field(default_factory=FakeEvents)
    counted: Counter[Reconciliation] = field(default_factory=Counter)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.cluster.make_namespace(RELEASE_NAMESPACE)
        self.cluster.make_secret(secret(payload=NEW))
        self.reconciler = Reconciler(
            rules=self.rules,
            facts=self.cluster.facts,
            writer=self.cluster.writer,
            pods=self.pods,
            events=self.events,
            count=lambda work: self.counted.update([work]),
            clock=self.clock,
        )

    def namespace(self, name: str, *, uses: bool = False, **labels: str) -> None:
        """Make a namespace, with a Pod that uses a copy if wanted."""
        self.cluster.make_namespace(name, {INJECT_KEY: labels["inject"]} if labels else None)
        if uses:
            self.pods.pods.append(pod(name))

    def put(self, namespace: str, **changes: Any) -> None:
        """Make a copy of ours as it should be, or with changes."""
        self.cluster.make_secret(replace(desired(namespace, secret(payload=NEW), RULES.patterns), **changes))

    def copy(self, namespace: str, **changes: Any) -> Secret:
        """Make a copy and say what was made."""
        self.put(namespace, **changes)
        return self.truth(namespace)

    def truth(self, namespace: str) -> Secret:
        found = self.cluster.secret(namespace)
        assert found is not None
        return found

    def change(self, namespace: str, **changes: Any) -> None:
        """Somebody edits the Secret, and the watch tells of it."""
        before = self.truth(namespace)
        self.cluster.make_secret(replace(before, **changes))
        self.reconciler.secret_changed(before, self.truth(namespace))

    def remove(self, namespace: str) -> None:
        """Somebody deletes the Secret, and the watch tells of it."""
        before = self.truth(namespace)
        self.cluster.remove_secret(namespace)
        self.reconciler.secret_changed(before, None)

    def reconcile(self, namespace: str) -> Reconciliation:
        return self.reconciler.reconcile(namespace, soon())

    @property
    def writes(self) -> int:
        return sum(len(self.cluster.called(verb)) for verb in ("create", "patch", "delete"))


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.namespace("auth")
    return made


def as_it_should_be(stage: Stage, namespace: str = "auth") -> bool:
    found = stage.truth(namespace)
    return found == desired(namespace, stage.truth(RELEASE_NAMESPACE), RULES.patterns, found) and found.payload == NEW


# --- the central secret changed, or the copy was


def test_a_stale_copy_follows_the_central_secret(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert as_it_should_be(stage)
    [event] = stage.events.emitted
    assert (event.reason, event.about.namespace, event.warning) == (EventReason.COPY_UPDATED, "auth", False)
    assert event.about.uid == stage.truth("auth").uid


def test_a_copy_as_it_should_be_costs_no_call(stage: Stage) -> None:
    stage.copy("auth")
    assert stage.reconcile("auth") is Reconciliation.CURRENT
    assert stage.cluster.calls == []
    assert stage.pods.lists == []
    assert stage.events.emitted == []


def test_a_rotation_costs_one_call_for_each_copy(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.reconcile("auth")
    assert [call.verb for call in stage.cluster.calls] == ["patch"]


@pytest.mark.parametrize(
    "damage",
    [
        {"payload": payload(token="edited")},
        {"payload": None},
        {"marks": {MANAGED_BY_LABEL: "ghcr-pull-secrets"}},
    ],
    ids=["data edited", "data gone", "annotations stripped"],
)
def test_an_edited_copy_is_repaired(stage: Stage, damage: dict[str, Any]) -> None:
    stage.copy("auth")
    stage.change("auth", **damage)
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert as_it_should_be(stage)


def test_a_deleted_copy_comes_back_though_no_pod_uses_it_now(stage: Stage) -> None:
    stage.copy("auth")
    stage.remove("auth")
    assert stage.reconcile("auth") is Reconciliation.CREATED
    assert as_it_should_be(stage)
    assert [event.reason for event in stage.events.emitted] == [EventReason.COPY_CREATED]


def test_a_copy_that_came_back_is_not_remembered_as_deleted(stage: Stage) -> None:
    stage.copy("auth")
    stage.remove("auth")
    stage.reconcile("auth")
    stage.cluster.remove_secret("auth")  # this time nobody tells
    assert stage.reconcile("auth") is Reconciliation.LEFT


@pytest.mark.parametrize(
    "damage",
    [{"type": "Opaque", "payload": None}, {"type": "kubernetes.io/dockercfg"}, {"immutable": True, "payload": OLD}],
    ids=["opaque", "dockercfg", "immutable and stale"],
)
def test_what_cannot_be_changed_is_deleted_and_created(stage: Stage, damage: dict[str, Any]) -> None:
    before = stage.copy("auth", **damage)
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    after = stage.truth("auth")
    assert (after.type, after.payload, after.immutable) == (SECRET_TYPE, NEW, False)
    assert after.uid != before.uid


def test_a_copy_that_was_deleted_to_be_created_is_created_later_if_not_now(stage: Stage) -> None:
    stage.copy("auth", type="Opaque", payload=None)
    stage.cluster.fail("create", Unavailable("create", "secrets", "auth", code=503))
    with pytest.raises(Unavailable):
        stage.reconcile("auth")
    assert stage.cluster.secret("auth") is None
    assert stage.reconcile("auth") is Reconciliation.CREATED


def test_a_copy_being_deleted_is_waited_for(stage: Stage) -> None:
    stage.copy("auth", payload=OLD, deleting=True)
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.writes == 0


# --- foreign secrets


def test_a_copy_whose_label_was_taken_off_is_foreign_and_reported_once(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.change("auth", marks={})
    before = stage.truth("auth")
    for _ in range(3):
        assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.truth("auth") == before
    [event] = stage.events.emitted
    assert (event.reason, event.warning, event.count) == (EventReason.COPY_FOREIGN, True, 1)
    assert "label" in event.text


def test_who_only_watches_reports_nothing(stage: Stage) -> None:
    stage.copy("auth")
    stage.change("auth", marks={})
    assert stage.events.emitted == []


def test_a_foreign_secret_that_never_was_ours_is_left_and_not_reported(stage: Stage) -> None:
    stage.cluster.make_secret(secret("auth", payload=OLD))
    stage.reconciler.secret_changed(None, stage.truth("auth"))
    stage.change("auth", payload=b"{}")
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert (stage.writes, stage.events.emitted) == (0, [])


def test_a_copy_that_eso_took_over_is_left_to_it(stage: Stage) -> None:
    stage.copy("auth")
    stage.change("auth", owned=True, owner="ExternalSecret ghcr-secret", payload=OLD)
    before = stage.truth("auth")
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.truth("auth") == before
    [event] = stage.events.emitted
    assert event.reason is EventReason.COPY_FOREIGN
    assert event.text.startswith("ghcr-secret belongs to ExternalSecret ghcr-secret now and is left to it")


def test_when_esos_secret_is_collected_the_workloads_that_list_it_get_a_copy(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.namespace("scan")
    for namespace in ("my", "scan"):
        stage.copy(namespace)
        stage.change(namespace, owned=True)
        stage.reconcile(namespace)
        stage.remove(namespace)
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert stage.reconcile("scan") is Reconciliation.LEFT
    assert stage.cluster.secret("scan") is None


# --- who asks for a copy


def asks_by_label(stage: Stage) -> None:
    stage.cluster.make_namespace("my", {PROVISION_LABEL: "true"})


def asks_by_account(stage: Stage) -> None:
    stage.namespace("my")
    stage.cluster.make_service_account("my", "default", ["other", "ghcr-secret"])


def asks_by_mounting(stage: Stage) -> None:
    stage.namespace("my")
    made = pod("my", images=["nginx"], secrets=())
    made["spec"]["volumes"] = [{"name": "docker", "secret": {"secretName": "ghcr-secret"}}]
    stage.pods.pods.append(made)


ASKING = {"label": asks_by_label, "ServiceAccount": asks_by_account, "mount": asks_by_mounting}


@pytest.mark.parametrize("how", ASKING)
def test_a_namespace_that_asks_for_a_copy_gets_one(stage: Stage, how: str) -> None:
    ASKING[how](stage)
    assert "my" in set(stage.reconciler.sweep(soon(), pending=True))
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert as_it_should_be(stage, "my")


@pytest.mark.parametrize("how", ASKING)
def test_one_that_opted_out_gets_none_however_it_asks(stage: Stage, how: str) -> None:
    ASKING[how](stage)
    stage.cluster.make_namespace("my", {INJECT_KEY: "false", PROVISION_LABEL: "true"})
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert stage.cluster.secret("my") is None


def test_an_account_with_other_pull_secrets_asks_for_nothing(stage: Stage) -> None:
    stage.namespace("my")
    stage.cluster.make_service_account("my", "default", ["other"])
    assert list(stage.reconciler.sweep(soon(), pending=False)) == []
    assert stage.reconcile("my") is Reconciliation.LEFT


def test_what_is_never_touched_gets_none_however_it_asks(stage: Stage) -> None:
    stage.cluster.make_namespace("kube-system", {PROVISION_LABEL: "true"})
    stage.cluster.make_service_account("kube-system", "default", ["ghcr-secret"])
    assert list(stage.reconciler.sweep(soon(), pending=False)) == []
    assert stage.reconcile("kube-system") is Reconciliation.LEFT


def test_with_opt_in_the_label_asks_and_an_account_does_not() -> None:
    stage = Stage(rules=replace(RULES, opt_in=True))
    asks_by_account(stage)
    assert stage.reconcile("my") is Reconciliation.LEFT
    asks_by_label(stage)
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert stage.reconcile("my") is Reconciliation.CURRENT


# --- what is not ours, though it bears our label


def test_what_somebody_applied_over_a_copy_is_reported_once_and_left(stage: Stage) -> None:
    stage.copy("auth")
    stage.change("auth", payload=OLD, given_away=True)
    for _ in range(2):
        assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.truth("auth").payload == OLD
    [event] = stage.events.emitted
    assert (event.reason, event.warning, event.count) == (EventReason.COPY_FOREIGN, True, 1)
    assert "theirs from now on" in event.text


def test_a_copy_of_another_release_is_reported_once_and_left(stage: Stage) -> None:
    marks = {**desired("auth", secret(), RULES.patterns).marks, SOURCE_ANNOTATION: "other-release/ghcr-secret"}
    stage.put("auth", marks=marks, payload=OLD)
    for _ in range(3):
        assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.truth("auth").payload == OLD
    [event] = stage.events.emitted
    assert (event.reason, event.count) == (EventReason.COPY_FOREIGN, 1)
    assert "another release" in event.text
    stage.change("auth", marks={**marks, ADOPT_ANNOTATION: "true"})
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert as_it_should_be(stage)


def test_a_copy_that_another_release_took_is_reported_once(stage: Stage) -> None:
    before = stage.copy("auth")
    stage.change("auth", marks={**before.marks, SOURCE_ANNOTATION: "other-release/ghcr-secret"})
    for _ in range(2):
        assert stage.reconcile("auth") is Reconciliation.LEFT
    assert [(event.reason, event.count) for event in stage.events.emitted] == [(EventReason.COPY_FOREIGN, 1)]


def test_a_copy_carried_into_a_namespace_that_opted_out_stays(stage: Stage) -> None:
    stage.namespace("out", inject="false")
    stage.put("out", written_by_us=False)
    assert stage.reconcile("out") is Reconciliation.LEFT
    assert stage.cluster.secret("out") is not None
    stage.put("out", written_by_us=True)
    assert stage.reconcile("out") is Reconciliation.DELETED


def test_what_says_a_copy_was_repaired_says_how_to_keep_ones_own(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.reconcile("auth")
    stage.remove("auth")
    stage.reconcile("auth")
    updated, created = stage.events.emitted
    how = "kubectl label secret ghcr-secret --namespace auth app.kubernetes.io/managed-by-"
    assert how in updated.text
    assert how in created.text


# --- copies that somebody else wants otherwise


def test_a_copy_that_is_rewritten_again_and_again_is_put_right_after_growing_pauses(stage: Stage) -> None:
    stage.copy("auth")
    for _ in range(6):
        stage.change("auth", payload=OLD)
        assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert stage.reconciler.contested == 1
    pauses = []
    for _ in range(7):
        stage.change("auth", payload=OLD)
        writes = stage.writes
        assert stage.reconcile("auth") is Reconciliation.HELD_BACK
        assert stage.writes == writes
        pauses.append(stage.reconciler.pause_s("auth"))
        stage.clock.advance(pauses[-1])
        assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    [event] = stage.events.of(EventReason.COPY_CONTESTED)
    assert (event.count, event.warning, event.about.namespace) == (1, True, "auth")
    assert "kubectl label secret ghcr-secret --namespace auth app.kubernetes.io/managed-by-" in event.text
    stage.clock.advance(361)
    assert stage.reconciler.contested == 0
    stage.change("auth", payload=OLD)
    assert stage.reconcile("auth") is Reconciliation.UPDATED


def test_a_copy_that_is_deleted_in_a_loop_is_held_back_and_not_forgotten(stage: Stage) -> None:
    stage.copy("auth")
    for _ in range(6):
        stage.remove("auth")
        assert stage.reconcile("auth") is Reconciliation.CREATED
    stage.remove("auth")
    assert stage.reconcile("auth") is Reconciliation.HELD_BACK
    stage.clock.advance(stage.reconciler.pause_s("auth"))
    assert stage.reconcile("auth") is Reconciliation.CREATED
    assert stage.writes == 7


def test_a_copy_replaced_by_one_of_a_wrong_type_in_a_loop_is_held_back(stage: Stage) -> None:
    for _ in range(6):
        stage.put("auth", type="Opaque", payload=None)
        assert stage.reconcile("auth") is Reconciliation.UPDATED
    stage.put("auth", type="Opaque", payload=None)
    assert stage.reconcile("auth") is Reconciliation.HELD_BACK
    assert stage.truth("auth").type == "Opaque"


def contest(stage: Stage) -> None:
    stage.copy("auth")
    for _ in range(6):
        stage.change("auth", payload=OLD)
        stage.reconcile("auth")
    assert stage.reconciler.pause_s("auth") > 0


def test_a_contested_copy_in_a_namespace_that_opts_out_goes_at_once(stage: Stage) -> None:
    contest(stage)
    stage.namespace("auth", inject="false")
    assert stage.reconcile("auth") is Reconciliation.DELETED
    assert stage.reconciler.contested == 0


def test_a_contested_copy_that_is_right_is_current(stage: Stage) -> None:
    contest(stage)
    assert stage.reconcile("auth") is Reconciliation.CURRENT


def test_a_rotation_reaches_a_contested_copy_when_its_pause_ends(stage: Stage) -> None:
    contest(stage)
    newer = payload(token="newer")
    stage.cluster.make_secret(secret(payload=newer))
    assert stage.reconcile("auth") is Reconciliation.HELD_BACK
    stage.clock.advance(stage.reconciler.pause_s("auth"))
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert stage.truth("auth").payload == newer


def test_rotations_contest_nothing(stage: Stage) -> None:
    stage.copy("auth")
    for index in range(12):
        stage.cluster.make_secret(secret(payload=payload(token=f"token-{index}")))
        assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert stage.reconciler.contested == 0


def test_adoption_takes_a_foreign_secret_over(stage: Stage) -> None:
    stage.cluster.make_secret(secret("auth", payload=OLD, marks={ADOPT_ANNOTATION: "true"}), labels={"team": "auth"})
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert as_it_should_be(stage)
    assert is_ours(stage.truth("auth"), RELEASE_NAMESPACE)
    assert stage.cluster.labels("auth", "ghcr-secret")["team"] == "auth"
    [event] = stage.events.emitted
    assert "taken over" in event.text


def test_adoption_of_a_secret_of_the_wrong_type_replaces_it(stage: Stage) -> None:
    stage.cluster.make_secret(Secret(namespace="auth", type="Opaque", marks={ADOPT_ANNOTATION: "true"}))
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert as_it_should_be(stage)


@pytest.mark.parametrize("changes", [{"marks": {ADOPT_ANNOTATION: "yes"}}, {"owned": True}])
def test_nothing_is_adopted_without_the_word_or_against_an_owner(stage: Stage, changes: dict[str, Any]) -> None:
    stage.cluster.make_secret(secret("auth", **{"marks": {ADOPT_ANNOTATION: "true"}, **changes}))
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.writes == 0


# --- namespaces


def test_a_namespace_that_opts_out_loses_its_copy(stage: Stage) -> None:
    stage.namespace("my", uses=True, inject="false")
    stage.copy("my")
    assert stage.reconcile("my") is Reconciliation.DELETED
    assert stage.cluster.secret("my") is None
    [event] = stage.events.emitted
    assert (event.reason, event.about) == (EventReason.COPY_DELETED, ObjectRef(kind="Namespace", name="my"))


def test_an_opted_out_namespace_gets_none_back(stage: Stage) -> None:
    stage.namespace("my", uses=True, inject="false")
    stage.copy("my")
    stage.remove("my")
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert stage.cluster.secret("my") is None
    # Nor is the deletion remembered until it opts in again, without a workload that uses it.
    stage.pods.pods.clear()
    stage.namespace("my")
    assert stage.reconcile("my") is Reconciliation.LEFT


def test_an_opted_out_namespace_keeps_its_foreign_secret(stage: Stage) -> None:
    stage.namespace("my", inject="false")
    stage.cluster.make_secret(secret("my"))
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert stage.writes == 0


def test_a_namespace_that_opts_in_again_gets_a_copy_for_what_uses_it(stage: Stage) -> None:
    stage.namespace("my", uses=True, inject="false")
    stage.reconcile("my")
    stage.cluster.make_namespace("my")
    assert stage.reconcile("my") is Reconciliation.CREATED


def test_with_opt_in_only_labelled_namespaces_have_copies() -> None:
    stage = Stage(rules=replace(RULES, opt_in=True))
    stage.namespace("my", uses=True)
    stage.namespace("chat", uses=True, inject="true")
    stage.copy("my")
    assert stage.reconcile("my") is Reconciliation.DELETED
    assert stage.reconcile("chat") is Reconciliation.CREATED


def test_a_terminating_namespace_is_left_alone(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.copy("my", payload=OLD)
    stage.cluster.terminate_namespace("my")
    assert stage.reconcile("my") is Reconciliation.LEFT
    stage.remove("my")
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert (stage.writes, stage.events.emitted) == (0, [])


def test_a_namespace_that_is_terminating_unbeknownst_to_us_is_no_failure(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.stop_watching()
    stage.cluster.terminate_namespace("my")
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert (stage.counted, stage.events.emitted) == (Counter([Reconciliation.LEFT]), [])


def test_a_namespace_that_is_gone_is_no_failure(stage: Stage) -> None:
    stage.pods.pods.append(pod("gone"))
    assert stage.reconcile("gone") is Reconciliation.LEFT
    assert (stage.counted, stage.events.emitted) == (Counter([Reconciliation.LEFT]), [])


def test_a_namespace_that_comes_back_to_life_starts_clean(stage: Stage) -> None:
    stage.copy("auth")
    stage.remove("auth")
    stage.reconciler.forget("auth")
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.cluster.secret("auth") is None


@pytest.mark.parametrize("terminating", [True, False], ids=["terminating", "gone"])
def test_a_copy_that_went_with_its_namespace_is_not_owed_to_the_next_of_that_name(
    stage: Stage, terminating: bool
) -> None:
    stage.namespace("my")
    stage.copy("my")
    if terminating:
        stage.cluster.terminate_namespace("my")
    stage.remove("my")
    if not terminating:
        stage.cluster.stop_watching()
        del stage.cluster._namespaces["my"]
    assert stage.reconcile("my") is Reconciliation.LEFT
    stage.cluster.resume_watching()
    stage.namespace("my")
    assert stage.reconcile("my") is Reconciliation.LEFT
    assert stage.cluster.secret("my") is None


@pytest.mark.parametrize("namespace", [*sorted(SYSTEM_NAMESPACES), RELEASE_NAMESPACE, "excluded"])
def test_some_namespaces_are_never_touched(namespace: str) -> None:
    stage = Stage(rules=replace(RULES, excluded=frozenset({"excluded"})))
    stage.namespace(namespace, uses=True)
    if namespace != RELEASE_NAMESPACE:
        stage.copy(namespace, payload=OLD)
    stage.remove(namespace)
    assert stage.reconcile(namespace) is Reconciliation.LEFT
    assert namespace not in stage.reconciler.namespaces()
    assert list(stage.reconciler.sweep(soon(), pending=True)) == []
    assert stage.writes == 0


@pytest.mark.parametrize(
    "changes",
    [{"secrets": ("other",)}, {"images": ("docker.io/library/redis",)}, {"pull_policy": "Never"}],
    ids=["other secret", "other image", "never pulled"],
)
def test_no_copy_is_made_where_nothing_uses_it(stage: Stage, changes: dict[str, Any]) -> None:
    stage.pods.pods.append(pod("auth", **changes))
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.writes == 0


# --- the central secret itself


FAULTS: list[tuple[dict[str, Any], CentralFault]] = [
    ({"type": "Opaque", "payload": None}, CentralFault.WRONG_TYPE),
    ({"payload": b'{"auths": "x"}'}, CentralFault.MALFORMED),
    ({"payload": b'{"auths": {}}'}, CentralFault.EMPTY_CREDENTIAL),
    ({"payload": payload(token="")}, CentralFault.EMPTY_CREDENTIAL),
    ({"payload": payload(registry="quay.io")}, CentralFault.NO_ENTRY_FOR_IMAGE),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=map(str, range(len(FAULTS))))
def test_an_unusable_central_secret_is_not_spread_and_the_fixed_one_is(
    stage: Stage, fault: dict[str, Any], reason: CentralFault
) -> None:
    last_good = stage.copy("auth", payload=OLD)
    stage.namespace("my", uses=True)
    stage.change(RELEASE_NAMESPACE, **fault)
    for _ in range(3):
        assert stage.reconciler.central(soon()) == CentralState(present=True, fault=reason)
        assert stage.reconcile("auth") is Reconciliation.LEFT
        assert stage.reconcile("my") is Reconciliation.LEFT
    assert stage.truth("auth") == last_good
    [event] = stage.events.emitted
    assert (event.reason, event.warning, event.count) == (EventReason.CENTRAL_SECRET_UNUSABLE, True, 1)
    assert (event.about.namespace, event.about.name) == (RELEASE_NAMESPACE, "ghcr-secret")
    stage.change(RELEASE_NAMESPACE, type=SECRET_TYPE, payload=NEW)
    assert stage.reconciler.central(soon()).usable
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert as_it_should_be(stage)
    assert len(stage.events.of(EventReason.CENTRAL_SECRET_USABLE)) == 1


def test_a_central_secret_that_is_deleted_leaves_the_copies_alone_loudly(stage: Stage) -> None:
    before = stage.copy("auth")
    stage.remove(RELEASE_NAMESPACE)
    assert stage.reconciler.central(soon()) == CentralState(present=False)
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.truth("auth") == before
    [event] = stage.events.emitted
    assert (event.reason, event.warning) == (EventReason.CENTRAL_SECRET_MISSING, True)


def test_a_copy_that_went_while_the_central_secret_was_unusable_is_owed(stage: Stage) -> None:
    stage.copy("auth")
    stage.change(RELEASE_NAMESPACE, payload=b"{}")
    stage.remove("auth")
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert stage.reconciler.namespaces() == ("auth",)
    stage.change(RELEASE_NAMESPACE, payload=NEW)
    assert stage.reconcile("auth") is Reconciliation.CREATED


DOUBTFUL = [
    (payload(token="new", registry="ghcr.io/sesacthon"), "has no closing slash"),
    (payload(token="new\n"), "white space"),
]


@pytest.mark.parametrize(("content", "said"), DOUBTFUL)
def test_what_is_doubtful_in_the_central_secret_is_said_once_and_it_is_spread(
    stage: Stage, content: bytes, said: str
) -> None:
    stage.copy("auth", payload=OLD)
    stage.change(RELEASE_NAMESPACE, payload=content)
    for _ in range(3):
        assert stage.reconciler.central(soon()).usable
    [event] = stage.events.emitted
    assert (event.reason, event.warning, event.count) == (EventReason.CENTRAL_SECRET_DOUBTFUL, True, 1)
    assert (event.about.namespace, event.about.name) == (RELEASE_NAMESPACE, "ghcr-secret")
    assert said in event.text
    assert "new" not in event.text
    assert stage.reconcile("auth") is Reconciliation.UPDATED
    assert stage.truth("auth").payload == content


def test_a_concern_that_comes_back_is_said_again_and_no_usable_event_with_it(stage: Stage) -> None:
    for content in (DOUBTFUL[0][0], NEW, DOUBTFUL[0][0]):
        stage.change(RELEASE_NAMESPACE, payload=content)
        assert stage.reconciler.central(soon()).usable
    assert sum(event.count for event in stage.events.of(EventReason.CENTRAL_SECRET_DOUBTFUL)) == 2
    assert stage.events.of(EventReason.CENTRAL_SECRET_USABLE) == []


def test_a_good_central_secret_is_no_news(stage: Stage) -> None:
    assert stage.reconciler.central(soon()).usable
    assert stage.events.emitted == []


# --- lost races and late watches


def test_one_who_was_faster_to_create_it_is_fine(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.before("create", lambda: stage.put("my"))
    assert stage.reconcile("my") is Reconciliation.CURRENT


def test_a_change_between_read_and_write_is_read_again(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.cluster.before("patch", lambda: stage.put("auth", marks={}))
    assert stage.reconcile("auth") is Reconciliation.LEFT
    assert not is_ours(stage.truth("auth"), RELEASE_NAMESPACE)


def test_a_deletion_between_read_and_write_is_read_again(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.copy("my", payload=OLD)
    stage.cluster.before("patch", lambda: stage.cluster.remove_secret("my"))
    assert stage.reconcile("my") is Reconciliation.CREATED


def test_a_race_that_is_lost_again_and_again_is_tried_later_and_no_news(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.cluster.fail("patch", Conflict("patch", "secrets", "auth", code=409), times=5)
    with pytest.raises(Conflict):
        stage.reconcile("auth")
    assert (stage.counted, stage.events.emitted) == (Counter([Reconciliation.FAILED]), [])
    assert stage.reconcile("auth") is Reconciliation.UPDATED


def test_a_watch_that_is_behind_brings_no_old_token_back_over_a_new_one(stage: Stage) -> None:
    stage.copy("auth", payload=payload(token="older"))
    stage.cluster.make_secret(secret(payload=OLD))
    stage.cluster.stop_watching()
    stage.cluster.make_secret(secret(payload=NEW))
    stage.copy("auth")  # by the webhook, which asked the API server
    assert stage.reconcile("auth") is Reconciliation.CURRENT
    assert stage.truth("auth").payload == NEW


def test_who_was_faster_to_create_it_from_a_newer_central_secret_is_right(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.make_secret(secret(payload=OLD))
    stage.cluster.stop_watching()
    stage.cluster.make_secret(secret(payload=NEW))
    stage.cluster.before("create", lambda: stage.put("my"))
    assert stage.reconcile("my") is Reconciliation.CURRENT
    assert stage.truth("my").payload == NEW


def test_a_watch_that_is_behind_makes_no_copy_of_an_old_token(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.make_secret(secret(payload=OLD))
    stage.cluster.stop_watching()
    stage.cluster.make_secret(secret(payload=NEW))
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert stage.truth("my").payload == NEW


# --- refusals


@pytest.mark.parametrize("kind", [Forbidden, QuotaExceeded, Unavailable])
def test_a_refusal_is_reported_on_the_namespace_and_tried_later(stage: Stage, kind: type[Forbidden]) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.fail("create", kind("create", "secrets", "my", code=403), times=2)
    for _ in range(2):
        with pytest.raises(kind):
            stage.reconcile("my")
    [event] = stage.events.emitted
    assert (event.reason, event.about, event.warning, event.count) == (
        EventReason.COPY_REFUSED,
        ObjectRef(kind="Namespace", name="my"),
        True,
        2,
    )
    assert kind.cause in event.text
    assert stage.reconcile("my") is Reconciliation.CREATED
    assert stage.counted == Counter({Reconciliation.FAILED: 2, Reconciliation.CREATED: 1})


def test_a_write_that_may_not_be_is_no_refusal(stage: Stage) -> None:
    stage.copy("auth", payload=OLD)
    stage.cluster.fail("patch", NotLeading("write", "secrets"))
    with pytest.raises(NotLeading):
        stage.reconcile("auth")
    assert (stage.counted, stage.events.emitted) == (Counter(), [])


# --- the sweep


def test_a_sweep_finds_each_namespace_that_waits_once(stage: Stage) -> None:
    stage.pods.pods = [
        *(pod("my", name=f"my-{index}") for index in range(3)),
        pod("scan"),
        pod("auth"),
        pod("other", secrets=("other",)),
    ]
    stage.copy("auth")
    assert list(stage.reconciler.sweep(soon(), pending=True)) == ["my", "scan"]
    assert stage.pods.lists == [("", True)]


def test_a_sweep_leaves_namespaces_with_a_foreign_secret(stage: Stage) -> None:
    stage.pods.pods = [pod("auth")]
    stage.cluster.make_secret(secret("auth"))
    assert list(stage.reconciler.sweep(soon(), pending=True)) == []


def test_the_first_sweep_looks_at_running_pods_too(stage: Stage) -> None:
    stage.pods.pods = [pod("my", phase="Running")]
    assert list(stage.reconciler.sweep(soon(), pending=True)) == []
    assert list(stage.reconciler.sweep(soon(), pending=False)) == ["my"]


def test_a_pod_of_no_shape_does_not_end_a_sweep(stage: Stage) -> None:
    broken = pod("my")
    broken["spec"]["containers"] = "none"
    stage.pods.pods = [broken, pod("scan")]
    assert list(stage.reconciler.sweep(soon(), pending=True)) == ["scan"]


def test_a_sweep_yields_while_it_lists(stage: Stage) -> None:
    stage.pods.pods = [pod("my")]
    stage.pods.error = Unavailable("list", "pods", code=503)
    found = stage.reconciler.sweep(soon(), pending=True)
    assert next(found) == "my"
    with pytest.raises(Unavailable):
        next(found)


def test_a_sweep_counts_the_pods_that_cannot_pull(stage: Stage) -> None:
    stuck = pod("my")
    [container] = stuck["spec"]["containers"]
    state = {"waiting": {"reason": "ErrImagePull", "message": "failed to fetch anonymous token"}}
    stuck["status"]["containerStatuses"] = [{"name": container["name"], "state": state}]
    stage.pods.pods = [stuck, pod("scan")]
    stage.namespace("my")
    assert not any(stage.reconciler.unable_to_pull.values())
    assert list(stage.reconciler.sweep(soon(), pending=True)) == ["my", "scan"]
    assert {cause: count for cause, count in stage.reconciler.unable_to_pull.items() if count} == {"secret_missing": 1}
    stage.pods.error = Unavailable("list", "pods", code=503)
    stage.pods.pods = []
    with pytest.raises(Unavailable):
        list(stage.reconciler.sweep(soon(), pending=True))
    assert stage.reconciler.unable_to_pull[Cause.SECRET_MISSING] == 1


# --- nothing leaks


def test_no_event_has_content_of_a_secret(stage: Stage) -> None:
    stage.namespace("my", uses=True)
    stage.cluster.make_secret(secret(payload=payload(token=CANARY)))
    stage.copy("auth", payload=OLD)
    stage.reconcile("auth")
    stage.reconcile("my")
    stage.change("my", marks={})
    stage.reconcile("my")
    stage.change(RELEASE_NAMESPACE, payload=b'{"auths": "' + CANARY.encode() + b'"}')
    stage.reconciler.central(soon())
    assert len(stage.events.emitted) == 4
    assert CANARY not in repr(stage.events.emitted)
