"""`ghcr-pull-secrets controller` as a process, on the stand-in, with the permissions its parts say they need."""

from __future__ import annotations

import base64
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from standin import ApiServer
from tests.edges.accounts import account
from tests.edges.cluster_script import eventually
from tests.objects import CANARY, payload
from tests.services.controller_fakes import pod
from webhook.cli import main
from webhook.config.controller import CONTROLLER_SETTINGS
from webhook.core.names import (
    ADOPT_ANNOTATION,
    INJECT_KEY,
    MANAGED_BY_LABEL,
    MANAGED_BY_VALUE,
    SECRET_NAME,
    SECRET_TYPE,
)

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
NAMESPACE = "ghcr"
LEASES = "leases.coordination.k8s.io"
STORY = ("auth", "my", "scan", "character", "location", "info", "chat")

COPIES = [
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [SECRET_NAME],
        "verbs": ["get", "list", "watch", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["ghcr-pull-secrets-controller"],
        "verbs": ["get", "patch"],
    },
]


class Controller:
    """The process, its log lines and its probes."""

    def __init__(self, kubeconfig: str, *flags: str) -> None:
        arguments = ["--namespace", NAMESPACE, "--kubeconfig", kubeconfig, "--ops-bind", "127.0.0.1:0"]
        without = ["--no-manage-certificates", "--no-credential-check"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "webhook", "controller", *arguments, *without, *flags],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if not key.startswith("GHCR_PULL_SECRETS_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._ports: queue.Queue[int] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if found := re.search(r'"bind":"127\.0\.0\.1:(\d+)"', line):
                self._ports.put(int(found[1]))

    def get(self, path: str) -> tuple[int, str]:
        self.port = self.port or self._ports.get(timeout=20)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def figure(self, name: str) -> float | None:
        found = re.search(rf"^ghcr_pull_secrets_{name} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else None

    @property
    def leads(self) -> bool:
        return self.figure("leading") == 1

    def end(self, number: int = signal.SIGTERM) -> int:
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._reader.join(5)
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert CANARY not in "".join(self.lines)


class Stage:
    """A cluster with a central secret and controllers."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.namespace(NAMESPACE)
        self.kubeconfig = api.kubeconfig_file(account(api, "controller", COPIES))

    def namespace(self, name: str) -> None:
        self.api.admin.create("namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def secret(self, namespace: str, token: str, **metadata: Any) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET_NAME, **metadata},
            "type": SECRET_TYPE,
            "data": {".dockerconfigjson": base64.b64encode(payload(token=token)).decode()},
        }
        if self.api.store.get("secrets", namespace, SECRET_NAME) is None:
            self.api.admin.create("secrets", namespace, body)
        else:
            self.api.admin.patch("secrets", namespace, SECRET_NAME, {"data": body["data"]})

    def follows(self, *namespaces: str, token: str) -> bool:
        wanted = base64.b64encode(payload(token=token)).decode()
        stored = [self.api.store.get("secrets", name, SECRET_NAME) for name in namespaces]
        return all(found is not None and found["data"] == {".dockerconfigjson": wanted} for found in stored)

    def pod(self, namespace: str) -> None:
        self.api.load([pod(namespace)])

    def holder(self) -> str:
        lease = self.api.store.get(LEASES, NAMESPACE, "ghcr-pull-secrets-controller")
        holder: str = lease["spec"].get("holderIdentity", "") if lease else ""
        return holder

    def reasons(self) -> set[str]:
        return {event["reason"] for event in self.api.admin.list("events")}

    @contextmanager
    def controller(self, *flags: str) -> Iterator[Controller]:
        made = Controller(self.kubeconfig, *flags)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ApiServer(admission=None) as api:
        yield Stage(api)


def test_the_story_heals_on_installation_and_a_rotation_reaches_every_copy(stage: Stage) -> None:
    stage.secret(NAMESPACE, CANARY)
    for name in STORY:
        stage.namespace(name)
        stage.pod(name)
    with stage.controller() as controller:
        eventually(lambda: stage.follows(*STORY, token=CANARY))
        stage.secret(NAMESPACE, "rotated")
        eventually(lambda: stage.follows(*STORY, token="rotated"))
        eventually(lambda: controller.figure("copies_stale") == 0)
        assert controller.figure("central_secret_usable") == 1
        assert controller.figure('copies{owner="ours"}') == 7
        assert controller.figure('reconciliations_total{result="created"}') == 7
        eventually(lambda: {"CopyCreated", "CopyUpdated"} <= stage.reasons())


def test_copies_are_kept_and_foreign_secrets_left(stage: Stage) -> None:
    stage.secret(NAMESPACE, "t")
    for name in ("auth", "my", "scan", "chat"):
        stage.namespace(name)
        stage.pod(name)
    stage.secret("scan", "theirs")
    stage.secret("chat", "theirs", annotations={ADOPT_ANNOTATION: "true"})
    with stage.controller():
        eventually(lambda: stage.follows("auth", "my", "chat", token="t"), within=20)
        stage.api.admin.delete("secrets", "auth", SECRET_NAME)
        stage.secret("my", "edited")
        eventually(lambda: stage.follows("auth", "my", token="t"))
        stage.api.admin.patch("secrets", "auth", SECRET_NAME, {"metadata": {"labels": {MANAGED_BY_LABEL: None}}})
        stage.secret("auth", "by hand")
        eventually(lambda: "CopyForeign" in stage.reasons())
        stage.api.admin.patch("namespaces", "", "my", {"metadata": {"labels": {INJECT_KEY: "false"}}})
        eventually(lambda: stage.api.store.get("secrets", "my", SECRET_NAME) is None)
        assert stage.follows("scan", token="theirs")
        assert stage.follows("auth", token="by hand")


def test_an_unusable_central_secret_is_seen_and_the_fixed_one_spread(stage: Stage) -> None:
    stage.secret(NAMESPACE, "good")
    stage.namespace("auth")
    stage.secret("auth", "good", labels={MANAGED_BY_LABEL: MANAGED_BY_VALUE})
    with stage.controller() as controller:
        eventually(lambda: controller.figure("central_secret_usable") == 1, within=20)
        empty = base64.b64encode(b'{"auths":{}}').decode()
        stage.api.admin.patch("secrets", NAMESPACE, SECRET_NAME, {"data": {".dockerconfigjson": empty}})
        eventually(lambda: controller.figure("central_secret_usable") == 0)
        eventually(lambda: "CentralSecretUnusable" in stage.reasons())
        assert stage.follows("auth", token="good")
        stage.secret(NAMESPACE, "fixed")
        eventually(lambda: stage.follows("auth", token="fixed"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_releases_the_lease_and_ends_with_0(stage: Stage, number: int) -> None:
    stage.secret(NAMESPACE, "t")
    with stage.controller("--identity", "one") as controller:
        eventually(lambda: stage.holder() == "one", within=20)
        assert controller.end(number) == 0
        assert stage.holder() == ""
        assert '"work_finished":true' in "".join(controller.lines)


def test_a_standby_takes_over_at_once_after_a_clean_stop_and_knows_what_happened(stage: Stage) -> None:
    stage.secret(NAMESPACE, "1")
    stage.namespace("auth")
    stage.secret("auth", "1", labels={MANAGED_BY_LABEL: MANAGED_BY_VALUE})
    with stage.controller("--identity", "one") as one:
        eventually(lambda: one.leads, within=20)
        with stage.controller("--identity", "two") as two:
            eventually(lambda: two.get("/readyz")[0] == 200, within=20)
            assert not two.leads
            assert "stands by" in two.get("/readyz?verbose")[1]
            assert two.figure("central_secret_usable") is None
            assert one.end() == 0
            stage.api.admin.delete("secrets", "auth", SECRET_NAME)
            stage.secret(NAMESPACE, "2")
            eventually(lambda: stage.follows("auth", token="2"))
            assert stage.holder() == "two"


def test_after_a_kill_a_standby_takes_over_within_twenty_seconds(stage: Stage) -> None:
    stage.secret(NAMESPACE, "1")
    stage.namespace("auth")
    stage.secret("auth", "1", labels={MANAGED_BY_LABEL: MANAGED_BY_VALUE})
    with stage.controller("--identity", "one") as one:
        eventually(lambda: one.leads, within=20)
        with stage.controller("--identity", "two") as two:
            eventually(lambda: two.get("/readyz")[0] == 200, within=20)
            one.end(signal.SIGKILL)
            killed = time.monotonic()
            stage.api.admin.delete("secrets", "auth", SECRET_NAME)
            eventually(lambda: stage.follows("auth", token="1"), within=25)
            assert time.monotonic() - killed < 20


def test_who_idles_renews_its_lease_and_asks_nothing_else(stage: Stage) -> None:
    stage.secret(NAMESPACE, "t")
    for name in STORY:
        stage.namespace(name)
        stage.secret(name, "t", labels={MANAGED_BY_LABEL: MANAGED_BY_VALUE})
    with stage.controller() as controller:
        eventually(lambda: controller.leads, within=20)
        eventually(lambda: controller.figure('reconciliations_total{result="updated"}') == 7)
        eventually(lambda: controller.figure("queue_backlog") == 0)
        eventually(lambda: controller.figure('events_total{outcome="written"}') == 7)
        stage.api.requests.clear()
        time.sleep(4.2)
        asked = [(request.info.verb, request.info.resource) for request in stage.api.requests]
        assert set(asked) == {("patch", LEASES)}
        assert len(asked) <= 3  # every 2 s; with the watches' ends every 30 to 40 s far below one request a second


def test_certificates_are_made_if_that_is_wanted(stage: Stage) -> None:
    names = ["ghcr-pull-secrets-webhook-ca", "ghcr-pull-secrets-webhook-tls"]
    rules = [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": names,
            "verbs": ["get", "list", "watch", "patch"],
        },
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": ["ghcr-pull-secrets"],
            "verbs": ["get", "list", "watch", "patch"],
        },
    ]
    stage.kubeconfig = stage.api.kubeconfig_file(account(stage.api, "keeper", [*COPIES, *rules]))
    with stage.controller("--manage-certificates") as controller:
        eventually(lambda: all(stage.api.store.get("secrets", NAMESPACE, name) for name in names), within=20)
        eventually(lambda: "CertificateRenewed" in stage.reasons())
        # The event of the CA comes before there is a certificate of it.
        eventually(lambda: (controller.figure("certificate_expiry_timestamp_seconds") or 0) > time.time())
        assert "watch-certificate" in controller.get("/readyz?verbose")[1]


def test_probes_show_what_is_watched(stage: Stage) -> None:
    with stage.controller() as controller:
        eventually(lambda: controller.leads, within=20)
        code, text = controller.get("/readyz?verbose")
        assert code == 200
        assert "[+]leader ok: leads" in text
        assert "[+]watch-secrets ok: last heard of 0 s ago" in text
        assert controller.get("/healthz") == (200, "ok")


def test_who_cannot_see_the_cluster_is_not_ready_and_does_not_lead(stage: Stage) -> None:
    stage.kubeconfig = stage.api.kubeconfig_file(account(stage.api, "blind", COPIES[2:]))
    with stage.controller() as controller:
        assert controller.get("/readyz")[0] == 503
        assert "[-]caches failed: not filled yet" in controller.get("/readyz?verbose")[1]
        assert stage.holder() == ""
        assert controller.end() == 0


# --- the command line


def test_help_lists_every_flag() -> None:
    text = " ".join(CliRunner().invoke(main, ["controller", "--help"], terminal_width=400).output.split())
    for setting in CONTROLLER_SETTINGS:
        assert setting.flag in text
        assert f"env: {setting.variable}" in text


FAULTS = {
    "--workers": "0",
    "--qps": "-1",
    "--sweep-interval": "0s",
    "--identity": "a b",
    "--name": "Upper",
    "--namespace": "x_y",
    "--ops-bind": "nowhere",
}


def test_every_fault_is_on_its_own_line_and_no_value_is_repeated() -> None:
    arguments = [part for flag, value in FAULTS.items() for part in (flag, value)]
    result = CliRunner().invoke(main, ["controller", *arguments])
    assert result.exit_code == 2
    assert {line.partition(":")[0] for line in result.stderr.splitlines()} == set(FAULTS)
    assert "nowhere" not in result.output


def test_a_name_leaves_room_for_its_suffixes() -> None:
    result = CliRunner().invoke(main, ["controller", "--namespace", "a", "--name", "x" * 49])
    assert result.stderr == "--name: expected at most 48 characters\n"


def test_outside_a_cluster_and_without_a_kubeconfig_it_ends_in_words() -> None:
    result = CliRunner().invoke(main, ["controller", "--namespace", "a", "--ops-bind", "127.0.0.1:0"])
    assert result.exit_code == 2
    assert result.stderr.startswith("--kubeconfig: cannot reach an API server by in-cluster")
