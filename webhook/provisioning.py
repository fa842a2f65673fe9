"""Provisioning of one namespace's copy before a review's answer."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from webhook import applying
from webhook.applying import Applied, Tried
from webhook.core import copies, texts
from webhook.core.answers import Provisioned
from webhook.core.copies import Create, Delete, Leave, LeaveReason, Place, Secret, Step, Update
from webhook.core.scope import Namespace, Rules
from webhook.core.vocabulary import CentralFault, Provisioning, Reason
from webhook.ports import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    Facts,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    QuotaExceeded,
    SecretWriter,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningFault:
    """Why there is no copy: the reason, and beyond it what is wrong with the central secret, or the cause."""

    reason: Reason
    central_fault: CentralFault | None = None
    cause: str = ""


_OF_ERROR: Final[Mapping[type[ClusterError], Provisioning]] = {
    NamespaceTerminating: Provisioning.NAMESPACE_TERMINATING,
    QuotaExceeded: Provisioning.QUOTA_EXCEEDED,
    Forbidden: Provisioning.FORBIDDEN,
    Invalid: Provisioning.INVALID,
    NotFound: Provisioning.NAMESPACE_TERMINATING,
    DeadlineExceeded: Provisioning.TIMEOUT,
}


def failed(error: ClusterError) -> Provisioned:
    """Say how provisioning ended, for an error it ended with."""
    results = (result for kind, result in _OF_ERROR.items() if isinstance(error, kind))
    return Provisioned(result=next(results, Provisioning.UNAVAILABLE), cause=error.cause)


@dataclass(slots=True)
class _Flight:
    """One writer's work on one namespace, for the others to wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    outcome: Provisioned | None = None


def _result(applied: Applied) -> Provisioned:
    match applied.step:
        case Create():
            return Provisioned(result=Provisioning.UPDATED if applied.replaced else Provisioning.CREATED)
        case Update():
            return Provisioned(result=Provisioning.UPDATED)
        case Delete():
            return _NOT_HERE
        case Leave(reason=LeaveReason.CURRENT) if applied.replaced:
            return Provisioned(result=Provisioning.UPDATED)
        case Leave():
            return _left(applied.step)
        case _:
            assert_never(applied.step)


def _left(step: Leave) -> Provisioned:
    match step.reason:
        case LeaveReason.CURRENT:
            return Provisioned(result=Provisioning.CURRENT)
        case LeaveReason.FOREIGN | LeaveReason.OWNED | LeaveReason.GIVEN_AWAY | LeaveReason.OTHER_RELEASE:
            return Provisioned(result=Provisioning.FOREIGN)
        case LeaveReason.NAMESPACE_TERMINATING:
            return Provisioned(result=Provisioning.NAMESPACE_TERMINATING, cause=NamespaceTerminating.cause)
        case LeaveReason.DELETING:
            return Provisioned(result=Provisioning.DELETING, cause="the Secret there is being deleted")
        case LeaveReason.CENTRAL_MISSING:
            return Provisioned(result=Provisioning.CENTRAL_MISSING, cause="the central secret does not exist")
        case LeaveReason.CENTRAL_UNUSABLE:
            fault = f": {texts.central_fault(step.fault)}" if step.fault else ""
            return Provisioned(result=Provisioning.CENTRAL_UNUSABLE, cause=f"the central secret is unusable{fault}")
        case LeaveReason.HELD_BACK:
            return Provisioned(result=Provisioning.CONFLICT, cause=_LOST)
        case LeaveReason.ABSENT | LeaveReason.OPTED_OUT | LeaveReason.NOT_WANTED | LeaveReason.CENTRAL:
            return _NOT_HERE
        case _:
            assert_never(step.reason)


_FAILED_ELSEWHERE: Final = Provisioned(result=Provisioning.UNAVAILABLE, cause="another request's write failed")
_LOST: Final = "it was changed by others again and again"
_NOT_HERE: Final = Provisioned(result=Provisioning.FORBIDDEN, cause="no copy is kept in this namespace")
"""Reviews of such a namespace ask for no copy, so this is no answer to one; a plan can say it all the same."""


class Provisioner:
    """Makes and repairs copies on demand; one writer per namespace and process at a time."""

    def __init__(
        self,
        facts: Facts,
        writer: SecretWriter,
        *,
        rules: Rules,
        count: Callable[[Provisioning], None] = lambda _: None,
    ) -> None:
        self._facts = facts
        self._writer = writer
        self._release_namespace = rules.release_namespace
        self._patterns = rules.patterns
        self._count = count
        self._guard = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    def ensure(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline) -> Provisioned:
        """Make sure that a namespace has its copy, if the central secret is good for these repositories.

        Never raises: what goes wrong is in the outcome. The usual case, a copy that is as it should be, is answered
        from the caches. A write is never decided from a cache alone: a watch that is behind could otherwise bring an
        old token back over a new one.
        """
        outcome = self._ensure(namespace, repositories, deadline)
        self._count(outcome.result)
        return outcome

    def _ensure(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline) -> Provisioned:
        while True:
            try:
                if (known := self._known(namespace, repositories, deadline)) is not None:
                    return known
            except ClusterError as error:
                return failed(error)
            flight, leads = self._join(namespace.name)
            if leads:
                return self._lead(flight, namespace, repositories, deadline)
            if not flight.done.wait(deadline.remaining()):
                return Provisioned(result=Provisioning.TIMEOUT, cause="another request's write took too long")
            if flight.outcome is None or not flight.outcome.result.has_secret:
                # What stopped the writer a moment ago would stop us too; asking again only adds to the trouble.
                return flight.outcome or _FAILED_ELSEWHERE

    def _known(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline) -> Provisioned | None:
        """Answer from the caches, if they say that nothing is to be done and nothing will be missed.

        A foreign secret that does not help will lead to a rejection, so it is looked at again before it is left.
        """
        match step := self._plan(namespace, repositories, deadline, fresh=False):
            case Leave(reason=LeaveReason.CURRENT):
                return _left(step)
            case Leave(reason=LeaveReason.FOREIGN):
                foreign = self._facts.copy(namespace.name, deadline)
                # One that is too large to be judged leads to no rejection by itself.
                known = foreign and copies.fault(foreign, repositories)
                helps = foreign is not None and known in (None, Reason.TOO_LARGE)
                return _left(step) if helps else None
            case _:
                return None

    def _join(self, namespace: str) -> tuple[_Flight, bool]:
        with self._guard:
            flight = self._flights.get(namespace)
            if flight is not None:
                return flight, False
            flight = self._flights[namespace] = _Flight()
            return flight, True

    def _lead(
        self, flight: _Flight, namespace: Namespace, repositories: Sequence[str], deadline: Deadline
    ) -> Provisioned:
        try:
            flight.outcome = self._write(namespace, repositories, deadline)
            return flight.outcome
        except ClusterError as error:
            flight.outcome = failed(error)
            return flight.outcome
        finally:
            with self._guard:
                del self._flights[namespace.name]
            flight.done.set()

    def _write(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline) -> Provisioned:
        def plan(_: Tried) -> Step:
            return self._plan(namespace, repositories, deadline, fresh=True)

        try:
            return _result(applying.apply(plan, self._facts, self._writer, namespace.name, deadline))
        except Conflict:
            return Provisioned(result=Provisioning.CONFLICT, cause=_LOST)

    def _plan(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline, *, fresh: bool) -> Step:
        return copies.plan(
            self._place(namespace),
            self._facts.copy(self._release_namespace, deadline, fresh=fresh),
            self._facts.copy(namespace.name, deadline, fresh=fresh),
            self._patterns,
            repositories,
        )

    def _place(self, namespace: Namespace) -> Place:
        return Place(
            namespace=namespace.name,
            release_namespace=self._release_namespace,
            terminating=namespace.terminating,
        )

    def preview(
        self,
        namespace: Namespace,
        repositories: Sequence[str],
        existing: Secret | None,
        deadline: Deadline,
        *,
        fresh: bool,
    ) -> Secret | None:
        """Say what the namespace's `ghcr-secret` would be after `ensure`, without writing: for a dry run."""
        central = self._facts.copy(self._release_namespace, deadline, fresh=fresh)
        return copies.preview(self._place(namespace), central, existing, self._patterns, repositories)

    def diagnose(self, namespace: Namespace, repositories: Sequence[str], deadline: Deadline) -> ProvisioningFault:
        """Say why a copy that should have been made is not there, for the text of a rejection.

        The half that rejects often runs in another process than the one that failed to write, so the API server is
        asked once more, with a dry run that writes nothing.

        Raises:
            ClusterError: The central secret could not be read.
        """
        central = self._facts.copy(self._release_namespace, deadline, fresh=True)
        if central is None:
            return ProvisioningFault(reason=Reason.CENTRAL_MISSING)
        fault = copies.central_fault(central, self._patterns, repositories)
        if fault is not None:
            return ProvisioningFault(reason=Reason.CENTRAL_UNUSABLE, central_fault=fault)
        try:
            self._writer.create(copies.desired(namespace.name, central, self._patterns), deadline, dry_run=True)
        except AlreadyExists:
            return ProvisioningFault(reason=Reason.SECRET_MISSING, cause="it was made a moment ago")
        except ClusterError as error:
            return ProvisioningFault(reason=Reason.PROVISIONING_FAILED, cause=error.cause)
        return ProvisioningFault(reason=Reason.SECRET_MISSING)
