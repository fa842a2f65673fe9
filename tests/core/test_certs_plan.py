"""Every row of the plan, and what holds for every walk through it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.facts import CLOCK_SKEW, CertificateFacts, Inspected, Publication, RotationState, Unreadable, WebhookTrust
from certs.plan import (
    OVERLAP,
    SETTLE,
    Action,
    CreateCA,
    DropPreviousCA,
    IssueLeaf,
    PublishBundle,
    RenewalReason,
    StoreBundle,
    Wait,
    authority_fault,
    leaf_fault,
    observe_publication,
    plan,
    renewal_due,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("hooks.ops.svc", "hooks.ops.svc.cluster.local")
DAMAGED = Unreadable(reason="not exactly one PEM certificate")
SECOND = timedelta(seconds=1)


def ca(name: str = "ca", *, now: datetime = NOW, **changes: object) -> CertificateFacts:
    facts = CertificateFacts(
        fingerprint=name,
        not_before=now - CLOCK_SKEW,
        not_after=now + timedelta(days=3650),
        is_ca=True,
        key_matches=True,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # the point of the helper: any field


def leaf(signer: str = "ca", *, now: datetime = NOW, **changes: object) -> CertificateFacts:
    facts = CertificateFacts(
        fingerprint=f"leaf of {signer}",
        not_before=now - CLOCK_SKEW,
        not_after=now + timedelta(days=90),
        dns_names=NAMES,
        key_matches=True,
        signed_by=(signer,),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # the point of the helper: any field


def trust(*authorities: Inspected) -> tuple[WebhookTrust, ...]:
    return tuple(WebhookTrust(name=name, authorities=authorities) for name in ("mutate", "validate"))


def sound(**changes: object) -> RotationState:
    """Give a state in which all is as it should be, but for the changes."""
    state = RotationState(
        dns_names=NAMES,
        authority=ca(),
        stored=(ca(),),
        leaf=leaf(),
        leaf_authorities=(ca(),),
        webhooks=trust(ca()),
        publication=Publication(authority="ca", since=NOW),
    )
    return replace(state, **changes)  # type: ignore[arg-type]  # the point of the helper: any field


def rotating(**changes: object) -> RotationState:
    """Give the state after a new CA was stored and published, the old one retained, the leaf still the old one's."""
    both = (ca("new"), ca("old"))
    state = sound(
        authority=both[0],
        stored=both,
        leaf=leaf("old"),
        leaf_authorities=(ca("old"),),
        webhooks=trust(*both),
        publication=Publication(authority="new", since=NOW),
    )
    return replace(state, **changes)  # type: ignore[arg-type]  # the point of the helper: any field


def planned(state: RotationState, *, now: datetime = NOW) -> tuple[Action, ...]:
    return plan(state, now=now, overlap=OVERLAP)


# --- the predicates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day", "due"), [(0, False), (59, False), (60, True), (61, True), (90, True)])
def test_renewal_is_due_when_the_last_third_of_a_life_has_begun(day: int, due: bool) -> None:
    assert renewal_due(NOW, NOW + timedelta(days=90), now=NOW + timedelta(days=day)) is due


@pytest.mark.parametrize(
    ("authority", "reason"),
    [
        (None, RenewalReason.MISSING),
        (DAMAGED, RenewalReason.UNREADABLE),
        (ca(is_ca=False), RenewalReason.NOT_A_CA),
        (ca(key_matches=False), RenewalReason.KEY_MISMATCH),
        (ca(not_before=NOW + SECOND), RenewalReason.NOT_YET_VALID),
        (ca(not_after=NOW), RenewalReason.EXPIRED),
        (ca(now=NOW - timedelta(days=2500)), RenewalReason.RENEWAL_DUE),
        (ca(now=NOW - timedelta(days=2400)), None),
        (ca(), None),
    ],
)
def test_a_ca_is_replaced_for_a_reason(authority: Inspected | None, reason: RenewalReason | None) -> None:
    assert authority_fault(authority, now=NOW) == reason


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, RenewalReason.MISSING),
        (DAMAGED, RenewalReason.UNREADABLE),
        (leaf(key_matches=False), RenewalReason.KEY_MISMATCH),
        (leaf("somebody"), RenewalReason.NOT_SIGNED_BY_CA),
        (leaf(signed_by=()), RenewalReason.NOT_SIGNED_BY_CA),
        (leaf(is_ca=True), RenewalReason.WRONG_USAGE),
        (leaf(is_server=False), RenewalReason.WRONG_USAGE),
        (leaf(dns_names=NAMES[:1]), RenewalReason.WRONG_NAMES),
        (leaf(dns_names=(*NAMES, "other.ops.svc")), RenewalReason.WRONG_NAMES),
        (leaf(not_before=NOW + SECOND), RenewalReason.NOT_YET_VALID),
        (leaf(not_after=NOW), RenewalReason.EXPIRED),
        (leaf(now=NOW - timedelta(days=61)), RenewalReason.RENEWAL_DUE),
        (leaf(now=NOW - timedelta(days=59)), None),
        (leaf(dns_names=(NAMES[1].upper(), NAMES[0])), None),
    ],
)
def test_a_leaf_is_replaced_for_a_reason(found: Inspected | None, reason: RenewalReason | None) -> None:
    state = sound(leaf=found)
    assert leaf_fault(state, now=NOW) == reason
    issue = () if reason is None else (IssueLeaf(reason=reason, dns_names=NAMES),)
    assert planned(state) == issue


@pytest.mark.parametrize("beside", [(), (ca("other"),), (DAMAGED,), (ca(), ca("other"))])
def test_a_leaf_with_a_wrong_ca_beside_it_is_replaced(beside: tuple[Inspected, ...]) -> None:
    assert leaf_fault(sound(leaf_authorities=beside), now=NOW) == RenewalReason.WRONG_CA_FILE


# --- installation ---------------------------------------------------------------------------------------------------


def test_a_sound_state_needs_nothing() -> None:
    assert planned(sound()) == ()


def test_an_overlap_that_ends_before_the_new_bundle_has_settled_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        plan(sound(), now=NOW, overlap=SETTLE)


def test_installation_begins_with_a_ca_and_nothing_else() -> None:
    state = sound(authority=None, stored=(), leaf=None, webhooks=trust(), publication=None)
    assert planned(state) == (CreateCA(reason=RenewalReason.MISSING),)


def test_installation_publishes_and_issues_without_waiting() -> None:
    state = sound(leaf=None, leaf_authorities=(), webhooks=trust(), publication=None)
    assert planned(state) == (
        PublishBundle(authorities=("ca",), webhooks=("mutate", "validate")),
        IssueLeaf(reason=RenewalReason.MISSING, dns_names=NAMES),
    )


def test_a_leaf_is_issued_before_there_is_any_webhook_configuration() -> None:
    state = sound(leaf=None, leaf_authorities=(), webhooks=(), publication=None)
    assert planned(state) == (IssueLeaf(reason=RenewalReason.MISSING, dns_names=NAMES),)


# --- rotation of the CA ---------------------------------------------------------------------------------------------


def test_a_ca_whose_renewal_is_due_is_retained_when_it_is_replaced() -> None:
    old = ca("old", now=NOW - timedelta(days=2500))
    state = sound(authority=old, stored=(old,), leaf=leaf("old"), webhooks=trust(old))
    assert planned(state) == (CreateCA(reason=RenewalReason.RENEWAL_DUE, retain=("old",)),)


def test_an_expired_ca_is_not_retained() -> None:
    old = ca("old", not_after=NOW)
    state = sound(authority=old, stored=(old,), leaf=leaf("old"), webhooks=trust(old))
    assert planned(state) == (CreateCA(reason=RenewalReason.EXPIRED),)


def test_both_cas_are_published_before_the_new_one_signs() -> None:
    state = rotating(webhooks=trust(ca("old")), publication=None)
    assert planned(state) == (PublishBundle(authorities=("new", "old"), webhooks=("mutate", "validate")),)


def test_one_webhook_without_the_new_ca_holds_the_leaf_back() -> None:
    first, second = trust(ca("new"), ca("old"))
    state = rotating(webhooks=(first, replace(second, authorities=(ca("old"),))), publication=None)
    assert planned(state) == (PublishBundle(authorities=("new", "old"), webhooks=("validate",)),)


def test_the_leaf_waits_until_the_published_bundle_has_settled() -> None:
    assert planned(rotating()) == (Wait(until=NOW + SETTLE),)
    assert planned(rotating(), now=NOW + SETTLE - SECOND) == (Wait(until=NOW + SETTLE),)
    assert planned(rotating(), now=NOW + SETTLE) == (IssueLeaf(reason=RenewalReason.NOT_SIGNED_BY_CA, dns_names=NAMES),)


@pytest.mark.parametrize("publication", [None, Publication(authority="old", since=NOW - OVERLAP)])
def test_a_bundle_not_known_to_be_published_is_waited_for(publication: Publication | None) -> None:
    assert planned(rotating(publication=publication)) == (Wait(until=NOW + SETTLE),)


def test_a_damaged_leaf_in_mid_rotation_does_not_cut_the_wait_short() -> None:
    """Servers keep the last good leaf, the old CA's, in memory: API servers must know the new CA before they lose it."""
    assert planned(rotating(leaf=DAMAGED)) == (Wait(until=NOW + SETTLE),)


def test_the_old_ca_stays_for_the_overlap_and_then_goes_everywhere() -> None:
    state = rotating(leaf=leaf("new"), leaf_authorities=(ca("new"),))
    assert planned(state, now=NOW + OVERLAP - SECOND) == (Wait(until=NOW + OVERLAP),)
    assert planned(state, now=NOW + OVERLAP) == (
        DropPreviousCA(authorities=("new",), dropped=("old",)),
        PublishBundle(authorities=("new",), webhooks=("mutate", "validate")),
    )


def test_a_keeper_that_died_between_dropping_and_publishing_publishes() -> None:
    state = rotating(stored=(ca("new"),), leaf=leaf("new"), leaf_authorities=(ca("new"),))
    assert planned(state) == (PublishBundle(authorities=("new",), webhooks=("mutate", "validate")),)


def test_a_ca_replaced_in_mid_rotation_retains_both_others() -> None:
    state = rotating(authority=ca("new", key_matches=False))
    assert planned(state) == (CreateCA(reason=RenewalReason.KEY_MISMATCH, retain=("new", "old")),)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bundle", [(), (ca("foreign"),), (ca(), ca("foreign")), (ca(), ca()), (DAMAGED,), (ca(), DAMAGED)]
)
def test_a_bundle_that_was_emptied_replaced_or_added_to_comes_back(bundle: tuple[Inspected, ...]) -> None:
    edited = WebhookTrust(name="validate", authorities=bundle)
    state = sound(webhooks=(trust(ca())[0], edited))
    assert planned(state) == (PublishBundle(authorities=("ca",), webhooks=("validate",)),)


@pytest.mark.parametrize("stored", [(), (DAMAGED,), (ca(), ca()), (ca(), DAMAGED), (ca(), ca("old", not_after=NOW))])
def test_a_stored_bundle_that_was_edited_is_written_again(stored: tuple[Inspected, ...]) -> None:
    assert planned(sound(stored=stored)) == (StoreBundle(authorities=("ca",)),)


def test_a_foreign_ca_in_the_stored_bundle_is_dropped_at_once_when_no_rotation_runs() -> None:
    state = sound(stored=(ca(), ca("foreign")))
    assert planned(state, now=NOW + OVERLAP) == (DropPreviousCA(authorities=("ca",), dropped=("foreign",)),)


def test_a_retained_ca_lost_from_the_secret_is_found_again_in_the_webhooks() -> None:
    assert planned(rotating(stored=(ca("new"),)))[0] == StoreBundle(authorities=("new", "old"))


def test_a_lost_ca_secret_keeps_what_the_webhooks_trust() -> None:
    state = sound(authority=None, stored=())
    assert planned(state) == (CreateCA(reason=RenewalReason.MISSING, retain=("ca",)),)


def test_a_ca_that_an_operator_put_in_is_taken_and_the_old_one_retained() -> None:
    state = sound(authority=ca("theirs"), publication=None)
    assert planned(state) == (
        StoreBundle(authorities=("theirs", "ca")),
        PublishBundle(authorities=("theirs", "ca"), webhooks=("mutate", "validate")),
    )


def test_what_is_no_ca_is_never_trusted() -> None:
    state = sound(authority=ca("edited", is_ca=False), stored=(ca("edited", is_ca=False), leaf("ca")))
    assert planned(state) == (CreateCA(reason=RenewalReason.NOT_A_CA, retain=("ca",)),)


def test_a_foreign_leaf_does_not_bring_its_ca_into_the_bundle() -> None:
    state = sound(leaf=leaf("foreign"), leaf_authorities=(ca("foreign"),))
    assert planned(state) == (IssueLeaf(reason=RenewalReason.NOT_SIGNED_BY_CA, dns_names=NAMES),)


# --- publication ----------------------------------------------------------------------------------------------------


def test_publication_counts_from_when_every_webhook_was_first_seen_to_trust_the_ca() -> None:
    later = NOW + SECOND
    first = observe_publication(None, authority=ca(), webhooks=trust(ca()), now=NOW)
    assert first == Publication(authority="ca", since=NOW)
    assert observe_publication(first, authority=ca(), webhooks=trust(ca(), ca("x")), now=later) == first


def test_publication_is_forgotten_when_a_webhook_stops_trusting_the_ca() -> None:
    seen = Publication(authority="ca", since=NOW)
    for webhooks in (trust(), trust(ca("x")), (*trust(ca()), WebhookTrust(name="third"))):
        assert observe_publication(seen, authority=ca(), webhooks=webhooks, now=NOW) is None
    for authority in (None, DAMAGED):
        assert observe_publication(seen, authority=authority, webhooks=trust(ca()), now=NOW) is None


@pytest.mark.parametrize(
    "earlier", [Publication(authority="other", since=NOW), Publication(authority="ca", since=NOW + OVERLAP)]
)
def test_publication_begins_again_for_another_ca_and_after_the_clock_was_set_back(earlier: Publication) -> None:
    seen = observe_publication(earlier, authority=ca(), webhooks=trust(ca()), now=NOW)
    assert seen == Publication(authority="ca", since=NOW)


# --- every walk -----------------------------------------------------------------------------------------------------

API_SERVER_LAG = SETTLE - SECOND
SERVER_LAG = OVERLAP - SECOND


@dataclass
class World:
    """A cluster at its worst: every API server and every server may still be at anything of the last lag."""

    now: datetime = NOW
    authority: Inspected | None = None
    stored: tuple[Inspected, ...] = ()
    leaf: Inspected | None = None
    leaf_authorities: tuple[Inspected, ...] = ()
    webhooks: dict[str, tuple[Inspected, ...]] = field(default_factory=lambda: {"a": (), "b": (), "c": ()})
    publication: Publication | None = None
    serials: count[int] = field(default_factory=count)
    bundles_seen: list[tuple[datetime, str, tuple[Inspected, ...]]] = field(default_factory=list)
    leaves_seen: list[tuple[datetime, Inspected | None]] = field(default_factory=list)

    def act(self, *, at_most: int = 9) -> tuple[Action, ...]:
        trusts = tuple(WebhookTrust(name=n, authorities=a) for n, a in self.webhooks.items())
        self.publication = observe_publication(
            self.publication, authority=self.authority, webhooks=trusts, now=self.now
        )
        state = RotationState(
            dns_names=NAMES,
            authority=self.authority,
            stored=self.stored,
            leaf=self.leaf,
            leaf_authorities=self.leaf_authorities,
            webhooks=trusts,
            publication=self.publication,
        )
        actions = planned(state, now=self.now)
        known = {
            c.fingerprint: c
            for c in (*self.stored, *sum(self.webhooks.values(), ()))
            if isinstance(c, CertificateFacts)
        }
        if isinstance(self.authority, CertificateFacts):
            known[self.authority.fingerprint] = self.authority
        for action in actions[:at_most]:
            self.apply(action, known)
        return actions

    def apply(self, action: Action, known: dict[str, CertificateFacts]) -> None:
        match action:
            case CreateCA():
                self.authority = ca(f"ca {next(self.serials)}", now=self.now)
                self.stored = (self.authority, *(known[f] for f in action.retain))
            case StoreBundle() | DropPreviousCA():
                self.stored = tuple(known[f] for f in action.authorities)
            case PublishBundle():
                for name in action.webhooks:
                    self.webhooks[name] = tuple(known[f] for f in action.authorities)
                    self.bundles_seen.append((self.now, name, self.webhooks[name]))
            case IssueLeaf():
                assert isinstance(self.authority, CertificateFacts)
                self.leaf = leaf(self.authority.fingerprint, now=self.now)
                self.leaf_authorities = (self.authority,)
                self.leaves_seen.append((self.now, self.leaf))
            case Wait():
                pass

    def no_call_can_fail(self) -> None:
        leaves = [seen for seen in self._within(self.leaves_seen, SERVER_LAG) if isinstance(seen[1], CertificateFacts)]
        for name in self.webhooks:
            history = [seen for seen in self.bundles_seen if seen[1] == name]
            for _, _, bundle in self._within(history, API_SERVER_LAG):
                trusted = {
                    entry.fingerprint
                    for entry in bundle
                    if isinstance(entry, CertificateFacts) and self.now < entry.not_after
                }
                for _, served in leaves:
                    assert isinstance(served, CertificateFacts)
                    # The keeper slept until a CA or a leaf expired: such calls fail whatever it does next.
                    if trusted and self.now < served.not_after:
                        assert trusted & set(served.signed_by)

    def _within(self, history: list, lag: timedelta) -> list:  # type: ignore[type-arg]  # of either history
        """Give what may still be in use: everything of the last `lag`, and what was current when that began."""
        older = [seen for seen in history if seen[0] <= self.now - lag]
        return older[-1:] + [seen for seen in history if seen[0] > self.now - lag]

    def converge(self) -> None:
        for _ in range(12):
            actions = self.act()
            if not actions:
                break
            if isinstance(actions[-1], Wait):
                self.now = actions[-1].until
        else:
            pytest.fail("no rest after twelve rounds")
        assert isinstance(self.authority, CertificateFacts)
        assert isinstance(self.leaf, CertificateFacts)
        assert self.leaf.signed_by == (self.authority.fingerprint,)
        assert self.stored == (self.authority,)
        assert set(self.webhooks.values()) == {(self.authority,)}


PLANNED = st.one_of(
    st.tuples(st.just("keeper"), st.integers(0, 3)),
    st.tuples(st.just("time"), st.sampled_from([1, 5, 10, 60, 600, 3600, 86_400 * 30, 86_400 * 2500])),
    st.tuples(st.sampled_from(["restart", "rotate"]), st.just(0)),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(events=st.lists(PLANNED, max_size=60))
def test_no_served_leaf_is_ever_one_that_an_api_server_does_not_trust(events: list[tuple[str, int]]) -> None:
    world = World()
    world.converge()
    for event, value in events:
        match event:
            case "keeper":
                world.act(at_most=value)  # fewer than all: it died in between
            case "time":
                world.now += timedelta(seconds=value)
            case "restart":
                world.publication = None
            case "rotate":
                world.authority, world.stored = None, ()
        world.no_call_can_fail()
    for _ in range(12):
        actions = world.act()
        world.no_call_can_fail()
        if actions and isinstance(actions[-1], Wait):
            world.now = actions[-1].until
    world.converge()


FOREIGN = ca("foreign", now=NOW - timedelta(days=30))
BROKEN_CA = st.sampled_from(
    [None, DAMAGED, FOREIGN, ca("x", key_matches=False), ca("x", is_ca=False), ca("x", not_after=NOW)]
)
BROKEN_LEAF = st.sampled_from(
    [None, DAMAGED, leaf("foreign"), leaf(key_matches=False), leaf(dns_names=()), leaf(not_after=NOW)]
)
BUNDLE = st.lists(st.sampled_from([FOREIGN, DAMAGED, ca("x", not_after=NOW), leaf("foreign")]), max_size=3).map(tuple)
DAMAGE = st.one_of(
    PLANNED,
    st.tuples(st.just("authority"), BROKEN_CA),
    st.tuples(st.just("leaf"), BROKEN_LEAF),
    st.tuples(st.sampled_from(["stored", "leaf_authorities", "a", "b"]), BUNDLE),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(events=st.lists(DAMAGE, max_size=30))
def test_whatever_was_damaged_a_sound_state_is_reached_in_a_bounded_number_of_rounds(
    events: list[tuple[str, object]],
) -> None:
    world = World()
    for event, value in events:
        match event, value:
            case "keeper", int(at_most):
                world.act(at_most=at_most)
            case "time", int(seconds):
                world.now += timedelta(seconds=seconds)
            case (("a" | "b"), tuple()):
                world.webhooks[event] = value
            case (("authority" | "leaf" | "stored" | "leaf_authorities"), _):
                setattr(world, event, value)
    world.converge()
