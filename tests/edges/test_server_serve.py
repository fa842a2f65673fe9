"""`ghcr-pull-secrets serve`, whole: the real decision and the real client, against the stand-in API server."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.faults import Match
from standin.server import ApiServer
from tests.e2e.machinery.waiting import until
from tests.edges.server_double import Authority, Process, review, write_pair
from tests.objects import CANARY, IMAGE, payload

pytestmark = pytest.mark.processes

RELEASE = "ghcr-pull-secrets"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        for name in (RELEASE, "apps"):
            server.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        central = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "ghcr-secret"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(payload()).decode()},
        }
        server.admin.create("secrets", RELEASE, central)
        yield server


@pytest.fixture
def authority() -> Authority:
    return Authority()


def serve(api: ApiServer, authority: Authority, directory: Path) -> Process:
    leaf = authority.leaf()
    write_pair(directory, leaf.certificate_pem, leaf.key_pem)
    environ = {
        "GHCR_PULL_SECRETS_NAMESPACE": RELEASE,
        "GHCR_PULL_SECRETS_KUBECONFIG": api.kubeconfig_file(),
        "GHCR_PULL_SECRETS_SHUTDOWN_DELAY": "0s",
        "GHCR_PULL_SECRETS_TLS_DIR": str(directory),
    }
    command = [sys.executable, "-m", "webhook", "serve", "--bind", "127.0.0.1:0", "--ops-bind", "127.0.0.1:0"]
    return Process(command, authority, environ)


def pod_review(uid: str, *secrets: str) -> dict[str, object]:
    pod = {
        "metadata": {"name": "api", "namespace": "apps"},
        "spec": {
            "containers": [{"name": "api", "image": IMAGE}],
            "imagePullSecrets": [{"name": name} for name in secrets],
        },
    }
    return review(uid=uid, object=pod)


def test_a_pod_is_injected_provisioned_and_admitted(api: ApiServer, authority: Authority, tmp_path: Path) -> None:
    with serve(api, authority, tmp_path) as process:
        process.wait_ready()
        status, answer = process.post("/mutate?timeout=5s", pod_review("u-1"))
        assert status == 200
        patch = json.loads(base64.b64decode(answer["response"]["patch"]))
        assert [(operation["op"], operation["value"]) for operation in patch] == [("add", {"name": "ghcr-secret"})]
        copy = api.admin.get("secrets", "apps", "ghcr-secret")
        assert base64.b64decode(copy["data"][".dockerconfigjson"]) == payload()
        status, answer = process.post("/validate?timeout=5s", pod_review("u-2", "ghcr-secret"))
        assert (status, answer["response"]["allowed"]) == (200, True)
        until(lambda: len(process.events("review_answered")) == 2, "both lines are written")
        lines = {line["uid"]: line for line in process.events("review_answered")}
        assert (lines["u-1"]["reason"], lines["u-1"]["provisioning"]) == ("injected", "created")
        assert lines["u-2"]["reason"] == "covered"
        metrics = process.ops("/metrics")[1]
        assert 'ghcr_pull_secrets_provisioning_total{result="created"} 1.0' in metrics
        assert 'ghcr_pull_secrets_watch_synced{resource="secrets"} 1.0' in metrics
        assert 'reviews_total{half="validate",outcome="allowed",reason="covered"} 1.0' in metrics
        verbose = process.ops("/readyz?verbose")[1]
        assert "[+]caches ok" in verbose
        assert "[+]watch-secrets ok" in verbose
        process.signal()
        assert process.wait() == 0
        everything = "".join(process.raw) + metrics + verbose
        assert CANARY not in everything
        assert base64.b64encode(payload()).decode() not in everything
        assert "Traceback" not in everything


def test_a_workload_without_its_secret_is_kept_out(api: ApiServer, authority: Authority, tmp_path: Path) -> None:
    with serve(api, authority, tmp_path) as process:
        process.wait_ready()
        status, answer = process.post("/validate?timeout=5s", pod_review("u-3", "ghcr-secret"))
        assert (status, answer["response"]["allowed"]) == (200, False)
        asked = 'api_requests_total{code="4xx",resource="secrets",verb="get"} '
        assert asked in process.ops("/metrics")[1]
        assert f"{asked}0.0" not in process.ops("/metrics")[1]
        until(lambda: process.events("review_answered"), "its line is written")
        assert process.events("review_answered")[0]["outcome"] == "denied"


def test_without_its_caches_it_is_not_ready_and_answers_all_the_same(
    api: ApiServer, authority: Authority, tmp_path: Path
) -> None:
    fault = api.faults.add(match=Match(verb="list", resource="namespaces"), status=503)
    with serve(api, authority, tmp_path) as process:
        process.wait_for("started")
        status, text = process.ops("/readyz")
        assert (status, "[-]caches failed: not filled yet" in text) == (503, True)
        assert process.post("/mutate", pod_review("u-4"))[0] == 200
        api.faults.remove(fault)
        process.wait_ready()


def test_an_api_server_that_is_gone_is_an_error_with_a_status_in_time(
    api: ApiServer, authority: Authority, tmp_path: Path
) -> None:
    with serve(api, authority, tmp_path) as process:
        process.wait_ready()
        api.faults.add(match=Match(verb="get"), status=503)
        status, answer = process.post("/validate?timeout=1s", pod_review("u-5", "ghcr-secret"))
        assert (status, answer["kind"], answer["code"]) == (500, "Status", 500)
        assert process.ops("/readyz")[0] == 200
        assert 'review_errors_total{half="validate",kind="cluster"} 1.0' in process.ops("/metrics")[1]
