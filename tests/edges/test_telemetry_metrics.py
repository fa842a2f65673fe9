"""Metrics: every series there from the start, labels bounded, figures read when they are asked for."""

from dataclasses import replace

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from webhook.core.figures import WatchHealth
from webhook.core.vocabulary import DropCause, Half, Outcome, Provisioning, Reason, RequestFault
from webhook.server.connection import Drops
from webhook.telemetry.metrics import REACHABLE, Metrics

PREFIX = "ghcr_pull_secrets_"


WATCH = WatchHealth(resource="secrets", synced=False, last_event_age_s=0, restarts={"gone": 0, "ended": 0}, error="")


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_every_series_is_there_at_zero() -> None:
    metrics = Metrics(version="1.2.3", provisioning_results=Provisioning)
    found = samples(metrics)

    def value(name: str, **labels: str) -> float:
        return found[PREFIX + name, frozenset(labels.items())]

    for half in Half:
        for outcome, reason in REACHABLE[half]:
            assert value("reviews_total", half=half, outcome=outcome, reason=reason) == 0
        for kind in RequestFault:
            assert value("review_errors_total", half=half, kind=kind) == 0
        assert value("review_duration_seconds_count", half=half) == 0
        assert value("reviews_in_flight", half=half) == 0
    for result in Provisioning:
        assert value("provisioning_total", result=result) == 0
    assert value("api_requests_total", verb="create", resource="secrets", code="5xx") == 0
    assert value("build_info", version="1.2.3") == 1


def test_every_outcome_and_reason_is_reachable_in_some_half() -> None:
    pairs = [pair for half in Half for pair in REACHABLE[half]]
    assert {outcome for outcome, _ in pairs} == set(Outcome)
    assert {reason for _, reason in pairs} == set(Reason)


def test_counting_makes_no_new_series() -> None:
    metrics = Metrics(version="v", provisioning_results=Provisioning)
    before = set(samples(metrics))
    metrics.reviewed(Half.MUTATE, Outcome.PATCHED, Reason.INJECTED)
    metrics.failed(Half.VALIDATE, RequestFault.CLUSTER, Reason.ERROR)
    metrics.provisioned(Provisioning.CREATED)
    metrics.api_requested("get", "secrets", 404)
    metrics.api_requested("get", "secrets", 0)
    after = samples(metrics)
    assert {key for key in after if key[0].startswith(PREFIX)} == {key for key in before if key[0].startswith(PREFIX)}
    counted = {(name, dict(labels).get("code")): value for (name, labels), value in after.items() if value == 1}
    assert (PREFIX + "api_requests_total", "4xx") in counted
    assert (PREFIX + "api_requests_total", "none") in counted
    assert (
        after[PREFIX + "reviews_total", frozenset({"half": "validate", "outcome": "error", "reason": "error"}.items())]
        == 1
    )


def test_a_combination_nobody_foresaw_is_counted_all_the_same() -> None:
    metrics = Metrics(version="v")
    metrics.reviewed(Half.MUTATE, Outcome.DENIED, Reason.COVERED)
    labels = {"half": "mutate", "outcome": "denied", "reason": "covered"}
    assert metrics.registry.get_sample_value(PREFIX + "reviews_total", labels) == 1


def test_watches_and_certificate_are_read_at_the_scrape() -> None:
    watches, ends = [WATCH], [None, 1_800_000_000.0]
    metrics = Metrics(version="v", watches=lambda: watches, certificate_expiry=lambda: ends[0])
    first = samples(metrics)
    assert first[PREFIX + "watch_synced", frozenset({("resource", "secrets")})] == 0
    assert first[PREFIX + "watch_restarts_total", frozenset({("resource", "secrets"), ("cause", "gone")})] == 0
    assert not [key for key in first if key[0] == PREFIX + "certificate_expiry_timestamp_seconds"]
    watches[0] = replace(WATCH, synced=True, last_event_age_s=12.5, restarts={"gone": 3, "ended": 0})
    ends.pop(0)
    second = samples(metrics)
    assert second[PREFIX + "watch_synced", frozenset({("resource", "secrets")})] == 1
    assert second[PREFIX + "watch_last_event_age_seconds", frozenset({("resource", "secrets")})] == 12.5
    assert second[PREFIX + "watch_restarts_total", frozenset({("resource", "secrets"), ("cause", "gone")})] == 3
    assert second[PREFIX + "certificate_expiry_timestamp_seconds", frozenset()] == 1_800_000_000


def test_dropped_connections_are_read_at_the_scrape_each_cause_from_the_start() -> None:
    drops = Drops()
    metrics = Metrics(version="v", connections_dropped=drops.totals)
    name = PREFIX + "connections_dropped_total"
    assert {key: value for key, value in samples(metrics).items() if key[0] == name} == {
        (name, frozenset({("cause", cause)})): 0 for cause in DropCause
    }
    drops.count(DropCause.ADDRESS)
    assert samples(metrics)[name, frozenset({("cause", "address")})] == 1


def test_the_process_is_measured_and_the_global_registry_left_alone() -> None:
    names = {name for name, _ in samples(Metrics(version="v"))}
    assert "process_resident_memory_bytes" in names
    assert not [metric for metric in REGISTRY.collect() if metric.name.startswith(PREFIX)]
