"""`check` against PyYAML alone on the same text."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.check.runs import checker
from tests.objects import workload
from webhook.check.sources import Text

DOCUMENTS = 10_000
ROUNDS = 3


def speed() -> Iterator[tuple[str, str, str]]:
    """10,000 Deployments with a selected image each: read and judged, over `yaml.load_all` with the C loader.

    One as charts render them, with labels, environment, probes and resources; and the smallest there can be, of which
    the judgement is the larger part.
    """
    yield "check of 10,000 Deployments / yaml.load_all", _ratio(_rendered), "at most 1.5"
    yield (
        "the same, of the smallest Deployments",
        _ratio(lambda number: workload("Deployment", name=f"api-{number}")),
        "",
    )
    yield (
        "the same, each with an image of its own",
        _ratio(lambda number: workload("Deployment", name=f"api-{number}", images=[f"ghcr.io/sesacthon/api-{number}"])),
        "",
    )


def _ratio(make: Callable[[int], Any]) -> str:
    text = yaml.safe_dump_all([make(number) for number in range(DOCUMENTS)], sort_keys=False)
    ratios = [_seconds(lambda: _check(text)) / _seconds(lambda: _load(text)) for _ in range(ROUNDS)]
    return f"{statistics.median(ratios):.2f}"


def _rendered(number: int) -> Any:
    document = workload("Deployment", name=f"api-{number}")
    labels = {f"app.kubernetes.io/{key}": f"api-{number}" for key in ("name", "instance", "managed-by")}
    document["metadata"]["labels"] = labels
    document["spec"] |= {"replicas": 2, "selector": {"matchLabels": labels}}
    document["spec"]["template"]["metadata"]["labels"] = dict(labels)
    (container,) = document["spec"]["template"]["spec"]["containers"]
    container |= {
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{each}", "value": f"value of {each}"} for each in range(4)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
        "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    }
    return document


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
