"""`webhook.ports.Pods`: Pods by pages, as plain JSON."""

from collections.abc import Iterator
from typing import Any, Final

from webhook.cluster.client import Client
from webhook.cluster.reflector import PAGE_SIZE
from webhook.cluster.requests import Target, Verb
from webhook.core.review import Json
from webhook.ports import Deadline, Expired, Unavailable

_PENDING: Final = {"fieldSelector": "status.phase=Pending"}


class ClusterPods:
    """Lists Pods; at most one page is in memory.

    RBAC: `list` on pods.
    """

    def __init__(self, client: Client, *, page_size: int = PAGE_SIZE) -> None:
        self._client = client
        self._page_size = page_size

    def list(self, deadline: Deadline, *, namespace: str = "", pending: bool = False) -> Iterator[Json]:
        """Yield the Pods of one namespace or of all, or only those whose phase is Pending.

        A list that took so long that its continuation expired (410) is begun anew, once; Pods then come twice.

        Raises:
            ClusterError: The API server did not give the list.
        """
        target = Target(verb=Verb.LIST, resource="pods", namespace=namespace)
        query = {"limit": str(self._page_size), **(_PENDING if pending else {})}
        try:
            yield from self._pages(target, query, deadline)
        except Expired:
            yield from self._pages(target, query, deadline)

    def _pages(self, target: Target, query: dict[str, str], deadline: Deadline) -> Iterator[Json]:
        token = ""
        while True:
            page = self._client.request(target, deadline, query=query | ({"continue": token} if token else {}))
            pods, token = _read(page, target)
            del page
            pods.reverse()
            while pods:
                yield pods.pop()
            if not token:
                return


def _read(page: Any, target: Target) -> tuple[list[Json], str]:
    """Read a page's items and continuation; what is no list is not from an API server."""
    try:
        items, token = page["items"], page["metadata"].get("continue") or ""
        if items is None:
            items = []  # Go's nil slice
        if isinstance(items, list) and all(isinstance(item["metadata"], dict) for item in items):
            return items, token
    except (KeyError, TypeError, AttributeError):
        pass
    raise target.error(Unavailable, code=200)
