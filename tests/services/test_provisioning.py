"""A namespace's copy provisioned while a review waits, over a fake cluster."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.objects import CANARY, RELEASE_NAMESPACE, RULES, payload, secret
from tests.services.fakes import FakeCluster
from webhook.core import copies
from webhook.core.answers import Provisioned
from webhook.core.copies import Leave, LeaveReason, Secret
from webhook.core.names import ADOPT_ANNOTATION
from webhook.core.ownership import is_ours
from webhook.core.scope import Namespace
from webhook.core.vocabulary import CentralFault, Provisioning, Reason
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    Forbidden,
    Invalid,
    OutOfTime,
    QuotaExceeded,
    Unavailable,
)
from webhook.provisioning import Provisioner

AUTH = Namespace(name="auth")
IMAGES = ("ghcr.io/sesacthon/auth-api",)


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    for name in (RELEASE_NAMESPACE, "auth"):
        cluster.make_namespace(name)
    cluster.make_secret(secret())
    return cluster


def provisioner(cluster: FakeCluster) -> Provisioner:
    return Provisioner(cluster.facts, cluster.writer, rules=RULES)


def ensure(
    cluster: FakeCluster, *, seconds: float = 30, namespace: Namespace = AUTH, images: tuple[str, ...] = IMAGES
) -> Provisioned:
    return provisioner(cluster).ensure(namespace, images, Deadline.after(seconds))


def copy_of(cluster: FakeCluster, **changes: object) -> Secret:
    """Put a copy of ours into the namespace."""
    made = dataclasses.replace(copies.desired("auth", secret(), RULES.patterns), **changes)  # type: ignore[arg-type]
    cluster.make_secret(made)
    return made


def test_an_absent_copy_is_made(cluster: FakeCluster) -> None:
    assert ensure(cluster).result is Provisioning.CREATED
    found = cluster.secret("auth")
    assert found is not None
    assert is_ours(found, RELEASE_NAMESPACE)
    assert found.payload == payload()


def test_a_current_copy_costs_no_call(cluster: FakeCluster) -> None:
    copy_of(cluster)
    assert ensure(cluster).result is Provisioning.CURRENT
    assert cluster.calls == []


def test_what_was_just_written_is_known_before_the_watch_reports(cluster: FakeCluster) -> None:
    cluster.stop_watching()
    subject = provisioner(cluster)
    assert subject.ensure(AUTH, IMAGES, Deadline.after(30)).result is Provisioning.CREATED
    before = len(cluster.calls)
    assert subject.ensure(AUTH, IMAGES, Deadline.after(30)).result is Provisioning.CURRENT
    assert len(cluster.calls) == before


def test_a_stale_copy_is_updated(cluster: FakeCluster) -> None:
    copy_of(cluster, payload=payload(token="old"))
    assert ensure(cluster).result is Provisioning.UPDATED
    found = cluster.secret("auth")
    assert found is not None
    assert found.payload == payload()


@pytest.mark.parametrize("changes", [{"type": "Opaque", "payload": None}, {"payload": b"{}", "immutable": True}])
def test_a_copy_that_cannot_be_changed_is_replaced(cluster: FakeCluster, changes: dict[str, object]) -> None:
    copy_of(cluster, **changes)
    assert ensure(cluster).result is Provisioning.UPDATED
    assert [call.verb for call in cluster.calls if call.verb != "get"] == ["delete", "create"]
    found = cluster.secret("auth")
    assert found is not None
    assert (found.type, found.payload) == ("kubernetes.io/dockerconfigjson", payload())


def test_a_foreign_secret_is_never_written(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("auth", payload=payload(token="theirs")))
    before = cluster.secret("auth")
    assert ensure(cluster).result is Provisioning.FOREIGN
    assert cluster.calls == []
    assert cluster.secret("auth") == before


def test_a_foreign_secret_that_does_not_help_is_looked_at_again_before_it_is_left(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("auth", payload=b'{"auths": 1}'))
    assert ensure(cluster).result is Provisioning.FOREIGN
    cluster.stop_watching()
    cluster.remove_secret("auth")
    assert ensure(cluster).result is Provisioning.CREATED


def test_a_foreign_secret_is_adopted_when_it_asks_for_it(cluster: FakeCluster) -> None:
    cluster.make_secret(secret("auth", payload=b"{}", marks={ADOPT_ANNOTATION: "true"}))
    assert ensure(cluster).result is Provisioning.UPDATED


UNUSABLE = [
    (None, Provisioning.CENTRAL_MISSING),
    (secret(type="Opaque", payload=None), Provisioning.CENTRAL_UNUSABLE),
    (secret(payload=b'{"auths": 1}'), Provisioning.CENTRAL_UNUSABLE),
    (secret(payload=b"{}"), Provisioning.CENTRAL_UNUSABLE),
    (secret(payload=payload(registry="quay.io")), Provisioning.CENTRAL_UNUSABLE),
    (secret(payload=b'{"auths": {"ghcr.io": {}}}'), Provisioning.CENTRAL_UNUSABLE),
]


@pytest.mark.parametrize(("central", "result"), UNUSABLE)
@pytest.mark.parametrize("existing", [False, True])
def test_an_unusable_central_secret_is_never_copied(
    cluster: FakeCluster, central: Secret | None, result: Provisioning, existing: bool
) -> None:
    cluster.remove_secret(RELEASE_NAMESPACE)
    if central is not None:
        cluster.make_secret(central)
    if existing:
        copy_of(cluster, payload=payload(token="last-good"))
    before = cluster.secret("auth")
    outcome = ensure(cluster)
    assert outcome.result is result
    assert outcome.cause
    assert cluster.secret("auth") == before


def test_a_write_is_decided_on_the_central_secret_as_it_is_and_not_as_it_was(cluster: FakeCluster) -> None:
    copy_of(cluster, payload=payload(token="new"))
    cluster.stop_watching()
    cluster.remove_secret(RELEASE_NAMESPACE)
    cluster.make_secret(secret(payload=payload(token="new")))
    # By the caches the copy differs from the central secret. In truth it is the newer of the two.
    assert ensure(cluster).result is Provisioning.CURRENT
    assert cluster.called("patch") == []


def test_somebody_faster_is_fine(cluster: FakeCluster) -> None:
    cluster.before("create", lambda: copy_of(cluster))
    assert ensure(cluster).result is Provisioning.CURRENT
    assert len(cluster.called("create")) == 1


def test_somebody_elses_secret_that_came_meanwhile_is_left(cluster: FakeCluster) -> None:
    cluster.before("create", lambda: cluster.make_secret(secret("auth", payload=b'{"auths": {"x": {}}}')))
    assert ensure(cluster).result is Provisioning.FOREIGN


def test_a_copy_that_changed_meanwhile_is_read_again(cluster: FakeCluster) -> None:
    copy_of(cluster, payload=payload(token="old"))
    cluster.before("patch", lambda: copy_of(cluster, payload=payload(token="older")))
    assert ensure(cluster).result is Provisioning.UPDATED
    assert len(cluster.called("patch")) == 2


def test_a_copy_that_went_meanwhile_is_recreated(cluster: FakeCluster) -> None:
    copy_of(cluster, payload=payload(token="old"))
    cluster.before("patch", lambda: cluster.remove_secret("auth"))
    assert ensure(cluster).result is Provisioning.CREATED


def test_a_race_that_is_lost_again_and_again_ends(cluster: FakeCluster) -> None:
    cluster.fail("create", AlreadyExists("create", "secrets", "auth", code=409), times=50)
    assert ensure(cluster).result is Provisioning.CONFLICT
    assert len(cluster.called("create")) == 5


ERRORS: list[tuple[ClusterError, Provisioning]] = [
    (QuotaExceeded("create", "secrets", "auth", code=403), Provisioning.QUOTA_EXCEEDED),
    (Forbidden("create", "secrets", "auth", code=403), Provisioning.FORBIDDEN),
    (Invalid("create", "secrets", "auth", code=422), Provisioning.INVALID),
    (Unavailable("create", "secrets", "auth", code=503), Provisioning.UNAVAILABLE),
    (Unavailable("create", "secrets", "auth"), Provisioning.UNAVAILABLE),
    (DeadlineExceeded("create", "secrets", "auth"), Provisioning.TIMEOUT),
    (OutOfTime("create", "secrets", "auth"), Provisioning.TIMEOUT),
]


@pytest.mark.parametrize(("error", "result"), ERRORS)
def test_every_failure_of_a_write_has_its_outcome_and_its_words(
    cluster: FakeCluster, error: ClusterError, result: Provisioning
) -> None:
    cluster.fail("create", error)
    assert ensure(cluster) == Provisioned(result=result, cause=error.cause)
    assert not result.has_secret


def test_a_failure_of_a_read_is_an_outcome_too(cluster: FakeCluster) -> None:
    cluster.fail("get", Unavailable("get", "secrets", code=500), times=9)
    assert ensure(cluster).result is Provisioning.UNAVAILABLE


def test_a_cache_that_has_not_synced_is_not_asked(cluster: FakeCluster) -> None:
    cluster.synced = False
    cluster.fail("get", Unavailable("get", "secrets", code=500))
    assert ensure(cluster).result is Provisioning.UNAVAILABLE
    assert ensure(cluster).result is Provisioning.CREATED


def test_a_terminating_namespace_gets_none(cluster: FakeCluster) -> None:
    assert (
        ensure(cluster, namespace=Namespace(name="auth", terminating=True)).result is Provisioning.NAMESPACE_TERMINATING
    )
    cluster.terminate_namespace("auth")
    outcome = ensure(cluster)
    assert outcome.result is Provisioning.NAMESPACE_TERMINATING
    assert outcome.cause == "the namespace is being deleted"


def test_a_namespace_that_is_gone_is_asked_once(cluster: FakeCluster) -> None:
    assert ensure(cluster, namespace=Namespace(name="gone")).result is Provisioning.NAMESPACE_TERMINATING
    assert len(cluster.called("create")) == 1


def test_a_copy_that_is_being_deleted_is_not_counted_on(cluster: FakeCluster) -> None:
    copy_of(cluster, deleting=True)
    assert ensure(cluster).result is Provisioning.DELETING
    assert not Provisioning.DELETING.has_secret


def test_no_time_left_is_a_timeout(cluster: FakeCluster) -> None:
    assert ensure(cluster, seconds=0).result is Provisioning.TIMEOUT


def test_sixteen_reviews_in_one_namespace_make_one_secret(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    start = threading.Barrier(16)
    cluster.before("create", lambda: time.sleep(0.05))

    def review(_: int) -> Provisioning:
        start.wait()
        return subject.ensure(AUTH, IMAGES, Deadline.after(30)).result

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(review, range(16)))
    assert sorted(set(results)) == [Provisioning.CREATED, Provisioning.CURRENT]
    assert results.count(Provisioning.CREATED) == 1
    assert len(cluster.called("create")) == 1


def test_two_servers_in_one_namespace_make_one_secret(cluster: FakeCluster) -> None:
    subjects = [provisioner(cluster), provisioner(cluster)]
    start = threading.Barrier(16)

    def review(index: int) -> Provisioning:
        start.wait()
        return subjects[index % 2].ensure(AUTH, IMAGES, Deadline.after(30)).result

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(review, range(16)))
    assert set(results) <= {Provisioning.CREATED, Provisioning.CURRENT}
    assert results.count(Provisioning.CREATED) == 1


@dataclasses.dataclass(frozen=True, slots=True)
class Noted(Deadline):
    """A deadline that tells when somebody asks how long to wait."""

    asked: threading.Semaphore = dataclasses.field(default_factory=lambda: threading.Semaphore(0))

    def remaining(self) -> float:
        self.asked.release()
        return super(Noted, self).remaining()


def noted(seconds: float = 60) -> Noted:
    return Noted(at=time.monotonic() + seconds)


class Held:
    """Holds the first create until it is let go."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        cluster.before("create", self)

    def __call__(self) -> None:
        self.begun.set()
        self.go_on.wait(60)


def test_those_who_wait_for_a_writer_that_fails_share_its_outcome(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    held = Held(cluster)
    cluster.fail("create", QuotaExceeded("create", "secrets", "auth", code=403), times=9)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(subject.ensure, AUTH, IMAGES, Deadline.after(60))]
        assert held.begun.wait(30)
        deadlines = [noted() for _ in range(3)]
        futures += [pool.submit(subject.ensure, AUTH, IMAGES, deadline) for deadline in deadlines]
        assert all(deadline.asked.acquire(timeout=30) for deadline in deadlines)
        held.go_on.set()
        results = [future.result().result for future in futures]
    assert results == [Provisioning.QUOTA_EXCEEDED] * 4
    assert len(cluster.called("create")) == 1


def test_nobody_waits_longer_than_its_own_deadline(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    held = Held(cluster)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(subject.ensure, AUTH, IMAGES, Deadline.after(60))
        assert held.begun.wait(30)
        assert subject.ensure(AUTH, IMAGES, Deadline.after(0.05)).result is Provisioning.TIMEOUT
        assert not leader.done()
        held.go_on.set()
        assert leader.result().result is Provisioning.CREATED


def test_a_writer_that_crashes_lets_the_others_go(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    held = Held(cluster)

    def crash() -> None:
        raise ZeroDivisionError

    cluster.before("create", crash)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(subject.ensure, AUTH, IMAGES, Deadline.after(60))
        assert held.begun.wait(30)
        deadline = noted()
        second = pool.submit(subject.ensure, AUTH, IMAGES, deadline)
        assert deadline.asked.acquire(timeout=30)
        held.go_on.set()
        with pytest.raises(ZeroDivisionError):
            first.result()
        assert second.result().result is Provisioning.UNAVAILABLE
    assert ensure(cluster).result is Provisioning.CREATED


def test_namespaces_do_not_wait_for_each_other(cluster: FakeCluster) -> None:
    cluster.make_namespace("other")
    subject = provisioner(cluster)
    held = Held(cluster)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(subject.ensure, AUTH, IMAGES, Deadline.after(60))
        assert held.begun.wait(30)
        assert subject.ensure(Namespace(name="other"), IMAGES, Deadline.after(30)).result is Provisioning.CREATED
        assert not first.done()
        held.go_on.set()
        assert first.result().result is Provisioning.CREATED


@pytest.mark.parametrize("reason", LeaveReason)
def test_every_reason_to_leave_a_secret_has_its_outcome(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, reason: LeaveReason
) -> None:
    monkeypatch.setattr(copies, "plan", lambda *_: Leave(reason=reason))
    outcome = ensure(cluster)
    assert outcome.result.has_secret == (reason in HAVE_SECRET)
    assert bool(outcome.cause) != outcome.result.has_secret


HAVE_SECRET = {
    LeaveReason.CURRENT,
    LeaveReason.FOREIGN,
    LeaveReason.OWNED,
    LeaveReason.GIVEN_AWAY,
    LeaveReason.OTHER_RELEASE,
}


def test_outcomes_are_counted(cluster: FakeCluster) -> None:
    counted: list[Provisioning] = []
    subject = Provisioner(cluster.facts, cluster.writer, rules=RULES, count=counted.append)
    subject.ensure(AUTH, IMAGES, Deadline.after(30))
    subject.ensure(AUTH, IMAGES, Deadline.after(30))
    assert counted == [Provisioning.CREATED, Provisioning.CURRENT]


# --- the preview for a dry run, and diagnosed for a rejection


def test_a_dry_run_previews_without_writing(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    wanted = copies.desired("auth", secret(), RULES.patterns)

    def preview(existing: Secret | None) -> Secret | None:
        return subject.preview(AUTH, IMAGES, existing, Deadline.after(30), fresh=False)

    assert preview(None) == wanted
    assert preview(dataclasses.replace(wanted, payload=b"{}")) == wanted
    assert preview(dataclasses.replace(wanted, type="Opaque", payload=None)) == wanted
    foreign = secret("auth", payload=b"{}")
    assert preview(foreign) == foreign
    cluster.remove_secret(RELEASE_NAMESPACE)
    assert preview(None) is None
    assert [call for call in cluster.calls if call.verb != "get"] == []


@pytest.mark.parametrize(
    ("central", "reason", "fault"),
    [
        (None, Reason.CENTRAL_MISSING, None),
        (secret(payload=b'{"auths": 1}'), Reason.CENTRAL_UNUSABLE, CentralFault.MALFORMED),
        (secret(payload=payload(registry="quay.io")), Reason.CENTRAL_UNUSABLE, CentralFault.NO_ENTRY_FOR_IMAGE),
    ],
)
def test_a_diagnosis_names_the_central_secrets_fault(
    cluster: FakeCluster, central: Secret | None, reason: Reason, fault: CentralFault | None
) -> None:
    cluster.remove_secret(RELEASE_NAMESPACE)
    if central:
        cluster.make_secret(central)
    found = provisioner(cluster).diagnose(AUTH, IMAGES, Deadline.after(30))
    assert (found.reason, found.central_fault) == (reason, fault)


def test_a_diagnosis_finds_out_by_a_dry_run_what_stops_the_write(cluster: FakeCluster) -> None:
    subject = provisioner(cluster)
    assert subject.diagnose(AUTH, IMAGES, Deadline.after(30)).reason is Reason.SECRET_MISSING
    cluster.forbid_secrets_by_quota("auth")
    found = subject.diagnose(AUTH, IMAGES, Deadline.after(30))
    assert (found.reason, found.cause) == (Reason.PROVISIONING_FAILED, QuotaExceeded.cause)
    assert all(call.dry_run for call in cluster.called("create"))
    assert cluster.secret("auth") is None


def test_a_diagnosis_of_a_copy_that_came_meanwhile(cluster: FakeCluster) -> None:
    cluster.before("create", lambda: copy_of(cluster))
    found = provisioner(cluster).diagnose(AUTH, IMAGES, Deadline.after(30))
    assert (found.reason, found.cause) == (Reason.SECRET_MISSING, "it was made a moment ago")


def test_no_outcome_shows_a_credential(cluster: FakeCluster) -> None:
    outcomes = [ensure(cluster), ensure(cluster)]
    cluster.fail("get", Conflict("get", "secrets"))
    outcomes.append(ensure(cluster))
    assert CANARY not in repr(outcomes)
