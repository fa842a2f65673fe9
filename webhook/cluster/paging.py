"""List requests in pages bounded by bytes.

The API server bounds a page by the number of objects only. So a page that turns out too large is dropped and asked for
again with half as many; when pages are small again, the number grows back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from webhook.cluster import wire
from webhook.cluster.client import METADATA_ONLY, Client
from webhook.cluster.requests import Target
from webhook.cluster.wire import OBJECT_BYTES, PAGE_BYTES, Content
from webhook.ports import Deadline, Expired, TooLarge

T = TypeVar("T")

PAGE_SIZE: Final = 500
"""Objects a page, as client-go does."""

Decode = Callable[[Content, bool], T]
"""Reads one object. `False` says that it was too large to be read and that this is its metadata alone."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What one answer held.

    Attributes:
        items: The objects.
        version: The resourceVersion they were listed at.
        first: A list begins with it; what came before belongs to one that expired.
    """

    items: list[T]
    version: str
    first: bool


class _Metadata(msgspec.Struct):
    resourceVersion: str  # noqa: N815 (the API's name)
    token: str | None = msgspec.field(name="continue", default=None)


class _List(msgspec.Struct):
    metadata: _Metadata
    items: list[msgspec.Raw] | None


def pages(
    client: Client,
    target: Target,
    decode: Decode[T],
    *,
    query: Mapping[str, str],
    deadline: Callable[[], Deadline],
    page_size: int = PAGE_SIZE,
) -> Iterator[Page[T]]:
    """Yield a list's pages, each read when the one before is used up.

    An object beyond `OBJECT_BYTES` is asked for once more, as metadata alone. A list that took so long that its
    continuation expired (410) is begun again, once; its objects then come twice.

    Args:
        client: HTTP to the API server.
        target: What to list.
        decode: Makes something of each object, and keeps no reference to it.
        query: Selectors.
        deadline: Gives the deadline of each request.
        page_size: Objects a page at most, and at first.

    Raises:
        TooLarge: The metadata of one object is beyond the bound.
        Expired: The list begun again expired too.
        ClusterError: The API server did not give the list.
    """
    try:
        yield from _pages(client, target, decode, query, deadline, page_size)
    except Expired:
        yield from _pages(client, target, decode, query, deadline, page_size)


def whole_list(
    client: Client,
    target: Target,
    decode: Decode[T],
    *,
    query: Mapping[str, str],
    deadline: Callable[[], Deadline],
    page_size: int = PAGE_SIZE,
) -> tuple[list[T], str]:
    """Read a list to its end (see `pages`): its objects, each once, and the resourceVersion they were listed at."""
    items: list[T] = []
    version = ""
    for page in pages(client, target, decode, query=query, deadline=deadline, page_size=page_size):
        if page.first:
            items = []
        items.extend(page.items)
        version = page.version
    return items, version


def _pages(
    client: Client,
    target: Target,
    decode: Decode[T],
    query: Mapping[str, str],
    deadline: Callable[[], Deadline],
    page_size: int,
) -> Iterator[Page[T]]:
    def read(whole: bool, first: bool) -> Callable[[bytearray], tuple[Page[T], str, int]]:
        def take(content: bytearray) -> tuple[Page[T], str, int]:
            answer = wire.read(content, _List)
            found = [decode(item, whole) for item in answer.items or ()]
            return Page(found, answer.metadata.resourceVersion, first), answer.metadata.token or "", len(content)

        return take

    token, limit = "", page_size
    while True:
        asked = {**query, "limit": str(limit)} | ({"continue": token} if token else {})
        bound = PAGE_BYTES if limit > 1 else OBJECT_BYTES
        try:
            page, token, size = client.read(target, deadline(), read(True, not token), query=asked, max_bytes=bound)
        except TooLarge:
            if limit > 1:
                limit //= 2
                continue
            page, token, size = client.read(
                target, deadline(), read(False, not token), query=asked, accept=METADATA_ONLY
            )
        yield page
        if not token:
            return
        if size * 4 <= PAGE_BYTES:
            limit = min(limit * 2, page_size)
