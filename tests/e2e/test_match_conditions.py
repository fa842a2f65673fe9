"""The API server's own CEL agrees with the core: it calls us for what the core selects, and errs for nothing.

The tables are those that two other CEL engines are held to in `tests/chart/test_match_conditions.py`. Admission comes
before validation, so objects that no API server would store get this far.
"""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import urllib3
import yaml

from tests.e2e.machinery.installation import Installation
from tests.e2e.machinery.kube import Kube
from tests.e2e.machinery.waiting import until
from tests.matching import IMAGES, MOUNTS, SPECS, container, wrap
from tests.objects import RESOURCES
from webhook.core.kinds import BUILT_IN_KINDS

pytestmark = pytest.mark.xdist_group("installation")

KINDS = ("Pod", "Deployment", "CronJob")
SENTINEL = "sentinel"


class Creator:
    """Sends objects as they are: kubectl would refuse the hostile ones before the API server could."""

    def __init__(self, kube: Kube) -> None:
        config = yaml.safe_load(kube.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca_pem = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._server = cluster["server"]
        self._headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(ca_cert_data=ca_pem, retries=False, timeout=30)

    def create(self, kind: str, namespace: str, obj: Mapping[str, Any]) -> tuple[int, str]:
        """Create it as a dry run; returns the HTTP status and the message of the answer."""
        group, version, plural = RESOURCES[kind]
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        body = {"apiVersion": f"{group}/{version}".lstrip("/"), "kind": kind, **obj}
        answer = self._pool.request(
            "POST",
            f"{self._server}{path}/namespaces/{namespace}/{plural}?dryRun=All",
            body=json.dumps(body),
            headers=self._headers,
        )
        return answer.status, str(answer.json().get("message", ""))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


@pytest.fixture
def creator(kube: Kube) -> Iterator[Creator]:
    with contextlib.closing(Creator(kube)) as creator:
        yield creator


def reviewed(installation: Installation, namespace: str) -> set[str]:
    """The names of the objects of a namespace that a server has answered for."""
    lines = (json.loads(line) for server in installation.servers for line in server.lines)
    return {line["name"] for line in lines if line.get("event") == "review_answered" and line["namespace"] == namespace}


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_server_calls_us_for_what_the_core_selects(
    kind: str, installation: Installation, namespace: str, creator: Creator
) -> None:
    (shape,) = [each for each in BUILT_IN_KINDS if each.resource == RESOURCES[kind][2]]
    specs = {
        f"image-{number}": ({"containers": [container(image)]}, is_selected)
        for number, (image, is_selected) in enumerate(IMAGES.items())
    }
    specs |= {f"spec-{number}": case for number, case in enumerate(SPECS.values())}
    # Of templates that mount the Secret, the Pods are looked at.
    specs |= {f"mounts-{n}": (spec, kind == "Pod" and expected) for n, (spec, expected) in enumerate(MOUNTS.values())}

    for name, (spec, _) in {**specs, SENTINEL: SPECS["a container"]}.items():
        obj = wrap(spec, shape)
        obj["metadata"]["name"] = name
        status, message = creator.create(kind, namespace, obj)
        # 400: not even of the right types; 422: of the right types, and invalid. Nothing failed on the way.
        assert status in {201, 400, 422} or "without credentials" in message, f"{name}: {status} {message}"

    until(lambda: SENTINEL in reviewed(installation, namespace), "the server says that it answered for the last")
    assert reviewed(installation, namespace) == {name for name, (_, is_selected) in specs.items() if is_selected} | {
        SENTINEL
    }
