"""Pods decoded as the adapter decodes them."""

from __future__ import annotations

from tests.edges.cluster_script import Json, page, scripted
from tests.services.controller_contracts import soon
from webhook.cluster.pods import ClusterPods


def decoded(*items: Json) -> list[Json]:
    with scripted(lambda request: request.json(pods(*items))) as script:
        return list(ClusterPods(script.client()).list(soon()))


def pods(*items: Json, token: str = "") -> Json:
    return page(*items, version=1, token=token)
