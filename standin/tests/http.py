"""A plain client of the stand-in, for tests that look at answers byte by byte."""

import http.client
import ssl
from collections.abc import Iterator
from typing import Any

import orjson

from standin import ApiServer
from standin.interfaces import Json

SECRETS = "/api/v1/namespaces/app/secrets"
MERGE = "application/merge-patch+json"


def secret(name: str, **metadata: Any) -> Json:
    """Return a Secret with one key."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}, "data": {"a": "Yg=="}}


def deployment(name: str, image: str = "ghcr.io/a/b:1", **template: Any) -> Json:
    """Return a Deployment of one container; `template` are more fields of its pod spec."""
    labels = {"app": name}
    spec = {"containers": [{"name": "main", "image": image}], **template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


class Http:
    """One keep-alive connection."""

    def __init__(self, api: ApiServer, token: str | None = None) -> None:
        context = ssl.create_default_context(cadata=api.ca_pem)
        self._connection = http.client.HTTPSConnection("127.0.0.1", api.port, context=context, timeout=20)
        self._token = token or api.admin_token
        self.headers: dict[str, str] = {}

    def close(self) -> None:
        self._connection.close()

    def send(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **headers: str
    ) -> Any:
        """Return status and body, decoded if it is JSON."""
        raw = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        sent = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, **headers}
        self._connection.request(method, path, raw, sent)
        response = self._connection.getresponse()
        self.headers = {key.lower(): value for key, value in response.getheaders()}
        answer = response.read()
        return response.status, orjson.loads(answer) if answer[:1] in {b"{", b"["} and b"\n{" not in answer else answer

    def ok(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Return the body of a success."""
        status, answer = self.send(method, path, body, content_type)
        assert status < 300, answer
        return answer

    def watch(self, path: str) -> Iterator[Json]:
        """Yield the events of a watch as they come."""
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        response = self._connection.getresponse()
        while line := response.readline():
            yield orjson.loads(line)
