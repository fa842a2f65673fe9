"""The credential watch in a controller process: stand-in API server, and a registry and API by their real names."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from standin import ApiServer
from tests.e2e.machinery.processes import Process, free_port
from tests.e2e.machinery.waiting import until
from tests.edges.internet import HttpsWorld, Internet, basic
from tests.objects import CANARY, RELEASE_NAMESPACE, payload, workload
from tests.services.contracts.registry import GOOD, UNTIL, WRONG
from webhook.core.keyring import Credential

SECRET = "ghcr-secret"
LEASES = "leases.coordination.k8s.io"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HttpsWorld]:
    internet = Internet(tmp_path)
    yield HttpsWorld(internet)
    internet.close()


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}}
        server.admin.create("namespaces", "", namespace)
        central = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(payload()).decode()},
        }
        server.admin.create("secrets", RELEASE_NAMESPACE, central)
        server.admin.create("namespaces", "", {**namespace, "metadata": {"name": "auth"}})
        server.admin.create("pods", "auth", workload("Pod", secrets=(SECRET,)))
        yield server


def put_token(api: ApiServer, token: str) -> None:
    found = api.admin.get("secrets", RELEASE_NAMESPACE, SECRET)
    found["data"] = {".dockerconfigjson": base64.b64encode(payload(token=token)).decode()}
    api.admin.update("secrets", RELEASE_NAMESPACE, found)


def figures(process: Process) -> dict[str, float]:
    return {
        sample.name.removeprefix("ghcr_pull_secrets_credential_"): sample.value
        for family in text_string_to_metric_families(process.ops("/metrics")[1])
        for sample in family.samples
        if "credential" in sample.name and sample.labels.get("registry") == "ghcr.io"
    }


@pytest.fixture
def process(api: ApiServer, world: HttpsWorld) -> Iterator[Process]:
    world.issue(GOOD, scopes="read:packages", expiration=UNTIL)
    port = free_port()
    process = Process(
        ["controller", f"--namespace={RELEASE_NAMESPACE}", f"--ops-bind=127.0.0.1:{port}", "--no-manage-certificates"],
        {
            "GHCR_PULL_SECRETS_KUBECONFIG": api.kubeconfig_file(),
            "HTTPS_PROXY": f"http://127.0.0.1:{world.internet.port}",
            "NO_PROXY": "127.0.0.1,localhost",
            "GHCR_PULL_SECRETS_CA_BUNDLE": str(world.internet.ca_file),
        },
        ops_port=port,
        folder=Path(__file__).parents[2],
    )
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


def test_a_controller_reports_a_rejected_token_and_of_the_new_ones_end(
    api: ApiServer, world: HttpsWorld, process: Process
) -> None:
    until(lambda: figures(process).get("accepted") == 1, "the token is accepted")
    assert figures(process)["expiry_timestamp_seconds"] == 1796032800  # 2026-11-30 10:00:00 UTC
    put_token(api, WRONG.password)
    until(lambda: figures(process).get("accepted") == 0, "the wrong token is rejected")
    told = until(lambda: events(api, "CredentialRejected"), "an Event tells of it")
    put_token(api, CANARY)
    until(lambda: figures(process).get("accepted") == 1, "the good token is accepted again")
    metrics = process.ops("/metrics")[1]
    code = process.stop()
    assert code == 0, process.output
    assert {"kind": "Secret", "name": SECRET, "namespace": RELEASE_NAMESPACE}.items() <= told[0][
        "involvedObject"
    ].items()
    shown = process.output + metrics + json.dumps(told)
    for secret in (CANARY, WRONG.password, basic(GOOD), basic(WRONG)):
        assert secret not in shown
        assert secret not in str(world.internet.tunnels)


def test_a_controller_reports_a_token_that_logs_in_and_cannot_read_the_images_in_use(
    api: ApiServer, world: HttpsWorld, process: Process
) -> None:
    until(lambda: figures(process).get("accepted") == 1, "the token is accepted, and may read the image in use")
    assert figures(process)["unreadable_images"] == 0
    poor = Credential(username="robot", password="ghp_poor")
    world.issue(poor, scopes="read:packages")
    world.hide("ghcr.io/sesacthon/auth-api", poor)
    put_token(api, poor.password)
    until(lambda: figures(process).get("unreadable_images") == 1, "the token cannot read it")
    assert figures(process)["accepted"] == 0
    (event,) = until(lambda: events(api, "CredentialCannotRead"), "an Event tells of it")
    assert "ghcr.io/sesacthon/auth-api" in event["message"]
    said = "credential-ghcr.io failed: accepted, but cannot read 1 of the images in use"
    code, text = process.ops("/readyz?verbose")
    assert (code, said in text) == (200, True)
    assert "sesacthon" not in process.ops("/metrics")[1]


def test_a_controller_says_why_a_registry_cannot_be_reached(
    world: HttpsWorld, process: Process, api: ApiServer
) -> None:
    world.cut_off()
    put_token(api, WRONG.password)
    said = "credential-ghcr.io failed: unreachable (proxy: HTTP_502)"
    until(lambda: said in process.ops("/readyz?verbose")[1], "the probe says why")
    assert process.ops("/readyz")[0] == 200


def test_a_controller_that_lost_the_lease_says_no_more_of_the_credential(api: ApiServer, process: Process) -> None:
    until(lambda: figures(process).get("accepted") == 1, "the token is accepted")
    lease = api.admin.get(LEASES, RELEASE_NAMESPACE, "ghcr-pull-secrets-controller")
    lease["spec"]["holderIdentity"] = "another"
    api.admin.update(LEASES, RELEASE_NAMESPACE, lease)
    until(lambda: not figures(process), "what it knew is no longer shown")


def events(api: ApiServer, reason: str) -> list[dict[str, Any]]:
    return [event for event in api.admin.list("events", RELEASE_NAMESPACE) if event["reason"] == reason]
