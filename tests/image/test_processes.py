"""`serve` and `controller` in containers, with the chart's arguments, as the chart's ServiceAccounts."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from standin import ApiServer
from tests import helm
from tests.e2e.machinery.containers import container_command, pod_fields, with_flags
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.processes import free_port
from tests.e2e.machinery.waiting import until
from tests.image.engines import MOUNT, Container, Image
from tests.objects import CANARY, IMAGE, RELEASE_NAMESPACE, payload, workload

_VALUES: Final = {"centralSecret": {"existing": True}, "credentialCheck": {"enabled": False}}

_START_S: Final = 60
"""An engine without an overlay file system copies all of the image first."""

# Two starts, two graces and what happens between; on a busy machine more than the two minutes of other tests.
pytestmark = pytest.mark.timeout(300)

Start = Callable[[str], tuple[Container, dict[str, Any], int]]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture
def manifests() -> list[dict[str, Any]]:
    return helm.render(_VALUES, namespace=RELEASE_NAMESPACE)


@pytest.fixture
def kube(api: ApiServer, manifests: list[dict[str, Any]]) -> Kube:
    """The release, installed but for its processes."""
    kube = Kube(Path(api.kubeconfig_file()))
    for namespace in (RELEASE_NAMESPACE, "auth"):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "ghcr-secret", "namespace": RELEASE_NAMESPACE},
            "stringData": {".dockerconfigjson": payload().decode()},
        }
    )
    kube.apply(*manifests)
    return kube


@pytest.fixture
def start(image: Image, api: ApiServer, manifests: list[dict[str, Any]], kube: Kube, folder: Path) -> Iterator[Start]:
    """Starts a component by its command; returns the container, its Deployment's pod spec, and its ops port."""
    started: list[Container] = []

    def start(command: str) -> tuple[Container, dict[str, Any], int]:
        pod_spec = _pod_spec(manifests, command)
        account = pod_spec["serviceAccountName"]
        kubeconfig = folder / f"{account}.yaml"
        kubeconfig.write_text(api.kubeconfig(api.token_for(RELEASE_NAMESPACE, account)))
        # The image's user is another; the folder above is closed to others.
        kubeconfig.chmod(0o444)
        arguments, environment = container_command(pod_spec["containers"][0], pod_fields(RELEASE_NAMESPACE))
        ops_port = free_port()
        flags: dict[str, str | None] = {
            "--ops-bind": f"127.0.0.1:{ops_port}",
            "--kubeconfig": f"{MOUNT}/{kubeconfig.name}",
        }
        if command == "serve":
            port = free_port()
            flags["--bind"] = f"127.0.0.1:{port}"
            api.bind_service(RELEASE_NAMESPACE, "ghcr-pull-secrets", 443, "127.0.0.1", port)
        container = image.start(with_flags(arguments, flags), environment=environment, folder=folder)
        started.append(container)
        return container, pod_spec, ops_port

    yield start
    for container in started:
        container.close()
        assert CANARY not in container.output


def _pod_spec(manifests: list[dict[str, Any]], command: str) -> dict[str, Any]:
    specs = [each["spec"]["template"]["spec"] for each in manifests if each["kind"] == "Deployment"]
    (found,) = (spec for spec in specs if spec["containers"][0]["args"][0] == command)
    return dict(found)


def _wait_ready(container: Container, port: int) -> None:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return container.ended

    try:
        until(ready, "the container is ready", timeout_s=_START_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{container.output}") from None
    assert not container.ended, container.output


def _stop(container: Container, pod_spec: dict[str, Any]) -> None:
    grace_s = pod_spec["terminationGracePeriodSeconds"]
    begun = time.monotonic()
    container.terminate()
    assert container.wait(grace_s) == 0, container.output
    print(f"stopped {time.monotonic() - begun:.1f} s after SIGTERM, of {grace_s} s")


def test_server_and_controller_do_their_work_and_stop_on_sigterm_within_their_grace(start: Start, kube: Kube) -> None:
    controller, controller_spec, controller_port = start("controller")
    _wait_ready(controller, controller_port)
    # Its certificate is made by the controller, so it is ready only if both work.
    server, server_spec, server_port = start("serve")
    _wait_ready(server, server_port)

    kube.apply(workload(kind="Pod", name="auth-api", namespace="auth", images=[IMAGE]))
    pod = kube.get("pod", "auth-api", "auth")
    assert pod["spec"]["imagePullSecrets"] == [{"name": "ghcr-secret"}], server.output
    assert kube.exists("secret", "ghcr-secret", "auth")

    kube("delete", "secret", "ghcr-secret", "-n", "auth")
    until(lambda: kube.exists("secret", "ghcr-secret", "auth"), "the controller brings a deleted copy back")

    _stop(controller, controller_spec)
    _stop(server, server_spec)


@pytest.mark.parametrize("command", ["serve", "controller"])
def test_a_component_that_is_not_ready_yet_stops_on_sigterm_too(start: Start, api: ApiServer, command: str) -> None:
    api.stop()
    container, pod_spec, port = start(command)
    until(lambda: _listens(port), f"{command} listens", timeout_s=_START_S)
    _stop(container, pod_spec)


def _listens(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return True
