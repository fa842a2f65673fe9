"""A controller's metrics: every series there from the start, figures read at the scrape."""

from dataclasses import replace

from prometheus_client import CollectorRegistry

from webhook.core.figures import CopyFigures
from webhook.core.vocabulary import EventOutcome, Reconciliation
from webhook.telemetry.controller_metrics import ControllerFigures, ControllerMetrics

OWNERS = ("ours", "foreign", "other_release")
FIGURES = ControllerFigures(
    leading=False,
    backlog=0,
    central_usable=None,
    copies=CopyFigures(ours=0, foreign=0, other_release=0, stale=0),
    contested=0,
    unable_to_pull={},
)


class Stage:
    def __init__(self) -> None:
        self.figures = FIGURES
        self.registry = CollectorRegistry(auto_describe=False)
        self.metrics = ControllerMetrics(self.registry, figures=lambda: self.figures)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"ghcr_pull_secrets_{name}", labels)


def test_every_series_is_there_at_zero() -> None:
    stage = Stage()
    for work in Reconciliation:
        assert stage.value("reconciliations_total", result=work) == 0
    for outcome in EventOutcome:
        assert stage.value("events_total", outcome=outcome) == 0
    for name in ("leading", "queue_backlog", "copies_stale", "copies_contested"):
        assert stage.value(name) == 0
    for owner in OWNERS:
        assert stage.value("copies", owner=owner) == 0


def test_who_does_not_judge_the_central_secret_says_nothing_of_it() -> None:
    stage = Stage()
    assert stage.value("central_secret_usable") is None
    for usable in (True, False):
        stage.figures = replace(FIGURES, central_usable=usable)
        assert stage.value("central_secret_usable") == usable


def test_who_does_not_lead_says_nothing_of_pods() -> None:
    assert Stage().value("pods_unable_to_pull", cause="stale") is None


def test_figures_are_read_at_the_scrape() -> None:
    stage = Stage()
    stage.figures = ControllerFigures(
        leading=True,
        backlog=3,
        central_usable=True,
        copies=CopyFigures(ours=7, foreign=2, other_release=3, stale=1),
        contested=4,
        unable_to_pull={"stale": 2, "back_off": 0},
    )
    assert stage.value("pods_unable_to_pull", cause="stale") == 2
    assert stage.value("pods_unable_to_pull", cause="back_off") == 0
    assert [stage.value(name) for name in ("leading", "queue_backlog", "copies_stale", "copies_contested")] == [
        1,
        3,
        1,
        4,
    ]
    assert [stage.value("copies", owner=owner) for owner in OWNERS] == [7, 2, 3]


def test_what_happens_is_counted() -> None:
    stage = Stage()
    stage.metrics.reconciled(Reconciliation.UPDATED)
    stage.metrics.emitted(EventOutcome.QUEUE_FULL)
    assert stage.value("reconciliations_total", result="updated") == 1
    assert stage.value("events_total", outcome="queue_full") == 1
