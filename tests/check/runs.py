"""A run of `check` on texts, for tests."""

from collections.abc import Iterable
from typing import Any

import yaml

from tests.matching import PYTORCH, RAY
from tests.objects import RELEASE_NAMESPACE, RULES
from webhook.check.judging import Assumptions
from webhook.check.manifests import Trouble
from webhook.check.report import Report
from webhook.check.run import Checker
from webhook.check.sources import Text
from webhook.core.kinds import BUILT_IN_KINDS, WorkloadKind
from webhook.core.scope import Rules

ROLLOUT = WorkloadKind(group="argoproj.io", version="v1alpha1", resource="rollouts", templates=(("spec", "template"),))


def checker(*, installed: bool = True, namespace: str = "auth", entries: tuple[str, ...] = (), **rules: Any) -> Checker:
    chosen = Rules(**{"patterns": RULES.patterns, "release_namespace": RELEASE_NAMESPACE, **rules})
    return Checker(
        assumptions=Assumptions(rules=chosen, installed=installed, entries=entries),
        kinds=(*BUILT_IN_KINDS, ROLLOUT, RAY, PYTORCH),
        namespace=namespace,
    )


def check(*texts: str | Text | Trouble, **settings: Any) -> Report:
    given: Iterable[Text | Trouble] = [
        Text(name=f"{number}.yaml", text=each) if isinstance(each, str) else each for number, each in enumerate(texts)
    ]
    return checker(**settings).run(given)


def check_objects(*objects: Any, **settings: Any) -> Report:
    return check(yaml.safe_dump_all(objects), **settings)


def reasons(report: Report) -> list[tuple[str, str]]:
    return [(finding.reason, finding.subject) for finding in report.findings]


def outcomes(report: Report) -> list[str]:
    return [str(each.outcome) for each in report.checked]
