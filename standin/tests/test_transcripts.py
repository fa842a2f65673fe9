"""The stand-in answers the recordings of a real API server as they were answered."""

from collections.abc import Iterator
from typing import Any

import pytest

from standin.interfaces import Json
from standin.server import ApiServer
from standin.tests.transcripts import Replay, comparable, recordings

# The address that a server has differs; README.md lists all that is left out.
SERVED_LESS = {"discovery /api": "serverAddressByClientCIDRs"}


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, tuple[int, list[str], str, Any]]]:
    """All recordings sent in order to one server; state carries over from each to the next."""
    # Without controllers: the recorded namespace was still terminating when the next request came.
    with ApiServer(controllers=None) as api:
        prepare(api)
        replay = Replay(api)
        yield {recording["name"]: replay.send(recording) for recording in recordings()}
        replay.close()


def prepare(api: ApiServer) -> None:
    """What the recorded cluster held before."""
    names = {"plural": "rollouts", "kind": "Rollout", "singular": "rollout"}
    versions = [{"name": "v1alpha1", "served": True, "storage": True}]
    role = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "verbs": ["get", "list", "watch"],
        "resourceNames": ["ghcr-secret"],
    }
    group = "rbac.authorization.k8s.io"
    api.load(
        [
            {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "lab"}},
            {
                "kind": "CustomResourceDefinition",
                "apiVersion": "apiextensions.k8s.io/v1",
                "metadata": {"name": "rollouts.argoproj.io"},
                "spec": {"group": "argoproj.io", "names": names, "scope": "Namespaced", "versions": versions},
            },
            {"kind": "ClusterRole", "apiVersion": f"{group}/v1", "metadata": {"name": "narrow"}, "rules": [role]},
            {
                "kind": "ClusterRoleBinding",
                "apiVersion": f"{group}/v1",
                "metadata": {"name": "narrow"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "narrow"},
                "subjects": [{"kind": "ServiceAccount", "name": "narrow", "namespace": "lab"}],
            },
        ]
    )


def _less(name: str, body: Any) -> Any:
    body = comparable(body)
    if name in SERVED_LESS:
        body.pop(SERVED_LESS[name])
    return body


@pytest.mark.xdist_group("transcripts")
@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording["name"])
def test_a_recording_is_answered_as_it_was(recording: Json, answers: dict[str, Any]) -> None:
    status, warnings, content_type, body = answers[recording["name"]]
    expected = recording["response"]
    assert status == expected["status"], body
    assert warnings == expected["warning"]
    assert content_type == expected["content_type"]
    assert _less(recording["name"], body) == _less(recording["name"], expected.get("events", expected.get("body")))


def test_every_recording_has_a_name_of_its_own() -> None:
    names = [recording["name"] for recording in recordings()]
    assert len(names) == len(set(names))
