"""Counts of copies by state, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook.core import copies
from webhook.core.ownership import Owner, owner_of
from webhook.core.scope import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Numbers of Secrets named as copies are, outside the release namespace.

    Attributes:
        copies: Ours.
        foreign: Not ours, and not of another release.
        other_release: Copies that another release of the add-on keeps.
        stale: Of ours, those that do not have what a usable central secret says. Not those in namespaces that are never
            touched: an older copy there stays as it is, and nobody is to be alarmed about it.
    """

    copies: int
    foreign: int
    other_release: int
    stale: int


def tally(secrets: Mapping[str, copies.Secret], rules: Rules) -> Tally:
    """Count.

    Args:
        secrets: Every Secret of that name, by its namespace, the central one included.
        rules: The installation's settings.
    """
    central = secrets.get(rules.release_namespace)
    others = [secret for namespace, secret in secrets.items() if namespace != rules.release_namespace]
    owners = [owner_of(secret, rules.release_namespace) for secret in others]
    ours = [secret for secret, owner in zip(others, owners, strict=True) if owner is Owner.OURS]
    of_others = owners.count(Owner.OTHER_RELEASE)
    spreads = central is not None and copies.central_fault(central, rules.patterns) is None
    return Tally(
        copies=len(ours),
        foreign=len(others) - len(ours) - of_others,
        other_release=of_others,
        stale=sum(
            central is not None and secret.payload != central.payload and not rules.untouchable(secret.namespace)
            for secret in ours
        )
        if spreads
        else 0,
    )
