"""The chain, judged: every station from what was read, in the order in which a credential passes through it."""

from collections.abc import Sequence

from webhook.doctor import (
    chain_central,
    chain_copies,
    chain_credential,
    chain_policies,
    chain_processes,
    chain_source,
    chain_webhooks,
)
from webhook.doctor.evidence import Evidence, Unread
from webhook.doctor.model import Station, StationState
from webhook.doctor.stations import Code, names, skipped

_ALONE = "of a release that is not there"


def judge(evidence: Evidence, credential: Station) -> tuple[Station, ...]:
    """Judge every station.

    Args:
        evidence: What was read.
        credential: The station of the credential itself, which only the registry can tell of.

    Where no release was found at all, that is the one thing to fix: what hangs on it is skipped.
    """
    source, sync = chain_source.judge(evidence)
    central = chain_central.judge(evidence)
    copies = chain_copies.judge(evidence)
    webhooks = chain_webhooks.judge(evidence)
    if webhooks.code == Code.NOT_INSTALLED:
        return webhooks, *_nothing_else(
            ("source", "sync", "central", chain_credential.NAME, "copies", "servers", "controller")
        )
    servers, certificate, controller = chain_processes.judge(evidence)
    policies = chain_policies.judge(evidence)
    return (
        *_settings(evidence),
        source,
        sync,
        central,
        credential,
        copies,
        webhooks,
        policies,
        servers,
        certificate,
        controller,
    )


def _settings(evidence: Evidence) -> tuple[Station, ...]:
    unread = evidence.release.rules_unread
    if unread is None or evidence.server is None:
        return ()
    selected = names(evidence.release.rules.patterns.include)
    return (skipped("settings", Unread(f"{unread.why}; {selected} is taken as selected")),)


def _nothing_else(stations: Sequence[str]) -> tuple[Station, ...]:
    return tuple(Station(name=each, state=StationState.SKIPPED, text=f"not looked at: {_ALONE}") for each in stations)
