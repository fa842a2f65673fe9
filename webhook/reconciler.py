"""Reconciliation of every namespace's copy with the central secret."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, assert_never

from webhook import applying
from webhook.applying import Applied, Tried
from webhook.core import copies, policy, workloads
from webhook.core.causes import Cause
from webhook.core.contest import Contests
from webhook.core.copies import Create, Delete, Leave, LeaveReason, Place, Replace, Secret, Step, Update
from webhook.core.kinds import POD
from webhook.core.ownership import Owner, is_ours, owner_of
from webhook.core.review import Json
from webhook.core.scope import Rules
from webhook.core.vocabulary import Reconciliation
from webhook.core.workloads import MalformedObject
from webhook.ports import (
    ClusterError,
    Copies,
    Deadline,
    Events,
    NamespaceTerminating,
    NotFound,
    NotLeading,
    Pods,
    SecretWriter,
)
from webhook.reporting import CentralReports, CentralState, CopyReports
from webhook.unable import UnableToPull


class Reconciler:
    """Brings copies to the central secret, one namespace at a call.

    It remembers what nothing left in the cluster shows: where a copy of ours was taken away, where one became foreign
    and is not reported yet, and where we have rewritten one again and again. What a process that stopped had remembered
    of the first is found again by `sweep`.
    """

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        *,
        rules: Rules,
        facts: Copies,
        writer: SecretWriter,
        pods: Pods,
        events: Events,
        count: Callable[[Reconciliation], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._facts = facts
        self._writer = writer
        self._pods = pods
        self._events = events
        self._reports = CopyReports(events)
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._missing: set[str] = set()
        self._contests = Contests()
        self._central = CentralReports(events, rules.release_namespace)
        self._unable = UnableToPull(rules, facts)

    # --- what happened

    def secret_changed(self, old: Secret | None, new: Secret | None) -> None:
        """Take note of a change of a namespace's `ghcr-secret`. Whoever leads acts on it, in `reconcile`."""
        home = self._rules.release_namespace
        if old is None or not is_ours(old, home) or self._rules.untouchable(old.namespace):
            return
        if new is None:
            with self._lock:
                self._missing.add(old.namespace)
        elif (owner := owner_of(new, home)) is not Owner.OURS:
            self._reports.note_foreign(new, owner)

    def forget(self, namespace: str) -> None:
        """Forget a namespace that went or came to be: one of the same name starts clean."""
        self._settled(namespace)
        self._reports.forget(namespace)
        with self._lock:
            self._contests.forget(namespace)

    def _settled(self, namespace: str) -> None:
        with self._lock:
            self._missing.discard(namespace)

    @property
    def contested(self) -> int:
        """Count the copies that somebody else rewrites or deletes again and again."""
        with self._lock:
            return self._contests.contested(self._clock())

    def pause_s(self, namespace: str) -> float:
        """Say in how many seconds a contested copy may be written again; 0 if now."""
        with self._lock:
            return self._contests.pause(namespace, self._clock())

    @property
    def unable_to_pull(self) -> Mapping[Cause, int]:
        """Count the Pods that cannot pull, by cause, as the last sweep found them."""
        return self._unable.counts

    # --- what is to be done

    def central(self, deadline: Deadline) -> CentralState:
        """Judge the central secret, and report it when the judgement changes."""
        secret = self._facts.copy(self._rules.release_namespace, deadline)
        state = CentralState(
            present=secret is not None,
            fault=copies.central_fault(secret, self._rules.patterns) if secret is not None else None,
            concerns=copies.concerns(secret, self._rules.patterns) if secret is not None else (),
        )
        self._central.report(state, secret)
        return state

    def namespaces(self) -> tuple[str, ...]:
        """List the namespaces that have a `ghcr-secret` to look after, or lack one that was taken away."""
        with self._lock:
            names = set(self._missing)
        names.update(self._facts.namespaces_with_secret())
        return tuple(sorted(name for name in names if not self._rules.untouchable(name)))

    def sweep(self, deadline: Deadline, *, pending: bool) -> Iterator[str]:
        """Yield each namespace without a `ghcr-secret` that asks for one by its label, a ServiceAccount or a Pod.

        Args:
            deadline: For the whole listing.
            pending: Look at Pending Pods only: those are the ones that wait for it. A controller that has just begun
                looks at all, since a copy may have been taken away from running ones while nobody watched; and so it
                does now and then, for those of which one container cannot pull.

        Along the way the Pods that cannot pull are counted.
        """
        found = set(self._facts.namespaces_with_secret())
        asking = {each.name for each in self._facts.namespaces() if self._rules.provisions_in(each)}
        for namespace in sorted((asking | self._facts.namespaces_by_account()) - found):
            if not self._rules.untouchable(namespace):
                found.add(namespace)
                yield namespace
        unable = self._unable.begin(deadline, pending=pending)
        for pod in self._pods.list(deadline, pending=pending):
            unable.look(pod)
            namespace = pod.get("metadata", {}).get("namespace", "")
            if namespace not in found and not self._rules.untouchable(namespace) and self._uses_copy(pod):
                found.add(namespace)
                yield namespace
        unable.finish()

    def reconcile(self, namespace: str, deadline: Deadline) -> Reconciliation:
        """Bring one namespace's copy to what it should be.

        Raises:
            ClusterError: It could not be done now; worth another try later.
        """
        try:
            work = self._reconcile(namespace, deadline)
        except ClusterError as error:
            if not isinstance(error, NotLeading):
                self._count(Reconciliation.FAILED)
                self._reports.refused(namespace, error)
            raise
        self._count(work)
        return work

    def _reconcile(self, namespace: str, deadline: Deadline) -> Reconciliation:
        if self._rules.untouchable(namespace):
            return Reconciliation.LEFT
        existing: Secret | None = None

        def plan(tried: Tried) -> Step:
            nonlocal existing
            existing, step = self._plan(namespace, deadline, fresh=tried.again)
            if isinstance(step, Create | Update | Replace) and not tried.replaced and self.pause_s(namespace) > 0:
                return Leave(reason=LeaveReason.HELD_BACK)
            if isinstance(step, Replace):
                # Should the create not come, it is known to be missing.
                with self._lock:
                    self._missing.add(namespace)
            return step

        try:
            applied = applying.apply(plan, self._facts, self._writer, namespace, deadline)
        except (NamespaceTerminating, NotFound):
            self.forget(namespace)
            return Reconciliation.LEFT
        return self._note(applied, existing, namespace)

    def _plan(self, namespace: str, deadline: Deadline, *, fresh: bool) -> tuple[Secret | None, Step]:
        """Read and plan. A watch that is behind must not bring an old token back over a new one.

        An update from the cache cannot: copy and central secret come by the same watch in the order of their writes,
        and the API server refuses a copy's resourceVersion that is no longer its own. Nothing guards a create that way,
        nor a copy that was read afresh; there the central secret is read afresh too.
        """
        existing = self._facts.copy(namespace, deadline, fresh=fresh)
        central = self._facts.copy(self._rules.release_namespace, deadline, fresh=fresh)
        place = self._place(namespace, existing, deadline)
        step = copies.plan(place, central, existing, self._rules.patterns)
        if isinstance(step, Create) and not fresh:
            central = self._facts.copy(self._rules.release_namespace, deadline, fresh=True)
            step = copies.plan(place, central, existing, self._rules.patterns)
        return existing, step

    def _note(self, applied: Applied, existing: Secret | None, namespace: str) -> Reconciliation:
        """Remember and report what was done or left."""
        match applied.step:
            case Create(copy=made):
                with self._lock:
                    again = namespace in self._missing
                self._written(made, again=again)
                self._reports.created(made, again=again)
                return Reconciliation.UPDATED if applied.replaced else Reconciliation.CREATED
            case Update(copy=made, adopts=adopts):
                self._written(made, again=True)
                self._reports.updated(made, adopts=adopts)
                return Reconciliation.UPDATED
            case Delete():
                self._reports.deleted(namespace)
                self.forget(namespace)
                return Reconciliation.DELETED
            case Leave(reason=LeaveReason.HELD_BACK):
                return Reconciliation.HELD_BACK
            case Leave(reason=reason):
                self._reports.left(namespace, existing, reason)
                if reason in _NOTHING_MISSED:
                    self._settled(namespace)
                return Reconciliation.CURRENT if reason is LeaveReason.CURRENT else Reconciliation.LEFT
            case _:
                assert_never(applied.step)

    def _place(self, namespace: str, existing: Secret | None, deadline: Deadline) -> Place:
        facts = self._facts.namespace(namespace, deadline)
        opted_out = not self._rules.may_have_copy(facts)
        wanted = True
        if existing is None and not opted_out and not facts.terminating:
            with self._lock:
                wanted = namespace in self._missing
            wanted = (
                wanted
                or self._rules.provisions_in(facts)
                or namespace in self._facts.namespaces_by_account()
                or any(self._uses_copy(pod) for pod in self._pods.list(deadline, namespace=namespace))
            )
        return Place(
            namespace=namespace,
            release_namespace=self._rules.release_namespace,
            wanted=wanted,
            opted_out=opted_out,
            terminating=facts.terminating,
        )

    def _uses_copy(self, pod: Json) -> bool:
        try:
            return policy.uses_copy(workloads.read(POD, pod), self._rules)
        except MalformedObject:
            return False

    def _written(self, made: Secret, *, again: bool) -> None:
        with self._lock:
            self._missing.discard(made.namespace)
            contested = self._contests.wrote(made.namespace, made.payload, self._clock(), again=again)
        if contested:
            self._reports.contested(made)


_NOTHING_MISSED: Final = frozenset(
    {
        LeaveReason.NAMESPACE_TERMINATING,
        LeaveReason.OPTED_OUT,
        LeaveReason.CURRENT,
        LeaveReason.FOREIGN,
        LeaveReason.OTHER_RELEASE,
    }
)
