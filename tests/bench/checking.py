"""`check` against PyYAML alone on the same text."""

import statistics
import time
from collections.abc import Callable, Iterator

import yaml

from tests.check.runs import checker
from tests.objects import workload
from webhook.check.sources import Text

DOCUMENTS = 10_000
ROUNDS = 3


def speed() -> Iterator[tuple[str, str, str]]:
    """10,000 Deployments with a selected image each: read and judged, over `yaml.load_all` with the C loader."""
    text = yaml.safe_dump_all(
        [workload("Deployment", name=f"api-{number}") for number in range(DOCUMENTS)], sort_keys=False
    )
    ratios = [_seconds(lambda: _check(text)) / _seconds(lambda: _load(text)) for _ in range(ROUNDS)]
    yield "check of 10,000 documents / yaml.load_all", f"{statistics.median(ratios):.2f}", "at most 1.5"


def _check(text: str) -> None:
    report = checker().run([Text(name="all.yaml", text=text)])
    assert len(report.checked) == DOCUMENTS


def _load(text: str) -> None:
    assert len(list(yaml.load_all(text, Loader=yaml.CSafeLoader))) == DOCUMENTS


def _seconds(act: Callable[[], None]) -> float:
    """Processor time: what other processes do on this machine does not count."""
    before = time.process_time()
    act()
    return time.process_time() - before
