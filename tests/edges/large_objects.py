"""An API server with many large objects, made while they are sent: six hundred megabytes take none."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.edges.cluster_script import Json, Request, content, obj, page, scripted
from webhook.cluster.client import METADATA_ONLY

OTHERS = {
    "namespaces": [obj("ghcr", 1), obj("tenant", 2)],
    "secrets": [],
    "serviceaccounts": [],
    "pods": [],
}


@dataclass
class Large:
    """Objects of one resource, all alike but for the namespace.

    Attributes:
        resource: Plural name.
        count: How many.
        like: The one that all are like.
    """

    resource: str
    count: int
    like: Json

    @functools.cached_property
    def _json(self) -> tuple[bytes, bytes]:
        return content(self.like), content({"metadata": self.like["metadata"]})

    def answer(self, request: Request) -> None:
        """Answer a list, or hold a watch open."""
        partial = request.headers["Accept"] == METADATA_ONLY
        start = int(request.query.get("continue", 0))
        end = min(start + int(request.query.get("limit", 500)), self.count)
        token = str(end) if end < self.count else ""
        before, after = content(page(version=7, token=token)).split(b'"items":[]')
        request.begin()
        request.chunk(before + b'"items":[')
        for number in range(start, end):
            raw = self._json[partial].replace(b'"tenant"', b'"tenant-%d"' % number, 1)
            request.chunk((b"," if number > start else b"") + raw)
        request.chunk(b"]" + after)
        request.end()


@contextmanager
def cluster_with(large: Large, folder: Path) -> Iterator[str]:
    """Serve that and hardly anything else; gives the path of a kubeconfig."""

    def respond(request: Request) -> None:
        resource = request.path.rpartition("/")[2]
        if request.is_watch:
            request.begin()
            script.stopping.wait(float(request.query["timeoutSeconds"]))
            request.end()
        elif resource == large.resource:
            large.answer(request)
        elif request.method == "GET" and resource in OTHERS:
            request.json(page(*OTHERS[resource], version=7))
        elif request.method == "POST":
            request.json({**json.loads(request.body), "metadata": {"name": "x", "resourceVersion": "8"}}, 201)
        else:
            request.json({"kind": "Status", "code": 404, "reason": "NotFound"}, 404)

    with scripted(respond) as script:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_bytes(
            content(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": {"server": script.url}}],
                    "users": [{"name": "u", "user": {}}],
                }
            )
        )
        yield str(kubeconfig)
