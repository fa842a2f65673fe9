"""The commands of the chart's hooks, on the stand-in, with the permissions the chart gives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from standin import ApiServer, Match
from tests.edges.accounts import account
from tests.edges.cluster_script import Request, scripted
from tests.objects import CANARY, CANARY_PREFIX
from webhook.cli import main
from webhook.cluster.hooks import NotAdmitted, pull_secrets_of_trial_pod
from webhook.core.names import SECRET_NAME
from webhook.ports import Unavailable

NAMESPACE = "ghcr"
NAME, LAST = "gps", "zz-gps"
LABELS = {"app.kubernetes.io/instance": "gps"}
CONFIGURATIONS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
RULES = [
    {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": list(CONFIGURATIONS),
        "resourceNames": [NAME, LAST],
        "verbs": ["delete"],
    },
    {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale"],
        "resourceNames": [f"{NAME}-server", f"{NAME}-controller"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "create"]},
]


class Stage:
    """A cluster with a release in it."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.kubeconfig = api.kubeconfig_file(account(api, "hook", RULES))
        api.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        api.load(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": name},
                "webhooks": [],
            }
            for kind, name in (
                ("MutatingWebhookConfiguration", NAME),
                ("MutatingWebhookConfiguration", LAST),
                ("ValidatingWebhookConfiguration", NAME),
            )
        )
        api.load(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"{NAME}-{component}", "namespace": NAMESPACE},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": LABELS},
                    "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
                },
            }
            for component in ("server", "controller")
        )

    def pod(self) -> None:
        metadata = {"name": "p", "namespace": NAMESPACE, "labels": LABELS}
        self.api.load([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}])

    def run(self, command: str, *flags: str) -> Result:
        return CliRunner().invoke(main, [command, "--namespace", NAMESPACE, "--kubeconfig", self.kubeconfig, *flags])

    def stop(self, timeout: int = 5) -> Result:
        selector = "app.kubernetes.io/instance=gps"
        names = ("--name", NAME, "--last-configuration", LAST)
        return self.run("helm-stop", *names, "--selector", selector, "--timeout", str(timeout))

    def configurations(self) -> int:
        return sum(len(self.api.admin.list(f"{each}.admissionregistration.k8s.io")) for each in CONFIGURATIONS)

    def replicas(self) -> list[int]:
        return [each["spec"]["replicas"] for each in self.api.admin.list("deployments.apps", NAMESPACE)]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ApiServer(admission=None, controllers=None) as api:
        yield Stage(api)


def test_a_release_is_stopped_and_may_be_again(stage: Stage) -> None:
    for _ in range(2):
        result = stage.stop()
        assert (result.exit_code, result.output) == (0, "")
        assert stage.configurations() == 0
        assert stage.replicas() == [0, 0]


def test_pods_that_do_not_end_are_given_up_on(stage: Stage) -> None:
    stage.pod()
    result = stage.stop(timeout=1)
    assert (result.exit_code, result.output) == (1, "Pods of gps still run after 1 s\n")


def test_a_release_that_may_not_be_stopped_is_an_error(stage: Stage) -> None:
    with stage.api.faults.on(match=Match(verb="delete"), status=403, reason="Forbidden"):
        result = stage.stop()
    assert result.exit_code == 1
    assert "HTTP 403" in result.output
    assert stage.replicas() == [2, 2], "the webhooks would refuse what no server answers"


def test_a_pod_without_its_pull_secret_fails_the_test(stage: Stage) -> None:
    result = stage.run("helm-test", "--image", "ghcr.io/helm-test")
    assert result.exit_code == 1
    assert result.output.startswith("ghcr-secret was not added to the Pod")
    assert stage.api.admin.list("pods") == [], "it was a dry run"


def test_a_pod_that_is_not_admitted_says_why(stage: Stage) -> None:
    denial = "denied the request: \x1b no"
    stage.api.faults.add(match=Match(verb="create"), status=403, reason="Forbidden", message=denial)
    result = stage.run("helm-test", "--image", "ghcr.io/helm-test")
    assert (result.exit_code, result.output) == (1, "The Pod was not admitted (HTTP 403: denied the request:   no)\n")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            500,
            {"message": f"failed calling webhook: {CANARY} {'x' * 9000}"},
            "HTTP 500: failed calling webhook: [redacted] xxx",
        ),
        (422, {"message": ""}, "HTTP 422"),
    ],
)
def test_a_refusal_is_shown_in_bounds_and_without_a_credential(status: int, body: dict[str, str], said: str) -> None:
    with scripted(lambda request: request.json(body, status)) as script, pytest.raises(NotAdmitted) as refused:
        pull_secrets_of_trial_pod(script.client(), "default", "ghcr.io/helm-test")
    assert str(refused.value).startswith(said)
    assert len(str(refused.value)) < 5000
    assert CANARY_PREFIX not in str(refused.value)


@pytest.mark.parametrize("body", [b"<html>", b'{"spec": 1}', b"\xff"])
def test_what_is_no_answer_of_an_api_server_is_an_error(body: bytes) -> None:
    def answer(request: Request) -> None:
        request.raw(body, 502)

    with scripted(answer) as script, pytest.raises(Unavailable, match="HTTP 502"):
        pull_secrets_of_trial_pod(script.client(), "default", "ghcr.io/helm-test")


def test_a_pod_with_its_pull_secret_is_what_is_asked_for() -> None:
    def answer(request: Request) -> None:
        request.json({"spec": {"imagePullSecrets": [{"name": "other"}, {"name": SECRET_NAME}]}}, 201)

    with scripted(answer) as script:
        found = pull_secrets_of_trial_pod(script.client(), "default", "ghcr.io/helm-test")
        assert found == ("other", SECRET_NAME)
        assert script.requests[0].query == {"dryRun": "All"}


@pytest.mark.parametrize("body", [[], {"spec": 7}, {"spec": {"imagePullSecrets": [7]}}])
def test_what_is_no_pod_is_not_from_an_api_server(body: object) -> None:
    with scripted(lambda request: request.json(body, 201)) as script, pytest.raises(Unavailable):
        pull_secrets_of_trial_pod(script.client(), "default", "ghcr.io/helm-test")


def test_the_commands_are_not_listed() -> None:
    assert "helm-" not in CliRunner().invoke(main, ["--help"]).output
