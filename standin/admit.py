"""Runs the admission chain for the registry, and reads what it changed."""

from standin.interfaces import Admitter, Attributes, Json, Operation
from standin.writes import RuleTarget


class Admit:
    """The admission chain, or none.

    Attributes:
        chain: Set once the server that the chain needs is made.
    """

    def __init__(self) -> None:
        self.chain: Admitter | None = None

    def mutate(
        self,
        target: RuleTarget,
        operation: Operation,
        obj: Json | None,
        old: Json | None,
        warnings: list[str],
        *,
        kind: str = "",
    ) -> Json | None:
        """Return the object after mutating admission: the very same if nothing changed it."""
        if self.chain is None:
            return obj
        after, more = self.chain.mutate(_attributes(target, operation, obj, old, kind))
        warnings += more
        return obj if after is None else after

    def validate(
        self,
        target: RuleTarget,
        operation: Operation,
        obj: Json | None,
        old: Json | None,
        warnings: list[str],
        *,
        kind: str = "",
    ) -> None:
        """Run validating admission. Raises ApiError."""
        if self.chain is not None:
            warnings += self.chain.validate(_attributes(target, operation, obj, old, kind))

    def run(
        self,
        target: RuleTarget,
        operation: Operation,
        obj: Json | None,
        old: Json | None,
        warnings: list[str],
        *,
        kind: str = "",
    ) -> Json | None:
        """Run both halves on what the registry does not store as it is: a Scale, an Eviction, a deletion."""
        admitted = self.mutate(target, operation, obj, old, warnings, kind=kind)
        self.validate(target, operation, admitted, old, warnings, kind=kind)
        return admitted


def _attributes(target: RuleTarget, operation: Operation, obj: Json | None, old: Json | None, kind: str) -> Attributes:
    options = target.options
    sent: Json = {"kind": kind or f"{operation.value.title()}Options", "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        sent["dryRun"] = ["All"]
    if options.named_manager:
        sent["fieldManager"] = options.manager
    if options.explicit_validation:
        sent["fieldValidation"] = options.validation
    return Attributes(
        user=target.user,
        verb="patch" if kind == "PatchOptions" else operation.value.lower(),
        operation=operation,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
        object=obj,
        old_object=old,
        dry_run=options.dry_run,
        options=sent,
    )
