"""The Pods that cannot pull, as a sweep counts them out of what the controller has in memory."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.core.stuck_pods import ANONYMOUS, REJECTED, pod
from tests.objects import RELEASE_NAMESPACE, RULES, payload, secret
from tests.services.fakes import FakeCluster
from webhook.core.causes import UNABLE, Cause
from webhook.core.copies import desired
from webhook.core.review import Json
from webhook.ports import Deadline, Unavailable
from webhook.unable import UnableToPull

COPY = desired("auth", secret(), RULES.patterns)


def soon() -> Deadline:
    return Deadline.after(30)


class Stage:
    def __init__(self) -> None:
        self.cluster = FakeCluster()
        for name in (RELEASE_NAMESPACE, "auth", "my"):
            self.cluster.make_namespace(name)
        self.cluster.make_secret(secret())
        self.cluster.settle()
        self.unable = UnableToPull(RULES, self.cluster.facts)

    def sweep(self, pods: Iterable[Json], *, pending: bool = True) -> dict[Cause, int]:
        counting = self.unable.begin(soon(), pending=pending)
        for each in pods:
            counting.look(each)
        counting.finish()
        return {cause: count for cause, count in self.unable.counts.items() if count}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def waiting(message: str = ANONYMOUS, **changes: Any) -> Json:
    return pod(message, **changes)


def test_every_cause_is_there_from_the_start_at_zero(stage: Stage) -> None:
    assert dict(stage.unable.counts) == dict.fromkeys(UNABLE, 0)
    assert Cause.PULLED not in UNABLE


def test_pods_are_counted_by_cause(stage: Stage) -> None:
    stage.cluster.make_secret(COPY)
    stage.cluster.make_secret(secret("broken", payload=b"x"))
    stage.cluster.make_namespace("broken")
    stage.cluster.settle()

    assert stage.sweep(
        [
            waiting(namespace="my"),
            waiting(namespace="my", name="second"),
            waiting(),
            waiting(REJECTED, name="rejected"),
            waiting(namespace="broken", reason="illegal base64 data"),
            waiting(namespace="my", secrets=[], name="lists-nothing"),
            waiting(namespace="my", images=["nginx:1"]),
            waiting(reason="CrashLoopBackOff"),
            waiting(reason="ContainerCreating"),
        ]
    ) == {
        Cause.SECRET_MISSING: 2,
        Cause.BACK_OFF: 1,
        Cause.CREDENTIAL_REJECTED: 1,
        Cause.MALFORMED: 1,
        Cause.NOT_LISTED: 1,
    }


def test_a_copy_that_is_behind_the_central_secret_is_stale(stage: Stage) -> None:
    stage.cluster.make_secret(desired("auth", secret(payload=payload(token="old")), RULES.patterns))
    stage.cluster.settle()

    assert stage.sweep([waiting(REJECTED)]) == {Cause.STALE: 1}


def test_no_other_secret_is_asked_for(stage: Stage) -> None:
    stage.cluster.make_secret(secret("auth", name="corp"))
    asked = len(stage.cluster.called("get"))

    assert stage.sweep([waiting(secrets=["corp"])]) == {Cause.UNVERIFIABLE: 1}
    assert [call for call in stage.cluster.called("get")[asked:] if call.resource == "secrets"] == []


def test_the_accounts_that_the_controller_knows_count(stage: Stage) -> None:
    stage.cluster.make_secret(COPY)
    stage.cluster.make_service_account("auth", "builder", ["ghcr-secret"])
    stage.cluster.settle()

    assert stage.sweep([waiting(secrets=[], service_account="builder")]) == {Cause.ACCOUNT_UNUSED: 1}


@pytest.mark.parametrize("part", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
def test_a_pod_of_which_something_runs_counts_from_one_sweep_of_all_to_the_next(stage: Stage, part: str) -> None:
    found = waiting(namespace="my", name="runs")
    found["status"]["phase"] = "Running"
    found["spec"][part.replace("Statuses", "s")] = found["spec"].pop("containers")
    found["status"][part] = found["status"].pop("containerStatuses")

    assert stage.sweep([found], pending=True) == {}
    assert stage.sweep([found, waiting(namespace="my")], pending=False) == {Cause.SECRET_MISSING: 2}
    assert stage.sweep([], pending=True) == {Cause.SECRET_MISSING: 1}
    assert stage.sweep([], pending=False) == {}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_counts_for_nothing(stage: Stage, phase: str) -> None:
    found = waiting()
    found["status"]["phase"] = phase

    assert stage.sweep([found], pending=False) == {}


@pytest.mark.parametrize("namespace", ["kube-system", RELEASE_NAMESPACE])
def test_a_namespace_that_is_never_touched_counts_for_nothing(stage: Stage, namespace: str) -> None:
    assert stage.sweep([waiting(namespace=namespace)]) == {}


def test_a_static_pod_and_one_of_no_shape_count_for_nothing(stage: Stage) -> None:
    broken = waiting()
    broken["spec"]["containers"] = "none"

    assert stage.sweep([broken, waiting(annotations={"kubernetes.io/config.mirror": "x"})]) == {}


def test_a_pod_whose_surroundings_are_not_known_is_passed_over(stage: Stage) -> None:
    stage.cluster.fail("get", Unavailable("get", "serviceaccounts", code=503), times=99)

    assert stage.sweep([waiting(namespace="unheard-of", service_account="x")]) == {}


def test_a_pod_that_a_list_gives_twice_counts_once(stage: Stage) -> None:
    assert stage.sweep([waiting(namespace="my"), waiting(namespace="my")]) == {Cause.SECRET_MISSING: 1}


def test_each_sweep_counts_again_and_one_that_is_not_finished_counts_for_nothing(stage: Stage) -> None:
    assert stage.sweep([waiting(namespace="my")]) == {Cause.SECRET_MISSING: 1}
    assert stage.sweep([waiting(namespace="my"), waiting(namespace="my", name="b")]) == {Cause.SECRET_MISSING: 2}
    stage.unable.begin(soon(), pending=True).look(waiting(namespace="my"))
    assert stage.unable.counts[Cause.SECRET_MISSING] == 2
    assert stage.sweep([]) == {}
