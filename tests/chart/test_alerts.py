"""Every alert, with Prometheus' own rule checker: what raises it, what does not, and what it says."""

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import helm
from tests.chart.switches import manifests

RUNBOOK = Path(__file__).parents[2] / "docs" / "operations.md"
WEBHOOK = 'name="mutate.ghcr-pull-secrets.io", type="admit"'
SERVER = 'cluster="{c}", instance="10.0.0.1:8080", pod="server-1"'
CONTROLLER = 'cluster="{c}", instance="10.0.0.9:8080", pod="controller-1"'
DAY = 86400


@dataclass(frozen=True, kw_only=True)
class Case:
    """Series of one minute apart, and what one alert makes of them.

    `fires` has the labels of each alert, and its summary as the key `summary`.
    """

    alert: str
    series: dict[str, str]
    minutes: int
    fires: Sequence[dict[str, str]] = field(default=())
    values: dict[str, Any] = field(default_factory=dict)


def server(cluster: str, values: str = "9999999999x120") -> dict[str, str]:
    where = SERVER.format(c=cluster)
    return {
        f"ghcr_pull_secrets_build_info{{{where}}}": re.sub(r"\d{3,}x", "1x", values),
        f"ghcr_pull_secrets_certificate_expiry_timestamp_seconds{{{where}}}": values,
    }


def controller(cluster: str, leading: str = "1x120") -> dict[str, str]:
    where = CONTROLLER.format(c=cluster)
    return {
        f"ghcr_pull_secrets_build_info{{{where}}}": re.sub(r"\d+x", "1x", leading),
        f"ghcr_pull_secrets_certificate_expiry_timestamp_seconds{{{where}}}": re.sub(r"\d+x", "9999999999x", leading),
        f"ghcr_pull_secrets_leading{{{where}}}": leading,
    }


def expiry(metric: str, seconds: int, labels: str = 'cluster="a"') -> dict[str, str]:
    return {f"ghcr_pull_secrets_{metric}_expiry_timestamp_seconds{{{labels}}}": f"{seconds}x200"}


DENIED = 'ghcr_pull_secrets_reviews_total{{cluster="{c}", half="validate", outcome="denied", reason="not_listed"}}'
CASES = {
    "no answer": Case(
        alert="GhcrPullSecretsWebhookFailing",
        series={
            f'apiserver_admission_webhook_rejection_count{{cluster="a", error_type="calling_webhook_error", {WEBHOOK}}}': "0+3x60",
            f'apiserver_admission_webhook_rejection_count{{cluster="b", error_type="calling_webhook_error", {WEBHOOK}}}': "7x60",
        },
        minutes=30,
        fires=[
            {
                "cluster": "a", "name": "mutate.ghcr-pull-secrets.io", "type": "admit", "severity": "critical",
                "summary": "The API server gets no answer from the admit webhook mutate.ghcr-pull-secrets.io",
            }
        ],
    ),
    "one call without an answer": Case(
        alert="GhcrPullSecretsWebhookFailing",
        series={f'apiserver_admission_webhook_rejection_count{{error_type="calling_webhook_error", {WEBHOOK}}}': "0x10 1x50"},
        minutes=16,
    ),
    "another's webhook": Case(
        alert="GhcrPullSecretsWebhookFailing",
        series={'apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error", name="x.example", type="admit"}': "0+3x60"},
        minutes=30,
    ),
    "passed over": Case(
        alert="GhcrPullSecretsWebhookFailsOpen",
        series={f"apiserver_admission_webhook_fail_open_count{{{WEBHOOK}}}": "0+3x60"},
        minutes=30,
        fires=[
            {
                "name": "mutate.ghcr-pull-secrets.io", "type": "admit", "severity": "warning",
                "summary": "Workloads get in without the admit webhook mutate.ghcr-pull-secrets.io having answered",
            }
        ],
    ),
    "no server anywhere": Case(
        alert="GhcrPullSecretsNoServer",
        series={'up{job="other"}': "1x60"},
        minutes=30,
        fires=[{"severity": "critical", "summary": "No server is there to be scraped, or none has a certificate to serve with"}],
    ),
    "no server in one cluster, its controller is there": Case(
        alert="GhcrPullSecretsNoServer",
        series={**server("a"), **controller("a"), **controller("b")},
        minutes=30,
        fires=[
            {
                "cluster": "b", "severity": "critical",
                "summary": "No server is there to be scraped, or none has a certificate to serve with",
            }
        ],
    ),
    "nothing left in one cluster": Case(
        alert="GhcrPullSecretsNoServer",
        series={**server("a"), **server("b", "9999999999x40")},
        minutes=70,
        fires=[
            {
                "cluster": "b", "severity": "critical",
                "summary": "No server is there to be scraped, or none has a certificate to serve with",
            }
        ],
    ),
    "servers everywhere": Case(
        alert="GhcrPullSecretsNoServer", series={**server("a"), **controller("a"), **server("b")}, minutes=30
    ),
    "reviews fail": Case(
        alert="GhcrPullSecretsReviewsFailing",
        series={
            'ghcr_pull_secrets_review_errors_total{cluster="a", half="mutate", kind="cluster"}': "0+1x60",
            'ghcr_pull_secrets_review_errors_total{cluster="a", half="mutate", kind="client_gone"}': "0+1x60",
        },
        minutes=30,
        fires=[
            {
                "cluster": "a", "half": "mutate", "kind": "cluster", "severity": "warning",
                "summary": "Reviews of the half mutate end in an error (cluster)",
            }
        ],
    ),
    "slow": Case(
        alert="GhcrPullSecretsWebhookSlow",
        series={
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="0.1"}': "0+1x60",
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="2.5"}': "0+2x60",
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="+Inf"}': "0+2x60",
        },
        minutes=40,
        fires=[{"half": "mutate", "severity": "warning", "summary": "One in a hundred reviews of the half mutate takes longer than 1 s"}],
    ),
    "not slow by one's own measure": Case(
        alert="GhcrPullSecretsWebhookSlow",
        series={
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="0.1"}': "0+1x60",
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="2.5"}': "0+2x60",
            'ghcr_pull_secrets_review_duration_seconds_bucket{half="mutate", le="+Inf"}': "0+2x60",
        },
        minutes=40,
        values={"slowReviewSeconds": 2.6},
    ),
    "many rejections where there were few": Case(
        alert="GhcrPullSecretsRejectionsSpiking",
        series={DENIED.format(c="a"): "0x1500 0+60x60", DENIED.format(c="b"): "0+60x3000"},
        minutes=1525,
        fires=[{"cluster": "a", "severity": "warning", "summary": "Many more workloads are rejected than usual"}],
    ),
    "the first rejections ever": Case(
        alert="GhcrPullSecretsRejectionsSpiking",
        series={DENIED.format(c="a"): "_x60 0+60x60"},
        minutes=85,
        fires=[{"cluster": "a", "severity": "warning", "summary": "Many more workloads are rejected than usual"}],
    ),
    "no copies": Case(
        alert="GhcrPullSecretsProvisioningFailing",
        series={
            'ghcr_pull_secrets_provisioning_total{result="quota_exceeded"}': "0+1x60",
            'ghcr_pull_secrets_provisioning_total{result="created"}': "0+1x60",
        },
        minutes=30,
        fires=[
            {
                "result": "quota_exceeded", "severity": "warning",
                "summary": "Copies of ghcr-secret cannot be made or brought up to date (quota_exceeded)",
            }
        ],
    ),
    "a silent watch": Case(
        alert="GhcrPullSecretsWatchDead",
        series={
            'ghcr_pull_secrets_watch_last_event_age_seconds{pod="server-1", resource="secrets"}': "0+60x60",
            'ghcr_pull_secrets_watch_last_event_age_seconds{pod="server-2", resource="secrets"}': "59x60",
        },
        minutes=30,
        fires=[
            {
                "pod": "server-1", "resource": "secrets", "severity": "warning",
                "summary": "server-1 has heard nothing of secrets for 300 s",
            }
        ],
    ),
    "a certificate that ends": Case(
        alert="GhcrPullSecretsCertificateNearExpiry",
        series={**expiry("certificate", 7200 + 13 * DAY), **expiry("certificate", 7200 + 15 * DAY, 'cluster="b"')},
        minutes=120,
        fires=[{"cluster": "a", "severity": "critical", "summary": "The webhook's certificate ends in 13d 0h 0m 0s"}],
    ),
    "a certificate that has ended": Case(
        alert="GhcrPullSecretsCertificateNearExpiry",
        series=expiry("certificate", 3600),
        minutes=120,
        fires=[{"cluster": "a", "severity": "critical", "summary": "The webhook's certificate has ended"}],
    ),
    "a certificate that is not overdue by one's own measure": Case(
        alert="GhcrPullSecretsCertificateNearExpiry",
        series=expiry("certificate", 7200 + 13 * DAY),
        minutes=120,
        values={"certificateExpirySeconds": 12 * DAY},
    ),
    "no leader anywhere": Case(
        alert="GhcrPullSecretsNoLeader",
        series={'up{job="other"}': "1x60"},
        minutes=30,
        fires=[{"severity": "critical", "summary": "No controller leads"}],
    ),
    "no leader in one cluster": Case(
        alert="GhcrPullSecretsNoLeader",
        series={**controller("a"), **controller("b", "0x120")},
        minutes=30,
        fires=[{"cluster": "b", "severity": "critical", "summary": "No controller leads"}],
    ),
    "no controller in one cluster": Case(
        alert="GhcrPullSecretsNoLeader",
        series={**controller("a"), **server("b")},
        minutes=30,
        fires=[{"cluster": "b", "severity": "critical", "summary": "No controller leads"}],
    ),
    "a standby beside the leader": Case(
        alert="GhcrPullSecretsNoLeader",
        series={**controller("a"), 'ghcr_pull_secrets_leading{cluster="a", pod="controller-2"}': "0x60"},
        minutes=30,
    ),
    "an unusable central secret": Case(
        alert="GhcrPullSecretsCentralSecretUnusable",
        series={
            'ghcr_pull_secrets_central_secret_usable{cluster="a"}': "0x60",
            'ghcr_pull_secrets_central_secret_usable{cluster="b"}': "1x60",
        },
        minutes=30,
        fires=[{"cluster": "a", "severity": "critical", "summary": "The central secret is missing or unusable"}],
    ),
    "stale copies": Case(
        alert="GhcrPullSecretsCopiesStale",
        series={
            'ghcr_pull_secrets_copies_stale{cluster="a"}': "3x60",
            'ghcr_pull_secrets_copies_stale{cluster="b"}': "0x60",
        },
        minutes=30,
        fires=[{"cluster": "a", "severity": "warning", "summary": "3 copies differ from the central secret"}],
    ),
    "contested copies": Case(
        alert="GhcrPullSecretsCopyContested",
        series={
            'ghcr_pull_secrets_copies_contested{cluster="a"}': "2x60",
            'ghcr_pull_secrets_copies_contested{cluster="b"}': "0x60",
        },
        minutes=30,
        fires=[
            {
                "cluster": "a", "severity": "warning",
                "summary": "2 copies are changed or deleted by something else again and again",
            }
        ],
    ),
    "pods that cannot pull": Case(
        alert="GhcrPullSecretsPodsUnableToPull",
        series={
            'ghcr_pull_secrets_pods_unable_to_pull{cluster="a", cause="malformed"}': "3x60",
            'ghcr_pull_secrets_pods_unable_to_pull{cluster="a", cause="stale"}': "0x60",
            'ghcr_pull_secrets_pods_unable_to_pull{cluster="b", cause="malformed"}': "0x60",
        },
        minutes=30,
        fires=[
            {
                "cluster": "a", "cause": "malformed", "severity": "warning",
                "summary": "3 Pods cannot pull their image (malformed)",
            }
        ],
    ),
    "pods that pull a sweep or two later": Case(
        alert="GhcrPullSecretsPodsUnableToPull",
        series={'ghcr_pull_secrets_pods_unable_to_pull{cause="secret_missing"}': "0x5 7x10 0x60"},
        minutes=17,
    ),
    "a rejected credential": Case(
        alert="GhcrPullSecretsCredentialRejected",
        series={
            'ghcr_pull_secrets_credential_accepted{cluster="a", registry="ghcr.io"}': "0x60",
            'ghcr_pull_secrets_credential_accepted{cluster="a", registry="quay.io"}': "1x60",
        },
        minutes=30,
        fires=[
            {
                "cluster": "a", "registry": "ghcr.io", "severity": "critical",
                "summary": "ghcr.io does not accept the central secret's credential, or its token may not pull",
            }
        ],
    ),
    "images that cannot be read": Case(
        alert="GhcrPullSecretsCredentialUnreadable",
        series={
            'ghcr_pull_secrets_credential_unreadable_images{cluster="a", registry="ghcr.io"}': "2x120",
            'ghcr_pull_secrets_credential_unreadable_images{cluster="a", registry="quay.io"}': "0x120",
        },
        minutes=90,
        fires=[
            {
                "cluster": "a", "registry": "ghcr.io", "severity": "warning",
                "summary": "ghcr.io denies the central secret's credential 2 of the images in use",
            }
        ],
    ),
    "a check that never succeeds": Case(
        alert="GhcrPullSecretsCredentialUnchecked",
        series={
            'ghcr_pull_secrets_credential_answered_timestamp_seconds{cluster="a", registry="ghcr.io"}': "0x480",
            'ghcr_pull_secrets_credential_answered_timestamp_seconds{cluster="a", registry="quay.io"}': "0+60x480",
        },
        minutes=420,
        fires=[
            {
                "cluster": "a", "registry": "ghcr.io", "severity": "warning",
                "summary": (
                    "ghcr.io has not said for 7h 0m 0s whether it accepts the central secret's credential"
                ),
            }
        ],
    ),
    "a token that ends": Case(
        alert="GhcrPullSecretsCredentialExpiring",
        series=expiry("credential", 7200 + 6 * DAY, 'registry="ghcr.io"'),
        minutes=120,
        fires=[
            {
                "registry": "ghcr.io", "severity": "warning",
                "summary": "The central secret's token for ghcr.io ends in 6d 0h 0m 0s",
            }
        ],
    ),
    "a token that has ended": Case(
        alert="GhcrPullSecretsCredentialExpiring",
        series=expiry("credential", 3600, 'registry="ghcr.io"'),
        minutes=120,
        fires=[
            {
                "registry": "ghcr.io", "severity": "warning",
                "summary": "The central secret's token for ghcr.io has ended",
            }
        ],
    ),
}  # fmt: skip


def rules(**values: Any) -> dict[str, Any]:
    """The spec of the PrometheusRule, as rendered with values under `monitoring.prometheusRule`."""
    return yaml.safe_load(_rendered(yaml.safe_dump(values)))  # type: ignore[no-any-return]


@functools.cache
def _rendered(values: str) -> str:
    found = manifests(monitoring={"prometheusRule": {"enabled": True, **yaml.safe_load(values)}})
    return yaml.safe_dump(helm.select(found, "PrometheusRule")["spec"])


def alerts(**values: Any) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules(**values)["groups"] for rule in group["rules"]}


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=str(Path(pytest.__file__).parents[4] / "bin"))
    if found is None:
        pytest.skip("promtool is neither on PATH nor in the virtual environment: see scripts/get-promtool")
    return found


def check(promtool: str, folder: Path, case: Case) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules(**case.values)), encoding="utf-8")
    rule = alerts(**case.values)[case.alert]
    expected = []
    for fire in case.fires:
        labels = {name: value for name, value in fire.items() if name != "summary"}
        expected.append({"exp_labels": labels, "exp_annotations": {**rule["annotations"], "summary": fire["summary"]}})
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": expected}],
    }
    unit = folder / "test.yaml"
    unit.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}), encoding="utf-8"
    )
    done = subprocess.run(
        [promtool, "test", "rules", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_alert_fires_when_it_should_and_says_so(promtool: str, tmp_path: Path, case: Case) -> None:
    check(promtool, tmp_path, case)


def test_every_alert_is_seen_to_fire() -> None:
    assert {case.alert for case in CASES.values() if case.fires} == set(alerts())


def test_prometheus_takes_the_rules(promtool: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules()), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_links_to_its_paragraph() -> None:
    headings = {
        heading.lower()
        for heading in re.findall(r"^### (GhcrPullSecrets\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    }
    for name, rule in alerts().items():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page.endswith("/docs/operations.md")
        assert anchor == name.lower()
        assert anchor in headings
    assert headings == {name.lower() for name in alerts()}
    own = alerts(runbookUrl="https://wiki.example/pull-secrets")["GhcrPullSecretsNoLeader"]
    assert own["annotations"]["runbook_url"] == "https://wiki.example/pull-secrets#ghcrpullsecretsnoleader"
    assert "runbook_url" not in alerts(runbookUrl="")["GhcrPullSecretsNoLeader"]["annotations"]


def test_severities_alerts_and_the_clusters_label_are_values() -> None:
    found = alerts(
        severities={"GhcrPullSecretsNoLeader": "page"}, disabled=["GhcrPullSecretsWebhookSlow"], clusterLabel="site"
    )
    assert found["GhcrPullSecretsNoLeader"]["labels"] == {"severity": "page"}
    assert found["GhcrPullSecretsNoServer"]["labels"] == {"severity": "critical"}
    assert "GhcrPullSecretsWebhookSlow" not in found
    assert all("(cluster" not in rule["expr"] for rule in found.values())
    assert "by (site)" in found["GhcrPullSecretsNoLeader"]["expr"]


@pytest.mark.parametrize(
    "values",
    [
        {"severities": {"NoSuchAlert": "page"}},
        {"severities": {"GhcrPullSecretsNoLaeder": "page"}},
        {"disabled": ["GhcrPullSecretsSlow"]},
    ],
)
def test_an_alert_that_does_not_exist_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"GhcrPullSecrets|pattern"):
        rules(**values)


def test_no_placeholder_is_left() -> None:
    assert "[[" not in yaml.safe_dump(rules())
