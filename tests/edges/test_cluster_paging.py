"""Pages bounded by bytes: halved while they are too large, grown again, and single objects asked for in parts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.edges.cluster_script import Request, obj, page, scripted, status
from tests.services.controller_contracts import soon
from webhook.cluster.client import METADATA_ONLY
from webhook.cluster.paging import pages
from webhook.cluster.requests import Target, Verb
from webhook.cluster.wire import OBJECT_BYTES, PAGE_BYTES, Content
from webhook.ports import Expired, TooLarge, Unavailable

TARGET = Target(verb=Verb.LIST, resource="serviceaccounts")


class Cluster:
    """Objects of given sizes, listed as an API server does; `tell` says what has been asked."""

    def __init__(self, *sizes: int, metadata: int = 0) -> None:
        self.objects = [obj(f"o{number}", number + 1, labels={"l": "x" * metadata}) for number in range(len(sizes))]
        self.sizes = sizes
        self.asked: list[tuple[int, str]] = []

    def __call__(self, request: Request) -> None:
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        partial = request.headers["Accept"] == METADATA_ONLY
        self.asked.append((limit, "metadata" if partial else ""))
        end = min(start + limit, len(self.objects))
        items = [
            self.objects[number] | ({} if partial else {"data": "x" * self.sizes[number]})
            for number in range(start, end)
        ]
        request.json(page(*items, version=7, token=str(end) if end < len(self.objects) else ""))


def name(content: Content, whole: bool) -> tuple[str, bool]:
    return json.loads(bytes(content))["metadata"]["name"], whole


def listed(cluster: Any, page_size: int = 8) -> list[tuple[str, bool]]:
    with scripted(cluster) as script:
        found: Iterator[Any] = pages(script.client(), TARGET, name, query={}, deadline=soon, page_size=page_size)
        return [item for each in found for item in each.items]


def everything(count: int) -> list[tuple[str, bool]]:
    return [(f"o{number}", True) for number in range(count)]


def test_a_page_that_is_too_large_is_asked_for_again_by_halves() -> None:
    cluster = Cluster(*[PAGE_BYTES // 3] * 8)
    assert listed(cluster) == everything(8)
    assert [limit for limit, _ in cluster.asked] == [8, 4, 2, 2, 2, 2]


def test_pages_grow_again_when_they_are_small() -> None:
    cluster = Cluster(PAGE_BYTES, *[10] * 30)
    assert listed(cluster) == everything(31)
    assert [limit for limit, _ in cluster.asked] == [8, 4, 2, 1, 1, 2, 4, 8, 8, 8]


def test_a_single_object_may_be_larger_than_a_page() -> None:
    assert listed(Cluster(OBJECT_BYTES - 1000)) == everything(1)


def test_of_an_object_that_is_too_large_the_metadata_alone_is_asked_for() -> None:
    cluster = Cluster(10, OBJECT_BYTES, 10)
    assert listed(cluster, page_size=2) == [("o0", True), ("o1", False), ("o2", True)]
    assert cluster.asked == [(2, ""), (1, ""), (2, ""), (1, ""), (1, "metadata"), (2, "")]


def test_metadata_beyond_the_bound_is_an_error() -> None:
    with pytest.raises(TooLarge):
        listed(Cluster(10, metadata=OBJECT_BYTES))


def test_a_list_without_end_is_read_no_further_than_the_bound() -> None:
    sent = [0]

    def pour(request: Request) -> None:
        request.begin()
        while True:
            request.chunk(b"[" * (1 << 20))
            sent[0] += 1

    with pytest.raises(TooLarge):
        listed(pour, page_size=1)
    assert sent[0] << 20 < 3 * OBJECT_BYTES + (8 << 20)


def expiring(times: int) -> Any:
    """Answer with lists of two pages; the second page expires that many times."""
    begun = [0]

    def answer(request: Request) -> None:
        if "continue" not in request.query:
            begun[0] += 1
            request.json(page(obj(f"o{begun[0]}", 1), version=begun[0], token="t"))
        elif begun[0] <= times:
            request.json(status(410, "Expired"), 410)
        else:
            request.json(page(obj("last", 1), version=begun[0]))

    return answer


def test_a_list_that_expired_is_begun_again_and_says_so() -> None:
    with scripted(expiring(1)) as script:
        found = list(pages(script.client(), TARGET, name, query={}, deadline=soon))
    assert [([item for item, _ in each.items], each.version, each.first) for each in found] == [
        (["o1"], "1", True),
        (["o2"], "2", True),
        (["last"], "2", False),
    ]


def test_a_list_that_expired_twice_is_an_error() -> None:
    with pytest.raises(Expired):
        listed(expiring(2))


@pytest.mark.parametrize("body", [{"items": []}, {"metadata": {}}, {"metadata": {"resourceVersion": "1"}}, []])
def test_what_is_no_list_is_not_from_an_api_server(body: object) -> None:
    with pytest.raises(Unavailable):
        listed(lambda request: request.json(body))
