"""What a real kubelet put into `status.*.state.waiting` for each way not to run, and what its Pod had to pull with.

Recorded from kubelet 1.36 with containerd 2.3 and with 1.6. A recording says which type the pull secret had; what was in it
is made again here from the name of the case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.objects import payload

DATA = Path(__file__).parent / "data"
FILES = ("waiting-reasons.jsonl", "waiting-reasons-containerd-1.6.jsonl")

CRASH: Mapping[str, Any] = {"exitCode": 1}

CONTENTS: Mapping[str, bytes | None] = {
    "secret-absent": None,
    "not-listed": None,
    "init-container": None,
    "opaque": b"",
    "other-host": payload(registry="quay.io"),
    "other-path": payload(registry="ghcr.io/other"),
    "empty": b"{}",
    "empty-entry": b'{"auths": {"ghcr.io": {}}}',
    "bad-base64": b'{"auths": {"ghcr.io": {"auth": "!"}}}',
    "no-colon": b'{"auths": {"ghcr.io": {"auth": "bm9jb2xvbg=="}}}',
    "auths-a-string": b'{"auths": "x"}',
}
"""Of the pull secret of each case; `None` for no such Secret, and of all others a good one."""


@dataclass(frozen=True)
class Recording:
    """One case.

    Attributes:
        statuses: The Pod's statuses one after the other: of each list, the containers that were seen.
        content: Of the pull secret `ghcr-secret`; `None` if there was none.
        listed: The Pod lists it.
    """

    file: str
    case: str
    image: str
    secret_type: str
    content: bytes | None
    listed: bool
    statuses: tuple[Mapping[str, Any], ...]

    def pod(self, status: Mapping[str, Any], *, name: str = "auth-api", namespace: str = "auth") -> dict[str, Any]:
        """The Pod, with one of its statuses."""
        lists = {
            key.removesuffix("Statuses") + "s": entries for key, entries in status.items() if key.endswith("Statuses")
        }
        spec: dict[str, Any] = {
            place: [
                {"name": entry["name"], "image": self.image}
                | ({"imagePullPolicy": "Never"} if self.case == "never" else {})
                for entry in entries
            ]
            for place, entries in lists.items()
        }
        if "containers" not in spec:
            spec["containers"] = [{"name": "api", "image": self.image}]
        if self.listed:
            spec["imagePullSecrets"] = [{"name": "ghcr-secret"}]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
            "status": dict(status),
        }


def recordings(file: str = FILES[0]) -> Iterator[Recording]:
    """Read the recordings of a file."""
    for line in (DATA / file).read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        yield Recording(
            file=file,
            case=case["case"],
            image=case["image"],
            secret_type=case["secret_type"] or "kubernetes.io/dockerconfigjson",
            content=CONTENTS.get(case["case"], payload()),
            listed=case["case"] != "not-listed",
            statuses=tuple(_statuses(case)),
        )


def _statuses(case: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Put what was seen of each container together again: the last word on every other one stays as it was."""
    known: dict[tuple[str, str], Any] = {}
    for seen in case["seen"]:
        # How a container ended was not recorded; the one that did crashed.
        entry = {
            "name": seen["container"],
            "state": seen["state"] | ({"terminated": CRASH} if "terminated" in seen["state"] else {}),
        }
        if seen["last"]:
            entry["lastState"] = dict.fromkeys(seen["last"], CRASH)
        known[seen["status_of"], seen["container"]] = entry
        status: dict[str, Any] = {"phase": case["phase"]}
        for (of, _), container in known.items():
            status.setdefault(of, []).append(container)
        yield status
