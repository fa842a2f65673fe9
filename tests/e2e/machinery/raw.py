"""The API without kubectl: for objects that kubectl would refuse, and for answers that it would reword."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said.

    Attributes:
        code: HTTP status.
        body: The object or `v1` Status.
        warnings: Texts of the `Warning` headers.
    """

    code: int
    body: Mapping[str, Any]
    warnings: tuple[str, ...]


class RawApi:
    """JSON in, JSON out, as the user of a kubeconfig that has a token."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca_pem = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._server = cluster["server"]
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._pool = urllib3.PoolManager(ca_cert_data=ca_pem, retries=False, timeout=30, maxsize=10)

    def __call__(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Send one request."""
        answer = self._pool.request(
            method,
            f"{self._server}{path}",
            body=None if body is None else json.dumps(body),
            headers={**self._headers, "Content-Type": content_type, "Accept": accept},
        )
        warnings = answer.headers.getlist("Warning")
        # 299 - "TEXT", with quotes and backslashes escaped as in JSON.
        return Answer(
            code=answer.status,
            body=answer.json(),
            warnings=tuple(json.loads(text.removeprefix("299 - ")) for text in warnings),
        )

    def lines(self, path: str) -> Iterator[bytes]:
        """Read an answer that goes on, such as a watch, line by line."""
        answer = self._pool.request("GET", f"{self._server}{path}", headers=self._headers, preload_content=False)
        try:
            rest = b""
            while part := answer.read1():
                *whole, rest = (rest + part).split(b"\n")
                yield from whole
        finally:
            answer.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


@contextlib.contextmanager
def connected(kubeconfig: Path) -> Iterator[RawApi]:
    """Connect again, as each kubectl does: the API server may have been started again meanwhile."""
    api = RawApi(kubeconfig)
    try:
        yield api
    finally:
        api.close()
