"""The keeper brings Secrets and webhook configurations to the plan, whatever happens in between."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import issue_leaf, new_ca
from certs.facts import CertificateFacts, KeyPair
from certs.inspection import inspect
from certs.keeper import LONGEST_PAUSE, REGISTRATION_PAUSE, ROUNDS_PAUSE, Keeper, Terms, UnendingRotation
from certs.plan import RenewalReason
from certs.ports import CertificateKind, Done, Published, Renewed, Retired, Stored
from certs.state import SecretData, authority_data, leaf_data
from tests.services.certificate_fakes import FakeCertificates, Refused
from tests.services.contracts.certificates import RegistrationContract, StoreContract

CA, TLS = "hooks-webhook-ca", "hooks-webhook-tls"
MUTATING, VALIDATING = "mutating/hooks", "validating/hooks"
START = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms(dns_names=("hooks.ops.svc",), common_name="hooks-ca", overlap=timedelta(minutes=30))
CA_IS_OLD = START + timedelta(days=2434)
"""The last third of 3,650 days has begun."""
HOOKS = {"a.hooks": b"", "b.hooks": b""}


@pytest.fixture
def certificates() -> FakeCertificates:
    return FakeCertificates(MUTATING, VALIDATING)


class TestFakeStore(StoreContract):
    pass


class TestFakeRegistration(RegistrationContract):
    pass


class House:
    """A cluster, a clock, and the keeper of the moment."""

    def __init__(self, terms: Terms = TERMS, *, registered: bool = True) -> None:
        self.now = START
        self.terms = terms
        self.cluster = FakeCertificates(MUTATING, VALIDATING)
        self.done: list[Done] = []
        self.keeper = self.another()
        if registered:
            self.apply_chart()

    def another(self, done: Callable[[Done], None] | None = None) -> Keeper:
        return Keeper(
            store=self.cluster.store,
            authority=CA,
            leaf=TLS,
            registrations=self.cluster.registrations,
            terms=self.terms,
            on_done=done or self.done.append,
            clock=lambda: self.now,
        )

    def apply_chart(self) -> None:
        for name in (MUTATING, VALIDATING):
            self.cluster.register(HOOKS, name)

    def restart(self) -> None:
        self.keeper = self.another()

    def data(self, name: str) -> SecretData:
        return self.cluster.secrets[name].data

    def walk(self, until: Callable[[], bool] | None = None) -> list[str]:
        """Keep and let the time pass until all rests; gives the writes and waits. A call works at any moment of it."""
        steps = []
        for _ in range(30):
            before = len(self.cluster.writes)
            pause = self.keeper.keep()
            steps.extend(self.cluster.writes[before:])
            self.calls_work()
            if until is not None and until():
                return steps
            if pause == LONGEST_PAUSE.total_seconds():
                return steps
            steps.append(f"wait {pause:g}")
            self.now += timedelta(seconds=pause)
        raise AssertionError(f"no end: {steps}")

    def age(self) -> None:
        """Let the CA become old, with all the leaves in between."""
        while self.now < CA_IS_OLD:
            self.keeper.keep()
            self.calls_work()
            self.now += timedelta(days=10)
        self.now = CA_IS_OLD
        self.cluster.writes.clear()
        self.done.clear()

    def calls_work(self) -> None:
        leaf = self.data(TLS)
        for bundle in self.cluster.bundles():
            facts = inspect(leaf["tls.crt"], leaf["tls.key"], bundle)
            assert isinstance(facts, CertificateFacts)
            assert facts.key_matches
            assert facts.signed_by
            assert facts.not_before <= self.now < facts.not_after


def installed(terms: Terms = TERMS) -> House:
    house = House(terms)
    house.walk()
    house.cluster.writes.clear()
    house.done.clear()
    return house


# --- installation ---------------------------------------------------------------------------------------------------


def test_an_installation_makes_a_ca_publishes_it_and_makes_a_leaf_without_waiting() -> None:
    house = House()
    assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    assert house.cluster.writes == [f"create {CA}", f"publish {MUTATING}", f"publish {VALIDATING}", f"create {TLS}"]
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}
    house.calls_work()


def test_each_thing_done_is_reported_once() -> None:
    house = House()
    house.keeper.keep()
    ca, *published, leaf = house.done
    assert isinstance(ca, Renewed)
    assert (ca.kind, ca.secret, ca.reason) == (CertificateKind.AUTHORITY, CA, RenewalReason.MISSING)
    assert ca.not_after == START + TERMS.ca_validity
    assert published == [Published(registration=name, authorities=(ca.fingerprint,)) for name in (MUTATING, VALIDATING)]
    assert isinstance(leaf, Renewed)
    assert (leaf.kind, leaf.secret, leaf.reason) == (CertificateKind.LEAF, TLS, RenewalReason.MISSING)
    assert house.keeper.expiry() == (START + TERMS.leaf_validity).timestamp()


def test_where_all_is_well_nothing_is_written() -> None:
    house = installed()
    for _ in range(5):
        assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    house.restart()
    assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    assert house.cluster.writes == []
    assert house.done == []


def test_a_chart_that_is_not_applied_yet_is_waited_for() -> None:
    house = House(registered=False)
    assert house.keeper.keep() == REGISTRATION_PAUSE.total_seconds()
    assert house.cluster.writes == [f"create {CA}", f"create {TLS}"]
    house.cluster.register(HOOKS, VALIDATING)
    assert house.keeper.keep() == REGISTRATION_PAUSE.total_seconds()
    house.cluster.register(HOOKS, MUTATING)
    assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    assert house.cluster.writes[2:] == [f"publish {VALIDATING}", f"publish {MUTATING}"]
    house.calls_work()


def test_before_the_first_look_there_is_no_expiry() -> None:
    assert House().keeper.expiry() is None


# --- rotation -------------------------------------------------------------------------------------------------------


def test_the_leaf_is_renewed_when_a_third_of_its_life_is_left_and_the_ca_stays() -> None:
    house = installed()
    bundles = house.cluster.bundles()
    house.now = START + timedelta(days=59)
    house.keeper.keep()
    assert house.cluster.writes == []
    house.now = START + timedelta(days=61)
    house.keeper.keep()
    assert house.cluster.writes == [f"update {TLS}"]
    assert house.cluster.bundles() == bundles
    (renewed,) = house.done
    assert isinstance(renewed, Renewed)
    assert renewed.reason is RenewalReason.RENEWAL_DUE


def test_a_rotation_publishes_both_waits_serves_the_new_and_then_drops_the_old() -> None:
    house = installed()
    old = house.data(CA)["tls.crt"]
    house.age()
    assert house.data(CA)["tls.crt"] == old
    assert house.walk() == [
        f"update {CA}", f"publish {MUTATING}", f"publish {VALIDATING}", "wait 10", f"update {TLS}", "wait 1800",
        f"update {CA}", f"publish {MUTATING}", f"publish {VALIDATING}",
    ]  # fmt: skip
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]} != {old}
    assert isinstance(house.done[-3], Retired)


def test_a_restart_at_any_moment_of_a_rotation_costs_a_wait_and_no_call() -> None:
    house = installed()
    house.age()
    house.keeper.keep()
    both = house.cluster.bundles()
    house.now += timedelta(seconds=9)
    house.restart()
    assert house.keeper.keep() == 10
    house.now += timedelta(seconds=10)
    house.keeper.keep()
    assert house.cluster.writes[-1] == f"update {TLS}"
    house.restart()
    house.walk()
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}
    assert house.cluster.bundles() != both


def test_short_lives_are_looked_at_more_often() -> None:
    terms = Terms(
        dns_names=("hooks.ops.svc",), common_name="hooks-ca", ca_validity=timedelta(days=1),
        leaf_validity=timedelta(hours=5), overlap=timedelta(minutes=5),
    )  # fmt: skip
    house = House(terms)
    assert house.keeper.keep() == timedelta(hours=5).total_seconds() / 500


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"overlap": timedelta(seconds=10)}, "must be longer than settle"),
        ({"ca_validity": timedelta(hours=1)}, "must be longer than 5565 s"),
        ({"leaf_validity": timedelta(hours=1)}, "must be longer than 5565 s"),
    ],
    ids=["overlap", "ca", "leaf"],
)
def test_terms_under_which_rotations_would_never_end_are_refused(change: dict[str, timedelta], problem: str) -> None:
    with pytest.raises(UnendingRotation, match=problem) as caught:
        Terms(dns_names=("hooks.ops.svc",), common_name="hooks-ca", **change)
    assert [caught.value.field] == list(change)


def test_with_the_shortest_lives_allowed_rotations_end() -> None:
    life = timedelta(seconds=5566)
    house = House(Terms(dns_names=("hooks.ops.svc",), common_name="ca", ca_validity=life, leaf_validity=life))
    alone: list[datetime] = []
    while len(alone) < 3:
        pause = house.keeper.keep()
        house.calls_work()
        (bundle,) = house.cluster.bundles()
        if bundle == house.data(CA)["tls.crt"]:
            alone.append(house.now)
        house.now += timedelta(seconds=max(pause, 1))
        assert house.now < START + timedelta(days=1)


# --- faults ---------------------------------------------------------------------------------------------------------


YOUNG = Terms(
    dns_names=("hooks.ops.svc",), common_name="hooks-ca", ca_validity=timedelta(days=90), overlap=timedelta(minutes=30)
)


@pytest.mark.parametrize("number", range(1, 12))
def test_whatever_write_fails_another_keeper_goes_on_from_there(number: int) -> None:
    """The writes of an installation (4) and of a rotation (7), each in its turn."""
    house = House(YOUNG)
    writes = iter(range(1, 100))

    def refuse(_: str) -> None:
        if next(writes) == number:
            raise Refused

    house.cluster.before = refuse
    refusals = 0
    while house.now < START + timedelta(days=62):
        try:
            pause = house.keeper.keep()
        except Refused:
            refusals += 1
            house.restart()
            continue
        house.calls_work()
        rests = house.cluster.bundles() == {house.data(CA)["tls.crt"]} and pause == LONGEST_PAUSE.total_seconds()
        house.now += timedelta(days=61) if rests else timedelta(seconds=pause)
    assert refusals == 1
    assert next(writes) == 13, "the one that failed was repeated, and no other"


def test_after_a_conflict_everything_is_read_again_and_planned_again() -> None:
    house = installed()
    foreign = new_ca(common_name="foreign", now=START).certificate_pem
    house.cluster.edit_bundle("a.hooks", b"")
    edits = [lambda: house.cluster.edit_bundle("a.hooks", foreign)]

    def somebody_is_faster(write: str) -> None:
        if edits:
            edits.pop()()

    house.cluster.before = somebody_is_faster
    house.keeper.keep()
    assert len(house.cluster.writes) > 1
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}


def test_who_always_undoes_what_is_done_is_not_met_at_full_speed() -> None:
    house = installed()
    house.cluster.before = lambda _: house.cluster.edit_bundle("a.hooks", b"")
    house.cluster.edit_bundle("a.hooks", b"")
    assert house.keeper.keep() == ROUNDS_PAUSE.total_seconds()
    assert len(house.cluster.writes) == 10


@pytest.mark.parametrize("_", range(10))
def test_two_keepers_that_start_at_once_make_one_ca(_: int) -> None:
    house = House()
    together = threading.Barrier(2, timeout=5)
    waited = threading.local()

    def wait_for_the_other(write: str) -> None:
        if write == f"create {CA}" and not hasattr(waited, "once"):
            waited.once = True
            together.wait()

    house.cluster.before = wait_for_the_other
    threads = [threading.Thread(target=house.another().keep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [each.kind for each in house.done if isinstance(each, Renewed)].count(CertificateKind.AUTHORITY) == 1
    house.keeper.keep()
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}
    house.calls_work()


def test_a_keeper_that_read_before_another_made_the_ca_takes_it() -> None:
    house = House()
    other = house.another()

    def other_is_faster(write: str) -> None:
        if write == f"create {CA}":
            house.cluster.before = lambda _: None
            other.keep()

    house.cluster.before = other_is_faster
    house.keeper.keep()
    assert (
        len([each for each in house.done if isinstance(each, Renewed) and each.kind is CertificateKind.AUTHORITY]) == 1
    )
    house.calls_work()


# --- damage ---------------------------------------------------------------------------------------------------------

OTHER = new_ca(common_name="other", now=START)
OTHER_LEAF = issue_leaf(OTHER, dns_names=["hooks.ops.svc"], now=START)


@pytest.mark.parametrize("name", [MUTATING, VALIDATING])
@pytest.mark.parametrize("bundle", [b"", b"no certificate", OTHER.certificate_pem], ids=["emptied", "text", "another"])
def test_a_bundle_that_somebody_changed_comes_back(name: str, bundle: bytes) -> None:
    house = installed()
    house.cluster.register({"a.hooks": bundle, "b.hooks": house.data(CA)["tls.crt"]}, name)
    assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    assert house.cluster.writes == [f"publish {name}"]
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}


def test_a_webhook_that_is_added_gets_the_bundle() -> None:
    house = installed()
    found = house.cluster.webhooks[MUTATING]
    house.cluster.register({**dict(found.bundles), "c.hooks": b""}, MUTATING)
    house.keeper.keep()
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}


def spoilt_leaves(data: SecretData) -> dict[str, tuple[SecretData, RenewalReason]]:
    return {
        "empty": ({}, RenewalReason.MISSING),
        "cut short": ({**data, "tls.crt": data["tls.crt"][:-40]}, RenewalReason.UNREADABLE),
        "foreign key": ({**data, "tls.key": OTHER_LEAF.key_pem}, RenewalReason.KEY_MISMATCH),
        "no key": ({name: value for name, value in data.items() if name != "tls.key"}, RenewalReason.KEY_MISMATCH),
        "another's": (leaf_data(OTHER_LEAF, OTHER.certificate_pem), RenewalReason.NOT_SIGNED_BY_CA),
        "edited bundle": ({**data, "ca.crt": OTHER.certificate_pem}, RenewalReason.WRONG_CA_FILE),
    }


@pytest.mark.parametrize("damage", ["empty", "cut short", "foreign key", "no key", "another's", "edited bundle"])
def test_a_damaged_or_edited_leaf_is_replaced_at_once(damage: str) -> None:
    house = installed()
    spoilt, reason = spoilt_leaves(house.data(TLS))[damage]
    house.cluster.edit_secret(TLS, spoilt)
    assert house.keeper.keep() == LONGEST_PAUSE.total_seconds()
    assert house.cluster.writes == [f"update {TLS}"]
    (renewed,) = house.done
    assert isinstance(renewed, Renewed)
    assert renewed.reason is reason
    house.calls_work()


def test_a_leaf_of_wrong_names_or_an_expired_one_is_replaced_at_once() -> None:
    house = installed()
    ca = KeyPair(certificate_pem=house.data(CA)["tls.crt"], key_pem=house.data(CA)["tls.key"])
    renamed = issue_leaf(ca, dns_names=["other.ops.svc"], now=house.now)
    house.cluster.edit_secret(TLS, leaf_data(renamed, ca.certificate_pem))
    house.keeper.keep()
    house.now += timedelta(days=200)
    house.keeper.keep()
    reasons = [each.reason for each in house.done if isinstance(each, Renewed)]
    assert reasons == [RenewalReason.WRONG_NAMES, RenewalReason.EXPIRED]


@pytest.mark.parametrize("damage", ["deleted", "empty", "cut short", "foreign key", "another's"])
def test_a_damaged_ca_is_replaced_by_a_rotation_so_that_no_call_fails(damage: str) -> None:
    house = installed()
    data = house.data(CA)
    if damage == "deleted":
        house.cluster.delete_secret(CA)
    else:
        spoilt: dict[str, SecretData] = {
            "empty": {},
            "cut short": {**data, "tls.crt": data["tls.crt"][:-40]},
            "foreign key": {**data, "tls.key": OTHER.key_pem},
            "another's": authority_data(OTHER, b""),
        }
        house.cluster.edit_secret(CA, spoilt[damage])
    leaf = house.data(TLS)["tls.crt"]
    house.walk(until=lambda: house.data(TLS)["tls.crt"] != leaf)
    assert data["tls.crt"] in next(iter(house.cluster.bundles())), "servers may serve the old leaf for a while yet"
    house.now += timedelta(hours=1)
    house.walk()
    assert house.cluster.bundles() == {house.data(CA)["tls.crt"]}


def test_a_deleted_leaf_is_made_again() -> None:
    house = installed()
    house.cluster.delete_secret(TLS)
    house.keeper.keep()
    assert house.cluster.writes == [f"create {TLS}"]


@pytest.mark.slow
def test_nothing_that_is_reported_or_shown_holds_a_key() -> None:
    house = installed()
    house.age()
    house.walk()
    shown = repr(house.done) + repr(house.cluster.secrets)
    assert "PRIVATE" not in shown
    assert isinstance(house.cluster.secrets[CA], Stored)
