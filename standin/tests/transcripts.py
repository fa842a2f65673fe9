"""Replays the recordings of a real API server against the stand-in."""

import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from standin.interfaces import Json
from standin.server import ApiServer

PATH = Path(__file__).parent / "data" / "apiserver-transcripts.jsonl"
NARROW = "serviceaccount limited to resourceNames=[ghcr-secret]"
# What is new on each run.
UNEQUAL = frozenset({"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields", "continue"})
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ZERO_UID = "00000000-0000-0000-0000-000000000000"
_ACCESS = re.compile(r"kube-api-access-[a-z0-9]{5}")


def recordings() -> list[Json]:
    """Return all recordings, in their order."""
    return [orjson.loads(line) for line in PATH.read_bytes().splitlines()]


def comparable(value: Any) -> Any:
    """Return an answer less what cannot be equal; uids and random suffixes in texts become words."""
    if isinstance(value, dict):
        return {key: comparable(child) for key, child in value.items() if key not in UNEQUAL}
    if isinstance(value, list):
        return [comparable(child) for child in value]
    if isinstance(value, str):
        text = _UID.sub(lambda found: found[0] if found[0] == _ZERO_UID else "UID", value)
        return _ACCESS.sub("kube-api-access-RANDOM", text)
    return value


class Replay:
    """Sends the recorded requests in order, with uids and resourceVersions of this run in place of the recorded."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", api.port, context=ssl.create_default_context(cadata=api.ca_pem)
        )
        self._translated: dict[str, str] = {}
        self._versions: dict[int, int] = {}
        self._tokens = {
            "cluster-admin": api.admin_token,
            NARROW: api.token_for("lab", "narrow"),
            "invalid bearer token": "no-such-token",
        }

    def close(self) -> None:
        self._connection.close()

    def send(self, recording: Json) -> tuple[int, list[str], str, Any]:
        """Return status, warnings, content type and body (or the events of a watch)."""
        request = recording["request"]
        path = self._translate(request["path"])
        headers = {"Authorization": f"Bearer {self._tokens[request['user']]}"}
        if request["content_type"]:
            headers["Content-Type"] = request["content_type"]
        body = request["body"]
        payload = None if body is None else body.encode() if isinstance(body, str) else self._payload(body)
        acts = self._acts(recording)
        if acts is not None:
            threading.Thread(target=acts, daemon=True).start()
        self._connection.request(request["method"], path, payload, headers)
        response = self._connection.getresponse()
        raw = response.read()
        warnings = response.headers.get_all("Warning") or []
        if "events" in recording["response"]:
            answer: Any = [orjson.loads(line) for line in raw.splitlines()]
        elif response.headers["Content-Type"] == "application/json":
            answer = orjson.loads(raw)
            self._learn(recording["response"]["body"], answer)
        else:
            answer = raw.decode()
        return response.status, warnings, response.headers["Content-Type"], answer

    def _payload(self, body: Any) -> bytes:
        return self._translate(orjson.dumps(body).decode()).encode()

    def _translate(self, text: str) -> str:
        text = _UID.sub(lambda found: self._translated.get(found[0], found[0]), text)
        text = re.sub(r'("resourceVersion":")(\d+)"', lambda found: f'{found[1]}{self._version(int(found[2]))}"', text)
        text = re.sub(r"(resourceVersion=)(\d+)", lambda found: f"{found[1]}{self._version(int(found[2]))}", text)
        return re.sub(r"(continue=)([\w-]+)", lambda found: found[1] + self._translated.get(found[2], found[2]), text)

    def _version(self, recorded: int) -> int:
        """Return this run's resourceVersion for the last recorded one up to a value."""
        known = [version for version in self._versions if version <= recorded]
        if recorded > 1_000_000:
            return recorded
        return self._versions[max(known)] if known else self._first

    @property
    def _first(self) -> int:
        return min(self._versions.values(), default=1) - 1

    def _learn(self, recorded: Any, answered: Any) -> None:
        if isinstance(recorded, dict) and isinstance(answered, dict):
            for key, value in recorded.items():
                other = answered.get(key)
                if key in {"uid", "continue"} and isinstance(other, str):
                    self._translated[value] = other
                elif key == "resourceVersion" and isinstance(other, str):
                    self._versions[int(value)] = int(other)
                else:
                    self._learn(value, other)
        elif isinstance(recorded, list) and isinstance(answered, list):
            for first, second in zip(recorded, answered, strict=False):
                self._learn(first, second)

    def _acts(self, recording: Json) -> Callable[[], None] | None:
        """Return what another client did while a recorded watch ran."""
        if "patch, (other secret patched), delete, create" not in recording["name"]:
            return None
        client = self._api.admin
        created = recording["response"]["events"][2]["object"]

        def act() -> None:
            time.sleep(0.2)
            for name in ("ghcr-secret", "plain"):
                client.patch("secrets", "tr", name, {"metadata": {"annotations": {"w": "1"}}})
            client.delete("secrets", "tr", "ghcr-secret")
            body = {key: created[key] for key in ("kind", "apiVersion", "data", "type")}
            client.create("secrets", "tr", {**body, "metadata": {"name": "ghcr-secret"}})

        return act
