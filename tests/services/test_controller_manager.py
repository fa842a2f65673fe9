"""What happens in the cluster to work, and work to reconciler calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from tests.objects import RELEASE_NAMESPACE, RULES, payload, secret
from tests.services.controller_fakes import FakeEvents, FakePods, ManualClock, pod
from tests.services.fakes import FakeCluster
from webhook.controller.manager import CENTRAL, CERTIFICATES, WHOLE_EVERY, Keep, Key, Manager, Task
from webhook.controller.workqueue import Queue
from webhook.core.copies import Secret, desired
from webhook.core.names import INJECT_KEY, MANAGED_BY_LABEL, PROVISION_LABEL, SECRET_NAME
from webhook.core.ownership import is_ours
from webhook.core.scope import Namespace
from webhook.ports import Deadline, EventReason, NotLeading, Unavailable
from webhook.reconciler import Reconciler
from webhook.reporting import CentralState

STORY = ("auth", "my", "scan", "character", "location", "info", "chat")
SWEEP_S = 300.0


class FakeKeeper:
    """A keeper that asks to be called again after a while."""

    def __init__(self, again_s: float = 60.0) -> None:
        self.kept = 0
        self.again_s = again_s
        self.errors: list[Exception] = []

    def keep(self) -> float:
        self.kept += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.again_s


class Stage:
    """A cluster, the manager under test, and a clock; work is done by the test's own thread when it asks for it."""

    def __init__(
        self, *, certificates: Keep | None = None, credential: Keep | None = None, leading: bool = True
    ) -> None:
        self.clock = ManualClock(1000.0)
        self.queue: Queue[Key] = Queue(clock=self.clock, jitter=lambda: 1.0)
        self.cluster = FakeCluster()
        self.pods = FakePods()
        self.events = FakeEvents()
        self.centrals: list[CentralState] = []
        self.reconciler = Reconciler(
            rules=RULES,
            facts=self.cluster.facts,
            writer=self.cluster.writer,
            pods=self.pods,
            events=self.events,
            clock=self.clock,
        )
        self.manager = Manager(
            reconciler=self.reconciler,
            rules=RULES,
            certificates=certificates,
            credential=credential,
            workers=2,
            sweep_interval_s=SWEEP_S,
            on_central=self.centrals.append,
            queue=self.queue,
            clock=self.clock,
        )
        self._secrets: dict[str, Secret] = {}
        self._namespaces: dict[str, Namespace] = {}
        self.cluster.make_namespace(RELEASE_NAMESPACE)
        self.cluster.make_secret(secret(payload=payload(token="0")))
        if leading:
            self.watch()
            self.manager.leading(True)

    def watch(self) -> None:
        """Tell the manager what has changed since the last time, as the caches do."""
        secrets, namespaces = dict(self.cluster._cached_copies), dict(self.cluster._cached_namespaces)
        for name in sorted(self._secrets.keys() | secrets.keys()):
            if self._secrets.get(name) != secrets.get(name):
                self.manager.secret_changed(name, self._secrets.get(name), secrets.get(name))
        for name in sorted(self._namespaces.keys() | namespaces.keys()):
            if self._namespaces.get(name) != namespaces.get(name):
                self.manager.namespace_changed(name, self._namespaces.get(name), namespaces.get(name))
        self._secrets, self._namespaces = secrets, namespaces

    def work(self) -> None:
        """Do all that is due, and what follows from it."""
        while True:
            self.watch()
            if not self.manager.work(timeout_s=0):
                return

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.work()

    def namespaces(self, *names: str, with_copy: bool = True) -> None:
        for name in names:
            self.cluster.make_namespace(name)
            if with_copy:
                self.cluster.make_secret(desired(name, self.truth(RELEASE_NAMESPACE), RULES.patterns))

    def rotate(self, token: str) -> None:
        self.cluster.make_secret(secret(payload=payload(token=token)))
        self.watch()

    def truth(self, namespace: str) -> Secret:
        found = self.cluster.secret(namespace)
        assert found is not None
        return found

    def follows(self, *names: str) -> bool:
        return all(self.truth(name).payload == self.truth(RELEASE_NAMESPACE).payload for name in names)


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.namespaces(*STORY)
    made.wait(1)
    made.cluster.calls.clear()
    return made


# --- the central secret


def test_a_changed_central_secret_reaches_every_copy_at_once(stage: Stage) -> None:
    stage.rotate("1")
    stage.wait(0.05)
    assert stage.follows(*STORY)
    assert len(stage.cluster.called("patch")) == len(STORY)


def test_many_changes_in_a_row_cost_one_round(stage: Stage) -> None:
    for token in range(20):
        stage.rotate(str(token))
        stage.wait(0.002)
    stage.wait(0.05)
    assert stage.follows(*STORY)
    assert len(stage.cluster.called("patch")) == len(STORY)
    assert stage.truth("auth").payload == payload(token="19")


def test_a_change_during_a_round_reaches_every_copy_too(stage: Stage) -> None:
    stage.cluster.before("patch", lambda: stage.rotate("2"))
    stage.rotate("1")
    stage.wait(0.05)
    stage.wait(0.05)
    assert stage.truth("auth").payload == payload(token="2")
    assert stage.follows(*STORY)


def test_an_unusable_central_secret_is_reported_and_the_fixed_one_spread_at_once(stage: Stage) -> None:
    good = stage.truth("auth")
    stage.namespaces("new", with_copy=False)
    stage.pods.pods.append(pod("new"))
    stage.cluster.make_secret(secret(payload=b"{}"))
    with structlog.testing.capture_logs() as logs:
        stage.wait(0.05)
        stage.wait(0.05)
    assert [state.usable for state in stage.centrals] == [True, False]
    assert [(line["log_level"], line["usable"]) for line in logs if line["event"] == "central_secret_read"] == [
        ("warning", False)
    ]
    assert stage.truth("auth") == good
    stage.rotate("1")
    stage.wait(0.05)
    assert [state.usable for state in stage.centrals] == [True, False, True]
    # Also who came while no copy could be made is served without waiting for the next sweep.
    assert stage.follows(*STORY, "new")


def test_what_is_doubtful_in_the_central_secret_is_logged_before_it_is_spread(stage: Stage) -> None:
    stage.cluster.make_secret(secret(payload=payload(token="1\n")))
    with structlog.testing.capture_logs() as logs:
        stage.wait(0.05)
        stage.wait(0.05)
    [line] = [line for line in logs if line["event"] == "central_secret_doubtful"]
    assert (line["log_level"], line["concern"], line["entry"]) == ("warning", "token_white_space", "ghcr.io")
    reasons = [event.reason for event in stage.events.emitted]
    assert reasons[0] is EventReason.CENTRAL_SECRET_DOUBTFUL
    assert set(reasons[1:]) == {EventReason.COPY_UPDATED}
    assert stage.truth("auth").payload == payload(token="1\n")


def test_a_deleted_central_secret_leaves_the_copies_alone(stage: Stage) -> None:
    before = [stage.truth(name) for name in STORY]
    stage.cluster.remove_secret(RELEASE_NAMESPACE)
    stage.work()
    stage.wait(0.05)
    assert stage.centrals[-1] == CentralState(present=False)
    assert [stage.truth(name) for name in STORY] == before


# --- copies and namespaces


def test_a_deleted_copy_comes_back_at_once(stage: Stage) -> None:
    stage.cluster.remove_secret("auth")
    stage.work()
    assert stage.follows("auth")


def test_an_edited_copy_is_fixed_at_once(stage: Stage) -> None:
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.work()
    assert stage.follows("auth")


def test_our_own_write_is_not_worked_on_for_ever(stage: Stage) -> None:
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.work()
    assert len(stage.cluster.calls) == 1
    assert stage.manager.backlog == 0


def test_a_namespace_that_opts_out_loses_its_copy_and_gets_it_again_when_it_comes_back(stage: Stage) -> None:
    stage.pods.pods.append(pod("auth"))
    stage.cluster.make_namespace("auth", {INJECT_KEY: "false"})
    stage.work()
    assert stage.cluster.secret("auth") is None
    stage.cluster.make_namespace("auth")
    stage.work()
    assert stage.follows("auth")


def test_a_namespace_that_comes_back_to_life_starts_clean(stage: Stage) -> None:
    stage.cluster.terminate_namespace("auth")
    stage.work()
    stage.cluster.remove_secret("auth")
    stage.work()
    del stage.cluster._namespaces["auth"]
    stage.cluster.resume_watching()
    stage.work()
    stage.cluster.make_namespace("auth")
    stage.work()
    assert stage.cluster.secret("auth") is None


def test_a_namespace_that_is_labelled_or_made_with_the_label_gets_its_copy(stage: Stage) -> None:
    stage.namespaces("later", with_copy=False)
    stage.work()
    for name in ("later", "born"):
        stage.cluster.make_namespace(name, {PROVISION_LABEL: "true"})
    stage.work()
    assert stage.follows("later", "born")


def test_an_account_that_lists_the_secret_gets_a_copy_made(stage: Stage) -> None:
    stage.namespaces("builds", with_copy=False)
    stage.cluster.make_service_account("builds", "default", ["ghcr-secret"])
    stage.manager.service_account_changed(("builds", "default"), None, ("other",))
    stage.work()
    assert stage.cluster.secret("builds") is None
    stage.manager.service_account_changed(("builds", "default"), ("other",), ("other", "ghcr-secret"))
    stage.work()
    assert stage.follows("builds")
    stage.manager.service_account_changed(("builds", "default"), ("ghcr-secret",), None)
    assert stage.manager.backlog == 0


def test_a_contested_copy_is_looked_at_again_when_its_pause_ends(stage: Stage) -> None:
    def spoil() -> None:
        stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
        stage.work()

    for _ in range(6):
        spoil()
        assert stage.follows("auth")
    spoil()
    assert not stage.follows("auth")
    stage.wait(9)
    assert not stage.follows("auth")
    stage.wait(1)
    assert stage.follows("auth")


def test_the_two_watches_may_report_a_deleted_namespace_in_any_order(stage: Stage) -> None:
    stage.manager.leading(False)
    stage.manager.namespace_changed("auth", Namespace(name="auth"), None)
    stage.manager.secret_changed("auth", stage.truth("auth"), None)
    stage.manager.namespace_changed("auth", None, Namespace(name="auth"))
    assert "auth" not in stage.reconciler._missing


def test_a_copy_that_lost_its_label_is_reported_and_left(stage: Stage) -> None:
    marks = {key: value for key, value in stage.truth("auth").marks.items() if key != MANAGED_BY_LABEL}
    before = replace(stage.truth("auth"), marks=marks, payload=b"{}")
    stage.cluster.make_secret(before)
    stage.work()
    stage.rotate("1")
    stage.wait(0.05)
    assert stage.truth("auth").payload == before.payload
    assert [event.about.name for event in stage.events.emitted if event.warning] == [SECRET_NAME]


# --- the sweep


def test_the_seven_broken_namespaces_of_the_story_heal_on_installation() -> None:
    stage = Stage(leading=False)
    stage.namespaces(*STORY, with_copy=False)
    stage.pods.pods = [pod(name) for name in STORY]
    stage.watch()
    stage.manager.leading(True)
    stage.work()
    assert stage.follows(*STORY)


def test_the_first_sweep_and_every_fourth_look_at_all_pods_and_the_others_at_pending_ones(stage: Stage) -> None:
    stage.pods.lists.clear()
    stage.wait(SWEEP_S - 1)
    assert stage.pods.lists == []
    stage.wait(1)
    for _ in range(2 * WHOLE_EVERY - 1):
        stage.wait(SWEEP_S)
    assert stage.pods.lists == [("", True), ("", True), ("", True), ("", False)] * 2
    fresh = Stage()
    fresh.work()
    assert fresh.pods.lists[0] == ("", False)


def test_a_first_sweep_that_fails_is_made_again_as_a_first_one() -> None:
    stage = Stage()
    stage.pods.error = Unavailable("list", "pods", code=503)
    stage.work()
    stage.pods.error = None
    stage.pods.lists.clear()
    stage.wait(1)
    assert stage.pods.lists == [("", False)]


def test_a_fourth_sweep_that_fails_is_made_again_as_one_of_all_pods(stage: Stage) -> None:
    for _ in range(WHOLE_EVERY - 1):
        stage.wait(SWEEP_S)
    stage.pods.error = Unavailable("list", "pods", code=503)
    stage.wait(SWEEP_S)
    stage.pods.error = None
    stage.pods.lists.clear()
    stage.wait(1)
    assert stage.pods.lists == [("", False)]


def test_a_later_sweep_that_fails_is_made_again_soon(stage: Stage) -> None:
    stage.pods.error = Unavailable("list", "pods", code=503)
    stage.wait(SWEEP_S)
    stage.pods.error = None
    stage.pods.lists.clear()
    stage.wait(1)
    assert stage.pods.lists == [("", True)]


def test_a_pod_left_pending_is_found_by_the_next_sweep(stage: Stage) -> None:
    stage.namespaces("late", with_copy=False)
    stage.pods.pods = [pod("late")]
    stage.wait(SWEEP_S)
    assert stage.follows("late")


# --- leading


def test_what_happens_while_another_leads_is_done_by_who_leads_next() -> None:
    stage = Stage(leading=False)
    stage.namespaces("auth", "my", "scan")
    stage.watch()
    stage.rotate("1")
    stage.cluster.remove_secret("my")
    stage.cluster.make_secret(replace(stage.truth("scan"), marks={}))
    stage.watch()
    assert stage.cluster.calls == []
    assert stage.events.emitted == []
    stage.manager.leading(True)
    stage.work()
    assert stage.follows("auth", "my")
    assert not is_ours(stage.truth("scan"), RELEASE_NAMESPACE)
    assert [event.about.namespace for event in stage.events.emitted if event.warning] == ["scan"]


def test_workers_rest_while_another_leads() -> None:
    stage = Stage(leading=False)
    stage.namespaces("auth")
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.watch()
    stage.manager.start()
    time.sleep(0.02)
    assert stage.cluster.calls == []
    stage.manager.leading(True)
    assert eventually(lambda: stage.follows("auth"))
    stage.manager.leading(False)
    assert stage.manager.stop()


def test_a_write_that_came_too_late_is_kept_for_the_next_leadership(stage: Stage) -> None:
    stage.cluster.fail("patch", NotLeading("write", "secrets"))
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    with structlog.testing.capture_logs() as logs:
        stage.work()
    assert not stage.follows("auth")
    assert logs == []
    stage.wait(1)
    assert stage.follows("auth")


# --- failures


def test_a_failure_is_tried_again_after_a_pause_that_grows_and_then_starts_again(stage: Stage) -> None:
    for _ in range(2):
        stage.cluster.fail("patch", Unavailable("patch", "secrets", "auth", code=500), times=2)
        stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
        stage.cluster.calls.clear()
        with structlog.testing.capture_logs() as logs:
            stage.work()
            stage.wait(0.05)
        assert [line["retry_s"] for line in logs if line["event"] == "work_failed"] == [0.05, 0.1]
        assert not stage.follows("auth")
        stage.wait(0.1)
        assert stage.follows("auth")
        assert len(stage.cluster.called("patch")) == 3


def test_a_pause_the_api_server_asked_for_is_kept(stage: Stage) -> None:
    stage.cluster.fail("patch", Unavailable("patch", "secrets", "auth", code=429, retry_after=7))
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.work()
    stage.wait(6.9)
    assert not stage.follows("auth")
    stage.wait(0.1)
    assert stage.follows("auth")


def test_an_endless_pause_is_not_believed(stage: Stage) -> None:
    stage.cluster.fail("patch", Unavailable("patch", "secrets", "auth", code=429, retry_after=86_400))
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.work()
    stage.wait(30)
    assert stage.follows("auth")


def test_one_failing_namespace_keeps_no_other_waiting(stage: Stage) -> None:
    stage.cluster.fail("patch", Unavailable("patch", "secrets", code=500))
    stage.rotate("1")
    stage.wait(0.05)
    assert sum(stage.follows(name) for name in STORY) == len(STORY) - 1


def test_a_crash_ends_no_worker_and_is_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reconcile = stage.reconciler.reconcile
    crashes = [ValueError("a bug")]

    def reconcile_or_crash(namespace: str, deadline: Deadline) -> Any:
        if crashes:
            raise crashes.pop()
        return reconcile(namespace, deadline)

    monkeypatch.setattr(stage.reconciler, "reconcile", reconcile_or_crash)
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    with structlog.testing.capture_logs() as logs:
        stage.work()
    assert [line["log_level"] for line in logs if line["event"] == "work_crashed"] == ["error"]
    stage.wait(0.05)
    assert stage.follows("auth")


# --- certificates


def test_certificates_are_kept_on_leading_on_a_change_and_when_their_time_has_come() -> None:
    keeper = FakeKeeper(again_s=60)
    stage = Stage(certificates=keeper.keep)
    stage.work()
    assert keeper.kept == 1
    stage.manager.certificates_changed()
    stage.work()
    assert keeper.kept == 2
    stage.wait(59)
    assert keeper.kept == 2
    stage.wait(1)
    assert keeper.kept == 3


def test_a_keeper_that_fails_is_called_again() -> None:
    keeper = FakeKeeper()
    keeper.errors = [RuntimeError("a bug"), Unavailable("get", "secrets", code=503)]
    stage = Stage(certificates=keeper.keep)
    stage.work()
    stage.wait(0.05)
    stage.wait(0.1)
    assert keeper.kept == 3


def test_without_a_keeper_nothing_is_kept(stage: Stage) -> None:
    stage.manager.certificates_changed()
    stage.work()
    assert stage.manager.backlog == 0


def test_the_credential_is_looked_at_on_leading_on_a_change_and_when_its_time_has_come() -> None:
    watch = FakeKeeper(again_s=60)
    stage = Stage(credential=watch.keep)
    stage.work()
    assert watch.kept >= 1
    kept = watch.kept
    stage.rotate("1")
    stage.wait(0.05)
    assert watch.kept == kept + 1
    stage.wait(60)
    assert watch.kept == kept + 2


# --- start and stop


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait for something another thread does."""
    give_up = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.001)
    return True


def test_a_stop_lets_the_work_that_was_begun_be_finished(stage: Stage) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        begun.set()
        go_on.wait(60)

    stage.cluster.before("patch", slowly)
    stage.cluster.make_secret(replace(stage.truth("auth"), payload=b"{}"))
    stage.watch()
    stage.manager.start()
    assert begun.wait(30)
    assert not stage.manager.stop(timeout_s=0.01)
    go_on.set()
    assert eventually(lambda: stage.manager.stop(timeout_s=0.01))
    assert stage.follows("auth")


def test_workers_share_the_work_of_a_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(leading=False)
    stage.namespaces("auth", "my")
    stage.rotate("1")
    both = threading.Barrier(2)
    update = stage.cluster.writer.update

    def meet_and_update(wanted: Secret, deadline: Deadline) -> Secret:
        both.wait(5)  # breaks unless two are in here at once
        return update(wanted, deadline)

    monkeypatch.setattr(stage.cluster.writer, "update", meet_and_update)
    stage.manager.start()
    stage.manager.leading(True)
    assert eventually(lambda: stage.follows("auth", "my"))
    assert stage.manager.stop()


def test_keys_of_the_same_work_are_one() -> None:
    assert Key(Task.COPY, "auth") == Key(Task.COPY, "auth")
    assert len({CENTRAL, CERTIFICATES, Key(Task.CENTRAL)}) == 2


class BusyKeeper(FakeKeeper):
    """A keeper that takes so long that another worker does all other work meanwhile."""

    meanwhile: Callable[[], None] | None = None

    def keep(self) -> float:
        if self.meanwhile is not None:
            self.meanwhile()
        return super().keep()


@pytest.mark.parametrize("failing", [False, True])
def test_certificates_are_kept_before_anything_is_swept(failing: bool) -> None:
    """A sweep reads every Pod, and without a certificate the API server refuses all that is selected."""
    keeper = BusyKeeper()
    if failing:
        keeper.errors.append(Unavailable("get", "secrets"))
    stage = Stage(certificates=keeper.keep, leading=False)
    stage.namespaces("waiting", with_copy=False)
    stage.pods.pods.append(pod("waiting"))
    copies: list[bool] = []

    def meanwhile() -> None:
        stage.work()
        copies.append(stage.cluster.secret("waiting") is not None)

    keeper.meanwhile = meanwhile
    stage.watch()
    stage.manager.leading(True)
    stage.wait(1)
    assert copies == [False] * len(copies)
    assert copies
    assert stage.cluster.secret("waiting") is not None
