"""Reconcile loop for certificates: read, plan, write in order, read again.

`Keeper.keep` may be called at any time and as often as one likes, by a watch's event as by a timer: what it does
follows from what there is. All that it remembers is since when the current CA has been seen published, and forgetting
that costs one more wait (`certs.plan.observe_publication`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from certs.authority import issue_leaf, new_ca
from certs.facts import CA_VALIDITY, CLOCK_SKEW, LEAF_VALIDITY, CertificateFacts, KeyPair, Publication
from certs.inspection import inspect
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
    plan,
)
from certs.ports import (
    CertificateKind,
    CertificateStore,
    Changed,
    Done,
    Published,
    Registered,
    Registration,
    Renewed,
    Retired,
    Stored,
)
from certs.state import Observation, authority_data, leaf_data, observe

LONGEST_PAUSE: Final = timedelta(hours=1)
"""A watch reports every change; this is for the passing of time, and for a watch that is broken."""

LOOKS_PER_LIFE: Final = 500
"""A certificate is looked at so often within its life at least; the hour is less, unless lives are of a few days."""

REGISTRATION_PAUSE: Final = timedelta(seconds=30)
"""Until a webhook configuration that is not there is looked for again."""

ROUNDS: Final = 10
"""Rounds of one `keep`. An installation takes three, a step of a rotation two; more means that others write too."""

ROUNDS_PAUSE: Final = timedelta(seconds=5)
"""Pause after that many, so that whoever undoes what we do is not met at full speed."""


class UnendingRotation(ValueError):
    """Terms under which a rotation would not be over before the next one begins.

    Args:
        field: Name of the field of `Terms` that has to be more.
        problem: How much more.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What certificates are made, and how they follow one another.

    Attributes:
        dns_names: The names the API server calls the webhook by.
        common_name: Subject of the CAs, at most 64 characters.
        ca_validity, leaf_validity: Life from the making on.
        overlap, settle: See `certs.plan`.

    Raises:
        UnendingRotation: `overlap` is not longer than `settle`, or a certificate would be due for renewal before the
            overlap after its making is over.
    """

    dns_names: tuple[str, ...]
    common_name: str
    ca_validity: timedelta = CA_VALIDITY
    leaf_validity: timedelta = LEAF_VALIDITY
    overlap: timedelta = OVERLAP
    settle: timedelta = SETTLE

    def __post_init__(self) -> None:
        """Check that rotations end."""
        if self.overlap <= self.settle:
            raise UnendingRotation("overlap", "must be longer than settle")
        # The last third of a life that began CLOCK_SKEW before: after 2/3 of (validity + skew), less the skew.
        shortest = (self.settle + self.overlap + CLOCK_SKEW / 3) * 3 / 2
        for name in ("ca_validity", "leaf_validity"):
            if getattr(self, name) <= shortest:
                raise UnendingRotation(name, f"must be longer than {shortest.total_seconds():g} s with this overlap")


class Keeper:
    """Keeps a CA, a leaf and the webhooks' trust in them. Not for several threads at once.

    Several keepers at once, in processes that do not know of each other, make one CA: each write is conditional on what
    its plan was made from.

    Args:
        store: Where the two Secrets are.
        authority, leaf: Their names.
        registrations: The webhook configurations there should be.
        terms: What to make.
        on_done: Called with each thing done; must not raise.
        clock: Gives the time, timezone-aware.
    """

    def __init__(  # noqa: PLR0913 (what is kept, and the clock that tests hold still)
        self,
        *,
        store: CertificateStore,
        authority: str,
        leaf: str,
        registrations: Sequence[Registration],
        terms: Terms,
        on_done: Callable[[Done], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._authority = authority
        self._leaf = leaf
        self._registrations = registrations
        self._terms = terms
        self._on_done = on_done
        self._clock = clock
        self._publication: Publication | None = None
        self._expiry: datetime | None = None
        self._longest = min(LONGEST_PAUSE, min(terms.ca_validity, terms.leaf_validity) / LOOKS_PER_LIFE)

    def keep(self) -> float:
        """Do what is to be done now.

        Returns:
            Seconds after which to call again at the latest.

        Raises:
            Exception: What store or registrations raised, `Changed` aside; call again after a pause.
        """
        for _ in range(ROUNDS):
            seen = self._look()
            now = seen.now
            actions = plan(seen.observed.state, now=now, overlap=self._terms.overlap, settle=self._terms.settle)
            try:
                waits = [wait for action in actions if (wait := self._do(action, seen)) is not None]
            except Changed:
                continue
            if len(waits) == len(actions):
                pauses = [self._longest, *(until - now for until in waits)]
                if len(seen.registered) < len(self._registrations):
                    pauses.append(REGISTRATION_PAUSE)
                return max(0.0, min(pauses).total_seconds())
        return ROUNDS_PAUSE.total_seconds()

    def expiry(self) -> float | None:
        """Give the end of the leaf's life as last seen, as a POSIX timestamp; `None` if there is no leaf."""
        return self._expiry.timestamp() if self._expiry else None

    def _look(self) -> "_Seen":
        authority, leaf = self._store.get(self._authority), self._store.get(self._leaf)
        read = ((registration, registration.read()) for registration in self._registrations)
        registered = [(registration, found) for registration, found in read if found is not None]
        now = self._clock()  # after reading: nothing counts as published before it was
        observed = observe(
            authority=authority.data if authority else None,
            leaf=leaf.data if leaf else None,
            webhooks={
                _key(registration, webhook): bundle
                for registration, found in registered
                for webhook, bundle in found.bundles
            },
            dns_names=self._terms.dns_names,
            earlier=self._publication,
            now=now,
        )
        self._publication = observed.state.publication
        facts = observed.state.leaf
        self._expiry = facts.not_after if isinstance(facts, CertificateFacts) else None
        return _Seen(now=now, authority=authority, leaf=leaf, registered=registered, observed=observed)

    def _do(self, action: Action, seen: "_Seen") -> datetime | None:
        """Carry one action out; gives the time to wait for if that is all there is to it."""
        observed, terms, now = seen.observed, self._terms, seen.now
        match action:
            case CreateCA():
                ca = new_ca(common_name=terms.common_name, now=now, validity=terms.ca_validity)
                self._write(self._authority, authority_data(ca, observed.bundle(action.retain)), seen.authority)
                self._report_renewed(CertificateKind.AUTHORITY, self._authority, action.reason, ca)
            case StoreBundle() | DropPreviousCA():
                data = authority_data(_sound(observed.authority), observed.bundle(action.authorities))
                self._write(self._authority, data, seen.authority)
                if isinstance(action, DropPreviousCA):
                    self._on_done(Retired(authorities=action.dropped))
            case PublishBundle():
                self._publish(action, seen)
            case IssueLeaf():
                ca = _sound(observed.authority)
                leaf = issue_leaf(ca, dns_names=action.dns_names, now=now, validity=terms.leaf_validity)
                self._write(self._leaf, leaf_data(leaf, ca.certificate_pem), seen.leaf)
                self._report_renewed(CertificateKind.LEAF, self._leaf, action.reason, leaf)
            case Wait():
                return action.until
            case _:
                assert_never(action)
        return None

    def _write(self, name: str, data: Mapping[str, bytes], seen: Stored | None) -> None:
        if seen is None:
            self._store.create(name, data)
        else:
            self._store.update(name, data, seen)

    def _publish(self, action: PublishBundle, seen: "_Seen") -> None:
        bundle = seen.observed.bundle(action.authorities)
        for registration, found in seen.registered:
            if any(_key(registration, webhook) in action.webhooks for webhook, _ in found.bundles):
                registration.publish(bundle, found)
                self._on_done(Published(registration=registration.name, authorities=action.authorities))

    def _report_renewed(self, kind: CertificateKind, secret: str, reason: RenewalReason, made: KeyPair) -> None:
        facts = inspect(made.certificate_pem)
        assert isinstance(facts, CertificateFacts)  # noqa: S101 (for the type checker; it was made just now)
        self._on_done(
            Renewed(kind=kind, secret=secret, reason=reason, fingerprint=facts.fingerprint, not_after=facts.not_after)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Everything one round rests on."""

    now: datetime
    authority: Stored | None
    leaf: Stored | None
    registered: Sequence[tuple[Registration, Registered]]
    observed: Observation


def _key(registration: Registration, webhook: str) -> str:
    return f"{registration.name}/{webhook}"


def _sound(authority: KeyPair | None) -> KeyPair:
    assert authority is not None  # noqa: S101 (for the type checker; a plan that needs the CA has seen it sound)
    return authority
